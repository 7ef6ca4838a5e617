"""What distinguishes one job of a batch from all others: its input files, its options and the weights."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from saint_cli.batch.job_records import JobRecord, JobStatus
from saint_cli.batch.json_values import digest
from saint_cli.errors import WeightsError
from saint_cli.io.folder_walk import is_folder, is_there
from saint_cli.io.path_identity import is_same_file
from saint_cli.io.remote import urls
from saint_cli.jobs.location import SourceLocation
from saint_cli.models import shipped
from saint_cli.options.fields import get_options
from saint_cli.options.grid import GridRequest

SLAB = get_options(GridRequest)["slab"].name
"""The option that needs weights for slabs."""

MODALITY = "modality"
"""What a record calls the modality of its scan."""


def make_key(record: JobRecord, weights_sha256: str | None) -> str:
    """The key of a job with these weights."""
    return digest({"input": record.fingerprint, "options": record.options, "weights": weights_sha256})


def is_same_job(record: JobRecord, planned: JobRecord) -> bool:
    """Whether a record is of a planned job; a finished one by the weights that the model's name means.

    The weights are those for the scan's modality, which the record has; a plan does not know it. A job that needs no
    networks is the same with every model.
    """
    if record.is_without_networks:
        return record.key == make_key(planned, record.weights_sha256)
    if record.status is not JobStatus.DONE or not shipped.is_name(planned.model):
        return record.key == planned.key
    modality = str(record.details.get(MODALITY, shipped.CT_MODALITY))
    return record.key == make_key(planned, _hash_stand_in(planned.model, modality, SLAB in planned.options))


def is_of_another_scan(record: JobRecord, planned: JobRecord) -> bool:
    """Whether a record is of a scan whose file or folder is still there, and which is not the planned one.

    A scan that was moved, or copied with its times of change, is the same; so is one that changed in its place.
    """
    is_same = record.fingerprint == planned.fingerprint or is_same_place(record, planned)
    if is_same and _is_same_part(record, planned):
        return False
    place = _locate_source(record)
    return place is None or is_there(place)


def describe_other_scan(record: JobRecord, planned: JobRecord, advice: str) -> str:
    """The scan that a record is of, where it is another one, and what to do; advice: what keeps both results."""
    source = record.full_source
    if not is_same_place(record, planned):
        return f"{source}, another scan; {advice}, or pass --overwrite"
    if _are_compatible(_find_part(record)[:1], _find_part(planned)[:1]):
        return f"another volume of {source}; {advice}, or pass --overwrite"
    return (
        f"another series of {source}; if that was exported anew, with new series UIDs, pass --overwrite to replace the "
        f"outdated result; if it holds both series, {advice}"
    )


def is_same_scan(record: JobRecord, other: JobRecord) -> bool:
    """Whether two records are of one file, folder or URL, and of one series and volume there."""
    return _is_same_part(record, other) and is_same_place(record, other)


def is_same_place(record: JobRecord, other: JobRecord) -> bool:
    """Whether two records are of one file, folder or URL, by whatever path it was named."""
    place, other_place = _locate_source(record), _locate_source(other)
    if place is None or other_place is None:
        return record.source == other.source
    return place == other_place or is_same_file(place, other_place)


def _is_same_part(record: JobRecord, other: JobRecord) -> bool:
    """Whether two records of one place are of one series and volume there; what a record leaves open may be any."""
    return _are_compatible(_find_part(record), _find_part(other))


def _are_compatible(part: Sequence[str | None], other: Sequence[str | None]) -> bool:
    return all(one is None or another is None or one == another for one, another in zip(part, other, strict=True))


def _find_part(record: JobRecord) -> tuple[str | None, str | None]:
    """The series that a record names, and which volume of it: its number, or "all"; None where it names none."""
    series, _, number = str(record.options.get("series") or "").partition("#")
    volume = record.options.get("volume")
    return series or None, number or (None if volume is None else str(volume))


def _locate_source(record: JobRecord) -> Path | None:
    """Where the source of a record lies, None at a URL."""
    return None if urls.is_url(record.source) else Path(record.full_source).absolute()


def fingerprint_inputs(source: SourceLocation, files: Sequence[Path]) -> str:
    """Names, sizes and times of change of the files that a result depends on; moving them all changes nothing.

    At a URL, sizes and times (or what else changes with the content) are as listed.
    """
    if not isinstance(source, Path):
        folder_name = source.main.rpartition("/")[0] if source.is_file else source.main
        return digest(sorted([i.name.removeprefix(f"{folder_name}/"), i.size, i.stamp] for i in source.items))
    folder = source if is_folder(source) else source.parent
    entries = []
    for file in files:
        try:
            stat = file.stat()
        except (OSError, ValueError):
            continue
        name = file.relative_to(folder).as_posix() if file.is_relative_to(folder) else file.name
        entries.append([name, stat.st_size, stat.st_mtime_ns])
    return digest(sorted(entries))


def hash_weights(model: str) -> str | None:
    """The sha256 of a model's weights, None if they cannot be read; of ``auto``, which a modality decides, the word."""
    if model == shipped.AUTO:
        return shipped.AUTO
    try:
        return shipped.weights_sha256(model)
    except WeightsError:
        return None  # the job itself will fail with the reason


@cache
def _hash_stand_in(model: str, modality: str, slabs: bool) -> str | None:
    """The sha256 of the weights that the name of a model stands for."""
    return hash_weights(shipped.resolve_name(model, modality, slabs=slabs))
