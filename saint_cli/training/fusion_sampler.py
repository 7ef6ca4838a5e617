"""Random patches of ready blocks, as the RFN stage needs them; cut out on the device that holds the blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from saint_cli.training.dense_volume import move_array
from saint_cli.training.fusion_blocks import FusionBatch, FusionBlock


class FusionSampler:
    """Patches for the RFN stage out of ready blocks; batch k of a seed is always the same. A GPU is not waited for.

    slices: axial patches of ``patch`` x ``patch`` voxels in a batch, about; stacks: the network is the 3-D one, which
    gets all slices of a window together; device: where the blocks are kept.
    """

    def __init__(
        self,
        blocks: Sequence[FusionBlock],
        slices: int,
        patch: int,
        seed: int,
        *,
        stacks: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        self.slices, self.patch, self.seed, self.stacks = slices, patch, seed, stacks
        by_count: dict[int, list[FusionBlock]] = {}
        for block in blocks:
            by_count.setdefault(len(block.offsets), []).append(block)
        self._alike = [_AlikeBlocks.stack(some, torch.device(device)) for some in by_count.values()]
        self._ends = np.cumsum([len(some) for some in by_count.values()])

    def draw_batch(self, step: int) -> FusionBatch:
        """Whole windows of one factor, as often as blocks have it; randomly flipped and turned."""
        rng = np.random.default_rng((self.seed, step))
        alike = self._alike[int(np.searchsorted(self._ends, rng.integers(self._ends[-1]), side="right"))]
        return alike.cut(_Places.draw(rng, alike, max(1, self.slices // len(alike.offsets)), self.patch))


@dataclass(frozen=True)
class _AlikeBlocks:
    """N blocks of one factor on one device.

    residuals: (3, N, W - 1, T, X, Y) half precision, sagittal, coronal and truth; sparse: (N, W, X, Y); offsets: (T,);
    gap_mm, difficulty: (N,).
    """

    residuals: Tensor
    sparse: Tensor
    offsets: Tensor
    gap_mm: Tensor
    difficulty: Tensor

    @classmethod
    def stack(cls, blocks: list[FusionBlock], device: torch.device) -> "_AlikeBlocks":
        names = ("sagittal", "coronal", "truth")
        residuals = np.stack([[getattr(block, name) for block in blocks] for name in names])
        acquired = np.stack([block.sparse for block in blocks])
        return cls(
            move_array(np.ascontiguousarray(residuals), device),
            move_array(np.ascontiguousarray(acquired), device),
            move_array(blocks[0].offsets, device),
            torch.tensor([block.gap_mm for block in blocks], device=device),
            torch.tensor([block.difficulty for block in blocks], device=device),
        )

    def cut(self, places: "_Places") -> FusionBatch:
        """The windows at ``places``."""
        device, count = self.sparse.device, len(self.offsets)
        pixels, exchanged, block, window, upward = (move_array(part, device) for part in places)
        windows, area = self.sparse.shape[1] - 1, self.sparse.shape[2:].numel()
        order = torch.arange(count, device=device)
        order = torch.where(upward[:, None], order.flip(0), order)  # (B, T): the offsets are symmetric about 1/2
        slices = ((block * windows + window)[:, None] * count + order) * area
        where = slices[:, :, None, None] + pixels[:, None]  # (B, T, h, w)
        size = self.residuals[0].numel()
        coronal = size * exchanged[:, None, None, None]
        sag, cor, truth = (self.residuals.view(-1).take(where + which) for which in (coronal, size - coronal, 2 * size))
        below, above = (
            self.sparse.view(-1).take(((block * (windows + 1) + acquired) * area)[:, None, None] + pixels)[:, None]
            for acquired in (window + upward, window + ~upward)
        )
        offset = self.offsets.expand(len(block), count)
        line = torch.lerp(below, above, offset[:, :, None, None])
        gap_mm = self.gap_mm[block][:, None].expand_as(offset)
        near = below.expand_as(line), above.expand_as(line)
        return FusionBatch(line + sag, line + cor, *near, offset, gap_mm, line + truth, self.difficulty[block])


class _Places(NamedTuple):
    """Where the B patches of a batch lie, and how they are turned.

    pixels: (B, h, w) of the plane, in C order; exchanged: (B,) whether x and y are; block, window: (B,); upward: (B,)
    whether the lower acquired slice comes second.
    """

    pixels: np.ndarray
    exchanged: np.ndarray
    block: np.ndarray
    window: np.ndarray
    upward: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, alike: _AlikeBlocks, count: int, patch: int) -> "_Places":
        """``count`` random places."""
        blocks, acquired, *size = alike.sparse.shape
        lines = []  # (B, h) along x and (B, w) along y
        for length in size:
            side = min(patch, length)
            along = np.arange(side) + rng.integers(length - side + 1, size=(count, 1))
            lines.append(np.where(rng.random((count, 1)) < 0.5, along[:, ::-1], along))
        exchanged = rng.random(count) < 0.5
        x, y = lines
        pixels = np.where(
            exchanged[:, None, None],
            x[:, None, :] * size[1] + y[:, :, None],
            x[:, :, None] * size[1] + y[:, None, :],
        )
        block, window = rng.integers(blocks, size=count), rng.integers(acquired - 1, size=count)
        return cls(pixels, exchanged, block, window, rng.random(count) < 0.5)
