"""What RFN learns from: I_sag and I_cor of random blocks of the training volumes, by the AMI that comes before it."""

import copy
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from saint_cli.errors import UsageError
from saint_cli.geometry import SlabProfile, grid_by_factor
from saint_cli.method import intensity
from saint_cli.method.directions import interpolate_directions
from saint_cli.method.network_input import NetworkInput
from saint_cli.method.planes import WHOLE_PLANE
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.nets import AMI
from saint_cli.progress import ProgressCallback
from saint_cli.runtime.device_selection import Compute
from saint_cli.training.augment import CT_UNITS, Augmentation, filter_in_plane, vary
from saint_cli.training.dense_volume import DenseVolume, TrainingData
from saint_cli.training.mr_augment import MrVariation, find_bends
from saint_cli.training.parallel import ProcessGroup
from saint_cli.training.patch_places import ROUNDING, Variation
from saint_cli.training.patch_source import AIR_UNITS, FACTORS, LEAST_DIFFICULTY, MOST_TRIES, PatchSource
from saint_cli.training.settings import TrainingSettings
from saint_cli.training.slice_profile import PICKED

MARGIN = 8
"""In-plane voxels cut from each block, where AMI's input ended at the block's edge."""

VALIDATION_BLOCKS = 4
"""Blocks of each validation volume that the RFN stage is scored on."""


@dataclass(frozen=True)
class FusionBlock:
    """One block, network range, half precision: residuals over linear interpolation of I_sag, I_cor and the truth.

    sagittal, coronal, truth: (W - 1, T, x, y); sparse: (W, x, y) acquired slices, gap_mm apart; offsets: (T,);
    difficulty: root mean square error of linear interpolation at the block's volume and distance.
    """

    sagittal: np.ndarray
    coronal: np.ndarray
    truth: np.ndarray
    sparse: np.ndarray
    offsets: np.ndarray
    gap_mm: float
    difficulty: float

    def take_window(self, window: int) -> "FusionBatch":
        """All slices of one window, as a batch of one."""
        below, above = (torch.from_numpy(self.sparse[w]) for w in (window, window + 1))
        t = torch.from_numpy(self.offsets)
        line = torch.lerp(below, above, t[:, None, None])
        sag, cor, truth = ((line + torch.from_numpy(r[window])) for r in (self.sagittal, self.coronal, self.truth))
        gap_mm, difficulty = torch.full_like(t, self.gap_mm), torch.tensor(self.difficulty)
        parts = (sag, cor, below.expand_as(line), above.expand_as(line), t, gap_mm, truth, difficulty)
        return FusionBatch(*(part[None] for part in parts))


class FusionBatch(NamedTuple):
    """All synthesised slices of B windows: (B, T, h, w) network range each, offset, gap_mm (B, T), difficulty (B,)."""

    i_sag: Tensor
    i_cor: Tensor
    below: Tensor
    above: Tensor
    offset: Tensor
    gap_mm: Tensor
    truth: Tensor
    difficulty: Tensor

    def split(self) -> "FusionBatch":
        """Every slice by itself: (B * T, h, w), and (B * T,)."""
        parts = self._replace(difficulty=self.difficulty[:, None].expand_as(self.offset))
        return FusionBatch(*(part.flatten(0, 1) for part in parts))

    def to(self, device: torch.device) -> "FusionBatch":
        """The batch on a device."""
        return FusionBatch(*(part.to(device) for part in self))


