"""Truth, restorations and where they differ, side by side, in the manner of the paper's Figs. 6 and 7."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saint_cli.errors.plain_text import make_printable
from saint_cli.evaluation.metrics import Protocol, psnr
from saint_cli.io.whole_files import write_bytes
from saint_cli.report import anatomy
from saint_cli.report.anatomy import UprightVolume
from saint_cli.report.plotting import literal_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WINDOW_HU = (-1000.0, 500.0)
"""Grey levels of CT from lung to bone, so that every organ shows."""

COLUMN_INCHES, BAR_INCHES, TITLE, GAP = 3.0, 0.9, 0.3, 0.06
TALLEST = 1.3
"""Height of a picture over its width at most; taller ones get narrower instead."""

STEP_HU, STEP_PERCENT = 50.0, 1.0
"""The colour bar ends at a multiple of this; of a volume that is not CT in percent of its range."""


@dataclass(frozen=True)
class Comparison:
    """What to draw: arrays [X, Y, slices] of scanner values of one shape, through-plane axis last.

    restored: by label, in the order of the columns; synthesised: indices of the slices that were not acquired;
    affine_lps: of these arrays, voxel index to LPS millimetres; protocol: of what is not CT in its range.
    """

    title: str
    truth: np.ndarray
    restored: dict[str, np.ndarray]
    synthesised: list[int]
    affine_lps: np.ndarray
    protocol: Protocol

    @property
    def window(self) -> tuple[float, float]:
        """Grey levels of the pictures, scanner values: ``WINDOW_HU``, or of a volume that is not CT its range."""
        low = self.protocol.low_hu
        return WINDOW_HU if self.protocol.is_ct else (low, low + self.protocol.data_range)

    @property
    def error_unit(self) -> tuple[str, float]:
        """What the colour bar is in, and how much that is in scanner values."""
        unit = self.protocol.unit
        return (unit, 1.0) if self.protocol.is_ct else (f"{unit} of the data range", self.protocol.data_range / 100)


@dataclass(frozen=True)
class Plane:
    """One plane through the arrays: the axis that is fixed and where."""

    name: str
    fixed: int
    index: int


def write_difference_maps(comparison: Comparison, path: Path, *, overwrite: bool = True) -> None:
    """Write a PNG: per plane a row of pictures and a row of |difference| below, with one colour bar.

    overwrite: whether it may replace what is at ``path`` by then.

    Raises:
        OutputError: the file cannot be written.
    """
    with literal_text():
        png = _draw(comparison)
    write_bytes(png, path, overwrite=overwrite)


def _draw(comparison: Comparison) -> bytes:
    """The picture as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    planes = _choose_planes(comparison)
    heights = [COLUMN_INCHES * min(TALLEST, _ratio(comparison, plane)) for plane in planes for _ in range(2)]
    columns = 1 + len(comparison.restored)
    width, height = columns * (COLUMN_INCHES + GAP) + BAR_INCHES, sum(heights) + len(planes) * (TITLE + GAP) + TITLE
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    top, largest = height - TITLE, _largest_error(comparison, planes)
    for row, inches in enumerate(heights):
        top -= inches + (GAP if row % 2 else TITLE)
        rows = [(i * (COLUMN_INCHES + GAP), top, COLUMN_INCHES, inches) for i in range(columns)]
        axes = [figure.add_axes((x / width, y / height, w / width, h / height)) for x, y, w, h in rows]
        if row % 2:
            shown = _draw_differences(axes, comparison, planes[row // 2], largest)
        else:
            _draw_pictures(axes, comparison, planes[row // 2])
    bar = figure.add_axes((1 - 0.9 * BAR_INCHES / width, 0.15, 0.15 / width, 0.7))
    figure.colorbar(shown, cax=bar, label=f"|difference from truth|, {comparison.error_unit[0]}", extend="max")
    figure.text(0.5, 1 - 0.5 * TITLE / height, make_printable(comparison.title), ha="center", va="center", fontsize=10)
    file = BytesIO()
    figure.savefig(file, dpi=130, format="png")
    return file.getvalue()


def _choose_planes(comparison: Comparison) -> list[Plane]:
    """A plane through the middle that crosses all slices, and the synthesised slice farthest from acquired ones."""
    acquired = sorted(set(range(comparison.truth.shape[2])) - set(comparison.synthesised))
    middle = comparison.truth.shape[2] / 2
    far = max(comparison.synthesised, key=lambda j: (min(abs(j - a) for a in acquired), -abs(j - middle)))
    across = 1 if _side(comparison, 0) >= _side(comparison, 1) else 0
    return [
        Plane("across the slices", across, comparison.truth.shape[across] // 2),
        Plane(f"synthesised slice {far}", 2, far),
    ]


def _side(comparison: Comparison, axis: int) -> float:
    """Length of the arrays along an axis, mm."""
    return float(np.linalg.norm(comparison.affine_lps[:3, axis]) * comparison.truth.shape[axis])


def _picture(volume: np.ndarray, affine_lps: np.ndarray, plane: Plane) -> np.ndarray:
    """[rows, columns] of a plane as radiologists hang it."""
    upright = UprightVolume.from_voxels(volume, affine_lps)
    axis = upright.find_axis(plane.fixed)
    picture = anatomy.take_plane(upright.voxels, axis, upright.find_source_index(axis, plane.index))
    return anatomy.orient_for_display(picture.astype(np.float32), axis)


def _pixel_mm(comparison: Comparison, plane: Plane) -> tuple[float, float]:
    """Height and width of a picture's pixels."""
    upright = UprightVolume.from_voxels(comparison.truth, comparison.affine_lps)
    across, along = anatomy.in_plane_axes(upright.find_axis(plane.fixed))
    return upright.spacing_mm[along], upright.spacing_mm[across]


def _ratio(comparison: Comparison, plane: Plane) -> float:
    """Height over width of a picture."""
    rows, columns = _picture(comparison.truth, comparison.affine_lps, plane).shape
    high, wide = _pixel_mm(comparison, plane)
    return float(high * rows / (wide * columns))


def _error(comparison: Comparison, result: np.ndarray, plane: Plane) -> np.ndarray:
    """|difference| of a plane in ``error_unit``."""
    truth, picture = (_picture(v, comparison.affine_lps, plane) for v in (comparison.truth, result))
    error: np.ndarray = np.abs(picture - truth) / np.float32(comparison.error_unit[1])
    return error


def _largest_error(comparison: Comparison, planes: list[Plane]) -> float:
    """End of the colour bar: the 99.5th percentile of the largest method's differences, rounded up."""
    errors = [_error(comparison, result, plane) for result in comparison.restored.values() for plane in planes]
    step = STEP_HU if comparison.protocol.is_ct else STEP_PERCENT
    return float(max(1.0, np.ceil(max(np.quantile(e, 0.995) for e in errors) / step)) * step)


def _imshow_options(comparison: Comparison, plane: Plane) -> dict[str, Any]:
    """Square millimetres on the page, and voxels left as they are."""
    high, wide = _pixel_mm(comparison, plane)
    return {"aspect": high / wide, "interpolation": "nearest"}


def _draw_pictures(axes: "list[Axes]", comparison: Comparison, plane: Plane) -> None:
    low, high = comparison.window
    for i, (label, volume) in enumerate({"truth": comparison.truth, **comparison.restored}.items()):
        picture = _picture(volume, comparison.affine_lps, plane)
        axes[i].imshow(picture, cmap="gray", vmin=low, vmax=high, **_imshow_options(comparison, plane))
        score = f"  {_psnr(comparison, volume, plane):.2f} dB" if i else ""
        axes[i].set_title(f"{make_printable(label)}{score}", fontsize=9, pad=4)
        axes[i].set_axis_off()


def _draw_differences(axes: "list[Axes]", comparison: Comparison, plane: Plane, largest: float) -> Any:
    """Fill the row below the pictures, a note first; returns what the colour bar describes."""
    low, high = comparison.window
    unit = f" {comparison.protocol.unit}" if comparison.protocol.is_ct else ""
    note = f"{plane.name}\nwindow {low:.5g}...{high:.5g}{unit}\nPSNR of synthesised slices"
    axes[0].text(0.5, 0.5, note, ha="center", va="center", fontsize=8)
    axes[0].set_axis_off()
    for one, volume in zip(axes[1:], comparison.restored.values(), strict=True):
        error = _error(comparison, volume, plane)
        shown = one.imshow(error, cmap="inferno", vmin=0, vmax=largest, **_imshow_options(comparison, plane))
        one.set_axis_off()
    return shown


def _psnr(comparison: Comparison, result: np.ndarray, plane: Plane) -> float:
    """PSNR in dB of the synthesised part of a plane, in the protocol's range."""
    protocol = comparison.protocol
    truth, restored = (v.take(plane.index, plane.fixed).astype(np.float32) for v in (comparison.truth, result))
    if plane.fixed != 2:
        truth, restored = truth[:, comparison.synthesised], restored[:, comparison.synthesised]
    return psnr(protocol.clip(truth), protocol.clip(restored), protocol.data_range)
