"""Seconds of the networks by their multiply-adds, which progress assumes until it has measured them."""

import math
from dataclasses import replace

import torch

from saint_cli.evaluation import check_region, selfcheck
from saint_cli.geometry import SliceGrid, grid_by_factor, in_plane
from saint_cli.method import baseline_networks, directions, even_context, fusion
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.models.baseline_weights import BaselineModel
from saint_cli.models.weights import SaintModel
from saint_cli.options.method import MethodOptions
from saint_cli.progress import NETWORKS, ProgressStage
from saint_cli.runtime.device_selection import Compute

MULTIPLY_ADDS_PER_S = {"cpu": 30e9, "cuda": 1.5e12, "mps": 0.5e12}
"""Multiply-adds a second, of a CPU's core; only measured there (AMD EPYC without AVX-512, ``base`` and ``fast``)."""

FUSION_COST = 2.0
"""How much longer a multiply-add of RFN takes, whose layers are narrow."""


def estimate_network_stages(
    model: SaintModel, shape: tuple[int, ...], grid: SliceGrid, compute: Compute, options: MethodOptions
) -> tuple[ProgressStage, ...]:
    """The stages of ``pipeline.restore`` on a volume of this shape, each with its seconds; air counts as body."""
    x, y = in_plane(shape, grid.axis)
    plan = SlicePlan.from_grid(grid, regenerate=options.regenerate)
    kind = compute.device.type
    per_s = MULTIPLY_ADDS_PER_S[kind] * (torch.get_num_threads() if kind == "cpu" else len(compute.devices))
    filters = model.ami.features.size.outputs * 9 * len(plan.synthesised) / grid.acquired
    passes = directions.FLIP_COUNT if options.tta else 1
    ami = (model.ami.features.multiply_adds + filters) * grid.acquired * passes
    rows = (x * y, x * y, x * (x + y - 1), x * (x + y - 1))[: options.directions]
    named = zip(directions.PROGRESS_STAGES, rows, strict=False)
    stages = [ProgressStage(name, ami * pixels / per_s, NETWORKS) for name, pixels in named]
    rfn = model.rfn.multiply_adds * FUSION_COST * x * y * plan.uses_rfn(int(model.rfn.fewest)).sum()
    stages.append(ProgressStage(fusion.PROGRESS_STAGE, rfn / per_s, NETWORKS))
    if even_context.plan_second_pass(grid, plan) is not None:  # about as much once more
        stages.append(ProgressStage(even_context.STAGE, sum(stage.seconds for stage in stages), NETWORKS))
    return tuple(stages)


def estimate_baseline_stage(model: BaselineModel, shape: tuple[int, ...], compute: Compute) -> ProgressStage:
    """The stage of ``restore_by_baseline`` on a sparse volume of this shape: every weight is used once a voxel."""
    kind = compute.device.type
    per_s = MULTIPLY_ADDS_PER_S[kind] * (torch.get_num_threads() if kind == "cpu" else 1)
    return ProgressStage(baseline_networks.PROGRESS_STAGE, model.parameters * math.prod(shape) / per_s, NETWORKS)


def estimate_self_check(
    model: SaintModel, shape: tuple[int, ...], grid: SliceGrid, compute: Compute, options: MethodOptions
) -> ProgressStage:
    """The self-check of a restored volume, which predicts slices of a box in it."""
    if shape[grid.axis] < check_region.FEWEST_SLICES:
        return ProgressStage(selfcheck.STAGE, 0.0)
    middle = tuple(size // 2 for size in shape)
    box = [cut.stop - cut.start for cut in check_region.plan_region(grid, shape, middle).predicted_box]
    box[grid.axis] = 1 + (box[grid.axis] - 1) // selfcheck.FACTOR
    sparse = grid_by_factor(box[grid.axis], grid.axis, selfcheck.FACTOR)
    stages = estimate_network_stages(model, tuple(box), sparse, compute, replace(options, regenerate=False))
    return ProgressStage(selfcheck.STAGE, sum(stage.seconds for stage in stages), NETWORKS)
