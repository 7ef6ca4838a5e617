"""The pages of a batch: where each scan's page lies, and the list that leads to them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from saint_cli.batch.names import name_of
from saint_cli.batch.records import Record
from saint_cli.errors import OutputError
from saint_cli.io import urls
from saint_cli.io.entries import is_file
from saint_cli.report.index_page import IndexRow, write_index

FOLDER = "report"
INDEX = "index.html"


def page_of(target: str) -> str:
    """Path of a scan's page below the report folder."""
    return f"{name_of(target)}.html"


def thumbnail_of(target: str) -> str:
    """Path of a scan's small picture below the report folder."""
    return f"thumbnails/{name_of(target)}.jpg"


def is_there(home: Path) -> bool:
    """Whether there is a list of all scans."""
    return is_file(home / FOLDER / INDEX)


def write(home: Path, records: Sequence[Record]) -> Path:
    """List all scans of a folder of results, with links to the pages that are there; returns the list's path.

    Raises:
        OutputError: it cannot be written.
    """
    index = home / FOLDER / INDEX
    try:
        index.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{index}: cannot be written ({error.strerror or error})") from None
    write_index(index, [_row(home, record) for record in records])
    return index


def _row(home: Path, record: Record) -> IndexRow:
    folder = home / FOLDER
    page, thumbnail = (name if is_file(folder / name) else None for name in _files(record["target"]))
    done, skipped = record["status"] == "done", record["status"] == "skipped"
    if record.get("page") is None:  # what lies there shows an earlier result
        page = thumbnail = None
    error = {"class": "", "message": ""} if done else record["error"]
    reason = _without_paths(error["message"], record["source"], home)
    return IndexRow(
        name=record["name"],
        page=page if done else None,
        thumbnail=thumbnail if done else None,
        shape_before=_three(record.get("shape_before")),
        shape_after=_three(record.get("shape_after")),
        spacing_before_mm=_three(record.get("spacing_before_mm")),
        spacing_after_mm=_three(record.get("spacing_after_mm")),
        seconds=record.get("seconds"),
        warnings=tuple(_without_paths(w, record["source"], home) for w in record.get("warnings") or ()),
        failure=None if done or skipped else f"{error['class']}: {reason}",
        left_out=reason if skipped else None,
    )


def _without_paths(sentence: str, source: str, home: Path) -> str:
    """A sentence with file names in place of paths, which may tell more than a page that is passed on should."""
    named = [] if urls.is_url(source) else [Path(source).absolute(), Path(source)]
    places = {str(p) for p in (*named, home.absolute(), home) if len(p.parts) > 1}
    places |= {source} if urls.is_url(source) else set()
    for place in sorted(places, key=len, reverse=True):
        sentence = sentence.replace(place, Path(place).name)
    return sentence


def _files(target: str) -> tuple[str, str]:
    return page_of(target), thumbnail_of(target)


def _three(values: Sequence[Any] | None) -> tuple[Any, Any, Any] | None:
    """A list of a JSON record as the tuple it was."""
    if values is None:
        return None
    x, y, z = values
    return x, y, z
