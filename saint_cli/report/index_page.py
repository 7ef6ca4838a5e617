"""The list of many scans: one row each, sortable, with a link to the scan's page and the reasons of failures."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote

from saint_cli.io.whole_files import write_text
from saint_cli.report import render
from saint_cli.runtime.version import __version__

LARGEST_BYTES = 5_000_000
"""Larger lists leave out inline thumbnails, so that they still open at once."""

IMAGE_SOURCES = {False: "'self' file:", True: "data:"}
"""Of thumbnails in files beside the list, and inline. ``'self'`` is enough on a web server, not for local files."""

TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class IndexRow:
    """One scan of a batch; what is unknown, as after a failure, is None.

    name: file or folder name; page: relative link to its page; thumbnail: relative link or data URI;
    shapes in voxels x, y, z, spacings in mm; failure: the message in one line; skip_reason: why the scan was skipped.
    """

    name: str
    page: str | None = None
    thumbnail: str | None = None
    shape_before: tuple[int, int, int] | None = None
    shape_after: tuple[int, int, int] | None = None
    spacing_before_mm: tuple[float, float, float] | None = None
    spacing_after_mm: tuple[float, float, float] | None = None
    seconds: float | None = None
    warnings: tuple[str, ...] = ()
    failure: str | None = None
    skip_reason: str | None = None


class RowStatus(StrEnum):
    """What came of a scan, as it is shown."""

    FAILED = "Failed"
    SKIPPED = "Skipped"
    DONE = "Done"


@dataclass(frozen=True)
class RowTexts:
    """A row as text, with the numbers by which voxels (of the result) and spacing (the largest before) are sorted.

    voxels, spacing: before and after, or one of both; reason: why there is no result, "" where there is one.
    """

    name: str
    link: str | None
    thumbnail: str | None
    voxels: tuple[str, ...]
    voxel_count: int | None
    spacing: tuple[str, ...]
    largest_mm: str
    seconds: str
    warnings: tuple[str, ...]
    status: RowStatus
    reason: str


def write_index(path: Path, rows: Sequence[IndexRow]) -> None:
    """Write the list as one HTML file; it appears under its name only when complete.

    Raises:
        OutputError: it cannot be written.
    """
    text = render_index(rows)
    if len(text) > LARGEST_BYTES and any(map(_has_inline_thumbnail, rows)):
        text = render_index([replace(row, thumbnail=None) if _has_inline_thumbnail(row) else row for row in rows])
    write_text(text, path)


def render_index(rows: Sequence[IndexRow]) -> str:
    """The list as HTML."""
    places = {_has_inline_thumbnail(row) for row in rows if row.thumbnail is not None}
    return render.render_template(
        "index",
        sources=" ".join(IMAGE_SOURCES[is_inline] for is_inline in sorted(places)) or "'none'",
        version=__version__,
        rows=[_row_texts(row) for row in rows],
        totals=count_totals(rows),
        pictures=bool(places),
    )


def count_totals(rows: Sequence[IndexRow]) -> tuple[tuple[str, str], ...]:
    """Counts and time of the whole list, as text."""
    failed = sum(row.failure is not None for row in rows)
    skipped = sum(row.skip_reason is not None for row in rows)
    warned = sum(bool(row.warnings) and row.failure is None for row in rows)
    seconds = sum(row.seconds or 0.0 for row in rows)
    return (
        ("Scans", f"{len(rows):,}"),
        ("Done", f"{len(rows) - failed - skipped:,}"),
        ("With warnings", f"{warned:,}"),
        ("Failed", f"{failed:,}"),
        ("Skipped", f"{skipped:,}"),
        ("Computing time", f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60:02} min {int(seconds) % 60:02} s"),
    )


def _row_texts(row: IndexRow) -> RowTexts:
    status = RowStatus.DONE if row.skip_reason is None else RowStatus.SKIPPED
    return RowTexts(
        name=row.name,
        link=None if row.page is None else make_link(row.page),
        thumbnail=row.thumbnail and make_link(row.thumbnail),
        voxels=tuple(TIMES.join(map(str, s)) for s in (row.shape_before, row.shape_after) if s is not None),
        voxel_count=None if row.shape_after is None else math.prod(row.shape_after),
        spacing=tuple(
            TIMES.join(f"{v:.3g}" for v in s) for s in (row.spacing_before_mm, row.spacing_after_mm) if s is not None
        ),
        largest_mm="" if row.spacing_before_mm is None else f"{max(row.spacing_before_mm):.6g}",
        seconds="" if row.seconds is None else f"{row.seconds:.1f}",
        warnings=row.warnings,
        status=status if row.failure is None else RowStatus.FAILED,
        reason=row.failure or row.skip_reason or "",
    )


def make_link(target: str) -> str:
    """A relative path as a link that no browser mistakes for a scheme or query; data URIs of pictures stay."""
    if target.startswith("data:image/"):
        return target
    quoted = quote(os.fsencode(target), safe="/")
    return quoted if quoted.startswith(("./", "../")) else f"./{quoted}"


def _has_inline_thumbnail(row: IndexRow) -> bool:
    return row.thumbnail is not None and row.thumbnail.startswith("data:")
