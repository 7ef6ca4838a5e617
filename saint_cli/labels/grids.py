"""How the grid of a label map lies to another one: the same, coarser, or finer along one axis."""

import math
from dataclasses import dataclass, replace
from enum import Enum
from itertools import permutations, product

import numpy as np

from saint_cli import geometry
from saint_cli.errors import GeometryError
from saint_cli.volume.label_map import LabelMap

POSITION_TOLERANCE = 0.1
"""How far voxel centres of two grids may lie apart, in voxels of the labels, and count as one: headers round positions
and spacings."""

SPACING_TOLERANCE = 0.02
"""By what part two spacings may differ and count as one; over many voxels ``POSITION_TOLERANCE`` is stricter."""

Shape = tuple[int, int, int]


class GridRelation(Enum):
    """What brings a label map to a grid."""

    SAME = "same"
    REFINE = "refine"
    COARSEN = "coarsen"


@dataclass(frozen=True)
class LabelPlan:
    """What brings a label map to a grid.

    affine_lps, shape: of that grid. axis: of that grid, the one along which the two differ; None where they do not.
    grid: of the slices, for ``REFINE``; it counts from the label slice that lies at slice 0 of the target.
    """

    relation: GridRelation
    affine_lps: np.ndarray
    shape: Shape
    axis: int | None = None
    grid: geometry.SliceGrid | None = None


def place_labels(labels: LabelMap, affine_lps: np.ndarray, shape: Shape) -> LabelMap:
    """The labels on a grid whose voxel centres are those of their own: axes swapped or flipped, cut, padded with 0.

    affine_lps, shape: of the grid, 4x4 float64 in LPS mm and voxels [x, y, z].

    Raises:
        GeometryError: the voxel centres differ, or the grids do not overlap; the message names both grids.
    """
    plan = plan_labels(labels, affine_lps, shape)
    if plan.relation is not GridRelation.SAME:
        raise GeometryError(_describe_mismatch(labels, affine_lps, shape))
    return _move(orient_labels(labels, affine_lps), affine_lps, shape)


def plan_labels(labels: LabelMap, affine_lps: np.ndarray, shape: Shape) -> LabelPlan:
    """Whether labels are to be refined, coarsened or only placed to lie on a grid.

    affine_lps, shape: of the grid. Axes may be swapped or flipped, and either grid may cover less than the other.

    Raises:
        GeometryError: the grids differ in more than their spacing along one axis, or do not overlap; the message names
            both grids.
    """
    oriented = orient_labels(labels, affine_lps)
    compared = _compare(oriented, affine_lps, shape)
    if compared is None:
        raise GeometryError(_describe_mismatch(labels, affine_lps, shape))
    ratio, offset, axis = compared
    if axis is None:
        return LabelPlan(GridRelation.SAME, affine_lps, shape)
    if ratio > 1:
        return LabelPlan(GridRelation.COARSEN, affine_lps, shape, axis)
    if abs(offset - round(offset)) > POSITION_TOLERANCE:
        raise GeometryError(_describe_mismatch(labels, affine_lps, shape))
    times = round(1 / ratio)
    step = 1 / times if abs(times * ratio - 1) * shape[axis] * ratio < POSITION_TOLERANCE else ratio
    end, own_end = (shape[axis] - 1) * step, oriented.shape[axis] - 1 - round(offset)
    beyond = own_end < end < own_end + 1 - geometry.ACQUIRED_TOLERANCE  # slices that repeat the last one
    acquired = own_end + 1 if beyond else math.ceil(end - geometry.ACQUIRED_TOLERANCE) + 1
    grid = geometry.SliceGrid(axis, max(2, acquired), step, shape[axis])
    return LabelPlan(GridRelation.REFINE, affine_lps, shape, axis, grid)


