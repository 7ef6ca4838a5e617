"""When each voxel between two slices changes its label, from the shapes alone.

Every voxel whose label differs between two acquired slices changes once, at a time from 0 (first slice) to 1 (second).
Voxels change in the order in which a boundary that moves evenly passes them: by a / (a + b), where a is the distance to
the nearest voxel of the new label in the first slice and b that to the old label in the second. That is interpolation
of signed distances (Raya and Udupa 1990) for any number of labels at once, without gaps or overlaps. Then the times of
each connected region are spread evenly, so that areas change linearly: interpolated signed distances alone lose parts
that are thin, and with them volume. A region that has only one of its labels beside it in the other slice is an object
that begins or ends; it shrinks as an ellipsoid does, and has the volume of half a gap.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

Spacing = tuple[float, float]
"""mm between pixels along x and y."""

REACH = 24
"""Pixels around a change within which distances are measured; beyond, a label is absent."""

ELLIPSOID_END = 0.75
"""Where an object that ends does so: half an ellipsoid has 2/3 of the volume of its cylinder, and 2/3 * 0.75 = 1/2."""

SMOOTHING_PX, SMOOTHING_WEIGHT = 1.0, 0.1
"""Among voxels at equal distances, those with less of their old label around them change first."""

ADJACENT = 1.5
"""Pixel spacings up to which a label touches a region: diagonal neighbours do."""

FAR_MM = 1e3


@dataclass(frozen=True)
class _Changes:
    """What is known of the n voxels that change: old and new label, distances a and b in mm, the share of the old label
    around them in both slices less that of the new one, -2 to 2, and the number of their region, from 1 on."""

    to_new: np.ndarray
    to_old: np.ndarray
    support: np.ndarray
    region: np.ndarray


def find_change_times(first: np.ndarray, second: np.ndarray, spacing: Spacing) -> np.ndarray:
    """The time, 0 to 1, at which each voxel turns from its label in ``first`` to that in ``second``.

    first, second: [X, Y] int32 labels. Returns [X, Y] float32, NaN where the labels are equal.
    """
    times = np.full(first.shape, np.nan, np.float32)
    differ = first != second
    if differ.any():
        times[differ] = _spread_times(_measure_changes(first, second, differ, spacing), spacing)
    return times


def _measure_changes(first: np.ndarray, second: np.ndarray, differ: np.ndarray, spacing: Spacing) -> _Changes:
    to_new, to_old, support = (np.full(first.shape, value, np.float32) for value in (FAR_MM, FAR_MM, 0.0))
    for label in np.unique(np.concatenate([first[differ], second[differ]])):
        for there, here, distance in ((first, second, to_new), (second, first, to_old)):
            changed = differ & (here == label)
            if changed.any():
                box = find_box(changed, REACH)
                distance[box][changed[box]] = _distance(there[box] == label, spacing)[changed[box]]
        box = find_box(differ & ((first == label) | (second == label)), 4)
        pair = [(plane[box] == label).astype(np.float32) for plane in (first, second)]
        share = ndimage.gaussian_filter(pair[0] + pair[1], SMOOTHING_PX, truncate=3)
        support[box] += share * (pair[0] - pair[1])
    return _Changes(to_new[differ], to_old[differ], support[differ], number_regions(first, second)[differ])


def number_regions(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """[X, Y] int, regions of voxels with the same two labels, which differ, from 1 on; 0 where they do not."""
    from skimage.measure import label as number_components

    pairs = np.where(first != second, first.astype(np.int64) * (int(second.max()) + 1) + second + 1, 0)
    return np.asarray(number_components(pairs, background=0, connectivity=1))


def find_box(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """The smallest box around a mask that is not empty, ``margin`` pixels wider on each side where there are any."""
    x, y = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return (
        slice(max(0, int(x[0]) - margin), int(x[-1]) + margin + 1),
        slice(max(0, int(y[0]) - margin), int(y[-1]) + margin + 1),
    )


def _distance(mask: np.ndarray, spacing: Spacing) -> np.ndarray:
    """mm to the nearest voxel of a mask, FAR_MM if it has none."""
    if not mask.any():
        return np.full(mask.shape, FAR_MM, np.float32)
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=spacing), np.float32)


def _spread_times(changes: _Changes, spacing: Spacing) -> np.ndarray:
    """(n,) times of voxels that change; see the top of this module."""
    numbers = np.arange(int(changes.region.max()) + 1)
    near = ADJACENT * max(spacing)
    touches = [ndimage.minimum(d, changes.region, numbers) <= near for d in (changes.to_new, changes.to_old)]
    grows, stays = (touch[changes.region] for touch in touches)
    moves, ends, begins = grows & stays, grows & ~stays, stays & ~grows
    a, b = changes.to_new, changes.to_old
    total = np.where(moves, a + b, 1.0)
    tie = SMOOTHING_WEIGHT * min(spacing) * changes.support
    key = np.select([moves, ends, begins], [(a + tie) / total, a + tie, tie - b], default=tie)
    rank = rank_in_regions(key, changes.region)
    shapes = [ELLIPSOID_END * np.sqrt(rank), 1 - ELLIPSOID_END * np.sqrt(1 - rank)]
    return np.asarray(np.select([ends, begins], shapes, default=rank), np.float32)


def rank_in_regions(key: np.ndarray, region: np.ndarray) -> np.ndarray:
    """(n,) share, above 0 and below 1, of the voxels of the same region whose key is smaller."""
    order = np.lexsort((key, region))
    count = np.bincount(region)
    start = np.cumsum(count) - count
    rank = np.empty(len(key))
    rank[order] = np.arange(len(key)) - start[region[order]] + 0.5
    return np.asarray(rank / count[region])
