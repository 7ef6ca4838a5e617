"""What each training stage optimises and how it is validated: AMI by Eq. (9), RFN by Eq. (11)."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from saint_cli import intensity, interpolate
from saint_cli.errors import UsageError
from saint_cli.geometry import grid_by_factor
from saint_cli.metrics import PAPER, psnr
from saint_cli.nets.ami import AMI
from saint_cli.nets.fdm import filter_distance_matrix
from saint_cli.nets.rfn import RFN
from saint_cli.training.dataset import AmiSampler, DenseVolume
from saint_cli.training.fusion import Block, FusionSampler

VALIDATION_FACTOR = 4
VALIDATION_SLICES = 24
"""Sagittal slices scored in each validation volume, spread over its middle."""
VALIDATION_DEPTH = 49
NARROWEST = 10


def ami_loss(sampler: AmiSampler) -> Callable[[nn.Module, int], Tensor]:
    """The L1 loss of Eq. (9) on the sampler's patches; each is sagittal or coronal by chance."""

    def loss_at(model: nn.Module, step: int) -> Tensor:
        batch = sampler.at(step)
        device = next(model.parameters()).device
        parts = (torch.from_numpy(np.asarray(part)).to(device) for part in batch)
        slices, offsets, in_plane, through, linear, truth = parts
        residual = model(slices, filter_distance_matrix(offsets, in_plane, through))
        return torch.mean(torch.abs(linear + residual[..., :-1].float() - truth))

    return loss_at


def require_scorable(volumes: list[DenseVolume]) -> None:
    """Refuse validation volumes too small for ``validate_ami``, before hours are spent on training.

    Raises:
        UsageError: fewer than five slices, or fewer than ten voxels across.
    """
    for volume in volumes:
        if volume.voxels.shape[2] <= VALIDATION_FACTOR or min(volume.voxels.shape[:2]) < NARROWEST:
            shape = "x".join(map(str, volume.voxels.shape))
            raise UsageError(f"{volume.name}: {shape} voxels are too few slices or too narrow to validate on")


@torch.inference_mode()
def validate_ami(model: nn.Module, volumes: list[DenseVolume]) -> dict[str, float]:
    """PSNR in dB of sagittal slices at x4 (HU, range 4000, synthesised voxels only), and its gain over aligned cubic.

    A quick figure to steer by, on ``VALIDATION_SLICES`` slices a volume; ``saint evaluate`` gives the full one.
    """
    assert isinstance(model, AMI)
    figures, gains = {}, []
    for volume in volumes:
        ours, cubic = _validate_volume(model, volume)
        gains.append(ours - cubic)
        figures[f"{volume.name} x4 sag dB"] = round(ours, 3)
        figures[f"{volume.name} x4 over cubic dB"] = round(ours - cubic, 3)
    return {**figures, "mean over cubic dB": round(float(np.mean(gains)), 3)}


def _validate_volume(model: AMI, volume: DenseVolume) -> tuple[float, float]:
    factor, depth = VALIDATION_FACTOR, min(VALIDATION_DEPTH, volume.voxels.shape[2])
    depth = (depth - 1) // factor * factor + 1
    z = (volume.voxels.shape[2] - depth) // 2
    xs = np.linspace(0.2, 0.8, VALIDATION_SLICES) * volume.voxels.shape[0]
    dense = np.stack([volume.voxels[int(x) - 1 : int(x) + 2, :, z : z + depth] for x in xs])  # (S, 3, Y, depth)
    dense = volume.values.to_network(dense)
    grid = grid_by_factor((depth - 1) // factor + 1, 2, factor)
    slices, spacing = torch.from_numpy(np.ascontiguousarray(dense[..., ::factor])), volume.spacing_mm
    offsets = torch.arange(1, factor) / factor
    fdm = filter_distance_matrix(offsets, torch.tensor(spacing[1]), torch.tensor(spacing[2] * factor))
    residual = np.zeros_like(dense[:, 1])
    for first in range(0, len(slices), 4):
        part = model(slices[first : first + 4], fdm[None])  # (4, T, Y, W)
        for c in range(1, factor):
            residual[first : first + 4, :, c::factor] = part[:, c - 1, :, :-1].numpy()
    line, cubic = (f(dense[:, 1, :, ::factor], grid) for f in (interpolate.linear, interpolate.cubic))
    synthesised = np.arange(depth) % factor > 0
    truth, ours = dense[:, 1][..., synthesised], (line + residual)[..., synthesised]
    units = PAPER.data_range / volume.values.scale
    return psnr(truth, ours, units), psnr(truth, cubic[..., synthesised], units)


def rfn_loss(sampler: FusionSampler) -> Callable[[nn.Module, int], Tensor]:
    """The L1 loss of Eq. (11) on the sampler's axial patches."""

    def loss_at(model: nn.Module, step: int) -> Tensor:
        assert isinstance(model, RFN)
        device = next(model.parameters()).device
        parts = (np.ascontiguousarray(part, np.float32) for part in sampler.at(step))
        *inputs, truth = (torch.from_numpy(part).to(device) for part in parts)
        if model.features.size.dims == 2:  # every slice by itself
            inputs, truth = [i.flatten(0, 1) for i in inputs], truth.flatten(0, 1)
        fused = model(*inputs)
        return torch.mean(torch.abs(fused.float() - truth))

    return loss_at


@torch.inference_mode()
def validate_rfn(model: nn.Module, blocks: list[Block]) -> dict[str, float]:
    """PSNR in dB (range 4000 HU, CT only) of the fused slices of validation blocks, gains over the mean and cubic."""
    assert isinstance(model, RFN)
    errors: list[tuple[float, ...]] = []
    for block in blocks:
        t = torch.from_numpy(block.offsets)
        cubic = torch.from_numpy(_cubic(block))
        for window in range(len(block.sagittal)):
            below, above, sag, cor, truth = (
                torch.from_numpy(np.ascontiguousarray(a, np.float32))
                for a in (
                    np.broadcast_to(block.sparse[window], block.sagittal.shape[1:]),
                    np.broadcast_to(block.sparse[window + 1], block.sagittal.shape[1:]),
                    *(part[window] for part in (block.sagittal, block.coronal, block.truth)),
                )
            )
            line = torch.lerp(below, above, t[:, None, None])
            inputs = [line + sag, line + cor, below, above, t]
            fused = model(*inputs) if model.features.size.dims == 2 else model(*(i[None] for i in inputs))[0]
            mean = (sag + cor) / 2 - truth
            missed = (mean, fused - line - truth, cubic[window] - line - truth)
            errors.append(tuple(float(e.square().mean()) for e in missed))
    units = PAPER.data_range / intensity.HU_PER_UNIT
    mean, fused, cubic = (10 * np.log10(units**2 / np.array(column)).mean() for column in zip(*errors, strict=True))
    figures = {"fused dB": fused, "over mean dB": fused - mean, "over cubic dB": fused - cubic}
    return {name: round(float(value), 3) for name, value in figures.items()}


def _cubic(block: Block) -> np.ndarray:
    """(W - 1, T, x, y) aligned cubic interpolation of a block's acquired slices."""
    factor = len(block.offsets) + 1
    grid = grid_by_factor(len(block.sparse), 2, factor)
    dense = interpolate.cubic(np.moveaxis(block.sparse, 0, 2), grid)[..., :-1]  # (x, y, (W - 1) * factor)
    return np.moveaxis(dense, 2, 0).reshape(-1, factor, *dense.shape[:2])[:, 1:]
