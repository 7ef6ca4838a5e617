"""Random zoom, slice profile, kernel, contrast and noise of a dense patch."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d

PROBABILITY = 0.5
"""Of zoom, kernel and contrast each; noise, which cannot be predicted, is added half as often."""

ZOOM_RANGE = (0.75, 1.5)
PROFILE_PROBABILITIES = (0.5, 0.25, 0.25)
"""Slices are picked, averaged over their distance, or averaged over twice their distance."""

KERNEL_RANGE = (-0.1, 0.2)
"""Share of each in-plane neighbour: below zero sharpens, above smooths, as reconstruction kernels differ."""

LARGEST_CONTRAST = 1.35
NOISE_RANGE = (0.004, 0.025)
"""Standard deviation, network units (4 to 25 HU)."""

WATER_UNITS = 1.0
BRIGHTEST_UNITS = 4.095
"""Network values of water, about which contrast is varied, and of the upper end of the CT window."""


@dataclass(frozen=True)
class Augmentation:
    """How one patch differs from the volume it comes from.

    zoom: in-plane voxels of the volume that one voxel of the patch spans; profile: how thick its slices are in units of
    their distance: 0 picks slices, 1 averages up to the next one, 2 makes them overlap, as scanners are often set to;
    kernel, contrast, noise: see the module's constants.
    """

    zoom: float = 1.0
    profile: int = 0
    kernel: float = 0.0
    contrast: float = 1.0
    noise: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Augmentation":
        """A random one."""

        def maybe(probability: float, plain: float, value: float) -> float:
            return value if rng.random() < probability else plain

        return cls(
            maybe(PROBABILITY, 1.0, float(np.exp(rng.uniform(*np.log(ZOOM_RANGE))))),
            int(rng.choice(len(PROFILE_PROBABILITIES), p=PROFILE_PROBABILITIES)),
            maybe(PROBABILITY, 0.0, rng.uniform(*KERNEL_RANGE)),
            maybe(PROBABILITY, 1.0, float(np.exp(rng.uniform(-1, 1) * np.log(LARGEST_CONTRAST)))),
            maybe(PROBABILITY / 2, 0.0, rng.uniform(*NOISE_RANGE)),
        )

    def count_averaged_slices(self, step: int) -> int:
        """How many slices are averaged where every ``step``-th is kept."""
        return max(1, self.profile * step)

    def decimate(self, dense: np.ndarray, step: int) -> np.ndarray:
        """Every ``step``-th slice of (..., D), each averaged over the augmentation's profile."""
        averaged = self.count_averaged_slices(step)
        if averaged > 1:
            dense = uniform_filter1d(dense, averaged, axis=-1, mode="nearest")
        kept: np.ndarray = dense[..., ::step]
        return kept

    def apply(self, dense: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Kernel, contrast and noise on (3, H, D) network values; H in-plane, D through-plane."""
        if self.kernel:
            padded = np.pad(dense, ((0, 0), (1, 1), (0, 0)), mode="edge")
            dense = (1 - 2 * self.kernel) * dense + self.kernel * (padded[:, :-2] + padded[:, 2:])
        if self.contrast != 1:
            dense = WATER_UNITS + self.contrast * (dense - WATER_UNITS)
        if self.noise:
            white = rng.standard_normal(dense.shape, np.float32)
            dense = dense + self.noise * (white + np.roll(white, 1, 1)) / np.sqrt(2)  # correlated in-plane, as CT's is
        augmented: np.ndarray = np.clip(dense, 0, BRIGHTEST_UNITS).astype(np.float32)
        return augmented


NO_AUGMENTATION = Augmentation()


def interpolate_along(values: np.ndarray, positions: np.ndarray, axis: int) -> np.ndarray:
    """Linear interpolation at ``positions``, in voxels, along an axis; exact copies where they are whole numbers."""
    positions = np.clip(positions, 0, values.shape[axis] - 1)
    below = np.floor(positions).astype(int)
    share = (positions - below).astype(np.float32)
    first: np.ndarray = np.take(values, below, axis)
    if not share.any():
        return first
    above: np.ndarray = np.take(values, np.minimum(below + 1, values.shape[axis] - 1), axis)
    shape = [1] * values.ndim
    shape[axis] = -1
    first += share.reshape(shape) * (above - first)
    return first