def make_blocks(
    settings: TrainingSettings,
    data: TrainingData,
    ami: AMI,
    process_group: ProcessGroup,
    on_progress: ProgressCallback,
) -> tuple[list[FusionBlock], list[FusionBlock]]:
    """What RFN is trained and validated on: blocks that the AMI has interpolated in both directions.

    Raises:
        UsageError: blocks too small for RFN's patches, volumes too small for blocks, no factor to learn.
    """
    device, (side, acquired) = process_group.device, settings.block
    compute = Compute(device, torch.bfloat16 if settings.schedule.bf16 else torch.float32)
    if side - 2 * MARGIN < settings.rfn_patch:
        raise UsageError(f"blocks of {side} voxels are too small for patches of {settings.rfn_patch}")
    factors = tuple(factor for factor in settings.factors or FACTORS if factor > settings.fewest)
    if not factors:
        largest = max(FACTORS)
        raise UsageError(f"RFN from {settings.fewest} slices on has no factor to learn; the largest is {largest}")
    val_sources = [PatchSource([v], side, acquired, factors=factors) for v in data.val]  # refuses small ones first
    source, ami = PatchSource(data.train, side, acquired, factors=factors), copy.deepcopy(ami).to(device)
    rng = np.random.default_rng((settings.seed, process_group.rank))
    train_blocks = []
    for i in range(settings.blocks):
        train_blocks.append(make_block(source, ami, compute, side, rng, settings.variation))
        on_progress("blocks", i + 1, settings.blocks)
    rng = np.random.default_rng(settings.seed)
    val_blocks = [make_block(s, ami, compute, side, rng) for s in val_sources for _ in range(VALIDATION_BLOCKS)]
    return train_blocks, val_blocks


def make_block(
    source: PatchSource,
    ami: AMI,
    compute: Compute,
    side: int,
    rng: np.random.Generator,
    variation: Variation = Variation.NONE,
) -> FusionBlock:
    """Run AMI in both directions over a random block of ``side`` x ``side`` voxels, whose margin is then cut off.

    variation: of zoom, slice profile, kernel, contrast and noise, which AMI then remembers less.
    """
    factor = source.draw_factor(rng)
    dense, spacing, difficulty = draw_dense_block(source, factor, side, rng, variation)
    sparse = np.ascontiguousarray(dense[..., ::factor])
    grid = grid_by_factor(sparse.shape[2], 2, factor)
    spacing_mm = (spacing[0], spacing[1], spacing[2] * factor)
    network_input = NetworkInput(torch.from_numpy(sparse), WHOLE_PLANE, spacing_mm, intensity.CT)
    views = [r.values for r in interpolate_directions(network_input, ami, SlicePlan.from_grid(grid), compute)]
    cut = slice(MARGIN, -MARGIN)
    sagittal, coronal = (v.cpu().numpy().reshape(-1, factor - 1, *v.shape[1:])[..., cut, cut] for v in views)
    acquired = sparse.transpose(2, 0, 1)[:, cut, cut]
    offsets = (np.arange(1, factor) / factor).astype(np.float32)
    t = offsets[:, None, None]
    line = (1 - t) * acquired[:-1, None] + t * acquired[1:, None]
    between = dense.transpose(2, 0, 1)[:-1, cut, cut].reshape(-1, factor, *line.shape[2:])[:, 1:]
    truth = (between - line).astype(np.float16)
    return FusionBlock(sagittal, coronal, truth, acquired.astype(np.float32), offsets, spacing_mm[2], difficulty)


def draw_dense_block(
    source: PatchSource,
    factor: int,
    side: int,
    rng: np.random.Generator,
    variation: Variation,
    slab: SlabProfile | None = None,
) -> tuple[np.ndarray, tuple[float, float, float], float]:
    """(side, side, (W - 1) * factor + 1) dense network values, their spacing in mm, and the block's difficulty.

    Blocks of air are drawn again. slab: by which acquired slices will be averaged, in distances between them; it
    decides how difficult they are.
    """
    for _ in range(MOST_TRIES):
        dense, spacing, difficulty = _draw_any_block(source, factor, side, rng, variation, slab)
        if dense.mean() > AIR_UNITS:
            break
    return dense, spacing, difficulty


