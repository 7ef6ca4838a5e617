"""Thin labels on a thick grid: the label that fills most of each slab."""

from dataclasses import replace

import numpy as np

from saint_cli.errors import GeometryError
from saint_cli.labels.grids import POSITION_TOLERANCE, GridRelation, Shape, orient_labels, place_labels, plan_labels
from saint_cli.volume.label_map import LabelMap

SHARE_TOLERANCE = 1e-3
"""Of a fine slice: labels whose shares of a slab differ by less fill equally much of it, for headers round affines."""


def coarsen_labels(fine: LabelMap, affine_lps: np.ndarray, shape: Shape) -> LabelMap:
    """The labels on a thick grid: at each voxel the one that fills most of its slab, one thick spacing wide.

    affine_lps, shape: of the thick grid. Fine slices that lie in a slab in part count in part. Of labels that fill
    equally much, that of the slab's centre wins. Where a slab goes beyond the fine slices, the last of them stands for
    the rest. With a whole factor labels that ``refine_labels`` made come back exactly in the first and the last slice,
    and elsewhere unless a voxel's label is that of neither neighbouring slice: the part may then fill less than half of
    the slab. With another factor slices do not divide slabs evenly, so that voxels at boundaries may differ.

    Raises:
        GeometryError: see ``plan_labels``; or the grid is finer than that of the labels.
    """
    plan = plan_labels(fine, affine_lps, shape)
    if plan.relation is GridRelation.SAME:
        return place_labels(fine, affine_lps, shape)
    if plan.relation is not GridRelation.COARSEN or plan.axis is None:
        raise GeometryError("the wanted grid is finer than that of the labels; `refine_labels` makes finer ones")
    axis, oriented = plan.axis, orient_labels(fine, affine_lps)
    to_fine = np.linalg.inv(oriented.affine_lps) @ affine_lps
    ratio, start = float(to_fine[axis, axis]), float(to_fine[axis, 3])
    placed_affine = affine_lps.copy()  # in-plane as the thick grid, along the axis as the labels
    placed_affine[:3, axis] = oriented.affine_lps[:3, axis]
    placed_affine[:3, 3] -= placed_affine[:3, axis] * start
    x, y, z = (oriented.shape[i] if i == axis else n for i, n in enumerate(shape))
    placed = place_labels(oriented, placed_affine, (x, y, z))
    slices = np.moveaxis(placed.labels, axis, 0)
    coarse = np.zeros(shape, fine.labels.dtype)
    for k, target in enumerate(np.moveaxis(coarse, axis, 0)):
        target[...] = _find_majority(slices, start + k * ratio, ratio)
    return replace(oriented, labels=coarse, affine_lps=affine_lps)


def _find_majority(slices: np.ndarray, centre: float, width: float) -> np.ndarray:
    """The label (X, Y) with most weight within ``width`` fine slices around ``centre``; slices: [fine, X, Y]."""
    places = np.arange(len(slices))
    low, high = np.maximum(places - 0.5, centre - width / 2), np.minimum(places + 0.5, centre + width / 2)
    weights = np.maximum(high - low, 0.0)
    if -POSITION_TOLERANCE <= centre <= len(slices) - 1 + POSITION_TOLERANCE:  # an end slice stands for its outer half
        weights[0] += max(0.0, width / 2 - centre - 0.5)
        weights[-1] += max(0.0, centre + width / 2 - (len(slices) - 0.5))
    used = np.flatnonzero(weights > 1e-9)
    if not len(used):
        return np.zeros(slices.shape[1:], slices.dtype)
    middle = int(np.clip(round(centre), used[0], used[-1]))
    result = slices[middle].copy()
    differ = (slices[used] != result).any(0)
    columns, counts = slices[used][:, differ], weights[used]
    best, won = np.zeros(columns.shape[1]), result[differ]
    for label in [won, *columns]:
        share = counts @ (columns == label)
        better = share > best + SHARE_TOLERANCE
        best[better], won[better] = share[better], label[better]
    result[differ] = won
    return np.asarray(result)
