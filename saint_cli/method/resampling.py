"""Slices without networks: means of several acquired ones, and slices resampled in their own plane."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from saint_cli.geometry import LineWeights, PlaneGrid, SliceGrid, box_weights
from saint_cli.method.assembly import allocate_slices, find_codings
from saint_cli.method.intensity import choose_result_dtype, round_to_dtype
from saint_cli.method.padding import is_hole
from saint_cli.volume import Derivation, Header, Volume
from saint_cli.volume.stored_values import Coding, choose_coding

NO_MODEL = "none"
"""Name of the model of a result that no network made."""

LEAST_MEASURED = 0.5
"""Share of a slab that must be measured for its mean to count; with less, a voxel of the result is padding."""


def average_slices(volume: Volume, grid: SliceGrid) -> Volume:
    """The volume on a coarser grid: every slice the mean of a slab of acquired ones, weighted by their overlap with it.

    Exact for whole ratios: the mean of so many slices, rounded once. Voxels of padding, or that are not finite, do not
    count. A grid of the acquired slices themselves gives them back. The input is not modified.
    """
    acquired = np.moveaxis(volume.voxels, grid.axis, 2)
    header = replace(volume.header, derivation=Derivation(grid, NO_MODEL, ""))
    if grid.is_same:
        return Volume(volume.voxels, volume.affine_lps, header)
    line = box_weights(grid.places, grid.step, grid.acquired)
    result = allocate_slices(acquired.shape[:2], grid.count, choose_result_dtype(acquired.dtype))
    for j, (indices, weights) in enumerate(zip(line.indices, line.weights, strict=True)):
        overlaps = np.round(weights * grid.step, 9)  # whole numbers where they should be, so that sums are exact
        mean = round_to_dtype(_average(acquired, indices, overlaps, header), result.dtype)
        result[..., j] = _round_to_codings(mean, _find_codings(header, grid, j))
    return Volume(np.moveaxis(result, 2, grid.axis), grid.refine(volume.affine_lps), header)


def _average(acquired: np.ndarray, indices: np.ndarray, overlaps: np.ndarray, header: Header) -> np.ndarray:
    """[X, Y] float64, the weighted mean of what is measured in slices of [X, Y, acquired]."""
    total, measured, padding = (np.zeros(acquired.shape[:2]) for _ in range(3))
    for index, overlap in zip(indices, overlaps, strict=True):
        if overlap > 0:
            plane = acquired[..., index]
            holes = is_hole(plane, header)
            total += overlap * np.where(holes, 0, plane)
            measured += overlap * ~holes
            padding[holes] = plane[holes]
    is_known = measured >= LEAST_MEASURED * overlaps.sum()
    return np.where(is_known, total / np.where(is_known, measured, 1.0), padding)


def resample_planes(volume: Volume, plane: PlaneGrid) -> Volume:
    """The volume with every slice along ``plane.axis`` resampled in its plane; the input is not modified.

    Cubic convolution (Keys) to finer or moved pixels, clipped to the four voxels that it takes along each axis, so that
    edges do not overshoot; the mean over the area of coarser ones. Voxels of padding, or that are not finite, are
    filled from the nearest measured one first, and put back where they are the nearest. What lies outside the field of
    view gets the padding value of the scan, or the least value of the volume where it names none.
    """
    slices, header = np.moveaxis(volume.voxels, plane.axis, 2), volume.header
    x, y = (line.count for line in plane.lines)
    result = allocate_slices((x, y), slices.shape[2], choose_result_dtype(slices.dtype))
    outside, grid = _choose_outside(volume, result.dtype), None if header.derivation is None else header.derivation.grid
    for k in range(slices.shape[2]):
        made = _resample(slices[..., k], plane, k, header, outside)
        result[..., k] = _round_to_codings(made, _find_codings(header, grid, k))
    derivation = None if header.derivation is None else replace(header.derivation, plane=plane)
    resampled = replace(header, derivation=derivation)
    return Volume(np.moveaxis(result, 2, plane.axis), plane.affine_lps, resampled)


def _resample(values: np.ndarray, plane: PlaneGrid, k: int, header: Header, outside: Any) -> np.ndarray:
    """One slice [x, y] as output pixels [X, Y]."""
    x, y = (line.sample(k) for line in plane.lines)
    holes = is_hole(values, header)
    sampled = _fill(values, holes)
    for axis, (line, weights) in enumerate(zip(plane.lines, (x, y), strict=True)):
        if not line.is_exact(k) or line.count != line.size:
            sampled = _apply(sampled, weights, axis, clip=not line.averages)
    stored = round_to_dtype(sampled, choose_result_dtype(values.dtype))
    if holes.any():
        nearest = np.ix_(x.nearest, y.nearest)
        stored = np.where(holes[nearest], values[nearest], stored)
    return np.where(x.is_inside[:, None] & y.is_inside, stored, outside)


def _apply(values: np.ndarray, line: LineWeights, axis: int, *, clip: bool) -> np.ndarray:
    """Weighted sums along an axis of [x, y], float64; with ``clip`` within the voxels that have a weight."""
    values = np.moveaxis(values, axis, 0)
    result = np.zeros((len(line.indices), values.shape[1]))
    low, high = np.full(result.shape, np.inf), np.full(result.shape, -np.inf)
    for indices, weights in zip(line.indices.T, line.weights.T, strict=True):
        taken = values[indices]
        result += weights[:, None] * taken
        if clip:
            counts = weights[:, None] != 0
            np.minimum(low, taken, out=low, where=counts)
            np.maximum(high, taken, out=high, where=counts)
    return np.moveaxis(np.clip(result, low, high) if clip else result, 0, axis)


def _fill(values: np.ndarray, holes: np.ndarray) -> np.ndarray:
    """[x, y] float64 with holes filled from the nearest other voxel; of nothing but holes as it is, 0 if not finite."""
    filled = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    if holes.any() and not holes.all():
        from scipy import ndimage

        nearest = ndimage.distance_transform_edt(holes, return_distances=False, return_indices=True)
        filled = filled[tuple(nearest)]
    return filled


def _choose_outside(volume: Volume, dtype: np.dtype) -> Any:
    """The value of what lies outside the field of view."""
    for value in (float(end) for ends in volume.header.padding for end in ends):
        if np.isfinite(value):
            stored = _round_to_codings(round_to_dtype(np.array([value]), dtype), volume.header.codings)
            if stored[0] == value:
                return dtype.type(value)
    least = min((float(part[np.isfinite(part)].min()) for part in _parts(volume.voxels)), default=0.0)
    return dtype.type(least)


def _parts(voxels: np.ndarray) -> Iterator[np.ndarray]:
    """The planes of a volume that hold a finite voxel, so that no mask of the whole is in memory."""
    return (part for part in voxels.T if np.isfinite(part).any())


def _find_codings(header: Header, grid: SliceGrid | None, index: int) -> Sequence[Coding]:
    """What slice ``index`` of a result can store, by the acquired slices that it was made of on ``grid``."""
    if grid is None:
        return header.codings if len(header.codings) == 1 else ()
    codings = find_codings(header, grid)
    if len(codings) < 2:
        return codings
    if grid.averages:
        slab = grid.find_slab(index)
        return codings[slab.start : slab.stop]
    below, offset = (found[index] for found in grid.locate())
    return codings[below : below + (1 if offset == 0 else 2)]


def _round_to_codings(plane: np.ndarray, codings: Sequence[Coding]) -> np.ndarray:
    """The nearest values that one of the codings can store; of none as they are."""
    return choose_coding(codings, plane).nearest(plane) if codings else plane
