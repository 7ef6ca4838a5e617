"""How long the networks will take, from their multiply-adds: what a progress bar assumes until it has measured."""

import math
from dataclasses import replace

import torch
from torch import nn

from saint_cli import directions, fusion, selfcheck
from saint_cli.choices import Choices
from saint_cli.compute import Compute
from saint_cli.geometry import SliceGrid, grid_by_factor
from saint_cli.plan import SlicePlan
from saint_cli.progress import NETWORKS, Stage
from saint_cli.weights import SaintModel

SPEED = {"cpu": 30e9, "cuda": 1.5e12, "mps": 0.5e12}
"""Multiply-adds a second, of a CPU's core; only measured there (AMD EPYC without AVX-512, ``base`` and ``fast``)."""

FUSION_COST = 2.0
"""How much longer a multiply-add of RFN takes, whose layers are narrow."""


def network_stages(
    model: SaintModel, shape: tuple[int, ...], grid: SliceGrid, compute: Compute, choices: Choices
) -> tuple[Stage, ...]:
    """The stages of ``pipeline.restore`` on a volume of this shape, each with its seconds; air counts as body."""
    x, y = (size for axis, size in enumerate(shape) if axis != grid.axis)
    plan = SlicePlan.of(grid, regenerate=choices.regenerate)
    per_s = SPEED[compute.device.type] * (
        torch.get_num_threads() if compute.device.type == "cpu" else len(compute.devices)
    )
    filters = model.ami.features.size.width * 9 * len(plan.synthesised) / grid.acquired
    ami = (multiply_adds(model.ami.features) + filters) * grid.acquired * (directions.FLIPS if choices.tta else 1)
    rows = (x * y, x * y, x * (x + y - 1), x * (x + y - 1))[: choices.directions]
    stages = [
        Stage(name, ami * pixels / per_s, NETWORKS) for name, pixels in zip(directions.STAGES, rows, strict=False)
    ]
    rfn = multiply_adds(model.rfn) * FUSION_COST * x * y * corrected_slices(plan, int(model.rfn.fewest))
    return (*stages, Stage(fusion.STAGE, rfn / per_s, NETWORKS))


def check_stage(
    model: SaintModel, shape: tuple[int, ...], grid: SliceGrid, compute: Compute, choices: Choices
) -> Stage:
    """The self-check of a restored volume, which predicts slices of a box in it."""
    if shape[grid.axis] < selfcheck.FEWEST_SLICES:
        return Stage(selfcheck.STAGE, 0.0)
    middle = tuple(size // 2 for size in shape)
    box = [cut.stop - cut.start for cut in selfcheck.plan_region(grid, shape, middle).predicted]
    box[grid.axis] = 1 + (box[grid.axis] - 1) // selfcheck.FACTOR
    sparse = grid_by_factor(box[grid.axis], grid.axis, selfcheck.FACTOR)
    stages = network_stages(model, tuple(box), sparse, compute, replace(choices, regenerate=False))
    return Stage(selfcheck.STAGE, sum(stage.seconds for stage in stages), NETWORKS)


def multiply_adds(network: nn.Module) -> int:
    """Of each pixel: every weight of a convolution is used once."""
    return sum(math.prod(p.shape) for p in network.parameters() if p.ndim > 2)


def corrected_slices(plan: SlicePlan, fewest: int) -> int:
    """Synthesised slices in gaps that hold so many of them that RFN is used."""
    between: dict[int, int] = {}
    for window, offset in zip(plan.window.tolist(), plan.offset.tolist(), strict=True):
        between[window] = between.get(window, 0) + (offset > 0)
    return sum(between[window] >= fewest for window in plan.window.tolist())
