"""Labels that follow slices which are resampled in their plane."""

from dataclasses import replace

import numpy as np

from saint_cli.geometry import LineWeights, PlaneGrid
from saint_cli.volume.label_map import LabelMap

TIE = 1e-6
"""Places nearer to the middle between two pixels than this, in pixels, are equally near to both."""


def resample_label_planes(labels: LabelMap, plane: PlaneGrid) -> LabelMap:
    """The labels with the pixels of ``plane``: of each the label that has most weight there, background counted too.

    Shares of labels are resampled as ``method.resampling`` does voxels: cubic, or by area for coarser pixels. A slice
    whose pixels stay is copied. Outside of the field of view there are none. The input is not modified.
    """
    slices = np.moveaxis(labels.labels, plane.axis, 2)
    result = np.zeros((*(line.count for line in plane.lines), slices.shape[2]), slices.dtype)
    for k in range(slices.shape[2]):
        x, y = (line.sample(k) for line in plane.lines)
        result[..., k] = _choose_labels(slices[..., k], x, y)
    return replace(labels, labels=np.moveaxis(result, 2, plane.axis), affine_lps=plane.affine_lps)


def _choose_labels(slice_: np.ndarray, x: LineWeights, y: LineWeights) -> np.ndarray:
    """The label (X, Y) with the largest share of every output pixel, of a slice (x, y); of equal ones the nearest."""
    nearest = slice_[np.ix_(_find_nearest(x), _find_nearest(y))]
    best, chosen = np.zeros(nearest.shape), nearest.copy()
    for label in np.unique(slice_):
        share = _share(slice_ == label, x, y) + 1e-6 * (nearest == label)
        better = share > best
        best[better], chosen[better] = share[better], label
    return np.where(x.is_inside[:, None] & y.is_inside, chosen, 0)


def _find_nearest(line: LineWeights) -> np.ndarray:
    """The input pixel (n,) nearest to each output pixel; of two, the lower and the upper one in turn."""
    middle = (line.indices * line.weights).sum(1)
    upper = np.floor(middle + 0.5 + TIE).astype(int)
    lower = np.ceil(middle - 0.5 - TIE).astype(int)
    return np.asarray(np.where(np.arange(len(middle)) % 2, upper, lower))


def _share(mask: np.ndarray, x: LineWeights, y: LineWeights) -> np.ndarray:
    """Weighted sums (X, Y) of a mask (x, y)."""
    rows = sum(w[:, None] * mask[i] for i, w in zip(x.indices.T, x.weights.T, strict=True))
    return np.asarray(sum(w * np.asarray(rows)[:, i] for i, w in zip(y.indices.T, y.weights.T, strict=True)))
