"""What each training stage minimises, and how it is validated."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from saint_cli.errors import UsageError
from saint_cli.evaluation import interpolators
from saint_cli.evaluation.metrics import PAPER, is_blank, psnr
from saint_cli.geometry import grid_by_factor
from saint_cli.geometry.slab_profile import SlabProfile
from saint_cli.method import intensity
from saint_cli.method.slab_consistency import make_consistent
from saint_cli.nets.ami import AMI
from saint_cli.nets.filter_generation import distance_matrices
from saint_cli.nets.rfn import RFN
from saint_cli.training.dataset import AmiSampler
from saint_cli.training.dense_volume import DenseVolume
from saint_cli.training.fusion_blocks import FusionBlock
from saint_cli.training.fusion_sampler import FusionSampler
from saint_cli.training.loop import StepLoss

VALIDATION_SLICES = 24
"""Sagittal slices scored in each validation volume, spread over its middle."""
VALIDATION_FACTORS = {2: 25, 4: 49}
"""Factor to the number of dense slices in the middle of each volume that are decimated by it."""
SLAB_FACTORS = {3: 27, 5: 45}
"""The same for slabs: how many dense slices each is the mean of."""
NARROWEST_VOXELS = 10
SLICES_AT_ONCE = 4

Validate = Callable[[AMI, DenseVolume, int, int], float]
"""Of a network, a volume, a factor and the most slices: PSNR of the network less that of cubic interpolation, dB."""

RANGE_UNITS = {"ct": PAPER.data_range / intensity.HU_PER_UNIT, "mr": intensity.MR_UPPER_UNITS}
"""Data range of PSNR by modality, network units: 4000 HU; of MR the span of the percentiles that normalise it."""

ABSOLUTE_SHARE = 0.3
"""Of the absolute error in the loss: by measurement, see docs/training-log.md."""


def make_ami_loss(sampler: AmiSampler, teacher: AMI | None = None) -> StepLoss:
    """``relative_error`` on the sampler's patches; randomly sagittal, coronal or sideways.

    teacher: a network whose residuals count as much as the truth (Hinton et al., 2015).
    """

    def step_loss(model: nn.Module, step: int) -> Tensor:
        device = next(model.parameters()).device
        batch = sampler.draw_batch(step).to(device)
        slices, offsets, in_plane, through, thickness, linear, truth, difficulty = batch
        fdm = distance_matrices(offsets, in_plane, through, thickness if sampler.slabs else None)
        residual = model(slices, fdm)[..., :-1].float()
        error = relative_error(linear + residual, truth, difficulty)
        if teacher is None:
            return error
        with torch.no_grad():
            taught = teacher(slices, fdm)[..., :-1].float()
        return (error + relative_error(residual, taught, difficulty)) / 2

    return step_loss


def absolute_error(result: Tensor, truth: Tensor) -> Tensor:
    """Eqs. (9), of one direction, and (11): mean over voxels."""
    return (result - truth).abs().mean()


def relative_error(result: Tensor, truth: Tensor, difficulty: Tensor) -> Tensor:
    """Squared plus ``ABSOLUTE_SHARE`` times absolute error, in units of ``difficulty`` (B,), mean over patches.

    Departure from Eqs. (9) and (11), which take the absolute error alone. That makes networks predict medians, up to
    10 HU off the mean at bone, where the squared error leaves no bias and is what PSNR measures; but alone it neglects
    soft tissue for the sake of bone. Dividing by what linear interpolation misses at the same volume and distance
    weighs all volumes and factors alike, as decibels do.
    """
    error = (result - truth).flatten(1) / difficulty[:, None]
    return (error.square() + ABSOLUTE_SHARE * error.abs()).mean()


def require_scorable(volumes: list[DenseVolume], *, slabs: bool = False) -> None:
    """Refuse validation volumes that are too small to validate a stage on, before hours of training.

    Raises:
        UsageError: fewer than five slices, with slabs fewer than five of the thickest, of which the outer two end at
            their middles; or fewer than ten voxels across.
    """
    fewest = 4 * max(SLAB_FACTORS) + 1 if slabs else max(VALIDATION_FACTORS) + 1
    for volume in volumes:
        if volume.voxels.shape[2] < fewest or min(volume.voxels.shape[:2]) < NARROWEST_VOXELS:
            shape = "x".join(map(str, volume.voxels.shape))
            raise UsageError(
                f"{volume.name}: {shape} voxels are too few slices or too narrow to validate on; at least "
                f"{NARROWEST_VOXELS}x{NARROWEST_VOXELS}x{fewest} are needed"
            )


@torch.inference_mode()
def validate_ami(model: nn.Module, volumes: list[DenseVolume]) -> dict[str, float]:
    """Gain in PSNR, dB, of sagittal slices over aligned cubic (synthesised voxels only); of any data range.

    A quick figure on ``VALIDATION_SLICES`` slices a volume; ``saint evaluate`` gives the full one.
    """
    assert isinstance(model, AMI)
    return _collect_gains(model, volumes, VALIDATION_FACTORS, _validate_volume, "x{}")


def _collect_gains(
    model: AMI, volumes: list[DenseVolume], depths: dict[int, int], validate: Validate, task: str
) -> dict[str, float]:
    """PSNR less that of cubic, dB, by factor, of each volume and of all; task: the words for a factor."""
    figures = {}
    for factor, depth in depths.items():
        gains, words = [], task.format(factor)
        for volume in volumes:
            gains.append(validate(model, volume, factor, depth))
            figures[f"{volume.name} {words} over cubic dB"] = round(gains[-1], 3)
        figures[f"{words} over cubic dB"] = round(float(np.mean(gains)), 3)
    return figures


def _validate_volume(model: AMI, volume: DenseVolume, factor: int, most: int) -> float:
    """PSNR of the network less that of cubic, dB, on the ``most`` slices in the middle, or as many as there are."""
    depth = (min(most, volume.voxels.shape[2]) - 1) // factor * factor + 1
    dense = _cut_planes(volume, depth)
    grid = grid_by_factor((depth - 1) // factor + 1, 2, factor)
    slices, spacing = torch.from_numpy(np.ascontiguousarray(dense[..., ::factor])), volume.spacing_mm
    offsets = torch.arange(1, factor) / factor
    fdm = distance_matrices(offsets, torch.tensor(spacing[1]), torch.tensor(spacing[2] * factor), None)
    residual = np.zeros_like(dense[:, 1])
    for s, part in _run_in_parts(model, slices, fdm):
        for c in range(1, factor):
            residual[s, :, c::factor] = part[:, c - 1, :, :-1]
    acquired = dense[:, 1, :, ::factor]
    line, cubic = interpolators.interpolate_linear(acquired, grid), interpolators.interpolate_cubic(acquired, grid)
    synthesised = np.arange(depth) % factor > 0
    result = residual if model.predicts_intensities else line + residual
    truth, ours = dense[:, 1][..., synthesised], result[..., synthesised]
    units = PAPER.data_range / volume.values.scale
    return psnr(truth, ours, units) - psnr(truth, cubic[..., synthesised], units)


@torch.inference_mode()
def validate_slabs(model: nn.Module, volumes: list[DenseVolume]) -> dict[str, float]:
    """As ``validate_ami``, of volumes averaged to contiguous slabs: all thin slices from the first slab's middle on.

    The result is made consistent with the slabs, as it is in use; cubic is interpolation between them.
    """
    assert isinstance(model, AMI)
    return _collect_gains(model, volumes, SLAB_FACTORS, _validate_on_slabs, "slabs of {}")


def _validate_on_slabs(model: AMI, volume: DenseVolume, factor: int, most: int) -> float:
    """PSNR of the network less that of cubic, dB, on the ``most`` slices in the middle, or as many as there are."""
    dense = _cut_planes(volume, min(most, volume.voxels.shape[2]) // factor * factor)
    count = dense.shape[3] // factor
    middles = (factor - 1) / 2 + factor * np.arange(count)
    weights = SlabProfile(factor).weigh(middles, 1, dense.shape[3]).astype(np.float32)
    slabs, grid, through = dense @ weights.T, grid_by_factor(count, 2, factor), volume.spacing_mm[2] * factor
    offsets = torch.arange(0 if model.slabs else 1, factor) / factor
    in_plane, distance = torch.tensor(volume.spacing_mm[1]), torch.tensor(through)
    fdm = distance_matrices(offsets, in_plane, distance, distance if model.slabs else None)
    residual = np.zeros((*slabs.shape[::2], grid.count), np.float32)
    for s, part in _run_in_parts(model, torch.from_numpy(slabs), fdm):
        for t, c in enumerate((offsets * factor).round().int().tolist()):
            residual[s, :, c::factor] = part[:, t, :, : len(range(c, grid.count, factor))]
    line, cubic = (f(slabs[:, 1], grid) for f in (interpolators.interpolate_linear, interpolators.interpolate_cubic))
    first = round(middles[0])
    scored = slice(first, first + grid.count)
    whole = np.pad(line + residual, [(0, 0), (0, 0), (first, dense.shape[3] - scored.stop)], mode="edge")
    ours = make_consistent(whole, slabs[:, 1], weights)[..., scored] if model.slabs else line + residual
    truth, units = dense[:, 1][..., scored], PAPER.data_range / volume.values.scale
    return psnr(truth, ours, units) - psnr(truth, cubic, units)


def _cut_planes(volume: DenseVolume, depth: int) -> np.ndarray:
    """(S, 3, Y, depth) network values of sagittal slices and their neighbours, in the middle of the volume."""
    z = (volume.voxels.shape[2] - depth) // 2
    xs = np.linspace(0.2, 0.8, VALIDATION_SLICES) * volume.voxels.shape[0]
    planes = [volume.voxels[int(x) - 1 : int(x) + 2, :, z : z + depth] for x in xs]
    cut: np.ndarray = volume.to_network(torch.stack(planes)).numpy()
    return cut


def _run_in_parts(model: AMI, slices: Tensor, fdm: Tensor) -> Iterator[tuple[slice, np.ndarray]]:
    """Which of the slices (S, 3, Y, W), and their residuals (s, T, Y, W)."""
    device = next(model.parameters()).device
    for first in range(0, len(slices), SLICES_AT_ONCE):
        part = slice(first, first + SLICES_AT_ONCE)
        yield part, model(slices[part].to(device), fdm[None].to(device)).cpu().numpy()


def make_rfn_loss(sampler: FusionSampler, *, is_absolute: bool = False) -> StepLoss:
    """``relative_error`` on the sampler's axial patches, or the absolute error of Eq. (11)."""

    def step_loss(model: nn.Module, step: int) -> Tensor:
        batch = sampler.draw_batch(step)
        *inputs, truth, difficulty = batch if sampler.stacks else batch.split()
        fused = model(*inputs).float()
        return absolute_error(fused, truth) if is_absolute else relative_error(fused, truth, difficulty)

    return step_loss


