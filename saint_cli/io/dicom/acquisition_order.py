"""Volumes separated by the order in which their slices were acquired: the passes over the body follow each other."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from saint_cli.geometry import regularity
from saint_cli.io.dicom.layout import Layout, SliceList
from saint_cli.io.dicom.volume_keys import DAY_S, TIME_KEYS, Key, is_time_of_day

MAX_PASSES = 64
"""Passes that are looked for by pauses between them."""

PartsPredicate = Callable[[Sequence[SliceList]], bool]


def split_by_time(layout: Layout, key: Key, are_volumes: PartsPredicate) -> list[SliceList] | None:
    """The volumes that a time, or a number that rises with it, cuts the slices into; None where it does not.

    Only cuts between different values count, and ``are_volumes`` judges the parts.
    """
    seconds = _read_seconds(layout, key)
    if seconds is None:
        return None
    order = np.argsort(seconds, kind="stable")
    times = seconds[order]
    slices = [layout.slices[i] for i in order]
    parts = _cut_evenly(slices, times, len(layout.counts), are_volumes)
    return parts or _chain_pieces(layout, slices, times, are_volumes) or _cut_at_pauses(slices, times, are_volumes)


def _read_seconds(layout: Layout, key: Key) -> np.ndarray | None:
    """The time of every slice, (n,) s; None where one has none. Times of day go on past midnight."""
    values = [header.seconds(key) for header in layout.slices]
    if any(value is None for value in values):
        return None
    seconds = np.array(values, dtype=float)
    return continue_past_midnight(seconds) if is_time_of_day(key) else seconds


def continue_past_midnight(clocks: np.ndarray) -> np.ndarray:
    """Seconds that go on past midnight, (n,): the day begins after the longest time without a slice."""
    ordered = np.unique(clocks)
    pauses = np.diff(ordered, append=ordered[0] + DAY_S)
    begin = ordered[(np.argmax(pauses) + 1) % len(ordered)]
    return np.where(clocks < begin, clocks + DAY_S, clocks)


def _cut_evenly(
    slices: SliceList, times: np.ndarray, positions: int, are_volumes: PartsPredicate
) -> list[SliceList] | None:
    """Parts of as many slices as there are positions."""
    if len(slices) % positions or len(slices) == positions:
        return None
    starts = range(positions, len(slices), positions)
    if any(times[i] == times[i - 1] for i in starts):
        return None
    parts = _cut(slices, list(starts))
    return parts if are_volumes(parts) else None


def _chain_pieces(
    layout: Layout, slices: SliceList, times: np.ndarray, are_volumes: PartsPredicate
) -> list[SliceList] | None:
    """Parts of one value each, such as rotations, that are joined to the next as long as they go on evenly."""
    starts = (np.flatnonzero(np.diff(times) > 0) + 1).tolist()
    chains: list[SliceList] = []
    for piece in _cut(slices, starts):
        longer = [*chains[-1], *piece] if chains else piece
        if chains and layout.has_no_repeats(longer) and layout.is_regular(longer):
            chains[-1] = longer
        else:
            chains.append(piece)
    few = 1 < len(chains) <= len(slices) // regularity.MIN_SLICES
    return chains if few and are_volumes(chains) else None


def _cut_at_pauses(slices: SliceList, times: np.ndarray, are_volumes: PartsPredicate) -> list[SliceList] | None:
    """Parts between the longest pauses, as few as are volumes."""
    pauses = np.diff(times)
    longest = np.argsort(-pauses, kind="stable")
    for count in range(2, min(MAX_PASSES, len(slices) // regularity.MIN_SLICES) + 1):
        starts = np.sort(longest[: count - 1]) + 1
        if pauses[longest[count - 2]] <= 0:
            return None
        parts = _cut(slices, starts.tolist())
        if are_volumes(parts):
            return parts
    return None


def split_by_time_rank(layout: Layout, key: Key) -> list[SliceList] | None:
    """Volume k holds the k-th slice of every position; for times that are measured at each position anew.

    With a time of day that is so where all slices of one position come before those of the next.
    """
    count = int(layout.counts.max())
    times = _read_seconds(layout, key)
    if layout.counts.min() != count or times is None:
        return None
    order = np.lexsort((times, layout.position))  # position by position, each in time
    ranked = times[order].reshape(-1, count)
    if (np.diff(ranked, axis=1) <= 0).any():
        return None
    by_start = ranked[np.argsort(ranked[:, 0])]
    if key in TIME_KEYS and (by_start[:-1, -1] >= by_start[1:, 0]).any():
        return None
    return [[layout.slices[i] for i in order[k::count]] for k in range(count)]


def split_by_number(layout: Layout, are_volumes: PartsPredicate) -> list[SliceList] | None:
    """The volumes that InstanceNumber puts one after the other, or in turn at every position; None where it does not.

    Numbers that are absent, given twice, or without a pattern prove nothing.
    """
    if len({header.instance_number for header in layout.slices}) < len(layout.slices):
        return None
    slices = sorted(layout.slices, key=lambda header: header.instance_number)
    positions, count = layout.positions_of_part(slices), len(layout.counts)
    if len(slices) % count == 0 and len(slices) > count:
        blocks = positions.reshape(-1, count)
        if all(_is_same_walk(block, blocks[0]) for block in blocks):
            return _cut(slices, list(range(count, len(slices), count)))
        turns = positions.reshape(count, -1)
        if (turns == turns[:, :1]).all() and len(np.unique(turns[:, 0])) == count:
            return [slices[k :: turns.shape[1]] for k in range(turns.shape[1])]
    parts = _cut(slices, _find_turning_points(layout, slices))
    return parts if len(parts) > 1 and are_volumes(parts) else None


def _is_same_walk(block: np.ndarray, first: np.ndarray) -> bool:
    """Whether two passes visit every position in the same order, or one of them in the reverse order."""
    if len(np.unique(block)) < len(block):
        return False
    return bool((block == first).all() or (block[::-1] == first).all())


def _find_turning_points(layout: Layout, slices: SliceList) -> list[int]:
    """Where slices in order jump, turn round or stand still, instead of going on by the usual step."""
    steps = np.diff(layout.along[layout.indices(slices)])
    moves = np.abs(steps)[np.abs(steps) > regularity.same_position_mm(layout.along, layout.pixel_mm)]
    if not len(moves):
        return []
    usual = regularity.find_common_gap(moves, layout.unit_mm)
    limit = regularity.tolerance_mm(usual, layout.unit_mm)
    starts, direction = [], 0.0
    for i, step in enumerate(steps, 1):
        if abs(abs(step) - usual) <= limit and direction in (0.0, float(np.sign(step))):
            direction = float(np.sign(step))
        else:
            starts.append(i)
            direction = 0.0
    return starts


def _cut(slices: SliceList, starts: list[int]) -> list[SliceList]:
    return [slices[a:b] for a, b in pairwise([0, *starts, len(slices)])]
