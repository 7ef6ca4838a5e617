"""Pictures that need no browser: before and after side by side, and a small one for lists of many scans."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from saint_cli.errors.plain_text import make_printable
from saint_cli.io.whole_files import write_bytes
from saint_cli.report.anatomy import edge_letters
from saint_cli.report.plane_cuts import Cut
from saint_cli.report.slice_comparison import SliceComparison
from saint_cli.report.windows import Window

COLUMN_PIXELS, TALLEST_PIXELS, GAP, LINE = 520, 560, 12, 26
"""Width of a column and greatest height of a picture in it; space between pictures; height of a line of text."""

WIDTH = 2 * COLUMN_PIXELS + 3 * GAP

PAPER, INK = (250, 250, 250), (28, 33, 38)
"""Dark text on light ground, for slides and mails."""

THUMBNAIL_PIXELS = 160

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
"""Picture formats by file name ending."""


@dataclass(frozen=True)
class PreviewRows:
    """What is shown, a row each: planes across the slices, a synthesised slice, the bone surface before and after."""

    cuts: tuple[Cut, ...]
    between: SliceComparison | None = None
    bone: tuple[np.ndarray, np.ndarray] | None = None


def write_preview(
    titles: tuple[str, str], rows: PreviewRows, window: Window, path: Path, *, overwrite: bool = True
) -> None:
    """Write a picture: a row for each plane, before on the left, after on the right.

    titles: of the left and the right column. overwrite: whether it may replace what is at ``path`` by then.

    Raises:
        OutputError: it cannot be written.
    """
    strips = [_draw_words(*titles)]
    for words, left, right in _list_rows(rows, window):
        strips += [_draw_words(*words), _draw_row(left, right)]
    _save(np.concatenate([*strips, np.full((GAP, WIDTH, 3), PAPER, np.uint8)]), path, overwrite=overwrite)


def _list_rows(rows: PreviewRows, window: Window) -> Iterator[tuple[tuple[str, str], np.ndarray, np.ndarray]]:
    """Words above both pictures, and the pictures, uint8 [rows, columns]."""
    shown = f"{window.name.lower()} {window.range}"
    for cut in rows.cuts:
        before, after = (_draw_letters(_fit_column(window.to_grey(p)), cut.edges) for p in (cut.before, cut.after))
        yield (f"before: {cut.name} {cut.place}, {shown}", "after"), before, after
    if (between := rows.between) is not None:
        pictures = (_fit_column(window.to_grey(p)) for p in (between.linear, between.synthesised))
        before, after = (_draw_letters(picture, between.edges) for picture in pictures)
        place = f"{between.name} {between.axis} = {between.index}, between acquired slices"
        yield (f"{place}: linear", "after: saint"), before, after
    if rows.bone is not None:
        before, after = (_draw_letters(_fit_column(picture), edge_letters(1)) for picture in rows.bone)
        yield ("before: bone surface from the front", "after"), before, after


def write_thumbnail(picture: np.ndarray, window: Window, path: Path, *, overwrite: bool = True) -> None:
    """Write scanner values [rows, columns], at most ``THUMBNAIL_PIXELS`` along the longer side.

    Raises:
        OutputError: it cannot be written.
    """
    _save(_fit(window.to_grey(picture), THUMBNAIL_PIXELS, THUMBNAIL_PIXELS), path, overwrite=overwrite)


def _draw_words(*words: str) -> np.ndarray:
    """A line of text above each column."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (WIDTH, LINE), PAPER)
    font = ImageFont.load_default(15)
    for column, text in enumerate(words):
        latin = make_printable(text).replace("\N{MINUS SIGN}", "-").encode("latin-1", "replace").decode("latin-1")
        ImageDraw.Draw(image).text((GAP + column * (COLUMN_PIXELS + GAP), 5), latin, INK, font)
    return np.asarray(image)


def _fit_column(picture: np.ndarray) -> np.ndarray:
    return _fit(picture, COLUMN_PIXELS, TALLEST_PIXELS)


def _draw_letters(picture: np.ndarray, letters: tuple[str, str, str, str]) -> np.ndarray:
    """A uint8 picture with letters for the patient's sides at its left, right, upper and lower edge."""
    from PIL import Image, ImageDraw, ImageFont

    image, font = Image.fromarray(picture), ImageFont.load_default(16)
    width, height = image.size
    places = ((6, height / 2), (width - 7, height / 2), (width / 2, 4), (width / 2, height - 5))
    for letter, place, anchor in zip(letters, places, ("lm", "rm", "mt", "mb"), strict=True):
        ImageDraw.Draw(image).text(place, letter, 255, font, anchor, stroke_width=2, stroke_fill=0)
    return np.asarray(image)


def _draw_row(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    row = np.full((before.shape[0], WIDTH, 3), PAPER, np.uint8)
    for column, picture in enumerate((before, after)):
        left = GAP + column * (COLUMN_PIXELS + GAP)
        row[:, left : left + picture.shape[1]] = picture[..., None]
    return row


def _fit(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """A uint8 picture scaled to fit a box: pixels averaged where it shrinks, repeated where it grows."""
    from PIL import Image

    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    method = Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(picture).resize(size, method))


def _save(picture: np.ndarray, path: Path, *, overwrite: bool) -> None:
    from PIL import Image

    file = BytesIO()
    Image.fromarray(picture).save(file, FORMATS[path.suffix.lower()], quality=85)
    write_bytes(file.getvalue(), path, overwrite=overwrite)
