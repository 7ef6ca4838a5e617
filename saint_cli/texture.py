"""Noise for synthesised slices, which networks leave smoother than acquired ones; made of their neighbours' noise."""

import math

import numpy as np

from saint_cli import intensity, noise
from saint_cli.padding import finite
from saint_cli.plan import SlicePlan

FINE_SIGMA = 2.0
"""Pixels: what a Gaussian of this width takes away from a slice counts as its noise, where there are no edges."""

MOST_DEVIATIONS = 2.5
"""Standard deviations of the noise beyond which detail is taken for a small structure, and cut."""

MOST_GAIN = 3.0
"""Times the neighbours' noise at most, should their noise and the slice's own cancel out."""


def match_noise(dense: np.ndarray, sparse: np.ndarray, plan: SlicePlan) -> None:
    """Add to each synthesised slice as much of its neighbours' noise as it lacks; acquired slices stay as they are.

    dense: [X, Y, output slices] HU, changed in place; sparse: [X, Y, acquired] HU. Voxels that are not finite stay so.
    The noise of both neighbours is weighted like their values and put where there are no edges; its strength is chosen
    so that the noise estimate of ``noise.deviation`` comes to lie between those of the neighbours.
    """
    sparse = finite(sparse)
    fine: dict[int, tuple[np.ndarray, float]] = {}
    for s, j in enumerate(plan.synthesised):
        below, above, t = int(plan.window[s]), int(plan.above[s]), float(plan.offset[s])
        for near in (below, above):
            if near not in fine:
                fine[near] = _fine(_near_hu(sparse[..., near]))
        if t > 0:
            kind = dense.dtype if dense.dtype.kind == "f" else np.float64 if dense.dtype.itemsize > 2 else np.float32
            plane = dense[..., j].astype(kind, copy=False)
            known = np.isfinite(plane)
            change = _missing(_near_hu(np.where(known, plane, noise.AIR_HU)), (fine[below], fine[above]), t)
            noisy = np.where(known & (np.abs(change) > 0), plane + change, plane)
            dense[..., j] = intensity.rounded(noisy, dense.dtype) if dense.dtype.kind in "iu" else noisy
        for passed in [k for k in fine if k < below]:
            del fine[passed]


def _near_hu(plane: np.ndarray) -> np.ndarray:
    """A slice as float32, without values so large that gradients of them overflow; HU are never so large."""
    return np.asarray(np.clip(plane, -intensity.LARGEST_HU, intensity.LARGEST_HU), dtype=np.float32)


def _fine(plane: np.ndarray) -> tuple[np.ndarray, float]:
    """A slice's noise, zero at edges, and its standard deviation in the smooth body, HU; nan where there is none."""
    from scipy import ndimage

    mask = noise.smooth_body(plane)
    if not mask.any():
        return np.zeros_like(plane), math.nan
    deviation = noise.deviation(plane, mask)
    detail = plane - ndimage.gaussian_filter(plane, FINE_SIGMA)
    limit = np.float32(MOST_DEVIATIONS * deviation)
    return np.clip(detail, -limit, limit) * _edgeless(plane, mask), deviation


def _missing(
    plane: np.ndarray, neighbours: tuple[tuple[np.ndarray, float], tuple[np.ndarray, float]], t: float
) -> np.ndarray:
    """What to add to a slice; zeros where it is noisy enough already, or where no noise can be measured."""
    (low, low_hu), (high, high_hu) = neighbours
    mask = noise.smooth_body(plane)
    wanted = (1 - t) * low_hu + t * high_hu
    has = noise.deviation(plane, mask)
    if not (math.isfinite(wanted) and math.isfinite(has) and has < wanted):
        return np.zeros_like(plane)
    mixed = _edgeless(plane, mask) * ((1 - t) * low + t * high)
    own = noise.deviation(mixed, mask)
    together = noise.deviation(plane + mixed, mask)
    shared = (together**2 - has**2 - own**2) / 2  # covariance: the slice holds some of that noise already
    if own == 0:
        return np.zeros_like(plane)
    gain = (math.sqrt(max(0.0, shared**2 + own**2 * (wanted**2 - has**2))) - shared) / own**2
    return np.float32(min(gain, MOST_GAIN)) * mixed


def _edgeless(plane: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Weights in [0, 1] that are small where detail is anatomy and no noise: at edges, in lung; 0 in air."""
    from scipy import ndimage

    gradient = ndimage.gaussian_gradient_magnitude(plane, noise.SMOOTH_SIGMA)
    weights: np.ndarray = 1 / (1 + np.square(gradient / max(1e-3, float(np.median(gradient[mask])) * 2)))
    body = ndimage.gaussian_filter((plane > noise.BODY_ABOVE_HU).astype(np.float32), 1.0)
    inside = np.clip(2 * body - 1, 0, 1)
    result: np.ndarray = (weights * inside).astype(np.float32)
    return result
