"""Patches whose acquired slices are slabs: means of dense slices by a scanner's profile, beside single true ones."""

import numpy as np
import torch
from torch import Tensor

from saint_cli.geometry.slab_profile import ProfileShape, SlabProfile
from saint_cli.training.dense_volume import move_array

MARGIN = 1
"""Acquired slices beyond either end of a patch that slabs may reach into."""

CONTIGUOUS_PROBABILITY, GAUSSIAN_PROBABILITY = 0.5, 0.25
"""Of slabs that touch each other, as most are, and of a Gaussian profile in place of a box."""

THICKNESS_RANGE = (0.5, 2.0)
"""Thickness of the others in distances between slices: with gaps, as in MR, or overlapping, as CT is often set to."""

THICKEST_GAUSSIAN = 1.0
"""Thicker ones would reach beyond the margin."""

ROWS = 5
"""Rows of voxels that a patch is made of: below, middle, above, and two to mix with the outer ones."""


def draw_slab_profile(rng: np.random.Generator) -> SlabProfile:
    """A random profile; its thickness in distances between acquired slices."""
    is_contiguous, is_gaussian, thickness = rng.random(3)
    low, high = np.log(THICKNESS_RANGE)
    distances = 1.0 if is_contiguous < CONTIGUOUS_PROBABILITY else float(np.exp(low + (high - low) * thickness))
    if is_gaussian < GAUSSIAN_PROBABILITY:
        return SlabProfile(min(distances, THICKEST_GAUSSIAN), ProfileShape.GAUSSIAN)
    return SlabProfile(distances)


def count_dense_slices(acquired: int, factor: int) -> int:
    """Dense slices under a patch of ``acquired`` slabs with its margins."""
    return (acquired - 1 + 2 * MARGIN) * factor + 1


def weigh_slabs(profile: SlabProfile, acquired: int, factor: int) -> np.ndarray:
    """(acquired, dense) float32 weights of the dense slices in each slab."""
    middles = MARGIN + np.arange(acquired)
    return profile.weigh(middles, 1 / factor, count_dense_slices(acquired, factor)).astype(np.float32)


def index_slices(acquired: int, factor: int, steps: np.ndarray) -> np.ndarray:
    """(n, ROWS * dense + T * (acquired - 1)) dense slices to read for n patches with steps (n, T) of their truth.

    All dense slices of each row, then the true ones of the middle row.
    """
    dense = np.tile(np.arange(count_dense_slices(acquired, factor)), ROWS)
    above = steps[:, :, None] + factor * (MARGIN + np.arange(acquired - 1))
    return np.concatenate([np.broadcast_to(dense, (len(steps), len(dense))), above.reshape(len(steps), -1)], 1)


def average_slabs(values: Tensor, weights: np.ndarray) -> Tensor:
    """(n, H, ROWS * dense + truth) values as ``index_slices`` orders them to (n, H, ROWS * acquired + truth)."""
    cut = ROWS * weights.shape[1]
    dense, truth = values[..., :cut].unflatten(2, (ROWS, -1)), values[..., cut:]
    slabs = dense @ move_array(weights.T.copy(), values.device)
    return torch.cat([slabs.flatten(2), truth], 2)
