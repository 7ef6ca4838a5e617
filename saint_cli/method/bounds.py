"""Limits of a synthesised voxel: the least and the greatest value around it in both acquired neighbours."""

import numpy as np

RADIUS = 4
"""In-plane voxels around the voxel that count. In central slices of three CT scans, factors 2, 4 and 6, and of four MR
scans, factor 4, the limits change PSNR of `fast` by -0.001 to +0.004 dB and that of `base`, across gaps of 4 to 18 mm,
by -0.001 to 0.000. Radius 2 costs `base` 0.05 dB, since networks follow structures that slant by more. Between two
slices 10 mm apart the limits remove an overshoot of 100 HU."""


class Bounds:
    """Lowest and highest value around each voxel of acquired slices, computed when needed, in order.

    sparse: [X, Y, acquired] finite scanner values. acquired: the same before holes were filled. What was filled does
    not count, unless nothing was measured around a voxel.
    """

    def __init__(self, sparse: np.ndarray, acquired: np.ndarray) -> None:
        self._sparse, self._acquired = sparse, acquired
        self._extremes: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def between(self, below: int, above: int) -> tuple[np.ndarray, np.ndarray]:
        """[X, Y] the least and the greatest value around each voxel in two acquired slices."""
        self._extremes = {k: self._extremes.get(k) or self._find_extremes(k) for k in (below, above)}
        (low, high), (other_low, other_high) = self._extremes[below], self._extremes[above]
        return np.minimum(low, other_low), np.maximum(high, other_high)

    def _find_extremes(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        plane = self._sparse[..., k]
        is_filled = plane != self._acquired[..., k]  # NaN is not even itself
        if not is_filled.any():
            return filter_extremes(plane, np.minimum), filter_extremes(plane, np.maximum)
        least, most = find_type_limits(plane.dtype)
        low = filter_extremes(np.where(is_filled, most, plane), np.minimum)
        high = filter_extremes(np.where(is_filled, least, plane), np.maximum)
        is_unknown = low > high
        return np.where(is_unknown, plane, low), np.where(is_unknown, plane, high)


def find_type_limits(dtype: np.dtype) -> tuple[np.generic, np.generic]:
    """The least and the greatest value of a type; of floats the infinities."""
    if dtype.kind in "iu":
        return dtype.type(np.iinfo(dtype).min), dtype.type(np.iinfo(dtype).max)
    return dtype.type(-np.inf), dtype.type(np.inf)


def filter_extremes(plane: np.ndarray, pick: np.ufunc) -> np.ndarray:
    """``np.minimum`` or ``np.maximum`` over the square of ``RADIUS`` around each pixel of a 2-D plane.

    Along each axis in turn, over windows of 2, 4, 8, ... pixels: many times as fast as SciPy's filters.
    """
    length = 2 * RADIUS + 1
    for axis in (0, 1):
        line = np.pad(np.moveaxis(plane, axis, 0), ((RADIUS, RADIUS), (0, 0)), mode="edge")
        width = 1
        while width < length:
            step = min(width, length - width)
            line = pick(line[:-step], line[step:])
            width += step
        plane = np.moveaxis(line, 0, axis)
    return plane
