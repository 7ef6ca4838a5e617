"""The pages of a batch: where each scan's page lies, and the list that leads to them."""

from collections.abc import Sequence
from pathlib import Path

from saint_cli.batch.job_records import JobRecord, JobStatus
from saint_cli.batch.label_files import LABEL_MAP
from saint_cli.batch.output_names import strip_output_ending
from saint_cli.errors import OutputError
from saint_cli.io.error_conversion import convert_os_errors
from saint_cli.io.folder_walk import is_file
from saint_cli.io.remote import urls
from saint_cli.report.index_page import IndexRow, write_index

FOLDER = "report"
INDEX = "index.html"

OTHER_SOURCES = "other_sources"
"""What a record calls the sources of other scans that its failure may name."""


def page_path(target: str) -> str:
    """Path of a scan's page below the report folder."""
    return f"{strip_output_ending(target)}.html"


def thumbnail_path(target: str) -> str:
    """Path of a scan's small picture below the report folder."""
    return f"thumbnails/{strip_output_ending(target)}.jpg"


def write_page_index(state_dir: Path, records: Sequence[JobRecord], skipped: Sequence[tuple[str, str]] = ()) -> Path:
    """List all scans of a folder of results, with links to the pages that are there; returns the list's path.

    skipped: name and reason of scans that have no record.

    Raises:
        OutputError: it cannot be written.
    """
    index = state_dir / FOLDER / INDEX
    with convert_os_errors(index, "written", OutputError):
        index.parent.mkdir(parents=True, exist_ok=True)
    left_out = [IndexRow(name, skip_reason=_hide_paths(reason, (name,), state_dir)) for name, reason in skipped]
    write_index(index, [*(_make_row(state_dir, record) for record in records), *left_out])
    return index


def _make_row(state_dir: Path, record: JobRecord) -> IndexRow:
    is_done = record.status is JobStatus.DONE
    has_pages = is_done and record.page is not None  # else what lies there shows an earlier result
    page, thumbnail = page_path(record.target), thumbnail_path(record.target)
    labels, others = record.details.get(LABEL_MAP), record.details.get(OTHER_SOURCES)
    more = (labels, *(others if isinstance(others, list) else ()))
    sources = [record.source, *(one for one in more if isinstance(one, str))]
    reason = "" if record.error is None else _hide_paths(record.error.message, sources, state_dir)
    return IndexRow(
        name=record.name,
        page=page if has_pages and is_file(state_dir / FOLDER / page) else None,
        thumbnail=thumbnail if has_pages and is_file(state_dir / FOLDER / thumbnail) else None,
        shape_before=record.shape_before,
        shape_after=record.shape_after,
        spacing_before_mm=record.spacing_before_mm,
        spacing_after_mm=record.spacing_after_mm,
        seconds=record.seconds,
        warnings=tuple(_hide_paths(warning, sources, state_dir) for warning in record.warnings or ()),
        failure=reason if record.status is JobStatus.FAILED else None,
        skip_reason=reason if record.status is JobStatus.SKIPPED else None,
    )


def _hide_paths(sentence: str, sources: Sequence[str], state_dir: Path) -> str:
    """A sentence with file names in place of paths, which may say more than a page that is passed on should."""
    local = [Path(source) for source in sources if not urls.is_url(source)]
    paths = [state_dir.absolute(), state_dir, *local, *(path.absolute() for path in local)]
    names = {str(path) for path in paths if len(path.parts) > 1} | {source for source in sources if urls.is_url(source)}
    for name in sorted(names, key=len, reverse=True):
        sentence = sentence.replace(name, Path(name).name)
    return sentence
