"""The list of many scans: one row each, sortable, with a link to the scan's page and the reasons of failures."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import saint_cli
from saint_cli.report import render

LARGEST_BYTES = 5_000_000
"""Size above which thumbnails that lie inside the list itself are left out, so that it still opens at once."""

ARROW = "\N{NO-BREAK SPACE}→ "
"""Between before and after, which stand below each other where there is little room."""

SOURCES = {False: "'self' file:", True: "data:"}
"""Of thumbnails beside the list, and inside it. On a web server the list's own place is enough; to files, none is."""

TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class IndexRow:
    """One scan of a batch; what is not known, as for a failure, is None.

    name: file or folder name; page: relative link to its page; thumbnail: relative link or data URI;
    shapes in voxels x, y, z, spacings in mm; failure: why there is no result, in one line, with the error's
    class; left_out: why none was wanted.
    """

    name: str
    page: str | None = None
    thumbnail: str | None = None
    shape_before: tuple[int, int, int] | None = None
    shape_after: tuple[int, int, int] | None = None
    spacing_before_mm: tuple[float, float, float] | None = None
    spacing_after_mm: tuple[float, float, float] | None = None
    seconds: float | None = None
    warnings: tuple[str, ...] = field(default=())
    failure: str | None = None
    left_out: str | None = None


@dataclass(frozen=True)
class Cells:
    """A row as text, with the numbers by which voxels (of the result) and spacing (the largest before) are sorted."""

    name: str
    link: str | None
    thumbnail: str | None
    voxels: str
    voxel_count: int | None
    spacing: str
    largest_mm: str
    seconds: str
    warnings: tuple[str, ...]
    failure: str | None


def write_index(path: Path, rows: Sequence[IndexRow]) -> None:
    """Write the list as one HTML file; it appears under its name only when complete.

    Raises:
        OutputError: it cannot be written.
    """
    text = html(rows)
    if len(text) > LARGEST_BYTES and any(_is_inside(row) for row in rows):
        text = html(rows, inside=False)
    render.write_text(text, path)


def html(rows: Sequence[IndexRow], *, inside: bool = True) -> str:
    """The list as text; ``inside`` keeps thumbnails that are data URIs."""
    held = {_is_inside(row) for row in rows if row.thumbnail is not None and (inside or not _is_inside(row))}
    return render.page(
        "index",
        sources=" ".join(SOURCES[one] for one in sorted(held)) or "'none'",
        version=saint_cli.__version__,
        rows=[_cells(row, inside=inside) for row in rows],
        totals=totals(rows),
        pictures=bool(held),
    )


def totals(rows: Sequence[IndexRow]) -> tuple[tuple[str, str], ...]:
    """Counts and time of the whole list, as text."""
    failed = sum(row.failure is not None for row in rows)
    left_out = sum(row.left_out is not None for row in rows)
    warned = sum(bool(row.warnings) and row.failure is None for row in rows)
    seconds = sum(row.seconds or 0.0 for row in rows)
    return (
        ("Scans", f"{len(rows):,}"),
        ("Done", f"{len(rows) - failed - left_out:,}"),
        ("With warnings", f"{warned:,}"),
        ("Failed", f"{failed:,}"),
        ("Skipped", f"{left_out:,}"),
        ("Computing time", f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60:02} min {int(seconds) % 60:02} s"),
    )


def _cells(row: IndexRow, *, inside: bool) -> Cells:
    shapes = [TIMES.join(map(str, s)) for s in (row.shape_before, row.shape_after) if s is not None]
    spacings = [
        TIMES.join(f"{v:.3g}" for v in s) for s in (row.spacing_before_mm, row.spacing_after_mm) if s is not None
    ]
    return Cells(
        name=row.name,
        link=None if row.page is None else link(row.page),
        thumbnail=None if _is_inside(row) and not inside else row.thumbnail and link(row.thumbnail),
        voxels=ARROW.join(shapes),
        voxel_count=None if row.shape_after is None else row.shape_after[0] * row.shape_after[1] * row.shape_after[2],
        spacing=ARROW.join(spacings),
        largest_mm="" if row.spacing_before_mm is None else f"{max(row.spacing_before_mm):.6g}",
        seconds="" if row.seconds is None else f"{row.seconds:.1f}",
        warnings=row.warnings,
        failure=row.failure if row.left_out is None else f"skipped: {row.left_out}",
    )


def link(target: str) -> str:
    """A relative path as a link that no browser takes for a scheme or a query; data URIs of pictures stay."""
    if target.startswith("data:image/"):
        return target
    quoted = quote(os.fsencode(target), safe="/")
    return quoted if quoted.startswith(("./", "../")) else f"./{quoted}"


def _is_inside(row: IndexRow) -> bool:
    return row.thumbnail is not None and row.thumbnail.startswith("data:")
