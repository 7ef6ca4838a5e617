"""Masks of segments painted into one label array, and what overlaps: a voxel of a label map has one label."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from saint_cli.errors import UsageError
from saint_cli.errors.plain_text import format_count
from saint_cli.volume.label_map import Segment

Window = tuple[slice, slice]
"""A part of a slice [x, y]."""

MAX_NAME = 40
"""Characters of a segment's name in a message."""

MAX_NUMBERS = 40
"""Numbers that a message lists."""


class LabelPainter:
    """An array [x, y, z] of labels, painted slice by slice in ascending order.

    overlaps: how many voxels two segments share, by their numbers, the lower first.
    """

    def __init__(self, shape: tuple[int, int, int], highest: int) -> None:
        self.labels = np.zeros(shape, choose_label_type(highest), order="F")
        self.overlaps: Counter[tuple[int, int]] = Counter()
        self._slice = -1
        self._painted: list[tuple[int, Window, np.ndarray]] = []

    def paint(self, z: int, number: int, mask: np.ndarray) -> None:
        """Give the voxels of a mask [x, y] of slice ``z`` a label; what has one already keeps it."""
        if z != self._slice:
            self._slice, self._painted = z, []
        window = _find_window(mask)
        if window is None:
            return
        plane, part = self.labels[(*window, z)], mask[window]
        occupied = part & (plane != 0) & (plane != number)
        if occupied.any():
            for other, place, painted in self._painted:
                if other != number:
                    shared = _count_shared(place, painted, window, part)
                    self.overlaps[min(other, number), max(other, number)] += shared
        plane[part & ~occupied] = number
        self._painted.append((number, window, part.copy()))

    def paint_free(self, z: int, number: int, mask: np.ndarray) -> None:
        """Give those voxels of a mask [x, y] of slice ``z`` a label that have none."""
        window = _find_window(mask)
        if window is not None:
            plane = self.labels[(*window, z)]
            plane[mask[window] & (plane == 0)] = number

    def require_disjoint(self, path: Path, segments: Sequence[Segment], noun: str) -> None:
        """Refuse segments that share voxels.

        Raises:
            UsageError: naming the two that share most, and segments that share none.
        """
        overlaps = {pair: count for pair, count in self.overlaps.items() if count}
        if not overlaps:
            return
        (first, second), count = min(overlaps.items(), key=lambda item: (-item[1], item[0]))
        names = {segment.number: describe_segment(segment, noun) for segment in segments}
        kept = _choose_disjoint([segment.number for segment in segments], set(overlaps))
        shown = ",".join(map(str, kept[:MAX_NUMBERS])) + (",..." if len(kept) > MAX_NUMBERS else "")
        shared = format_count(count, "voxel")
        raise UsageError(
            f"{path}: {names[first]} and {names[second]} overlap in {shared}, and a label map has one label for each "
            f"voxel; choose those that do not overlap, such as `segments={shown}`, and run again for the others"
        )


def _count_shared(window: Window, part: np.ndarray, other_window: Window, other_part: np.ndarray) -> int:
    """How many voxels two masks share, each of them known in its own part of the slice."""
    starts = [max(a.start, b.start) for a, b in zip(window, other_window, strict=True)]
    stops = [min(a.stop, b.stop) for a, b in zip(window, other_window, strict=True)]
    if any(start >= stop for start, stop in zip(starts, stops, strict=True)):
        return 0
    cuts = [
        tuple(slice(start - own.start, stop - own.start) for start, stop, own in zip(starts, stops, place, strict=True))
        for place in (window, other_window)
    ]
    return int(np.count_nonzero(part[cuts[0]] & other_part[cuts[1]]))


def _find_window(mask: np.ndarray) -> Window | None:
    """The smallest part of a mask [x, y] that holds all its voxels; None of an empty one."""
    columns, rows = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(columns):
        return None
    return slice(columns[0], columns[-1] + 1), slice(rows[0], rows[-1] + 1)


def choose_label_type(highest: int) -> np.dtype:
    """The smallest type of unsigned integers that holds a label."""
    return np.dtype(np.min_scalar_type(max(1, highest)))


def describe_segment(segment: Segment, noun: str) -> str:
    """``segment 3 "liver"``: what names a segment in a message, on one line."""
    name = "".join(c if c.isprintable() else "?" for c in (segment.name or ""))[:MAX_NAME].strip()
    return f'{noun} {segment.number} "{name}"' if name else f"{noun} {segment.number}"


def _choose_disjoint(numbers: Sequence[int], overlaps: set[tuple[int, int]]) -> list[int]:
    """Numbers of which no two overlap: those with most overlaps are left out one by one."""
    left = list(numbers)
    while overlaps:
        degrees = Counter(number for pair in overlaps for number in pair)
        worst = max(degrees, key=lambda number: (degrees[number], number))
        left.remove(worst)
        overlaps = {pair for pair in overlaps if worst not in pair}
    return left
