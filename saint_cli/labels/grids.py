"""How the grid of a label map lies to another one: the same, coarser, or finer along one axis."""

import math
from dataclasses import dataclass, replace
from enum import Enum
from itertools import product

import numpy as np

from saint_cli import geometry
from saint_cli.errors import GeometryError
from saint_cli.volume.label_map import LabelMap

POSITION_TOLERANCE = 0.1
"""How far voxel centres of two grids may lie apart, in voxels of the labels, and count as one: headers round positions
and spacings."""

SPACING_TOLERANCE = 0.02
"""By what part two spacings may differ and count as one; over many voxels ``POSITION_TOLERANCE`` is stricter."""

HELD_ENDS = 1.1
"""How far beyond the middle of their first or last slice labels go on, in slices, on a grid that begins between two:
thin slices of slabs begin and end at the outer slabs' faces (``MAX_THICKNESS`` of ``options.grid``)."""

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
    grid: of the slices, for ``REFINE``; it counts from a label slice at or beside slice 0 of the target.
    ends_at_middles: whether the finer of both grids begins at the middle of a slice of the coarser one, not at a face.
    """

    relation: GridRelation
    affine_lps: np.ndarray
    shape: Shape
    axis: int | None = None
    grid: geometry.SliceGrid | None = None
    ends_at_middles: bool = False


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
        is_at_middle = abs(offset - round(offset)) <= POSITION_TOLERANCE and offset < (ratio - 1) / 4
        return LabelPlan(GridRelation.COARSEN, affine_lps, shape, axis, ends_at_middles=is_at_middle)
    if not _may_be_slices_between(offset, (shape[axis] - 1) * ratio):
        raise GeometryError(_describe_mismatch(labels, affine_lps, shape))
    times = round(1 / ratio)
    step = 1 / times if abs(times * ratio - 1) * shape[axis] * ratio < POSITION_TOLERANCE else ratio
    grid = _plan_slices(geometry.SliceGrid(axis, oriented.shape[axis], step, shape[axis], offset))
    return LabelPlan(GridRelation.REFINE, affine_lps, shape, axis, grid, ends_at_middles=grid.origin == 0)


def _may_be_slices_between(offset: float, length: float) -> bool:
    """Whether a finer grid begins at a slice, or reaches as far beyond one at its end as at its start.

    offset, length: of the finer grid, in slices. Thin slices of slabs lie so (``geometry.grid_of_slabs``).
    """
    return any(abs(value - round(value)) <= POSITION_TOLERANCE for value in (offset, 2 * offset + length))


def _plan_slices(grid: geometry.SliceGrid) -> geometry.SliceGrid:
    """A grid on slices of labels with as many of them, or of empty ones beside them, as its slices lie between.

    Slices that lie beyond the outer labels by less than ``HELD_ENDS`` repeat these.
    """
    is_at_slice = abs(grid.origin - round(grid.origin)) <= POSITION_TOLERANCE
    origin, own_end = float(round(grid.origin)) if is_at_slice else grid.origin, grid.acquired - 1
    end = origin + (grid.count - 1) * grid.step
    held = 1 - geometry.ACQUIRED_TOLERANCE if is_at_slice else HELD_ENDS
    first = 0 if -held < origin < 0 else math.floor(origin)
    last = own_end if own_end < end < own_end + held else math.ceil(end - geometry.ACQUIRED_TOLERANCE)
    return replace(grid, acquired=max(2, last - first + 1), origin=origin - first)


def orient_labels(labels: LabelMap, affine_lps: np.ndarray) -> LabelMap:
    """The labels with axes swapped and flipped so that they run as those of an affine, as far as they can."""
    wanted = affine_lps[:3, :3] / geometry.spacing_mm(affine_lps)
    voxels, affine, *_ = geometry.turn_axes(labels.labels, labels.affine_lps, wanted)
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


def count_outside(labels: LabelMap, plan: LabelPlan) -> int:
    """How many labelled voxels lie outside of the grid of a plan, which ``plan_labels`` made for the labels.

    A slice of labels that no slab of a coarser grid holds by half lies outside; so does one that no slice of a finer
    grid needs.
    """
    oriented = orient_labels(labels, plan.affine_lps)
    to_labels = np.linalg.inv(oriented.affine_lps) @ plan.affine_lps
    inside = []
    for axis, count in enumerate(plan.shape):
        first, step = float(to_labels[axis, 3]), float(to_labels[axis, axis])
        if plan.grid is not None and axis == plan.axis:
            first, step, count = first - plan.grid.origin, 1.0, plan.grid.acquired
        reach = step / 2 + POSITION_TOLERANCE
        end = math.floor(first + (count - 1) * step + reach) + 1
        inside.append(slice(max(0, math.ceil(first - reach)), max(0, end)))
    return int(np.count_nonzero(oriented.labels) - np.count_nonzero(oriented.labels[tuple(inside)]))


def with_cut_warning(result: LabelMap, labels: LabelMap, plan: LabelPlan) -> LabelMap:
    """The result of a plan for labels, with a warning in its header if some labelled voxels lie outside of its grid."""
    outside = count_outside(labels, plan)
    if not outside:
        return result
    warning = f"{outside:,} labelled voxels lie outside of the scan and are left out"
    return replace(result, header=replace(result.header, warnings=(*result.header.warnings, warning)))


def _describe_mismatch(labels: LabelMap, affine_lps: np.ndarray, shape: Shape) -> str:
    """Both grids, and what to do."""
    grids = [
        f"{geometry.format_shape(s)} voxels of {geometry.format_spacing(geometry.spacing_mm(a))} mm from "
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
