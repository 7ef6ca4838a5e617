"""Axial planes of HU for the bone surface: acquired, interpolated linearly, and without what is not bone."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from saint_cli.report.anatomy import UprightVolume
from saint_cli.report.plane_cuts import ScanPair
from saint_cli.volume.hounsfield import MAX_HU

AIR_HU, METAL_HU = -1000.0, 3000.0
"""In place of voxels that are padding or not finite."""

DENSE_HU = 500.0
"""Compact bone; soft tissue and most vessels stay below, however much contrast agent they hold."""

REACH_MM = 10.0
"""Bone lies at most so far from compact bone; kidneys and most vessels lie farther."""

BLOCK_MM = 3.0
"""Compact bone is sought in blocks of about this side."""

FEWEST_DENSE_BLOCKS = 4
"""Of a block and its neighbours, those that must be dense too; noise makes single ones."""

PlaneReader = Callable[[int], np.ndarray]
"""The axial plane [left, posterior] of HU at a row of the output."""


def read_plane(upright: UprightVolume, k: int) -> np.ndarray:
    """An axial plane [left, posterior] as float32; padding and what is not finite is air, infinity metal."""
    stored = upright.voxels[:, :, k]
    plane = stored.astype(np.float32)
    plane[upright.header.is_padding(stored)] = AIR_HU
    plane = np.nan_to_num(plane, copy=False, nan=AIR_HU, posinf=METAL_HU, neginf=AIR_HU)
    return np.clip(plane, -MAX_HU, MAX_HU, out=plane)


def make_before_reader(pair: ScanPair) -> PlaneReader:
    """Linear interpolation of the acquired slices at the output's voxels."""
    before, axis = pair.before, pair.through_plane
    position = _acquired_positions(pair)
    below = np.floor(position).astype(int)
    above, t = np.minimum(below + 1, before.voxels.shape[axis] - 1), (position - below).astype(np.float32)
    if axis == 2:
        return lambda k: read_plane(before, below[k]) * (1 - t[k]) + read_plane(before, above[k]) * t[k]
    share = t[:, None] if axis == 0 else t

    def across(k: int) -> np.ndarray:
        plane = read_plane(before, k)
        return np.asarray(plane.take(below, axis) * (1 - share) + plane.take(above, axis) * share)

    return across


def _acquired_positions(pair: ScanPair) -> np.ndarray:
    """Where the output's voxels lie along the through-plane axis, in acquired slices."""
    axis = pair.through_plane
    step = pair.after.spacing_mm[axis] / pair.before.spacing_mm[axis]
    first = pair.offset_mm / pair.before.spacing_mm[axis]
    positions = first + np.arange(pair.after.voxels.shape[axis]) * step
    return np.asarray(np.clip(positions, 0, pair.before.voxels.shape[axis] - 1))


@dataclass(frozen=True)
class Skeleton:
    """Where bone may be: blocks of acquired voxels [left, posterior, superior] near compact bone.

    is_near: bool, one per block; block_of: for each upright axis the block of every output voxel.
    """

    is_near: np.ndarray
    block_of: tuple[np.ndarray, np.ndarray, np.ndarray]

    def keep_bone(self, read: PlaneReader) -> PlaneReader:
        """The same planes with air in place of what is not near compact bone."""
        left, posterior, superior = self.block_of

        def read_bone(k: int) -> np.ndarray:
            is_near = self.is_near[:, :, superior[k]][np.ix_(left, posterior)]
            return np.where(is_near, read(k), np.float32(AIR_HU))

        return read_bone


def find_skeleton(pair: ScanPair) -> Skeleton:
    """The blocks within ``REACH_MM`` of compact bone in the acquired slices."""
    from scipy import ndimage

    before = pair.before
    sides = [max(1, round(BLOCK_MM / s)) for s in before.spacing_mm]
    is_dense = _find_dense_blocks(before, sides)
    dense_around = ndimage.convolve(is_dense.astype(np.uint8), np.ones((3, 3, 3), np.uint8), mode="constant")
    is_dense &= dense_around >= FEWEST_DENSE_BLOCKS
    block_mm = [side * s for side, s in zip(sides, before.spacing_mm, strict=True)]
    is_near = np.zeros_like(is_dense)
    if is_dense.any():
        is_near = ndimage.distance_transform_edt(~is_dense, sampling=block_mm) <= REACH_MM
    positions = [np.arange(n) for n in pair.after.voxels.shape]
    positions[pair.through_plane] = np.rint(_acquired_positions(pair)).astype(int)
    left, posterior, superior = (position // side for position, side in zip(positions, sides, strict=True))
    return Skeleton(is_near, (left, posterior, superior))


def _find_dense_blocks(upright: UprightVolume, sides: list[int]) -> np.ndarray:
    """Which blocks of voxels hold one above ``DENSE_HU``; the last block of an axis may be smaller."""
    x, y, z = upright.voxels.shape
    starts_x, starts_y = np.arange(0, x, sides[0]), np.arange(0, y, sides[1])
    is_dense = np.zeros((len(starts_x), len(starts_y), -(-z // sides[2])), bool)
    for k in range(z):
        dense = read_plane(upright, k) > DENSE_HU
        rows = np.logical_or.reduceat(dense, starts_x, axis=0)
        is_dense[:, :, k // sides[2]] |= np.logical_or.reduceat(rows, starts_y, axis=1)
    return is_dense
