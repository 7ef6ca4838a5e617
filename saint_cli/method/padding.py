"""Padding around the field of view: hidden from the networks, and put back afterwards.

DICOM PS3.3 C.7.5.1.1.2: voxels between PixelPaddingValue and PixelPaddingRangeLimit hold no measurement. Interpolating
between one of them (-3024 HU, say) and tissue would invent a dark rim, and networks would ring at its edge.
"""

from dataclasses import replace

import numpy as np

from saint_cli.method import intensity
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.volume import Header, Volume, hounsfield

NEARER_ABOVE = 0.5
"""Offset from which on a synthesised slice takes what is not finite from the slice above."""

AIR_PERCENTILE = 0.5
"""Percentile of the measured values that stands for air: a few outliers below do not fill the whole border."""


def hide_padding(volume: Volume, axis: int) -> Volume:
    """The volume with padding voxels replaced by the nearest measured value along ``axis``.

    Columns without any measured voxel take about the least measured value of the volume (air). A volume without
    padding, or of nothing else, comes back itself; the input is not modified.
    """
    if not volume.header.padding:
        return volume
    padded = sum(int(volume.header.is_padding(part).sum()) for part in volume.voxels.T)
    if padded in (0, volume.voxels.size):
        return volume
    (lowest,) = hounsfield.percentiles(intensity.sample_measured(volume), (AIR_PERCENTILE,), "lower")
    least = volume.voxels.dtype.type(lowest)
    voxels = volume.voxels.copy(order="K")
    for plane in np.moveaxis(voxels, axis, 2):  # views [Y, slices], so that memory holds little besides the copy
        _fill_columns(plane, volume.header.is_padding(plane), least)
    return replace(volume, voxels=voxels)


def restore_padding(dense: np.ndarray, sparse: np.ndarray, plan: SlicePlan, header: Header) -> None:
    """Put padding back into ``dense`` [X, Y, output slices], in place.

    ``sparse`` [X, Y, acquired] are the values before :func:`hide_padding`. Copied slices get all their padding, and
    keep what else they hold; synthesised ones get it only where both neighbours have it.
    """
    if not header.padding:
        return
    for j, source in zip(plan.copied, plan.source, strict=True):
        holes = header.is_padding(sparse[..., source])
        dense[..., j][holes] = sparse[..., source][holes]
    for s, j in enumerate(plan.synthesised):
        both = is_between_padding(sparse, plan, s, header)
        dense[..., j][both] = sparse[..., plan.window[s]][both]


def repeat_beside_padding(dense: np.ndarray, sparse: np.ndarray, plan: SlicePlan, header: Header) -> None:
    """Give synthesised voxels between padding and a value that value, in place: only the other neighbour counts.

    ``dense`` [X, Y, output slices] were made of filled slices, whose values beside padding come from slices further
    away. ``sparse`` [X, Y, acquired] are the values before :func:`hide_padding`.
    """
    if not header.padding:
        return
    for s in np.flatnonzero(plan.offset > 0):
        below, above = (sparse[..., k] for k in (plan.window[s], plan.above[s]))
        is_hole = header.is_padding(below)
        is_alone = is_hole ^ header.is_padding(above)
        dense[..., plan.synthesised[s]][is_alone] = np.where(is_hole, above, below)[is_alone]


def is_between_padding(sparse: np.ndarray, plan: SlicePlan, s: int, header: Header) -> np.ndarray:
    """[X, Y] where synthesised slice ``s`` lies between two voxels of padding in ``sparse`` [X, Y, acquired].

    A slice at the place of an acquired one (``--regenerate``) has the padding of that one.
    """
    if plan.offset[s] == 0:
        return header.is_padding(sparse[..., plan.window[s]])
    below, above = (header.is_padding(sparse[..., k]) for k in (plan.window[s], plan.above[s]))
    return np.asarray(below & above)