def _draw_any_block(
    source: PatchSource,
    factor: int,
    side: int,
    rng: np.random.Generator,
    variation: Variation,
    slab: SlabProfile | None,
) -> tuple[np.ndarray, tuple[float, float, float], float]:
    volume, step = source.draw(rng, factor)
    varied = Augmentation.none(1) if variation is Variation.NONE else Augmentation.draw(rng, 1)
    zoom = min(float(varied.zoom[0]), (min(volume.voxels.shape[:2]) - 1) / (side - 1))
    span = math.ceil(zoom * (side - 1) - ROUNDING) + 1
    x, y, z = (
        slice(c, c + n)
        for n, most in zip((span, span, source.dense_length(factor * step)), volume.voxels.shape, strict=True)
        for c in [int(rng.integers(most - n + 1))]
    )
    profile = variation.draw_profile(rng, factor, step) if slab is None else PICKED
    dense = profile.average_slices(volume.to_network(volume.voxels[x, y, z].cpu()))[..., ::step]
    dense = _zoom(dense, zoom, side)
    difficulty = float(source.measure_difficulty(volume, step * factor, profile, slab))
    if variation is Variation.MR:
        dense, change = _vary_as_mr(_filter(dense, varied.kernel), volume, factor, rng)
        difficulty *= change
    elif variation is Variation.CT:
        random = torch.Generator().manual_seed(int(rng.integers(2**63)))
        contrast, noise = torch.from_numpy(varied.contrast), torch.from_numpy(varied.noise)
        # one patch whose in-plane axis is y
        dense = _filter(dense, varied.kernel).transpose(0, 1)[None]
        dense = vary(dense, torch.zeros(1), contrast, noise, random)[0].transpose(0, 1)
        difficulty *= float(varied.contrast[0])
    in_x, in_y, through = volume.spacing_mm
    return dense.contiguous().numpy(), (in_x * zoom, in_y * zoom, through * step), difficulty


def _zoom(dense: Tensor, zoom: float, side: int) -> Tensor:
    """(x, y, slices) at ``side`` places along x and y, ``zoom`` voxels apart, linearly interpolated."""
    if zoom == 1:
        return dense
    places = zoom * torch.arange(side, dtype=torch.float64)
    first = places.floor().long()
    share = (places - first).float()
    for axis in (0, 1):
        second = (first + 1).clamp_(max=dense.shape[axis] - 1)
        shape = [-1 if axis == a else 1 for a in range(3)]
        dense = torch.lerp(dense.index_select(axis, first), dense.index_select(axis, second), share.view(shape))
    return dense


def _filter(dense: Tensor, kernel: np.ndarray) -> Tensor:
    """(x, y, slices) with the in-plane kernel (1,) of ``Augmentation`` along x and y, clipped as ``vary`` clips."""
    for _ in range(2):
        filtered = filter_in_plane(dense[None], torch.from_numpy(kernel))[0]
        dense = filtered.clamp_(0, CT_UNITS).transpose(0, 1)
    return dense


def _vary_as_mr(dense: Tensor, volume: DenseVolume, factor: int, rng: np.random.Generator) -> tuple[Tensor, float]:
    """A block (x, y, slices) as of another MR sequence, and how many times as large linear interpolation's error is."""
    bends, is_ct = find_bends(volume)[None], np.array([volume.values == intensity.CT])
    drawn = MrVariation.draw(rng, bends, is_ct)
    random = torch.Generator().manual_seed(int(rng.integers(2**63)))
    depth = torch.linspace(-1, 1, dense.shape[2]).repeat(dense.shape[0])[None]
    patch = dense.transpose(0, 1).flatten(1)[None]  # (1, y, x * slices)
    contrast, varied = (
        part[0].unflatten(1, (dense.shape[0], -1)).transpose(0, 1) for part in drawn.apply(patch, depth, random)
    )
    before, after = (_measure_error(part, factor) for part in (dense, contrast))
    return varied, after / before


def _measure_error(dense: Tensor, factor: int) -> float:
    """Root mean square error of linear interpolation in a block, no less than can be told apart."""
    t = torch.arange(1, factor) / factor
    below, between = dense[..., :-1].unflatten(-1, (-1, factor)).split([1, factor - 1], -1)
    above = dense[..., factor::factor, None]
    return float((torch.lerp(below, above, t) - between).square().mean().sqrt()) + LEAST_DIFFICULTY
