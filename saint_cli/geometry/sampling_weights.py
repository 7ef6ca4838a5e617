"""Weights that resample a line of voxels: cubic between them, the mean over an interval, or that by a Gaussian."""

import math
from dataclasses import dataclass

import numpy as np

KEYS_A = -0.5
"""Parameter of Keys' cubic convolution, which reproduces second-degree polynomials (IEEE TASSP 1981); measured better
on CT than -0.75 and than a cubic spline."""

ROUNDING = 1e-6
"""Places nearer to a voxel than this, in voxels, are the voxel's own, so that what is not moved stays exact."""

GAUSSIAN_REACH = 1.0
"""Full widths at half maximum from its middle beyond which a Gaussian counts as zero; 2 % of it lie there."""

SIGMA_PER_FWHM = 1 / (2 * math.sqrt(2 * math.log(2)))


@dataclass(frozen=True)
class LineWeights:
    """Each output voxel as a weighted sum of input voxels.

    indices (n, taps) int and weights (n, taps) float64, whose rows sum to 1; nearest (n,) int the input voxel at each
    place; is_inside (n,) bool: whether the place lies on the line at all.
    """

    indices: np.ndarray
    weights: np.ndarray
    nearest: np.ndarray
    is_inside: np.ndarray


def cubic_weights(places: np.ndarray, count: int) -> LineWeights:
    """Keys' cubic convolution at places (n,) in voxels of a line of ``count``; end voxels are repeated beyond it."""
    near = np.rint(places)
    places = np.where(np.abs(places - near) < ROUNDING, near, places)
    base = np.floor(places).astype(int)
    taps = base[:, None] + np.arange(-1, 3)
    return _make_weights(taps, cubic_kernel(taps - places[:, None]), places, count)


def cubic_kernel(distance: np.ndarray, a: float = KEYS_A) -> np.ndarray:
    """What a voxel at a distance (any shape, in voxels) counts in a cubic convolution with parameter ``a``."""
    d = np.abs(distance)
    inner = (a + 2) * d**3 - (a + 3) * d**2 + 1
    outer = a * (d**3 - 5 * d**2 + 8 * d - 4)
    return np.where(d <= 1, inner, np.where(d < 2, outer, 0.0))


def box_weights(places: np.ndarray, width: float, count: int) -> LineWeights:
    """The mean over ``width`` voxels around places (n,) of a line of ``count`` voxels, each of length 1."""
    start, stop = (np.clip(places + side * width / 2, -0.5, count - 0.5) for side in (-1, 1))
    taps = np.floor(start + 0.5 + ROUNDING).astype(int)[:, None] + np.arange(math.ceil(width) + 1)
    overlap = np.minimum(stop[:, None], taps + 0.5) - np.maximum(start[:, None], taps - 0.5)
    return _make_weights(taps, _normalise(np.where(overlap > ROUNDING, overlap, 0.0)), places, count)


def gaussian_weights(places: np.ndarray, width: float, count: int) -> LineWeights:
    """As ``box_weights``, by a Gaussian whose full width at half maximum is ``width``: its integral over each voxel."""
    reach, scale = width * GAUSSIAN_REACH, width * SIGMA_PER_FWHM * math.sqrt(2)
    taps = np.rint(places).astype(int)[:, None] + np.arange(-math.ceil(reach), math.ceil(reach) + 1)
    away = taps - places[:, None]
    upper, lower = (np.vectorize(math.erf)((away + side) / scale) for side in (0.5, -0.5))
    is_near = (np.abs(away) <= reach + ROUNDING) & (taps >= 0) & (taps < count)
    return _make_weights(taps, _normalise(np.where(is_near, upper - lower, 0.0)), places, count)


def _normalise(weights: np.ndarray) -> np.ndarray:
    total = weights.sum(1, keepdims=True)
    return np.asarray(weights / np.where(total > 0, total, 1.0))


def _make_weights(taps: np.ndarray, weights: np.ndarray, places: np.ndarray, count: int) -> LineWeights:
    is_inside = (places >= -0.5 - ROUNDING) & (places <= count - 0.5 + ROUNDING)
    nearest = np.clip(np.floor(places + 0.5 + ROUNDING).astype(int), 0, count - 1)
    return LineWeights(np.clip(taps, 0, count - 1), weights, nearest, is_inside)
