"""Parts of a label that move from one slice to the next: ribs, vessels, whatever runs slanted through the slices.

Where a part does not lie above itself in the next slice, its shape is interpolated in a frame that moves with it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from saint_cli.labels.transitions import Spacing, find_box

STEEPEST = 2.5
"""How far a part moves at most, in distances of the slices: 68 degrees off their normal."""

FARTHEST_RADII = 3.0
"""The same in sums of the radii of both parts; beyond, another part is as likely to be the partner."""

LEAST_OVERLAP, LEAST_GAIN = 0.3, 0.05
"""Dice of two parts that are shifted onto each other, and how much more it must be than without the shift."""

MARGIN = 3
"""Pixels around a part within which the interpolated shape can lie."""

Box = tuple[slice, slice]


@dataclass(frozen=True)
class Part:
    """One connected part of a label in a slice: its mask [x, y] in a box, its centre there in pixels of the slice."""

    label: int
    box: Box
    mask: np.ndarray

    @cached_property
    def area(self) -> int:
        """Pixels."""
        return int(self.mask.sum())

    @cached_property
    def centre(self) -> np.ndarray:
        """(2,) pixels of the slice."""
        return np.asarray(np.argwhere(self.mask).mean(0) + [s.start for s in self.box])

    @classmethod
    def cut(cls, numbers: np.ndarray, number: int, box: Box, label: int) -> Self:
        """The part with a number in the slice of ``numbers`` [X, Y]."""
        return cls(label, box, numbers[box] == number)


@dataclass(frozen=True)
class MovingPart:
    """A part in two slices; spacing: of their pixels."""

    first: Part
    second: Part
    spacing: Spacing

    @property
    def label(self) -> int:
        """Of both."""
        return self.first.label

    @property
    def shift(self) -> np.ndarray:
        """(2,) pixels from the first centre to the second."""
        return np.asarray(self.second.centre - self.first.centre)

    @cached_property
    def _depths(self) -> tuple[np.ndarray, np.ndarray]:
        """Signed distances of both masks and ``MARGIN`` pixels around them, mm."""
        first, second = (_signed_distance(np.pad(p.mask, MARGIN), self.spacing) for p in (self.first, self.second))
        return first, second

    def depth_at(self, time: float, shape: tuple[int, int]) -> tuple[Box, np.ndarray]:
        """mm inside the part's boundary at a time, negative outside, in a box [x, y] of a slice of ``shape``.

        Signed distances are interpolated in the moving frame; the boundary is where the area is interpolated linearly.
        """
        centre = (1 - time) * self.first.centre + time * self.second.centre
        reach = np.max([np.array(part.mask.shape) for part in (self.first, self.second)], axis=0) + MARGIN
        low = np.maximum(np.floor(centre - reach).astype(int), 0)
        high = np.minimum(np.ceil(centre + reach).astype(int) + 1, shape)
        pixels = np.mgrid[low[0] : high[0], low[1] : high[1]]
        depth = np.zeros(pixels.shape[1:])
        for part, signed, weight in zip((self.first, self.second), self._depths, (1 - time, time), strict=True):
            corner = np.array([s.start for s in part.box]) - MARGIN
            places = pixels - (centre - part.centre + corner)[:, None, None]
            sampled = ndimage.map_coordinates(signed, places, order=1, mode="nearest")
            outside = np.maximum(0, np.maximum(-places, places - np.array(signed.shape)[:, None, None] + 1))
            depth += weight * (sampled - np.hypot(outside[0] * self.spacing[0], outside[1] * self.spacing[1]))
        area = min(round((1 - time) * self.first.area + time * self.second.area), depth.size - 1)
        ordered = np.partition(depth.ravel(), [depth.size - area - 1, depth.size - area])
        depth -= ordered[depth.size - area - 1 : depth.size - area + 1].mean()
        return (slice(low[0], high[0]), slice(low[1], high[1])), depth


def find_moving_parts(first: np.ndarray, second: np.ndarray, spacing: Spacing, gap_mm: float) -> list[MovingPart]:
    """Pairs of parts, one in each slice, that are one part which moves; none is in two pairs.

    first, second: [X, Y] int32 labels; 0 has no parts. gap_mm: between the slices. Two parts of one label make a pair
    if they overlap each other and no others, or if they overlap none and each is nearest to the other; a shift by the
    distance of their centres must bring them onto each other.
    """
    from skimage.measure import label as number_components

    numbers = [number_components(plane, background=0, connectivity=2) for plane in (first, second)]
    boxes = [ndimage.find_objects(n) for n in numbers]
    labels = [_labels_of(n, plane) for n, plane in zip(numbers, (first, second), strict=True)]
    found = []
    for one, other in (*_find_overlapping(numbers, labels), *_find_lonely(numbers, labels, spacing, gap_mm)):
        pair = MovingPart(
            Part.cut(numbers[0], one, boxes[0][one - 1], int(labels[0][one])),
            Part.cut(numbers[1], other, boxes[1][other - 1], int(labels[1][other])),
            spacing,
        )
        if np.hypot(*(pair.shift * spacing)) <= STEEPEST * gap_mm and _is_aligned_by_shift(pair):
            found.append(pair)
    return found


def remove_parts(plane: np.ndarray, parts: list[Part]) -> np.ndarray:
    """A copy of a slice [X, Y] where each part has the label of the nearest voxel that is in none."""
    if not parts:
        return plane
    gone = np.zeros(plane.shape, bool)
    for part in parts:
        gone[part.box] |= part.mask
    box, filled = find_box(gone, 2), plane.copy()
    if gone[box].all():
        return plane
    nearest = ndimage.distance_transform_edt(gone[box], return_distances=False, return_indices=True)
    filled[box] = plane[box][tuple(nearest)]
    return filled


def _labels_of(numbers: np.ndarray, plane: np.ndarray) -> np.ndarray:
    """The label of each part, by its number."""
    labels = np.zeros(int(numbers.max()) + 1, plane.dtype)
    labels[numbers.ravel()] = plane.ravel()
    return labels


def _touching(numbers: list[np.ndarray], labels: list[np.ndarray]) -> np.ndarray:
    """(pairs, 2) numbers of parts of one label that overlap."""
    one, other = (n.ravel() for n in numbers)
    same = (one > 0) & (other > 0)
    same[same] = labels[0][one[same]] == labels[1][other[same]]
    return np.unique(np.stack([one[same], other[same]], 1), axis=0)


def _find_overlapping(numbers: list[np.ndarray], labels: list[np.ndarray]) -> Iterator[tuple[int, int]]:
    """Pairs of parts that overlap each other and no others."""
    pairs = _touching(numbers, labels)
    counts = [np.bincount(pairs[:, side], minlength=len(labels[side])) for side in (0, 1)]
    for one, other in pairs:
        if counts[0][one] == counts[1][other] == 1:
            yield int(one), int(other)


def _find_lonely(
    numbers: list[np.ndarray], labels: list[np.ndarray], spacing: Spacing, gap_mm: float
) -> Iterator[tuple[int, int]]:
    """Pairs of parts of one label that overlap none, each the nearest to the other."""
    pairs = _touching(numbers, labels)
    lonely = [np.setdiff1d(np.arange(1, len(labels[side])), pairs[:, side]) for side in (0, 1)]
    if not len(lonely[0]) or not len(lonely[1]):
        return
    centres = [
        np.array(ndimage.center_of_mass(n > 0, n, who)) * spacing for n, who in zip(numbers, lonely, strict=True)
    ]
    areas = [np.bincount(n.ravel())[who] for n, who in zip(numbers, lonely, strict=True)]
    radii = [np.sqrt(area * np.prod(spacing) / np.pi) for area in areas]
    one, other = _find_near(centres, radii, [own[who] for own, who in zip(labels, lonely, strict=True)], gap_mm)
    distance = np.hypot(*(centres[0][one] - centres[1][other]).T)
    is_mutual = _is_nearest(one, other, distance) & _is_nearest(other, one, distance)
    for i, j in sorted(zip(one[is_mutual], other[is_mutual], strict=True)):
        yield int(lonely[0][i]), int(lonely[1][j])


def _find_near(
    centres: list[np.ndarray], radii: list[np.ndarray], labels: list[np.ndarray], gap_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of parts of one label that lie as near to each other as a part may move, as two arrays (pairs,).

    centres: (n, 2) mm, radii: (n,) mm, labels: (n,), each of both slices. Memory grows with the pairs that are found.
    """
    found = [np.empty((2, 0), int)]
    for label in np.intersect1d(labels[0], labels[1]):
        who = [np.flatnonzero(own == label) for own in labels]
        farthest = min(STEEPEST * gap_mm, FARTHEST_RADII * sum(r[w].max() for r, w in zip(radii, who, strict=True)))
        first, second = (KDTree(c[w]) for c, w in zip(centres, who, strict=True))
        near = first.sparse_distance_matrix(second, farthest * (1 + 1e-9), output_type="ndarray")
        found.append(np.stack([who[0][near["i"]], who[1][near["j"]]]))
    one, other = np.concatenate(found, axis=1)
    distance = np.hypot(*(centres[0][one] - centres[1][other]).T)
    reach = np.minimum(STEEPEST * gap_mm, FARTHEST_RADII * (radii[0][one] + radii[1][other]))
    return one[distance <= reach], other[distance <= reach]


