"""How well the intensity of a voxel suits each of two labels, by the acquired slices above and below it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

SMOOTHING_PX = 0.7
"""Sigma for all images: synthesised slices have less noise than acquired ones, and both must compare."""

NOISE_WIDTHS = 4.0
"""Width of the kernel over intensities, in SDs of the noise of smoothed slices."""

RADIUS_PX, STRIDE_PX = 6, 2
"""Acquired voxels that are compared lie on a grid within this radius."""

DISTANCE_SIGMA_PX = 3.5
"""How quickly acquired voxels count less with their distance."""

FAR_SLICE_WEIGHT = 0.3
"""What a slice counts that a whole gap away."""

PRIOR_WEIGHT, UNLIKELY = 1.0, 0.05
"""Voxels, and their likelihood, that each label is given beside those that are found."""

LEAST_WEIGHT = 0.5
"""Of the voxels of a label around a place, below which nothing is known of its intensities."""

MOST_LOG_RATIO = 4.0


@dataclass(frozen=True)
class AcquiredPair:
    """Two acquired slices: labels [X, Y] int32 and smoothed images [X, Y] float32; width: of intensities."""

    labels: tuple[np.ndarray, np.ndarray]
    images: tuple[np.ndarray, np.ndarray]
    width: float

    @cached_property
    def _padded(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Labels and images with ``RADIUS_PX`` repeated pixels around them, flat."""
        labels, images = (
            [np.pad(plane, RADIUS_PX, "edge").ravel() for plane in both] for both in (self.labels, self.images)
        )
        return labels, images

    def log_ratio(
        self, image: np.ndarray, time: float, places: np.ndarray, old: np.ndarray, new: np.ndarray
    ) -> np.ndarray:
        """(n,) log of p(intensity | new) / p(intensity | old), within +-MOST_LOG_RATIO; 0 where nothing is known.

        image: [X, Y] smoothed slice at ``time``, 0 to 1 between the two. places: (2, n) pixels. old, new: (n,) labels.
        Densities are Parzen estimates from voxels of the label nearby in both acquired slices.
        """
        found, weight = np.zeros((2, len(old)), np.float32), np.zeros((2, len(old)), np.float32)
        intensity = image[tuple(places)]
        row = image.shape[1] + 2 * RADIUS_PX
        centre = (places[0] + RADIUS_PX) * row + places[1] + RADIUS_PX
        for dx, dy in OFFSETS:
            there = centre + (dx * row + dy)
            near = np.exp(-(dx * dx + dy * dy) / (2 * DISTANCE_SIGMA_PX**2))
            for share, labels, acquired in zip((1 - time, time), *self._padded, strict=True):
                w = np.float32(near * (FAR_SLICE_WEIGHT + (1 - FAR_SLICE_WEIGHT) * share))
                alike = np.exp(-0.5 * ((intensity - acquired[there]) / np.float32(self.width)) ** 2)
                label = labels[there]
                for side, wanted in enumerate((old, new)):
                    same = (label == wanted) * w
                    weight[side] += same
                    found[side] += same * alike
        density = (found + PRIOR_WEIGHT * UNLIKELY) / (weight + PRIOR_WEIGHT)
        ratio = np.log(density[1] / density[0]).clip(-MOST_LOG_RATIO, MOST_LOG_RATIO)
        return np.where(weight.min(0) >= LEAST_WEIGHT, ratio, np.float32(0))


OFFSETS = [
    (dx, dy)
    for dx in range(-RADIUS_PX, RADIUS_PX + 1, STRIDE_PX)
    for dy in range(-RADIUS_PX, RADIUS_PX + 1, STRIDE_PX)
    if dx * dx + dy * dy <= RADIUS_PX**2 + STRIDE_PX
]


def smooth(image: np.ndarray) -> np.ndarray:
    """A slice [X, Y] as float32, smoothed; pixels that are not finite count as the nearest that are, else as 0."""
    return np.asarray(ndimage.gaussian_filter(_fill_nonfinite(np.asarray(image, np.float32)), SMOOTHING_PX))


def _fill_nonfinite(image: np.ndarray) -> np.ndarray:
    holes = ~np.isfinite(image)
    if not holes.any():
        return image
    if holes.all():
        return np.zeros_like(image)
    nearest = ndimage.distance_transform_edt(holes, return_distances=False, return_indices=True)
    return np.asarray(image[tuple(nearest)])


def estimate_noise(smoothed: np.ndarray) -> float:
    """Robust SD of what a smoothed slice [X, Y] holds at the finest scale; 0 for less than 3 x 3 pixels.

    Where most pixels are constant, as around an organ that was cut out, the others tell it.
    """
    middle = smoothed[1:-1, 1:-1]
    inner, is_flat = 4 * middle, np.ones(middle.shape, bool)
    for neighbour in (smoothed[:-2, 1:-1], smoothed[2:, 1:-1], smoothed[1:-1, :-2], smoothed[1:-1, 2:]):
        inner = inner - neighbour
        is_flat &= neighbour == middle
    inner[is_flat] = 0  # and not what rounding leaves
    return median_above_zero(np.abs(inner)) / float(0.6745 * np.sqrt(20)) if inner.size else 0.0


def median_above_zero(values: np.ndarray) -> float:
    """The median of values from 0 up; where it is 0, that of the values above 0, if there are any."""
    median = np.median(values)
    return float(median if median > 0 or not values.any() else np.median(values[values > 0]))
