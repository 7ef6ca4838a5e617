"""A synthesised slice beside what it lies between, where noise shows: interpolated linearly, and acquired."""

from dataclasses import dataclass

import numpy as np

from saint_cli.evaluation import noise_measures
from saint_cli.geometry import SliceGrid
from saint_cli.method import intensity
from saint_cli.report import anatomy, plane_cuts
from saint_cli.report.anatomy import UprightVolume
from saint_cli.volume import Volume

MARGIN_SHARE = 0.03
"""Of the body's sides, shown around it."""

LEAST_DISTANCE = 0.9
"""Of the largest distance from acquired slices: where spacings are no whole fractions, every slice has another."""

LEAST_BODY_SHARE = 0.02
"""Of a row of pixels, that must be body for the row to be shown."""


@dataclass(frozen=True)
class SliceComparison:
    """One slice three times, float32 scanner values [rows, columns] of the same square pixels.

    linear: interpolated between the acquired slices on either side; synthesised: of the result; acquired: the nearest
    acquired slice. name: of the plane; index: of the slice in the result; between: the two acquired slices, counted
    from 0; nearest: the acquired one that is shown; axis: x, y or z; edges: letters for left, right, top, bottom;
    noise_hu: standard deviation of the noise in even soft tissue of the three, nan where it cannot be measured.
    """

    linear: np.ndarray
    synthesised: np.ndarray
    acquired: np.ndarray
    name: str
    index: int
    between: tuple[int, int]
    nearest: int
    axis: str
    edges: tuple[str, str, str, str]
    noise_hu: tuple[float, float, float]


def compare_slice(
    source: Volume, result: Volume, grid: SliceGrid, near: int, body_above: float
) -> SliceComparison | None:
    """The synthesised slice of the result nearest to output slice ``near`` of those farthest from acquired ones.

    Cut to the voxels above ``body_above``. None where the result has no synthesised slice between acquired ones.
    """
    index = choose_slice(grid, near)
    if index is None:
        return None
    window, offset = grid.locate()
    below, t, axis = int(window[index]), float(offset[index]), grid.axis
    nearest = below + (t > 0.5)
    slices = [source.voxels.take([k], axis).astype(np.float32) for k in (below, below + 1)]
    acquired = slices[nearest - below]
    box = _find_body_box(acquired, axis, body_above)
    shown = (slices[0] * (1 - t) + slices[1] * t, result.voxels.take([index], axis), acquired)
    linear, synthesised, acquired = (plane_cuts.draw_slice(v[box], source.affine_lps, axis) for v in shown)
    noise = [np.moveaxis(v, axis, 2) for v in shown] if intensity.is_ct(source) else []
    fixed = UprightVolume.from_voxels(source.voxels, source.affine_lps).find_axis(axis)
    return SliceComparison(
        linear=linear,
        synthesised=synthesised,
        acquired=acquired,
        name=anatomy.PLANES[fixed],
        index=index,
        between=(below, below + 1),
        nearest=nearest,
        axis="xyz"[axis],
        edges=anatomy.edge_letters(fixed),
        noise_hu=_measure_noise(noise),
    )


def choose_slice(grid: SliceGrid, near: int) -> int | None:
    """The output slice to show: about as far from acquired slices as any, and of those the nearest to ``near``."""
    _, offset = grid.locate()
    distance = np.where(grid.extrapolated, 0, np.minimum(offset, 1 - offset))
    if not distance.any():
        return None
    farthest = np.flatnonzero(distance >= LEAST_DISTANCE * distance.max())
    return int(farthest[np.argmin(np.abs(farthest - near))])


def _measure_noise(slices_hu: list[np.ndarray]) -> tuple[float, float, float]:
    """Of the three slices [x, y, 1], at the same places of all; nan for no slices."""
    if not slices_hu:
        return np.nan, np.nan, np.nan
    patches = noise_measures.find_noise_patches(slices_hu[1])
    linear, synthesised, acquired = (float(noise_measures.measure_deviations(v, patches)[0]) for v in slices_hu)
    return linear, synthesised, acquired


def _find_body_box(plane: np.ndarray, axis: int, above: float) -> tuple[slice, ...]:
    """The box of the voxels above a value, with a margin; the whole plane where there are none."""
    is_body = plane > above
    box = []
    for i, size in enumerate(plane.shape):
        shares = is_body.mean(tuple(j for j in range(3) if j != i))
        hits = np.flatnonzero(shares > LEAST_BODY_SHARE) if i != axis else np.array([0])
        if not len(hits):
            return (slice(None),) * 3
        margin = round(MARGIN_SHARE * len(hits)) if i != axis else 0
        box.append(slice(max(0, int(hits[0]) - margin), min(size, int(hits[-1]) + 1 + margin)))
    return tuple(box)
