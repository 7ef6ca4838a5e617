"""Volumes by the order of their slices: the k-th pass over the body comes after the pass before it."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from saint_cli import regularity
from saint_cli.io.dicom_layout import DAY_S, Layout, Part, is_clock, seconds
from saint_cli.io.dicom_slice import TIME_KEYS, SliceHeader

MOST_PASSES = 64
"""Passes that are looked for by pauses between them."""

Judge = Callable[[Sequence[Part]], bool]


def by_time(layout: Layout, key: tuple[str, ...], judge: Judge) -> list[Part] | None:
    """The volumes that a time, or a number that rises with it, cuts the slices into; None where it does not.

    Only cuts between different values count, and ``judge`` says whether the parts are volumes.
    """
    values = [seconds(one, key) for one in layout.slices]
    if any(value is None for value in values):
        return None
    moments = np.array(values, dtype=float)
    if is_clock(key):
        moments = _past_midnight(moments)
    order = np.argsort(moments, kind="stable")
    times = moments[order]
    slices = [layout.slices[i] for i in order]
    parts = _even_cuts(slices, times, len(layout.visits), judge)
    return parts or _chains(layout, slices, times, judge) or _cuts_at_pauses(slices, times, judge)


def _past_midnight(clocks: np.ndarray) -> np.ndarray:
    """Seconds that go on past midnight, (n,): the day begins after the longest time without a slice."""
    ordered = np.unique(clocks)
    pauses = np.diff(ordered, append=ordered[0] + DAY_S)
    begin = ordered[(np.argmax(pauses) + 1) % len(ordered)]
    return np.where(clocks < begin, clocks + DAY_S, clocks)


def _even_cuts(slices: Part, times: np.ndarray, positions: int, judge: Judge) -> list[Part] | None:
    """Parts of as many slices as there are positions."""
    if len(slices) % positions or len(slices) == positions:
        return None
    starts = range(positions, len(slices), positions)
    if any(times[i] == times[i - 1] for i in starts):
        return None
    parts = _cut(slices, list(starts))
    return parts if judge(parts) else None


def _chains(layout: Layout, slices: Part, times: np.ndarray, judge: Judge) -> list[Part] | None:
    """Parts of one value each, such as rotations, that are joined to the next as long as they go on evenly."""
    starts = (np.flatnonzero(np.diff(times) > 0) + 1).tolist()
    chains: list[Part] = []
    for piece in _cut(slices, starts):
        longer = [*chains[-1], *piece] if chains else piece
        if chains and layout.is_single(longer) and layout.is_regular(longer):
            chains[-1] = longer
        else:
            chains.append(piece)
    return chains if 1 < len(chains) <= len(slices) // regularity.FEWEST and judge(chains) else None


def _cuts_at_pauses(slices: Part, times: np.ndarray, judge: Judge) -> list[Part] | None:
    """Parts between the longest pauses, as few as are volumes."""
    pauses = np.diff(times)
    longest = np.argsort(-pauses, kind="stable")
    for count in range(2, min(MOST_PASSES, len(slices) // regularity.FEWEST) + 1):
        starts = np.sort(longest[: count - 1]) + 1
        if pauses[longest[count - 2]] <= 0:
            return None
        parts = _cut(slices, starts.tolist())
        if judge(parts):
            return parts
    return None


def by_rank_in_time(layout: Layout, key: tuple[str, ...]) -> list[Part] | None:
    """Volume k holds the k-th slice of every position; for times that are measured at each position anew.

    Of a time of day that is so where all slices of one position come before those of the next.
    """
    count = int(layout.visits.max())
    moments = [seconds(one, key) for one in layout.slices]
    if layout.visits.min() != count or any(moment is None for moment in moments):
        return None
    times = np.array(moments, dtype=float)
    if is_clock(key):
        times = _past_midnight(times)
    order = np.lexsort((times, layout.place))  # position by position, each in time
    ranked = times[order].reshape(-1, count)
    if (np.diff(ranked, axis=1) <= 0).any():
        return None
    ends = ranked[np.argsort(ranked[:, 0])]
    if key in TIME_KEYS and (ends[:-1, -1] >= ends[1:, 0]).any():
        return None
    return [[layout.slices[i] for i in order[k::count]] for k in range(count)]


def by_number(layout: Layout, judge: Judge) -> list[Part] | None:
    """The volumes that InstanceNumber puts one after the other, or in turn at every position; None where it does not.

    Numbers that are absent, given twice, or without a pattern prove nothing.
    """
    numbers = [one.instance_number for one in layout.slices]
    if len(set(numbers)) < len(numbers):
        return None
    slices = sorted(layout.slices, key=lambda one: one.instance_number)
    places, count = layout.places(slices), len(layout.visits)
    if len(slices) % count == 0 and len(slices) > count:
        blocks = places.reshape(-1, count)
        if all(_is_same_walk(block, blocks[0]) for block in blocks):
            return _cut(slices, list(range(count, len(slices), count)))
        turns = places.reshape(count, -1)
        if (turns == turns[:, :1]).all() and len(np.unique(turns[:, 0])) == count:
            return [slices[k :: turns.shape[1]] for k in range(turns.shape[1])]
    parts = _cut(slices, _turning_points(layout, slices))
    return parts if len(parts) > 1 and judge(parts) else None


def _is_same_walk(block: np.ndarray, first: np.ndarray) -> bool:
    """Whether two passes visit every position in the same order, or one of them in the reverse order."""
    if len(np.unique(block)) < len(block):
        return False
    return bool((block == first).all() or (block[::-1] == first).all())


def _turning_points(layout: Layout, slices: Part) -> list[int]:
    """Where slices in order jump, turn round or stand still, instead of going on by the usual step."""
    index = {id(one): i for i, one in enumerate(layout.slices)}
    steps = np.diff(layout.along[[index[id(one)] for one in slices]])
    moves = np.abs(steps)[np.abs(steps) > regularity.same_position_mm(layout.along, layout.pixel)]
    if not len(moves):
        return []
    usual = regularity.common_gap(moves, layout.unit)
    limit = regularity.tolerance_mm(usual, layout.unit)
    starts, direction = [], 0.0
    for i, step in enumerate(steps, 1):
        goes_on = abs(abs(step) - usual) <= limit and direction in (0.0, float(np.sign(step)))
        if goes_on:
            direction = float(np.sign(step))
        else:
            starts.append(i)
            direction = 0.0
    return starts


def _cut(slices: Part, starts: list[int]) -> list[list[SliceHeader]]:
    return [slices[a:b] for a, b in pairwise([0, *starts, len(slices)])]
