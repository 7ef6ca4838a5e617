"""The objective of each network that is trained on patches: saint's AMI, AMI as published, the paper's baselines."""

import copy

import numpy as np
import torch
from torch import Tensor, nn

from saint_cli.errors import UsageError
from saint_cli.evaluation import interpolators
from saint_cli.evaluation.metrics import PAPER, psnr
from saint_cli.geometry import grid_by_factor
from saint_cli.method.baseline_networks import estimate_residual
from saint_cli.method.network_input import NetworkInput
from saint_cli.method.planes import WHOLE_PLANE
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.models import weights
from saint_cli.nets.baselines import ARCHITECTURES, Baseline
from saint_cli.nets.filter_generation import filter_distance_matrix
from saint_cli.runtime.device_selection import Compute
from saint_cli.training import stages
from saint_cli.training.block_sampler import BlockSampler
from saint_cli.training.dataset import AmiSampler
from saint_cli.training.dense_volume import DenseVolume, TrainingData
from saint_cli.training.loop import Objective, StepLoss
from saint_cli.training.patch_places import PatchShape
from saint_cli.training.settings import PUBLISHED, TrainingSettings

VALIDATION_SIDE, VALIDATION_DEPTH = 64, 49
"""Voxels of the block in the middle of each validation volume that baselines are scored on: in-plane, and slices."""


def make_ami_objective(settings: TrainingSettings, data: TrainingData, rank: int, device: torch.device) -> Objective:
    """What AMI minimises: ``stages.make_ami_loss``, or as published the absolute error of Eq. (9)."""
    seed, shape = (settings.seed, rank), PatchShape(*settings.patch)
    if settings.arch == PUBLISHED:
        blocks = BlockSampler(data.train, settings.batch, shape, 2, settings.factors, seed)
        return Objective(make_published_loss(blocks), lambda model: stages.validate_ami(model, data.val))
    teacher = None
    if settings.teacher is not None:
        teacher = copy.deepcopy(weights.load_model(settings.teacher).ami).to(device)
        if teacher.slabs != settings.slabs:
            kind = "thin slices of slabs" if settings.slabs else "single slices"
            raise UsageError(
                f"{settings.teacher} does not know what is to be learnt from it, {kind}; name other weights"
            )
    sampler = AmiSampler(data.train, settings.batch, shape, seed, variation=settings.variation, slabs=settings.slabs)
    validate = stages.validate_slabs if settings.slabs else stages.validate_ami
    return Objective(stages.make_ami_loss(sampler, teacher), lambda model: validate(model, data.val))


def make_baseline_objective(settings: TrainingSettings, data: TrainingData, rank: int) -> Objective:
    """What a baseline minimises: the absolute error, as in Eq. (9), of the slices between acquired ones."""
    dims = ARCHITECTURES[settings.arch].dims
    shape = PatchShape(*(settings.patch if dims == 2 else settings.cube))
    sampler = BlockSampler(data.train, settings.batch, shape, dims, settings.factors, (settings.seed, rank))
    return Objective(make_baseline_loss(sampler), lambda model: validate_baseline(model, data.val, settings.factors))


def make_baseline_loss(sampler: BlockSampler) -> StepLoss:
    """Mean absolute error of the sampler's blocks; acquired slices do not count, since they are kept."""

    def step_loss(model: nn.Module, step: int) -> Tensor:
        batch = sampler.draw_batch(step)
        device = next(model.parameters()).device
        between = model(batch.sparse.to(device), batch.factor)[..., :-1].float()
        return stages.absolute_error(between, batch.truth.to(device))

    return step_loss


def make_published_loss(sampler: BlockSampler) -> StepLoss:
    """The absolute error of Eq. (9), of a ``PublishedAMI`` on the sampler's slices; randomly sagittal or coronal."""

    def step_loss(model: nn.Module, step: int) -> Tensor:
        batch = sampler.draw_batch(step)
        device = next(model.parameters()).device
        offsets = (torch.arange(1, batch.factor) / batch.factor).expand(len(batch.sparse), -1)
        fdm = filter_distance_matrix(offsets, batch.in_plane_mm.cpu(), batch.through_plane_mm.cpu()).to(device)
        between = model(batch.sparse.to(device), fdm)[..., :-1].float()
        return stages.absolute_error(between, batch.truth.to(device))

    return step_loss


@torch.inference_mode()
def validate_baseline(model: nn.Module, volumes: list[DenseVolume], factors: tuple[int, ...]) -> dict[str, float]:
    """Gain in PSNR, dB, over aligned cubic in the middle of each volume (range 4000 HU, synthesised voxels only)."""
    assert isinstance(model, Baseline)
    figures = {}
    for factor in factors:
        fitting = [volume for volume in volumes if volume.voxels.shape[2] > factor]
        gains = [_measure_gain(model, volume, factor) for volume in fitting]
        for volume, gain in zip(fitting, gains, strict=True):
            figures[f"{volume.name} x{factor} over cubic dB"] = round(gain, 3)
        if gains:
            figures[f"x{factor} over cubic dB"] = round(float(np.mean(gains)), 3)
    return figures


def _measure_gain(model: Baseline, volume: DenseVolume, factor: int) -> float:
    """On the block in the middle, dB."""
    dense = volume.cut_middle(VALIDATION_SIDE, VALIDATION_DEPTH, factor)
    sparse, spacing = dense[..., ::factor].contiguous(), volume.spacing_mm
    grid = grid_by_factor(sparse.shape[2], 2, factor)
    plan = SlicePlan.from_grid(grid)
    network_input = NetworkInput(sparse, WHOLE_PLANE, (*spacing[:2], spacing[2] * factor), volume.values)
    compute = Compute(next(model.parameters()).device, torch.float32)
    residual = estimate_residual(network_input, model, grid, compute).permute(1, 2, 0).float().numpy()
    both = (interpolators.interpolate_linear, interpolators.interpolate_cubic)
    line, cubic = (interpolate(sparse.numpy(), grid)[..., plan.synthesised] for interpolate in both)
    truth, units = dense.numpy()[..., plan.synthesised], PAPER.data_range / volume.values.scale
    return psnr(truth, line + residual, units) - psnr(truth, cubic, units)
