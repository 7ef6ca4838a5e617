"""Noise for synthesised slices, which networks leave smoother than acquired ones; made of their neighbours' noise."""

import math
from typing import NamedTuple

import numpy as np

from saint_cli.method import intensity, noise
from saint_cli.method.padding import fill_nonfinite
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.volume import hounsfield

DETAIL_SIGMA = 2.0
"""Pixels: where there are no edges, a slice less its blur by a Gaussian of this width counts as its noise."""

MAX_DEVIATIONS = 2.5
"""Standard deviations of the noise to which detail is clipped: beyond lie small structures."""

MAX_GAIN = 3.0
"""Times the neighbours' noise at most, should their noise and the slice's own cancel out."""


class _NoiseLayer(NamedTuple):
    """A slice's noise, [X, Y] HU, zero at edges; and its standard deviation, HU, nan where none can be measured."""

    values: np.ndarray
    deviation: float


def match_noise(dense: np.ndarray, sparse: np.ndarray, plan: SlicePlan) -> None:
    """Add to each synthesised slice the noise that it lacks against its neighbours; acquired slices do not change.

    dense: [X, Y, output slices] HU, changed in place; sparse: [X, Y, acquired] HU. Voxels that are not finite stay so.
    The noise of both neighbours is weighted like their values and added where there are no edges, so strongly that the
    estimate of ``noise.estimate_deviation`` lies between those of the neighbours.
    """
    sparse = fill_nonfinite(sparse)
    layers: dict[int, _NoiseLayer] = {}
    for s, j in enumerate(plan.synthesised):
        below, above, t = int(plan.window[s]), int(plan.above[s]), float(plan.offset[s])
        layers = {k: layers.get(k) or _noise_layer(_clip_to_hu(sparse[..., k])) for k in (below, above)}
        if t > 0:
            kind = dense.dtype if dense.dtype.kind == "f" else np.float64 if dense.dtype.itemsize > 2 else np.float32
            plane = dense[..., j].astype(kind, copy=False)
            known = np.isfinite(plane)
            change = _noise_to_add(_clip_to_hu(np.where(known, plane, noise.AIR_HU)), layers[below], layers[above], t)
            noisy = np.where(known & (np.abs(change) > 0), plane + change, plane)
            dense[..., j] = intensity.round_to_dtype(noisy, dense.dtype) if dense.dtype.kind in "iu" else noisy


def _clip_to_hu(plane: np.ndarray) -> np.ndarray:
    """A slice as float32, without values so large that gradients of them overflow; HU are never so large."""
    return np.asarray(np.clip(plane, -hounsfield.MAX_HU, hounsfield.MAX_HU), dtype=np.float32)


def _noise_layer(plane: np.ndarray) -> _NoiseLayer:
    from scipy import ndimage

    mask = noise.find_smooth_body(plane)
    if not mask.any():
        return _NoiseLayer(np.zeros_like(plane), math.nan)
    deviation = noise.estimate_deviation(plane, mask)
    detail = plane - ndimage.gaussian_filter(plane, DETAIL_SIGMA)
    limit = np.float32(MAX_DEVIATIONS * deviation)
    return _NoiseLayer(np.clip(detail, -limit, limit) * _edge_weights(plane, mask), deviation)


def _noise_to_add(plane: np.ndarray, below: _NoiseLayer, above: _NoiseLayer, t: float) -> np.ndarray:
    """[X, Y] HU to add to a slice; zeros where it is noisy enough already, or where no noise can be measured."""
    mask = noise.find_smooth_body(plane)
    wanted = (1 - t) * below.deviation + t * above.deviation
    present = noise.estimate_deviation(plane, mask)
    if not (math.isfinite(wanted) and math.isfinite(present) and present < wanted):
        return np.zeros_like(plane)
    layer = _edge_weights(plane, mask) * ((1 - t) * below.values + t * above.values)
    added = noise.estimate_deviation(layer, mask)
    if added == 0:
        return np.zeros_like(plane)
    total = noise.estimate_deviation(plane + layer, mask)
    covariance = (total**2 - present**2 - added**2) / 2  # the slice holds some of that noise already
    root = math.sqrt(max(0.0, covariance**2 + added**2 * (wanted**2 - present**2)))
    return np.float32(min((root - covariance) / added**2, MAX_GAIN)) * layer


def _edge_weights(plane: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Weights in [0, 1] that are small where detail is anatomy and no noise: at edges, in lung; 0 in air."""
    from scipy import ndimage

    gradient = ndimage.gaussian_gradient_magnitude(plane, noise.SMOOTH_SIGMA)
    weights: np.ndarray = 1 / (1 + np.square(gradient / max(1e-3, float(np.median(gradient[mask])) * 2)))
    body = ndimage.gaussian_filter((plane > noise.BODY_THRESHOLD_HU).astype(np.float32), 1.0)
    inside = np.clip(2 * body - 1, 0, 1)
    result: np.ndarray = (weights * inside).astype(np.float32)
    return result
