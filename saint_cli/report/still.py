"""Pictures that need no browser: before and after side by side, and a small one for lists of many scans."""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from saint_cli.plain_text import printable
from saint_cli.report import render
from saint_cli.report.anatomy import edges
from saint_cli.report.cuts import Cut
from saint_cli.report.windows import Window

if TYPE_CHECKING:
    from PIL.Image import Image

COLUMN_PIXELS, TALLEST_PIXELS, GAP, LINE = 520, 560, 12, 26
"""Width of a column and greatest height of a picture in it; space between pictures; height of a line of words."""

PAPER, INK = (250, 250, 250), (28, 33, 38)
"""Dark words on light ground, for slides and mails."""

THUMBNAIL_PIXELS = 160

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
"""What pictures may be written as, by their ending."""


def write_preview(
    titles: tuple[str, str],
    cuts: tuple[Cut, ...],
    window: Window,
    bone: tuple[np.ndarray, np.ndarray] | None,
    path: Path,
) -> None:
    """Write a picture: a row for each plane, before on the left, after on the right; the bone surface below.

    titles: the words above the left and the right column.

    Raises:
        OutputError: it cannot be written.
    """
    rows: list[tuple[str, np.ndarray, np.ndarray]] = []
    for cut in cuts:
        before, after = (_lettered(_sized(window.grey(picture)), cut.edges) for picture in (cut.before, cut.after))
        rows.append((f"{cut.name} {cut.place}, {window.name.lower()} {window.range}", before, after))
    if bone is not None:
        before, after = (_lettered(_sized(picture), edges(1)) for picture in bone)
        rows.append(("bone surface from the front", before, after))
    strips = [_strip(list(titles))]
    for words, before, after in rows:
        strips += [_strip([f"before: {words}", "after"]), _row(before, after)]
    width = 2 * COLUMN_PIXELS + 3 * GAP
    canvas = np.full((sum(s.shape[0] for s in strips) + GAP, width, 3), PAPER, np.uint8)
    top = 0
    for strip in strips:
        canvas[top : top + strip.shape[0]] = strip
        top += strip.shape[0]
    _save(canvas, path)


def write_thumbnail(cut: Cut, window: Window, path: Path) -> None:
    """Write one plane after interpolation, at most ``THUMBNAIL_PIXELS`` along its longer side.

    Raises:
        OutputError: it cannot be written.
    """
    _save(np.asarray(_fitted(window.grey(cut.after), THUMBNAIL_PIXELS, THUMBNAIL_PIXELS)), path)


def _strip(words: list[str]) -> np.ndarray:
    """A line of words, each above its column."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (2 * COLUMN_PIXELS + 3 * GAP, LINE), PAPER)
    font = ImageFont.load_default(15)
    for column, text in enumerate(words):
        words_of_font = printable(text).replace("\N{MINUS SIGN}", "-").encode("latin-1", "replace").decode("latin-1")
        ImageDraw.Draw(image).text((GAP + column * (COLUMN_PIXELS + GAP), 5), words_of_font, INK, font)
    return np.asarray(image)


def _sized(picture: np.ndarray) -> np.ndarray:
    return np.asarray(_fitted(picture, COLUMN_PIXELS, TALLEST_PIXELS))


def _lettered(picture: np.ndarray, letters: tuple[str, str, str, str]) -> np.ndarray:
    """A uint8 picture with letters for the patient's sides at its left, right, upper and lower edge."""
    from PIL import Image, ImageDraw, ImageFont

    image, font = Image.fromarray(picture), ImageFont.load_default(16)
    width, height = image.size
    places = ((6, height / 2), (width - 7, height / 2), (width / 2, 4), (width / 2, height - 5))
    for letter, place, anchor in zip(letters, places, ("lm", "rm", "mt", "mb"), strict=True):
        ImageDraw.Draw(image).text(place, letter, 255, font, anchor, stroke_width=2, stroke_fill=0)
    return np.asarray(image)


def _row(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    row = np.full((before.shape[0], 2 * COLUMN_PIXELS + 3 * GAP, 3), PAPER, np.uint8)
    for column, picture in enumerate((before, after)):
        left = GAP + column * (COLUMN_PIXELS + GAP)
        row[:, left : left + picture.shape[1]] = picture[..., None]
    return row


def _fitted(picture: np.ndarray, width: int, height: int) -> "Image":
    """A uint8 picture scaled to fit a box: averaged where it shrinks, pixels kept as they are where it grows."""
    from PIL import Image

    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return Image.fromarray(picture).resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST)


def _save(picture: np.ndarray, path: Path) -> None:
    from PIL import Image

    file = BytesIO()
    Image.fromarray(picture).save(file, FORMATS[path.suffix.lower()], quality=85)
    render.write_bytes(file.getvalue(), path)
