"""Scans whose noise is known: a body, noise of a known spectrum, and synthesised slices that hold too little of it."""

import numpy as np
from scipy import ndimage

from saint_cli.geometry import grid_by_factor
from saint_cli.method.slice_plan import SlicePlan

FACTOR, ACQUIRED, SIZE = 4, 5, 128
PLAN = SlicePlan.from_grid(grid_by_factor(ACQUIRED, 2, FACTOR))

DISC = np.hypot(*(np.mgrid[:SIZE, :SIZE] - SIZE / 2))
"""Distance from the centre of the body, pixels."""

TISSUE = (DISC < 50) & (DISC > 5)


def body() -> np.ndarray:
    """A disc of soft tissue with a round bone in its middle, in air; HU."""
    plane = np.where(DISC < 54, 40.0, -1000.0)
    plane[DISC < 4] = 700.0
    return plane.astype(np.float32)


def coloured_noise(sigma: float, count: int, seed: int = 0) -> np.ndarray:
    """[X, Y, count] band-limited noise as CT has it, independent from slice to slice."""
    white = np.random.default_rng(seed).normal(0, 1, (SIZE, SIZE, count))
    shaped = ndimage.gaussian_filter(white, (0.8, 0.8, 0)) - 0.5 * ndimage.gaussian_filter(white, (3, 3, 0))
    return (sigma * shaped / shaped.std()).astype(np.float32)


def acquired_slices(sigma: float = 20.0, air_sigma: float = 0.0) -> np.ndarray:
    """[X, Y, ACQUIRED] float32 HU."""
    strength = np.where(DISC < 54, sigma, air_sigma)[..., None].astype(np.float32)
    return body()[..., None] + strength * coloured_noise(1.0, ACQUIRED)


def interpolated_slices(sparse: np.ndarray, share: float = 0.6) -> np.ndarray:
    """[X, Y, output slices] with a share of the noise of linear interpolation, as networks leave it."""
    dense = np.repeat(body()[..., None], PLAN.count, axis=2)
    residual = sparse - body()[..., None]
    mixed = (1 - PLAN.offset) * residual[..., PLAN.window] + PLAN.offset * residual[..., PLAN.above]
    dense[..., PLAN.synthesised] += share * mixed.astype(np.float32)
    dense[..., PLAN.copied] = sparse[..., PLAN.source]
    return dense


def deviations(dense: np.ndarray, where: np.ndarray = TISSUE) -> np.ndarray:
    """(slices,) standard deviation inside a mask, HU."""
    return np.std(dense[where], axis=0, dtype=float)
