"""A label map brought to a grid, by whatever that takes."""

from dataclasses import replace

import numpy as np

from saint_cli import geometry
from saint_cli.labels.coarsen import coarsen_labels
from saint_cli.labels.grids import GridRelation, LabelPlan, orient_labels, place_labels, with_cut_warning
from saint_cli.labels.refine import refine_labels
from saint_cli.progress import ProgressCallback, silent
from saint_cli.volume import Volume
from saint_cli.volume.label_map import LabelMap


def convert_labels(
    labels: LabelMap, plan: LabelPlan, image: Volume | None = None, on_progress: ProgressCallback = silent
) -> LabelMap:
    """The labels on the grid of a plan, which ``plan_labels`` made for them.

    The header warns if some labelled voxels lie outside of that grid. image: the upsampled scan on it, used by
    ``REFINE`` alone; None to use shapes alone.
    """
    return with_cut_warning(_convert(labels, plan, image, on_progress), labels, plan)


def _convert(labels: LabelMap, plan: LabelPlan, image: Volume | None, on_progress: ProgressCallback) -> LabelMap:
    if plan.relation is GridRelation.SAME:
        return place_labels(labels, plan.affine_lps, plan.shape)
    if plan.relation is GridRelation.COARSEN:
        return coarsen_labels(labels, plan.affine_lps, plan.shape)
    if plan.grid is None:
        raise ValueError("a plan to refine has a grid")
    thick_affine = geometry.refine_axis(plan.affine_lps, plan.grid.axis, 1 / plan.grid.step)
    thick_affine[:3, 3] -= plan.grid.origin * thick_affine[:3, plan.grid.axis]
    x, y, z = (plan.grid.acquired if i == plan.grid.axis else n for i, n in enumerate(plan.shape))
    placed = place_labels(orient_labels(labels, plan.affine_lps), thick_affine, (x, y, z))
    refined = refine_labels(placed, plan.grid, image, on_progress)
    return replace(refined, labels=np.ascontiguousarray(refined.labels), affine_lps=plan.affine_lps)
