"""Labels on a page: their outlines over the planes before and after, their colours, and the volume of each."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from saint_cli.report.anatomy import UprightVolume
from saint_cli.report.job_facts import LabelPair

if TYPE_CHECKING:
    from saint_cli.labels import LabelVolume

Rgb = tuple[int, int, int]

PALETTE: tuple[Rgb, ...] = (
    *((255, 176, 0), (86, 180, 233), (0, 200, 140), (240, 228, 66), (255, 111, 97), (220, 130, 190)),
    *((160, 225, 255), (185, 235, 130)),
)
"""Colours of labels whose file gives none, by their numbers: bright on grey, and most differ to colour-blind eyes."""

LEAST_BRIGHTNESS = 90.0
"""Colours of a file that are darker (mean of red, green and blue) are mixed with white, to be seen on dark tissue."""

OUTLINE_PIXELS = 1200
"""Outlines are drawn on pictures of at least about so many pixels along the longer side, so that they are thin."""

THICKNESS = 2
"""Pixels of an outline, inside its label."""

MOST = 0.9
"""Of the most labelled voxels of any plane; a plane with so many shows the labels as well."""

MAX_ROWS = 60
"""Labels that the table of a page lists; of more, those that are largest."""


@dataclass(frozen=True)
class LabelRow:
    """A label in the table of a page: its number, what it is called, ml before and after, and the change."""

    number: int
    name: str
    before: str
    after: str
    change: str


@dataclass(frozen=True)
class LabelTable:
    """The labels on a page: rows, a note, and the colour of each label by number."""

    rows: tuple[LabelRow, ...]
    note: str
    colours: Mapping[int, Rgb]

    @property
    def rules(self) -> str:
        """CSS of the colours, a class ``l1`` of label 1."""
        colours = ((row.number, " ".join(map(str, self.colours[row.number]))) for row in self.rows)
        return "".join(f".l{number} {{ background: rgb({rgb}); }}\n" for number, rgb in colours)


def make_table(labels: LabelPair, about: str = "") -> LabelTable:
    """The table of a page; about: what its note begins with."""
    largest = sorted(labels.volumes, key=lambda one: -max(one.before_ml, one.after_ml))[:MAX_ROWS]
    rows = tuple(map(_make_row, sorted(largest, key=lambda one: one.number)))
    left_out = len(labels.volumes) - len(rows)
    note = f"{about} The {left_out:,} smallest labels are not listed." if left_out else about
    return LabelTable(rows, note.strip(), choose_colours(labels))


def choose_colours(labels: LabelPair) -> dict[int, Rgb]:
    """The colour of each label: that of its file, brightened where it is dark, or one of the palette."""
    given = {one.number: one.color_rgb for one in (*labels.before.segments, *labels.after.segments)}
    colours = {}
    for number in (one.number for one in labels.volumes):
        colour = given.get(number) or PALETTE[(number - 1) % len(PALETTE)]
        colours[number] = _brighten(colour) if sum(colour) < 3 * LEAST_BRIGHTNESS else colour
    return colours


def find_centre(labels: UprightVolume) -> tuple[int, int, int] | None:
    """For each axis the middle of the planes with about the most labelled voxels; None where there are none."""
    is_labelled = labels.voxels != 0
    counts = [is_labelled.sum(tuple(j for j in range(3) if j != axis)) for axis in range(3)]
    if not counts[0].any():
        return None
    x, y, z = (int(np.median(np.flatnonzero(count >= MOST * count.max()))) for count in counts)
    return x, y, z


def draw_outlines(labels: np.ndarray, colours: Mapping[int, Rgb]) -> np.ndarray:
    """Outlines of labels [rows, columns] inside their borders, uint8 [rows * n, columns * n, 4], clear elsewhere."""
    times = max(1, round(OUTLINE_PIXELS / max(labels.shape)))
    large = labels.repeat(times, 0).repeat(times, 1)
    is_inside = np.ones(large.shape, bool)
    for axis in (0, 1):
        for step in range(1, THICKNESS + 1):
            first, last = (np.moveaxis(one, axis, 0) for one in (is_inside, large))
            differs = last[step:] != last[:-step]
            first[step:] &= ~differs
            first[:-step] &= ~differs
    drawn = np.zeros((*large.shape, 4), np.uint8)
    for number in np.unique(labels[labels != 0]):
        drawn[(large == number) & ~is_inside] = (*colours.get(int(number), PALETTE[0]), 255)
    return drawn


def to_png_uri(picture: np.ndarray) -> str:
    """uint8 [rows, columns, 4] as a PNG data URI of at most 256 colours."""
    from PIL import Image

    file = BytesIO()
    Image.fromarray(picture).quantize(256, Image.Quantize.FASTOCTREE).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _make_row(one: "LabelVolume") -> LabelRow:
    name = f"{one.number} {one.name}" if one.name else str(one.number)
    before, after = (f"{ml:.3g}" if ml < 100 else f"{ml:,.0f}" for ml in (one.before_ml, one.after_ml))
    return LabelRow(one.number, name, before, after, one.shown_change.replace("-", "\N{MINUS SIGN}"))


def _brighten(colour: Rgb) -> Rgb:
    red, green, blue = (value // 2 + 127 for value in colour)
    return red, green, blue