def _is_nearest(one: np.ndarray, other: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Which of the pairs (n,) have the least distance of those of their ``one``; of equals the lowest ``other``."""
    order = np.lexsort((other, distance, one))
    result = np.zeros(len(order), bool)
    result[order[np.diff(one[order], prepend=-1) > 0]] = True
    return result


def _is_aligned_by_shift(pair: MovingPart) -> bool:
    """Whether a shift brings the two parts onto each other, and is needed for it."""
    before, after = (_dice(pair, shift) for shift in (np.zeros(2, int), np.rint(pair.shift).astype(int)))
    return after >= LEAST_OVERLAP and after >= before + LEAST_GAIN


def _dice(pair: MovingPart, shift: np.ndarray) -> float:
    """Of the second part and the first one moved by whole pixels."""
    starts = [np.array([s.start for s in part.box]) + move for part, move in ((pair.first, shift), (pair.second, 0))]
    low = np.maximum(*starts)
    high = np.minimum(starts[0] + pair.first.mask.shape, starts[1] + pair.second.mask.shape)
    if (high <= low).any():
        return 0.0
    cuts = [
        part.mask[tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))]
        for part, start in zip((pair.first, pair.second), starts, strict=True)
    ]
    return float(2 * (cuts[0] & cuts[1]).sum() / (pair.first.area + pair.second.area))


def _signed_distance(mask: np.ndarray, spacing: Spacing) -> np.ndarray:
    """mm to the boundary half way between voxels of a mask and others; positive inside."""
    inside, outside = (ndimage.distance_transform_edt(m, sampling=spacing) for m in (mask, ~mask))
    return np.asarray(inside - outside, np.float32)
