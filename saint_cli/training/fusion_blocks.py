"""What RFN learns from: I_sag and I_cor of random blocks of the training volumes, by the AMI that comes before it."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from saint_cli.geometry import grid_by_factor
from saint_cli.method import intensity
from saint_cli.method.directions import interpolate_directions
from saint_cli.method.network_input import NetworkInput
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.nets import AMI
from saint_cli.runtime.device_selection import Compute
from saint_cli.training.augment import NO_AUGMENTATION, Augmentation
from saint_cli.training.dataset import AIR_UNITS, MOST_TRIES, PatchSource

WHOLE = slice(None)

MARGIN = 8
"""In-plane voxels cut from each block, where AMI's input ended at the block's edge."""


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

    def take_window(self, window: int, x: slice = WHOLE, y: slice = WHOLE) -> "FusionBatch":
        """Inputs and truth of the slices of one window, (T, h, w) each."""
        below, above = (self.sparse[w, x, y] for w in (window, window + 1))
        t = self.offsets[:, None, None]
        line = (1 - t) * below + t * above
        sag, cor, truth = (line + r[window, :, x, y] for r in (self.sagittal, self.coronal, self.truth))
        below, above = (np.broadcast_to(a, line.shape) for a in (below, above))
        gap_mm, difficulty = np.full_like(self.offsets, self.gap_mm), np.array(self.difficulty, np.float32)
        return FusionBatch(sag, cor, below, above, self.offsets, gap_mm, truth, difficulty)


class FusionBatch(NamedTuple):
    """All synthesised slices of B windows: (B, T, h, w) network range each, offset, gap_mm (B, T), difficulty (B,)."""

    i_sag: np.ndarray
    i_cor: np.ndarray
    below: np.ndarray
    above: np.ndarray
    offset: np.ndarray
    gap_mm: np.ndarray
    truth: np.ndarray
    difficulty: np.ndarray


def make_block(
    source: PatchSource, ami: AMI, compute: Compute, side: int, rng: np.random.Generator, *, augment: bool = False
) -> FusionBlock:
    """Run AMI in both directions over a random block of ``side`` x ``side`` voxels, whose margin is then cut off.

    augment: vary slice profile, contrast and noise, which AMI then remembers less.
    """
    factor = source.draw_factor(rng)
    for _ in range(MOST_TRIES):
        augmentation = Augmentation.draw(rng) if augment else NO_AUGMENTATION
        dense, spacing, difficulty = _draw_dense_block(source, factor, side, replace(augmentation, kernel=0), rng)
        if dense.mean() > AIR_UNITS:
            break
    sparse = np.ascontiguousarray(dense[..., ::factor])
    grid = grid_by_factor(sparse.shape[2], 2, factor)
    spacing_mm = (spacing[0], spacing[1], spacing[2] * factor)
    network_input = NetworkInput(torch.from_numpy(sparse), (WHOLE, WHOLE), spacing_mm, intensity.CT)
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


def _draw_dense_block(
    source: PatchSource, factor: int, side: int, augmentation: Augmentation, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[float, float, float], float]:
    """(side, side, (W - 1) * factor + 1) dense network values, their spacing in mm, and the block's difficulty."""
    volume, step, depth = source.draw(rng, factor)
    x, y = (slice(c, c + side) for c in (int(rng.integers(n - side + 1)) for n in volume.voxels.shape[:2]))
    spacing = volume.spacing_mm
    dense = augmentation.decimate(volume.values.to_network(volume.voxels[x, y, depth]), step)
    difficulty = source.measure_difficulty(volume, step * factor, step, augmentation)
    return augmentation.apply(dense, rng), (spacing[0], spacing[1], spacing[2] * step), difficulty


class FusionSampler:
    """Patches for the RFN stage out of ready blocks; batch k of a seed is always the same.

    stacks: the network is the 3-D one, which gets all slices of a window together.
    """

    def __init__(self, blocks: list[FusionBlock], slices: int, patch: int, seed: int, *, stacks: bool = False) -> None:
        self.blocks, self.slices, self.patch, self.seed, self.stacks = blocks, slices, patch, seed, stacks

    def draw_batch(self, step: int) -> FusionBatch:
        """About ``slices`` axial patches of ``patch`` x ``patch`` voxels, whole windows of one factor."""
        rng = np.random.default_rng((self.seed, step))
        offsets = len(self.blocks[rng.integers(len(self.blocks))].offsets)
        alike = [b for b in self.blocks if len(b.offsets) == offsets]
        samples = [self._sample(alike[rng.integers(len(alike))], rng) for _ in range(max(1, self.slices // offsets))]
        return FusionBatch(*(np.stack(column) for column in zip(*samples, strict=True)))

    def _sample(self, block: FusionBlock, rng: np.random.Generator) -> FusionBatch:
        window = int(rng.integers(len(block.sagittal)))
        size = block.sparse.shape[1:]
        x, y = (slice(c, c + self.patch) for c in (int(rng.integers(max(1, n - self.patch + 1))) for n in size))
        return _flip_randomly(block.take_window(window, x, y), rng)


def _flip_randomly(batch: FusionBatch, rng: np.random.Generator) -> FusionBatch:
    """One window's slices (T, h, w), randomly flipped and turned."""
    sag, cor, below, above, offset, gap_mm, truth, difficulty = batch
    if rng.random() < 0.5:  # upside down: the offsets are symmetric about 1/2
        sag, cor, below, above, truth = (a[::-1] for a in (sag, cor, above, below, truth))
    if rng.random() < 0.5:  # x and y exchanged
        sag, cor, below, above, truth = (a.swapaxes(1, 2) for a in (cor, sag, below, above, truth))
    for axis in (1, 2):
        if rng.random() < 0.5:
            sag, cor, below, above, truth = (np.flip(a, axis) for a in (sag, cor, below, above, truth))
    return FusionBatch(sag, cor, below, above, offset, gap_mm, truth, difficulty)
