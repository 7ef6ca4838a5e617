"""Slices resampled in their own plane: moved to stand straight above each other, and with other pixels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from saint_cli.errors import GeometryError
from saint_cli.geometry.affine import MIN_TILT_DRIFT_PIXELS, cosine, find_normal, in_plane
from saint_cli.geometry.sampling_weights import ROUNDING, LineWeights, box_weights, cubic_weights
from saint_cli.geometry.slice_stack import ORTHOGONAL_COSINE


@dataclass(frozen=True)
class PlaneLine:
    """One in-plane axis of a ``PlaneGrid``, in pixels of the input.

    size: pixels of the input; count: of the output; start: centre of the first output pixel, in the first slice;
    pixel: length of an output pixel; drift: how far the content of each slice lies beside that of the one before.
    """

    size: int
    count: int
    start: float
    pixel: float
    drift: float

    def sample(self, index: int) -> LineWeights:
        """How the pixels of slice ``index`` become output pixels: cubic, or their mean where these are larger."""
        places = self.start + np.arange(self.count) * self.pixel - index * self.drift
        return box_weights(places, self.pixel, self.size) if self.averages else cubic_weights(places, self.size)

    @property
    def averages(self) -> bool:
        """Whether output pixels are larger."""
        return self.pixel > 1 + ROUNDING

    def is_exact(self, index: int) -> bool:
        """Whether every pixel of slice ``index`` comes out unchanged."""
        shift = self.start - index * self.drift
        return self.pixel == 1 and abs(shift - round(shift)) < ROUNDING


@dataclass(frozen=True)
class PlaneGrid:
    """Pixels of the output, for a volume whose slices are final along ``axis``.

    lines: of both in-plane axes, in order; affine_lps: 4x4 float64 of the output; untilts: whether slices are moved;
    pixel_mm: the wanted pixel spacing, None where it stays.
    """

    axis: int
    lines: tuple[PlaneLine, PlaneLine]
    affine_lps: np.ndarray
    untilts: bool
    pixel_mm: float | None

    def output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Voxels of the output along x, y, z, of a volume of ``shape``."""
        counts = [line.count for line in self.lines]
        counts.insert(self.axis, shape[self.axis])
        return counts[0], counts[1], counts[2]

    def refine(self, affine_lps: np.ndarray) -> np.ndarray:
        """The affine of the output, of a volume with this one."""
        return _refine(affine_lps, self.axis, self.lines, untilts=self.untilts)

    def is_exact(self, index: int) -> bool:
        """Whether slice ``index`` holds all its pixels unchanged."""
        return all(line.is_exact(index) for line in self.lines)

    @property
    def words(self) -> tuple[str, ...]:
        """What is done, as options are named: ``untilt``, ``in-plane=1``."""
        pixel = () if self.pixel_mm is None else (f"in-plane={self.pixel_mm:g}",)
        return (*(("untilt",) if self.untilts else ()), *pixel)


def make_plane_grid(
    affine_lps: np.ndarray, shape: tuple[int, int, int], axis: int, *, untilt: bool, pixel_mm: float | None
) -> PlaneGrid | None:
    """The pixels that slices of a volume get; None where they stay as they are.

    affine_lps, shape: of the volume whose slices along ``axis`` are final. untilt: the output has slices straight above
    each other, and a field of view that holds all of them; slice 0 stays. pixel_mm: of the output, both in-plane axes.
    The field of view keeps its outer edge at the first pixel, so that the centre of that moves by half the difference.

    Raises:
        GeometryError: ``untilt``, and the in-plane axes are not perpendicular to each other, as across the rows of a
            tilted stack: no slices straight above each other make that grid rectangular.
    """
    columns = in_plane(affine_lps[:3, :3].T, axis)
    normal = find_normal(affine_lps, axis)
    step, sizes = affine_lps[:3, axis], in_plane(shape, axis)
    drifts = _find_drifts(step - (step @ normal) * normal, columns, shape[axis]) if untilt else (0.0, 0.0)
    if untilt and abs(cosine(*columns)) > ORTHOGONAL_COSINE:
        first, second = in_plane("xyz", axis)
        raise GeometryError(
            f"the in-plane axes {first} and {second} are not perpendicular, so no rectangular grid holds the slices; "
            "leave `untilt` out, or take another `axis`"
        )
    pixels = [1.0 if pixel_mm is None else pixel_mm / float(np.linalg.norm(column)) for column in columns]
    lines = tuple(_make_line(*one, shape[axis]) for one in zip(sizes, pixels, drifts, strict=True))
    if not any(drifts) and all(abs(line.pixel - 1) <= ROUNDING for line in lines):
        return None
    output = _refine(affine_lps, axis, lines, untilts=any(drifts))
    return PlaneGrid(axis, (lines[0], lines[1]), output, any(drifts), pixel_mm)


def _refine(affine_lps: np.ndarray, axis: int, lines: Sequence[PlaneLine], *, untilts: bool) -> np.ndarray:
    columns = in_plane(affine_lps[:3, :3].T, axis)
    output = affine_lps.copy()
    if untilts:
        normal = find_normal(affine_lps, axis)
        output[:3, axis] = (affine_lps[:3, axis] @ normal) * normal
    for at, column, line in zip(in_plane(range(3), axis), columns, lines, strict=True):
        output[:3, at] = column * line.pixel
        output[:3, 3] += column * line.start
    return output


def _find_drifts(beside: np.ndarray, columns: tuple[np.ndarray, np.ndarray], count: int) -> tuple[float, float]:
    """In-plane movement from slice to slice in pixels along both axes; zeros where it is rounding."""
    x, y = np.linalg.lstsq(np.stack(columns, 1), beside, rcond=None)[0]
    if math.hypot(x, y) * (count - 1) <= MIN_TILT_DRIFT_PIXELS:
        return 0.0, 0.0
    x, y = (0.0 if abs(drift) * (count - 1) < 1e-3 else float(drift) for drift in (x, y))
    return x, y


def _make_line(size: int, pixel: float, drift: float, slices: int) -> PlaneLine:
    end = drift * (slices - 1)
    low, high = math.floor(min(0.0, end) + ROUNDING), math.ceil(max(0.0, end) - ROUNDING)
    pixel = 1.0 if abs(pixel - 1) <= ROUNDING else pixel
    count = max(1, round((size + high - low) / pixel))
    return PlaneLine(size, count, low + (pixel - 1) / 2, pixel, drift)
