"""Random zoom, kernel, contrast and noise of patches."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from saint_cli.method.intensity import CT

PROBABILITY = 0.5
"""Of zoom, kernel and contrast each; noise, which cannot be predicted, is added half as often."""

ZOOM_RANGE = (0.75, 1.5)
KERNEL_RANGE = (-0.1, 0.2)
"""Share of each in-plane neighbour: below zero sharpens, above smooths, as reconstruction kernels differ."""

LARGEST_CONTRAST = 1.35
NOISE_RANGE = (0.004, 0.025)
"""Standard deviation, network units (4 to 25 HU)."""

WATER_UNITS = 1.0
"""Network value of water, about which contrast is varied."""
CT_UNITS = (CT.high - CT.low) / CT.scale
"""Network value of the upper end of the CT window, at which patches are clipped."""


@dataclass(frozen=True)
class Augmentation:
    """How n patches differ from the volume they come from; (n,) float32 each.

    zoom: in-plane voxels of the volume that one voxel of the patch spans; kernel, contrast, noise: see the module's
    constants.
    """

    zoom: np.ndarray
    kernel: np.ndarray
    contrast: np.ndarray
    noise: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, count: int) -> "Augmentation":
        """Random ones."""
        chance = rng.random((4, count))
        zoom, kernel, contrast, noise = rng.random((4, count))
        often, seldom = PROBABILITY, PROBABILITY / 2
        logarithms = math.log(ZOOM_RANGE[0]), math.log(ZOOM_RANGE[1])
        parts = (
            np.where(chance[0] < often, np.exp(between(logarithms, zoom)), 1.0),
            np.where(chance[1] < often, between(KERNEL_RANGE, kernel), 0.0),
            np.where(chance[2] < often, LARGEST_CONTRAST ** (2 * contrast - 1), 1.0),
            np.where(chance[3] < seldom, between(NOISE_RANGE, noise), 0.0),
        )
        return cls(*(part.astype(np.float32) for part in parts))

    @classmethod
    def none(cls, count: int) -> "Augmentation":
        """Patches as they are in the volume."""
        zero, one = np.zeros(count, np.float32), np.ones(count, np.float32)
        return cls(one, zero, one, zero)


def between(ends: tuple[float, float], share: np.ndarray) -> np.ndarray:
    """Numbers at shares of the way from one end to the other."""
    values: np.ndarray = ends[0] + (ends[1] - ends[0]) * share
    return values


def vary(values: Tensor, kernel: Tensor, contrast: Tensor, noise: Tensor, random: torch.Generator) -> Tensor:
    """Kernel, contrast and noise on (B, H, ...) network values, H in-plane; kernel, contrast, noise (B,)."""
    shape = (-1, *[1] * (values.ndim - 1))
    contrast, noise = (part.view(shape) for part in (contrast, noise))
    values = WATER_UNITS + contrast * (filter_in_plane(values, kernel) - WATER_UNITS)
    white = torch.randn(values.shape, generator=random, device=values.device)
    correlated = (white + white.roll(1, 1)) / math.sqrt(2)  # in-plane, as CT's is
    return (values + noise * correlated).clamp_(0, CT_UNITS)


def filter_in_plane(values: Tensor, kernel: Tensor) -> Tensor:
    """(B, H, ...) network values with the kernel (B,) along H."""
    kernel = kernel.view(-1, *[1] * (values.ndim - 1))
    neighbours = torch.cat([values[:, :1], values[:, :-1]], 1) + torch.cat([values[:, 1:], values[:, -1:]], 1)
    return (1 - 2 * kernel) * values + kernel * neighbours
