"""What RFN learns from: I_sag and I_cor of random blocks of the training volumes, by the AMI that RFN will follow."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from saint_cli import intensity
from saint_cli.compute import Compute
from saint_cli.directions import interpolate_directions
from saint_cli.geometry import grid_by_factor
from saint_cli.nets import AMI
from saint_cli.plan import SlicePlan
from saint_cli.scene import Scene
from saint_cli.training.augment import Variation
from saint_cli.training.dataset import AIR_UNITS, TRIES, PatchSource

MARGIN = 8
"""In-plane voxels cut from each block, where AMI saw the block's edge instead of the patient."""


@dataclass(frozen=True)
class Block:
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
) -> Block:
    """Run AMI in both directions over a random block of ``side`` x ``side`` voxels, whose margin is then cut off.

    augment: vary slice profile, contrast and noise, which AMI then knows less by heart.
    """
    factor = source.factor(rng)
    for _ in range(TRIES):
        variation = Variation.draw(rng) if augment else Variation()
        dense, spacing, difficulty = _dense_block(source, factor, side, replace(variation, kernel=0), rng)
        if dense.mean() > AIR_UNITS:
            break
    sparse = np.ascontiguousarray(dense[..., ::factor])
    grid = grid_by_factor(sparse.shape[2], 2, factor)
    whole = (slice(None), slice(None))
    scene = Scene(torch.from_numpy(sparse), whole, (spacing[0], spacing[1], spacing[2] * factor), intensity.CT)
    views = [r.values for r in interpolate_directions(scene, ami, SlicePlan.of(grid), compute)]
    cut = slice(MARGIN, -MARGIN)
    sagittal, coronal = (
        v.cpu().numpy().reshape(-1, factor - 1, *v.shape[1:])[..., cut, cut] for v in views
    )  # (W - 1, T, x, y)
    acquired = sparse.transpose(2, 0, 1)[:, cut, cut]
    offsets = (np.arange(1, factor) / factor).astype(np.float32)
    t = offsets[:, None, None]
    line = (1 - t) * acquired[:-1, None] + t * acquired[1:, None]
    between = dense.transpose(2, 0, 1)[:-1, cut, cut].reshape(-1, factor, *line.shape[2:])[:, 1:]
    truth = (between - line).astype(np.float16)
    return Block(sagittal, coronal, truth, acquired.astype(np.float32), offsets, spacing[2] * factor, difficulty)


def _dense_block(
    source: PatchSource, factor: int, side: int, variation: Variation, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[float, float, float], float]:
    """(side, side, (W - 1) * factor + 1) dense network values, their spacing in mm, and the block's difficulty."""
    volume, step, depth = source.draw(rng, factor)
    x, y = (slice(c, c + side) for c in (int(rng.integers(n - side + 1)) for n in volume.voxels.shape[:2]))
    spacing = volume.spacing_mm
    dense = variation.slices(volume.values.to_network(volume.voxels[x, y, depth]), step)
    difficulty = source.difficulty(volume, step * factor, variation.averaged(step)) * variation.contrast
    return variation.apply(dense, rng), (spacing[0], spacing[1], spacing[2] * step), difficulty


class FusionSampler:
    """Patches for the RFN stage out of ready blocks; batch k of a seed is always the same.

    stacks: the network is the 3-D one, which sees all slices of a window together.
    """

    def __init__(self, blocks: list[Block], slices: int, patch: int, seed: int, *, stacks: bool = False) -> None:
        self.blocks, self.slices, self.patch, self.seed, self.stacks = blocks, slices, patch, seed, stacks

    def at(self, step: int) -> FusionBatch:
        """About ``slices`` axial patches of ``patch`` x ``patch`` voxels, whole windows of one factor."""
        rng = np.random.default_rng((self.seed, step))
        offsets = len(self.blocks[rng.integers(len(self.blocks))].offsets)
        alike = [b for b in self.blocks if len(b.offsets) == offsets]
        samples = [self._sample(alike[rng.integers(len(alike))], rng) for _ in range(max(1, self.slices // offsets))]
        return FusionBatch(*(np.stack(column) for column in zip(*samples, strict=True)))

    def _sample(self, block: Block, rng: np.random.Generator) -> FusionBatch:
        window = int(rng.integers(len(block.sagittal)))
        size = block.sparse.shape[1:]
        x, y = (slice(c, c + self.patch) for c in (int(rng.integers(max(1, n - self.patch + 1))) for n in size))
        below, above = (block.sparse[w, x, y] for w in (window, window + 1))
        t = block.offsets[:, None, None]
        line = (1 - t) * below + t * above  # (T, h, w)
        sag, cor, truth = (line + r[window, :, x, y] for r in (block.sagittal, block.coronal, block.truth))
        below, above = (np.broadcast_to(a, line.shape) for a in (below, above))
        difficulty = np.array(block.difficulty, np.float32)
        gap_mm = np.full_like(block.offsets, block.gap_mm)
        return _flipped(FusionBatch(sag, cor, below, above, block.offsets, gap_mm, truth, difficulty), rng)


def _flipped(batch: FusionBatch, rng: np.random.Generator) -> FusionBatch:
    """One window's slices (T, h, w), flipped and turned by chance."""
    sag, cor, below, above, offset, gap_mm, truth, difficulty = batch
    if rng.random() < 0.5:  # upside down: the offsets are symmetric about 1/2
        sag, cor, below, above, truth = (a[::-1] for a in (sag, cor, above, below, truth))
    if rng.random() < 0.5:  # x and y exchanged
        sag, cor, below, above, truth = (a.swapaxes(1, 2) for a in (cor, sag, below, above, truth))
    for axis in (1, 2):
        if rng.random() < 0.5:
            sag, cor, below, above, truth = (np.flip(a, axis) for a in (sag, cor, below, above, truth))
    return FusionBatch(sag, cor, below, above, offset, gap_mm, truth, difficulty)