def orient_labels(labels: LabelMap, affine_lps: np.ndarray) -> LabelMap:
    """The labels with axes swapped and flipped so that they run as those of an affine, as far as they can."""
    own = labels.affine_lps[:3, :3] / labels.spacing_mm
    wanted = affine_lps[:3, :3] / geometry.spacing_mm(affine_lps)
    cosines = own.T @ wanted  # [own axis, wanted axis]
    order = max(permutations(range(3)), key=lambda p: sum(abs(cosines[own, axis]) for axis, own in enumerate(p)))
    voxels, affine = labels.labels.transpose(order), labels.affine_lps[:, [*order, 3]].copy()
    for axis, own_axis in enumerate(order):
        if cosines[own_axis, axis] < 0:
            affine[:3, 3] += affine[:3, axis] * (voxels.shape[axis] - 1)
            affine[:3, axis] *= -1
            voxels = np.flip(voxels, axis)
    return replace(labels, labels=voxels, affine_lps=affine)


def _compare(oriented: LabelMap, affine_lps: np.ndarray, shape: Shape) -> tuple[float, float, int | None] | None:
    """How a grid differs from that of labels whose axes run as its own.

    Returns its spacing over that of the labels along the axis where they differ; the labels' index there at its voxel
    0; that axis, None where no spacing differs. None where the grids do not fit.
    """
    to_labels = np.linalg.inv(oriented.affine_lps) @ affine_lps
    ratios = np.array(geometry.spacing_mm(affine_lps)) / oriented.spacing_mm
    differing = [i for i in range(3) if abs(ratios[i] - 1) > SPACING_TOLERANCE]
    axis = differing[0] if differing else None
    shared = np.array([i != axis for i in range(3)])
    corners = np.array([*product(*((0, n - 1) for n in shape))])
    there = corners @ to_labels[:3, :3].T + to_labels[:3, 3]
    expected = corners * np.where(shared, 1, ratios) + np.where(shared, np.rint(to_labels[:3, 3]), to_labels[:3, 3])
    apart = (there.max(0) < -0.5).any() or (there.min(0) > np.array(oriented.shape) - 0.5).any()
    if len(differing) > 1 or apart or np.abs(there - expected).max() > POSITION_TOLERANCE:
        return None
    return (1.0, 0.0, None) if axis is None else (float(ratios[axis]), float(to_labels[axis, 3]), axis)


def _move(oriented: LabelMap, affine_lps: np.ndarray, shape: Shape) -> LabelMap:
    """Labels whose axes run as those of the grid, shifted by whole voxels onto it; 0 where they say nothing."""
    first = np.rint((np.linalg.inv(oriented.affine_lps) @ affine_lps)[:3, 3]).astype(int)
    placed = np.zeros(shape, oriented.labels.dtype)
    target, source = [], []
    for start, wanted, own in zip(first, shape, oriented.shape, strict=True):
        low, high = max(0, start), min(own, start + wanted)
        target.append(slice(low - start, high - start))
        source.append(slice(low, high))
    placed[tuple(target)] = oriented.labels[tuple(source)]
    return replace(oriented, labels=placed, affine_lps=affine_lps)


def _describe_mismatch(labels: LabelMap, affine_lps: np.ndarray, shape: Shape) -> str:
    """Both grids, and what to do."""
    grids = [
        f"{' x '.join(map(str, s))} voxels of {geometry.format_spacing(geometry.spacing_mm(a))} mm from "
        f"({', '.join(f'{v:.5g}' for v in a[:3, 3])}) mm"
        for a, s in ((labels.affine_lps, labels.shape), (affine_lps, shape))
    ]
    advice = "resample the labels onto the scan they were drawn on first, with nearest neighbours"
    if _is_resampled(labels, affine_lps):
        advice = (
            "if this scan was upsampled to other pixels, make its labels with it: saint upsample SCAN --labels LABELS "
            f"--in-plane MM (or --untilt); else {advice}"
        )
    return (
        f"the labels' grid ({grids[0]}) does not fit the scan's ({grids[1]}): they must share voxel centres, or differ "
        f"along one axis only; {advice}"
    )


def _is_resampled(labels: LabelMap, affine_lps: np.ndarray) -> bool:
    """Whether a grid has other pixels than that of labels, or axes of another direction, as resampled slices have."""
    own, spacing = orient_labels(labels, affine_lps), np.array(geometry.spacing_mm(affine_lps))
    turned = np.abs(own.affine_lps[:3, :3] / own.spacing_mm - affine_lps[:3, :3] / spacing).max() > SPACING_TOLERANCE
    return bool(turned) or int((np.abs(spacing / own.spacing_mm - 1) > SPACING_TOLERANCE).sum()) > 1
