"""Where each result goes: names that stay the same from run to run and hold nothing that a DICOM header says."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from saint_cli.batch.search import Scan
from saint_cli.batch.templates import fill_in
from saint_cli.errors import UsageError
from saint_cli.io import path_identity
from saint_cli.options.job import key_options

TEMPLATE = "{path}"
"""Of names: the mirrored path. There are its folder, its last part, and eight digits of the stack's own besides."""

ENDINGS = {"nii.gz": ".nii.gz", "nrrd": ".nrrd", "mha": ".mha", "dicom": ""}
"""Formats of results and how their names end; DICOM goes to folders."""

MAX_PART_BYTES = 255
"""Bytes of one name on every usual file system."""

MAX_PATH_BYTES = 3000
"""Bytes of a whole name, so that with the folder of results it stays below the 4,096 of Linux."""

ADDED_BYTES = len("-12345678.nii.gz")
"""Bytes that may follow a scan's name: digits, and the longest ending of a result, page or picture."""

RESERVED = ("manifest.jsonl", "report", "index")
"""What else lies in the folder of results, or among the pages in ``report``."""


def name_outputs(scans: Sequence[Scan], template: str, output_format: str) -> list[str]:
    """The path of each scan's result below the folder of results, all different.

    Where two would be the same (or a DICOM folder would hold another result), each gets digits of its own, which stay
    when other scans come or go; those of a scan that is upsampled with several options depend on these too.

    Raises:
        UsageError: a template with unknown fields, or one that leads out of the folder; one scan twice with the same
            options.
    """
    plain = [_shorten(_fill_in(scan, template), scan) for scan in scans]
    if output_format == "dicom":  # a dot would look like the ending of a file
        plain = [str(PurePosixPath(name).with_name(PurePosixPath(name).name.replace(".", "_"))) for name in plain]
    used_names = Counter(map(path_identity.fold_name, plain))
    if output_format == "dicom":
        used_names.update({str(above) for name in set(used_names) for above in PurePosixPath(name).parents})
    folded = map(path_identity.fold_name, plain)
    is_free = [used_names[name] == 1 and name not in RESERVED for name in folded]
    digits = ["" if free else f"-{_digits(text)}" for text, free in zip(_distinguish(scans), is_free, strict=True)]
    names = [f"{name}{more}{ENDINGS[output_format]}" for name, more in zip(plain, digits, strict=True)]
    for name, count in Counter(names).items():
        if count > 1:
            scan = scans[names.index(name)]
            raise UsageError(f"{scan.source_name}: named {count} times with the same options; leave the others out")
    return names


def _shorten(name: str, scan: Scan) -> str:
    """The path short enough for a file system, and every part, endings and digits included; cut ones get digits.

    Of a path that is too long as a whole the innermost folders are left out.
    """
    *folders, last = PurePosixPath(name).parts
    digits, limit = _digits(scan.tag), MAX_PART_BYTES - ADDED_BYTES
    parts = [*(_cut(folder, MAX_PART_BYTES, digits) for folder in folders), _cut(last, limit, digits)]
    if sum(len(os.fsencode(part)) + 1 for part in parts) > MAX_PATH_BYTES:
        parts[-1] = _cut(f"{parts[-1]}-{digits}", limit, digits)
    while sum(len(os.fsencode(part)) + 1 for part in parts) > MAX_PATH_BYTES:
        del parts[-2]
    return str(PurePosixPath(*parts))


def _cut(part: str, limit: int, digits: str) -> str:
    if len(os.fsencode(part)) <= limit:
        return part
    while len(os.fsencode(f"{part}-{digits}")) > limit:
        part = part[:-1]
    return f"{part}-{digits}"


def _fill_in(scan: Scan, template: str) -> str:
    path = PurePosixPath(scan.path)
    values = {"path": scan.path, "folder": str(path.parent), "name": path.name, "series": _digits(scan.tag)}
    name = PurePosixPath(fill_in("--name-template", template, values))
    if name.is_absolute() or ".." in name.parts or not name.name:
        raise UsageError(f"--name-template {template} makes {name}, which is not a path inside the output folder")
    return str(name)


def _distinguish(scans: Sequence[Scan]) -> list[str]:
    """A text for each scan that no other has: its tag and place; where several share these, also its path or URL.

    Of a scan with several options, also these. One scan named twice with the same options has one text.
    """
    keys = [(scan.tag, _locate(scan)) for scan in scans]
    places = dict[tuple[str, str], str]()  # one of a scan that was found in several ways
    for key, scan in zip(keys, scans, strict=True):
        places[key] = min(places.get(key, scan.place), scan.place)
    sharing = Counter((tag, place) for (tag, _), place in places.items())
    times, texts = Counter(keys), []
    for key, scan in zip(keys, scans, strict=True):
        tag, location = key
        is_shared, options = sharing[tag, places[key]] > 1, _describe_options(scan) if times[key] > 1 else ""
        texts.append("/".join(filter(None, (tag, places[key], location if is_shared else "", options))))
    return texts


def _describe_options(scan: Scan) -> str:
    return json.dumps([key_options(scan.settings), scan.settings.label_settings.labels], sort_keys=True, default=str)


def _locate(scan: Scan) -> str:
    """The path or URL of a scan in any working directory."""
    return str(scan.source.absolute()) if isinstance(scan.source, Path) else scan.source_name


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def strip_output_ending(target: str) -> str:
    """A target's name without the ending of its format."""
    ending = next((e for e in ENDINGS.values() if e and target.endswith(e)), "")
    return target.removesuffix(ending)