def mark_holes(error: np.ndarray, sparse: np.ndarray, plan: SlicePlan, header: Header) -> None:
    """Give the expected error 0 where the result is padding, and NaN where it is not finite, in place.

    ``error`` [X, Y, output slices]; ``sparse`` [X, Y, acquired] are the values before :func:`hide_padding`.
    """
    if is_finite(sparse) and not header.padding:
        return
    for j, source in zip(plan.copied, plan.source, strict=True):
        error[..., j][~np.isfinite(sparse[..., source])] = np.nan
    for s, j in enumerate(plan.synthesised):
        error[..., j][is_between_padding(sparse, plan, s, header)] = 0
        error[..., j][_is_nonfinite(sparse, plan, s, header)] = np.nan


def _is_nonfinite(sparse: np.ndarray, plan: SlicePlan, s: int, header: Header) -> np.ndarray:
    """[X, Y] where synthesised slice ``s`` takes what is not finite in its nearer neighbour, or beside padding there.

    A slice at the place of an acquired one takes its own.
    """
    nearer, other = plan.window[s], plan.above[s]
    if plan.offset[s] >= NEARER_ABOVE:
        nearer, other = other, nearer
    found: np.ndarray = ~np.isfinite(sparse[..., nearer])
    if header.padding and plan.offset[s] > 0:
        found |= header.is_padding(sparse[..., nearer]) & ~np.isfinite(sparse[..., other])
    return found


def fill_nonfinite(slices: np.ndarray) -> np.ndarray:
    """The slices [X, Y, slices] if all values are finite, else a copy with the others filled from the nearest slices.

    Columns without any finite value take the least of the volume, 0 if there is none. Memory holds little besides the
    copy.
    """
    if is_finite(slices):
        return slices
    least = min(plane.min(where=np.isfinite(plane), initial=np.inf) for plane in slices)
    least = slices.dtype.type(least if np.isfinite(least) else 0)
    result = slices.copy(order="K")
    for plane in result:
        _fill_columns(plane, ~np.isfinite(plane), least)
    return result


def is_finite(voxels: np.ndarray) -> bool:
    """Whether voxels [x, y, z] have neither NaN nor infinity; no mask of the whole is in memory."""
    return voxels.dtype.kind in "iu" or all(bool(np.isfinite(part).all()) for part in voxels.T)


def count_copies(header: Header, *, is_finite: bool) -> int:
    """How many copies of a volume are in memory at once in which its padding, and what is not finite, are filled.

    is_finite: whether its voxels are, by the function of that name.
    """
    return bool(header.padding) + (not is_finite)


def find_holes(slices: np.ndarray, header: Header) -> np.ndarray | None:
    """[X, Y, slices] bool, what is padding or not finite; None, without a mask in memory, if there can be none."""
    if not header.padding and is_finite(slices):
        return None
    holes = np.empty(slices.shape, bool)
    for found, plane in zip(holes, slices, strict=True):
        found[:] = is_hole(plane, header)
    return holes


def is_hole(plane: np.ndarray, header: Header) -> np.ndarray:
    """Where values of any shape are padding or not finite."""
    holes = header.is_padding(plane)
    return holes if plane.dtype.kind in "iu" else holes | ~np.isfinite(plane)


def _fill_columns(plane: np.ndarray, holes: np.ndarray, least: np.generic) -> None:
    """Fill the holes of (n, slices) columns, in place, from the nearest slice that has a value, else with ``least``."""
    is_open = holes.any(axis=1)
    columns, holes, count = plane[is_open], holes[is_open], plane.shape[1]
    index = np.arange(count)
    below = np.maximum.accumulate(np.where(holes, -1, index), axis=1)
    above = np.minimum.accumulate(np.where(holes, count, index)[:, ::-1], axis=1)[:, ::-1]
    nearest = np.where((below >= 0) & ((index - below <= above - index) | (above == count)), below, above)
    taken = np.take_along_axis(columns, np.minimum(nearest, count - 1), axis=1)
    plane[is_open] = np.where((nearest < count) & (nearest >= 0), taken, least)
