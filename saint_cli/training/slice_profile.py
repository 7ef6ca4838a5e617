"""What a slice of a varied patch is made of: one dense slice, the mean of several, or a Gaussian mean of them."""

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

BOX_PROBABILITIES = (0.5, 0.25, 0.25)
"""Of CT: slices are picked, averaged over their distance, or averaged over twice their distance."""

GAUSSIAN_WIDTHS = (0.5, 0.8, 0.9, 1.0, 1.25, 1.5)
"""Of MR: full width at half maximum of an excited slice, in distances of acquired slices. 0.8 and 0.9 leave the usual
gaps of 20 and 10 %; above 1 slices overlap."""

PICKED_PROBABILITY = 0.5
"""Of MR, whose dense slices are picked as they are."""

MOST_TAPS = 9
"""Dense slices that a Gaussian is sampled at, evenly over its width."""

REACH = 1.0
"""Full widths at half maximum to either side beyond which a Gaussian counts as 0; it is 1/16 there."""


class SliceProfile(NamedTuple):
    """The dense slices whose weighted mean stands for one slice.

    offsets: where they lie from it, in dense slices, ascending; weights: as many, with a sum of 1; () for equal ones.
    """

    offsets: tuple[int, ...]
    weights: tuple[float, ...] = ()

    @classmethod
    def box(cls, averaged: int) -> "SliceProfile":
        """The mean of ``averaged`` slices around each."""
        return cls(tuple(range(-(averaged // 2), averaged - averaged // 2)))

    @classmethod
    def gaussian(cls, width: float) -> "SliceProfile":
        """A Gaussian of a full width at half maximum in dense slices; below one slice that slice alone."""
        reach = math.floor(REACH * width)
        stride = max(1, math.ceil(2 * reach / (MOST_TAPS - 1)))
        reach -= reach % stride
        offsets = tuple(range(-reach, reach + 1, stride))
        heights = [0.5 ** ((2 * offset / width) ** 2) for offset in offsets] if width > 0 else [1.0]
        return PICKED if reach == 0 else cls(offsets, tuple(height / sum(heights) for height in heights))

    def average_last(self, values: Tensor) -> Tensor:
        """(..., slices of the profile) to (...)."""
        if not self.weights:
            return values.mean(-1)
        return values @ torch.tensor(self.weights, dtype=values.dtype, device=values.device)

    def average_slices(self, dense: Tensor) -> Tensor:
        """(..., D) with each slice replaced by the mean around it; the ends are repeated."""
        if len(self.offsets) == 1:
            return dense
        below, above = -self.offsets[0], self.offsets[-1]
        rows = F.pad(dense.reshape(1, -1, dense.shape[-1]), (below, above), mode="replicate")
        if not self.weights:
            return F.avg_pool1d(rows, len(self.offsets), 1).view(dense.shape)
        average = torch.zeros_like(rows[..., : dense.shape[-1]])
        for offset, weight in zip(self.offsets, self.weights, strict=True):
            average.add_(rows[..., below + offset : below + offset + dense.shape[-1]], alpha=weight)
        return average.view(dense.shape)


PICKED = SliceProfile.box(1)


def draw_box_profile(rng: np.random.Generator, step: int) -> SliceProfile:
    """Of CT, every ``step``-th slice kept: picked, averaged up to the next, or overlapping, as scanners often do it."""
    distances = int(np.searchsorted(np.cumsum(BOX_PROBABILITIES), rng.random(), side="right"))
    return SliceProfile.box(max(1, distances * step))


def draw_selective_profile(rng: np.random.Generator, distance: int) -> SliceProfile:
    """Of MR: slices picked, or excited with a Gaussian profile; distance: of acquired slices, in dense ones."""
    share, width = rng.random(), rng.integers(len(GAUSSIAN_WIDTHS))
    return PICKED if share < PICKED_PROBABILITY else SliceProfile.gaussian(GAUSSIAN_WIDTHS[width] * distance)
