"""Interpolation without a network, aligned to slice centres: the yardsticks of every evaluation."""

import numpy as np

from saint_cli.geometry import SliceGrid

KEYS_A = -0.5
"""Cubic convolution of third-order accuracy (Keys 1981); measured better on CT than -0.75 and than a cubic spline."""


def linear(slices: np.ndarray, grid: SliceGrid) -> np.ndarray:
    """[..., acquired] values to [..., grid.count] float32; constant beyond the last acquired slice."""
    window, offset = grid.locate()
    above = np.minimum(window + 1, grid.acquired - 1)
    t = offset.astype(np.float32)
    return slices[..., window].astype(np.float32) * (1 - t) + slices[..., above].astype(np.float32) * t


def cubic(slices: np.ndarray, grid: SliceGrid) -> np.ndarray:
    """[..., acquired] values to [..., grid.count] float32 by Keys' cubic convolution; end slices are repeated."""
    window, offset = grid.locate()
    result = np.zeros((*slices.shape[:-1], grid.count), np.float32)
    for tap in range(-1, 3):
        at = np.clip(window + tap, 0, grid.acquired - 1)
        result += slices[..., at].astype(np.float32) * _keys(tap - offset).astype(np.float32)
    return result


def _keys(distance: np.ndarray) -> np.ndarray:
    d, a = np.abs(distance), KEYS_A
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * (d**3 - 5 * d**2 + 8 * d - 4)
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))
