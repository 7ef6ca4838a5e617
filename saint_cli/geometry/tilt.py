"""Gantry tilt and shear: slices whose step is not along their normal."""

import math

import numpy as np

from saint_cli.geometry.affine import slice_distance_mm, spacing_mm

MIN_TILT_DRIFT_PIXELS = 0.5
"""In-plane drift over the whole stack, in pixels, above which a stack counts as tilted; less is rounding."""


def tilt_degrees(affine_lps: np.ndarray, axis: int) -> float:
    """Angle in degrees between the step from slice to slice and the slices' normal."""
    step = spacing_mm(affine_lps)[axis]
    return math.degrees(math.acos(min(1.0, slice_distance_mm(affine_lps, axis) / step)))