@torch.inference_mode()
def validate_rfn(model: nn.Module, blocks: list[FusionBlock], modality: str = "ct") -> dict[str, float]:
    """PSNR in dB of the fused slices of validation blocks, and its gains over the mean and cubic; the mean of windows.

    Windows that are blank in the truth are left out, unless all are. modality: of ``TrainingSettings``, which decides
    the data range.
    """
    assert isinstance(model, RFN)
    units, psnr_db, of_blank = RANGE_UNITS[modality], list[list[float]](), list[list[float]]()
    device = next(model.parameters()).device
    for block in blocks:
        cubic = _cubic(block)
        for window in range(len(block.sagittal)):
            batch = block.take_window(window)
            inputs = (batch if model.features.size.dims == 3 else batch.split()).to(device)[:6]
            fused = model(*inputs).view_as(batch.truth).cpu()
            results = ((batch.i_sag + batch.i_cor) / 2, fused, torch.from_numpy(cubic[window][None]))
            truth = batch.truth.numpy()
            scores = of_blank if is_blank(truth) else psnr_db
            scores.append([psnr(truth, result.numpy(), units) for result in results])
    of_mean, of_fused, of_cubic = np.mean(psnr_db or of_blank, axis=0).tolist()
    figures = {"fused dB": of_fused, "over mean dB": of_fused - of_mean, "over cubic dB": of_fused - of_cubic}
    return {name: round(value, 3) for name, value in figures.items()}


def _cubic(block: FusionBlock) -> np.ndarray:
    """(W - 1, T, x, y) aligned cubic interpolation of a block's acquired slices."""
    factor = len(block.offsets) + 1
    grid = grid_by_factor(len(block.sparse), 2, factor)
    dense = interpolators.interpolate_cubic(np.moveaxis(block.sparse, 0, 2), grid)[..., :-1]  # (x, y, (W - 1) * factor)
    return np.moveaxis(dense, 2, 0).reshape(-1, factor, *dense.shape[:2])[:, 1:]
