"""Random blocks of dense volumes, made sparse by Eq. (1), as the paper's own training draws them.

Nothing is varied but what the paper varies: which volume, where, along which plane, decimated further or not, flipped.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from saint_cli.nets.ami import CONTEXT_SLICES
from saint_cli.training.dense_volume import DenseVolume
from saint_cli.training.patch_places import PatchShape
from saint_cli.training.patch_source import AIR_UNITS, MOST_TRIES, PatchSource


class BlockBatch(NamedTuple):
    """Sparse blocks of one factor and the dense truth between their slices, float32, network range.

    sparse: (B, 3, H, W) slices between their neighbours, or (B, 1, X, Y, W); truth: (B, factor - 1, H, W - 1) of the
    middle slices, or (B, factor - 1, X, Y, W - 1); in_plane_mm, through_plane_mm (B,): along H and between acquired
    slices.
    """

    factor: int
    sparse: Tensor
    truth: Tensor
    in_plane_mm: Tensor
    through_plane_mm: Tensor


class BlockSampler:
    """Blocks for a network of slices (dims 2) or of blocks (3). Batch k of a seed and rank is always the same.

    shape: in-plane voxels, of blocks along both axes, and acquired slices; factors: one is drawn for each batch, as
    Lim et al. 2017 and Hu et al. 2019 do.

    Raises:
        UsageError: no volume is large enough for such a block.
    """

    def __init__(
        self,
        volumes: list[DenseVolume],
        batch: int,
        shape: PatchShape,
        dims: int,
        factors: tuple[int, ...],
        seed: tuple[int, int] = (0, 0),
    ) -> None:
        self.batch, self.dims, self.seed = batch, dims, seed
        self.sides = (CONTEXT_SLICES if dims == 2 else shape.height, shape.height)
        self.source = PatchSource(volumes, max(self.sides), shape.acquired, factors=factors)

    def draw_batch(self, step: int) -> BlockBatch:
        """The batch of a step."""
        seed, rank = self.seed
        rng = np.random.default_rng((seed, step, rank))
        factor = self.source.factors[int(rng.integers(len(self.source.factors)))]
        drawn = [self._draw_block(rng, factor) for _ in range(self.batch)]
        dense = torch.stack([block for block, _, _ in drawn])  # (B, x, y, (W - 1) * factor + 1)
        spacing = [torch.tensor([numbers[k] for numbers in drawn], device=dense.device) for k in (1, 2)]
        sparse = dense[..., ::factor].contiguous()
        scored = dense if self.dims == 3 else dense[:, CONTEXT_SLICES // 2]
        truth = scored[..., :-1].unflatten(-1, (-1, factor))[..., 1:].movedim(-1, 1).contiguous()
        return BlockBatch(factor, sparse[:, None] if self.dims == 3 else sparse, truth, *spacing)

    def _draw_block(self, rng: np.random.Generator, factor: int) -> tuple[Tensor, float, float]:
        """A dense block (x, y, slices) in network range, its spacing along y and between acquired slices."""
        for _ in range(MOST_TRIES):
            volume, step = self.source.draw(rng, factor)
            axes = (0, 1, 2) if rng.random() < 0.5 else (1, 0, 2)
            voxels = volume.voxels.permute(axes)
            lengths = (*self.sides, self.source.dense_length(factor * step))
            starts = [int(rng.integers(most - n + 1)) for n, most in zip(lengths, voxels.shape, strict=True)]
            x, y, z = (slice(start, start + n) for start, n in zip(starts, lengths, strict=True))
            block = volume.to_network(voxels[x, y, z][..., ::step])
            if float(block.mean()) > AIR_UNITS:
                break
        flips = [axis for axis in range(3) if rng.random() < 0.5]
        return block.flip(flips), volume.spacing_mm[axes[1]], volume.spacing_mm[2] * step * factor
