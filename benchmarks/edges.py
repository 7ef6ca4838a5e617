"""How wide in-plane edges are: the 10-90 % rise of steps along x."""

import numpy as np
from scipy import ndimage

HALF = 8
"""Pixels of a profile on either side of an edge."""

LEAST_STEP_HU, LEAST_SLOPE_HU = 150.0, 25.0
"""Of an edge: over its profile, and per pixel at its steepest."""


def find_edges(plane: np.ndarray) -> np.ndarray:
    """(edges, 2) pixels where a plane [X, Y] HU rises or falls most steeply along x, across the edge."""
    smooth = ndimage.gaussian_filter(plane.astype(np.float32), 1.0)
    slope = np.abs(np.gradient(smooth, axis=0))
    steepest = slope == ndimage.maximum_filter(slope, size=(2 * HALF + 1, 1))
    steepest &= (slope > LEAST_SLOPE_HU) & (slope > 0.9 * ndimage.gaussian_gradient_magnitude(smooth, 0.5))
    places = np.argwhere(steepest)
    return places[(places[:, 0] >= HALF) & (places[:, 0] < plane.shape[0] - HALF)]


def measure_widths(plane: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(edges,) 10-90 % rise in pixels; nan where a profile is no single step."""
    return np.array([_measure_width(plane[x - HALF : x + HALF + 1, y].astype(float)) for x, y in places])


def _measure_width(profile: np.ndarray) -> float:
    low, high = profile[:4].mean(), profile[-4:].mean()
    if abs(high - low) < LEAST_STEP_HU:
        return np.nan
    rise = (profile - low) / (high - low)
    above = np.flatnonzero(rise > 0.9)
    below = np.flatnonzero(rise[: above[0]] < 0.1) if len(above) else above
    if not len(below):
        return np.nan
    i, j = int(below[-1]), int(above[0])
    start = i + (0.1 - rise[i]) / (rise[i + 1] - rise[i])
    end = j - 1 + (0.9 - rise[j - 1]) / (rise[j] - rise[j - 1])
    return float(end - start)
