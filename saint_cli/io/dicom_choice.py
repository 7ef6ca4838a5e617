"""Which of several DICOM stacks is meant: by number, by UID, by the end of a UID, by its place within a series."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from saint_cli.errors import GeometryError, SaintError, UsageError
from saint_cli.io.dicom_stacks import PARALLEL, Stack

SHORTEST_SUFFIX = 4
"""Characters of a UID's end that may stand for it; fewer could be a number that was meant to count stacks."""

SHOWN_STACKS = 12
"""Stacks listed in the message that asks for a choice; more would hide the question."""


def choose(
    path: Path, stacks: Sequence[Stack], series: str | None, volume: int | None = None
) -> tuple[Stack, tuple[str, ...]]:
    """The stack that ``series`` and ``volume`` name, or the only one of more than one slice.

    series: number of the stack in the list (from 1), its SeriesInstanceUID, the end of that, or either with ``#k``
    for the k-th stack of that series. volume: k as well, from 1.
    Also returns a note on single slices that were left out.

    Raises:
        UsageError: nothing or several stacks are named; the message lists them.
        GeometryError: no volume is chosen of a series that holds several at one place, as of a 4-D file.
    """
    found = list(stacks)
    if series is not None:
        name, _, place = series.partition("#")
        found = _named(stacks, name)
        if place.isdecimal() and volume is None:
            volume = int(place)
        if not found:
            raise UsageError(f"{path}: --series {series} names no stack; choose one of: {listed(stacks)}")
    if volume is not None:
        return _of_series(path, stacks, found, volume), ()
    if len(found) == 1:
        return found[0], ()
    if _are_runs(found):
        return _longest(found)
    if series is not None:
        raise _undecided(path, stacks, found, f"--series {series} names {len(found)} stacks")
    able = [stack for stack in stacks if len(stack.slices) > 1]
    if len(able) == 1:
        return able[0], (f"{len(stacks) - 1} single slices beside the stack ignored",)
    raise _undecided(path, stacks, able or stacks, f"{len(stacks)} stacks")


def _are_runs(stacks: Sequence[Stack]) -> bool:
    """Whether the stacks are the regular runs of one stack, of which the longest stands for all."""
    return bool(stacks[0].run_of) and len({stack.run_of for stack in stacks}) == 1


def _longest(runs: Sequence[Stack]) -> tuple[Stack, tuple[str, ...]]:
    longest = max(runs, key=lambda run: len(run.slices))
    others = "; ".join(f"{k} = {run.split_by}" for k, run in enumerate(runs, 1) if run is not longest)
    return longest, (f"the longest of {len(runs)} regular runs was taken; --volume chooses another: {others}",)


def _undecided(path: Path, stacks: Sequence[Stack], left: Sequence[Stack], told: str) -> SaintError:
    """The question which of the stacks that are ``left`` is meant."""
    if len({stack.series_uid for stack in left}) > 1:
        return UsageError(f"{path}: {told}; choose one with --series: {listed(stacks)}")
    if not _are_one_place(left):
        return UsageError(f"{path}: {told} of one series; choose one with --volume or --series: {listed(stacks)}")
    return GeometryError(f"{path}: 4-D image, {told}; choose one with --volume: {listed(stacks)}")


def _are_one_place(stacks: Sequence[Stack]) -> bool:
    """Whether the stacks have one matrix and direction, as those of a 4-D scan do."""
    first = stacks[0].slices[0]
    others = [stack.slices[0] for stack in stacks[1:]]
    turned = [float(np.abs(one.orientation - first.orientation).max()) for one in others]
    return all(one.shape == first.shape for one in others) and max(turned, default=0.0) <= PARALLEL


def labels(stacks: Sequence[Stack]) -> list[str]:
    """The SeriesInstanceUID of each stack, with ``#1``, ``#2``, ... where a series holds several."""
    total = Counter(stack.series_uid for stack in stacks)
    seen: Counter[str] = Counter()
    found = []
    for stack in stacks:
        seen[stack.series_uid] += 1
        place = f"#{seen[stack.series_uid]}" if total[stack.series_uid] > 1 else ""
        found.append(stack.series_uid + place)
    return found


def listed(stacks: Sequence[Stack]) -> str:
    """The stacks on one line, each with its number, what it is, and the end of its UID."""
    named = list(zip(stacks, labels(stacks), strict=True))[:SHOWN_STACKS]
    lines = [f"{number} = {_summary(stack, label)}" for number, (stack, label) in enumerate(named, 1)]
    more = [f"and {len(stacks) - SHOWN_STACKS} more"] if len(stacks) > SHOWN_STACKS else []
    return "; ".join(lines + more)


def _named(stacks: Sequence[Stack], name: str) -> list[Stack]:
    if name.isdecimal() and 1 <= int(name) <= len(stacks):
        return [stacks[int(name) - 1]]
    found = [stack for stack in stacks if name and stack.series_uid == name]
    if not found and len(name) >= SHORTEST_SUFFIX:
        found = [stack for stack in stacks if stack.series_uid.endswith(name)]
    return found


def _of_series(path: Path, stacks: Sequence[Stack], found: Sequence[Stack], volume: int) -> Stack:
    if len({stack.series_uid for stack in found}) > 1:
        raise UsageError(
            f"{path}: --volume {volume} counts within one series; choose that with --series too: {listed(stacks)}"
        )
    if not 1 <= volume <= len(found):
        raise UsageError(f"{path}: volume {volume} of {len(found)}; choose one of: {listed(stacks)}")
    return found[volume - 1]


def _summary(stack: Stack, label: str) -> str:
    first = stack.slices[0]
    rows, columns = first.shape
    shape = f"{columns}x{rows}x{len(stack.slices)}"
    problem = ""
    if stack.problem is not None and len(stack.slices) > 1:
        problem = " (phase map)" if first.is_phase else " (not regular)"
    told = f" {stack.split_by}" if stack.split_by else ""
    uid, hash_, place = label.partition("#")
    return f"{first.modality} {shape}{told}{problem} UID …{uid[-8:]}{hash_}{place}"
