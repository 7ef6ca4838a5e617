"""What part of a scan the self-check predicts: all of a small one, slices and plane cut around the middle of others."""

import math
from dataclasses import dataclass

from saint_cli.geometry import SliceGrid, in_plane

FEWEST_SLICES = 5
"""Acquired slices; with fewer there is nothing left to predict from."""

WORK_SHARE = 0.1
"""Part of the job's work that the check may take, without cut edges and the start of each pass."""

SMALL_VOXELS = 40_000
"""Volumes with up to so many predicted voxels are checked as a whole."""

MOST_PREDICTED = 8
"""Of predicted slices; the remaining work goes into a wider region of each."""

NARROWEST = 48
"""Voxels along each side of the region, where the volume has them."""

EDGE = 8
"""Voxels along a cut edge that are predicted but not scored, for networks guess what lies beyond it."""


@dataclass(frozen=True)
class Region:
    """Boxes of acquired voxels along x, y, z: the networks' input, and the part of it that is compared.

    Along the through-plane axis both hold the same odd number of slices; the second, fourth, ... are predicted.
    """

    predicted_box: tuple[slice, ...]
    scored_box: tuple[slice, ...]
    is_whole: bool


def plan_region(grid: SliceGrid, shape: tuple[int, ...], centre: tuple[int, ...]) -> Region:
    """The box to check: the whole volume where that is cheap, else slices and plane cut around ``centre``.

    The work of a job is that of its acquired slices (AMI's features) or of its synthesised ones (RFN), whichever weighs
    more; the box takes ``WORK_SHARE`` of it.
    """
    axis, acquired = grid.axis, grid.acquired
    plane = math.prod(shape) // shape[axis]
    predicted = (acquired - 1) // 2
    is_small = plane * predicted <= SMALL_VOXELS
    if not is_small:
        predicted = min(predicted, MOST_PREDICTED)
    synthesised = max(1, grid.count - acquired)
    share = 1.0 if is_small else WORK_SHARE / max((predicted + 1) / acquired, predicted / synthesised)
    predicted_box, scored_box = [], []
    for i, size in enumerate(shape):
        if i == axis:
            box = _centred_slice(centre[i], 2 * predicted + 1, size)
            predicted_box.append(box)
            scored_box.append(box)
            continue
        length = size if share >= 1 else min(size, max(NARROWEST, round(size * math.sqrt(share))))
        box = _centred_slice(centre[i], length, size)
        predicted_box.append(box)
        scored_box.append(slice(box.start + EDGE * (box.start > 0), box.stop - EDGE * (box.stop < size)))
    is_whole = all(s.stop - s.start == n for s, n in in_plane(zip(scored_box, shape, strict=True), axis))
    return Region(tuple(predicted_box), tuple(scored_box), is_whole and predicted * 2 + 2 > acquired)


def _centred_slice(centre: int, length: int, size: int) -> slice:
    start = min(max(0, centre - length // 2), size - length)
    return slice(start, start + length)
