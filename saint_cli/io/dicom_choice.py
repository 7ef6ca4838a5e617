"""Which of several DICOM stacks is meant: by number, by UID, by the end of a UID, by its place within a series."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from saint_cli import geometry
from saint_cli.errors import GeometryError, SaintError, UsageError
from saint_cli.io.dicom_layout import PARALLEL
from saint_cli.io.dicom_runs import hint
from saint_cli.io.dicom_stacks import Stack

SHORTEST_SUFFIX = 4
"""Characters of a UID's end that may stand for it; fewer could be a number that was meant to count stacks."""

NO_UID = "none"
"""What stands for the UID of stacks that have none."""

SHOWN_REASONS = 3

STATIC_KEYS = (
    *("KVP", "Monoenergetic", "ConvolutionKernel", "FilterType", "Reconstruction", "SliceThickness", "ScanOptions"),
)
"""What tells apart reconstructions and energies of one moment, which nobody calls a 4-D image."""

SHOWN_STACKS = 12
"""Stacks listed in the message that asks for a choice; more would hide the question."""


def choose(
    path: Path, stacks: Sequence[Stack], series: str | None, volume: int | None = None
) -> tuple[Stack, tuple[str, ...]]:
    """The stack that ``series`` and ``volume`` name, or the only one of more than one slice.

    Where several have more than one slice and only one of them can be upsampled, it is still asked for by name, since
    another may be meant: the message names it first.

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
        return _longest(path, found)
    if series is not None:
        raise _undecided(path, stacks, found, f"--series {series} names {len(found)} stacks")
    able = [stack for stack in stacks if len(stack.slices) > 1 and not stack.is_scattered]
    if len(able) == 1:
        others = sum(len(stack.slices) for stack in stacks) - len(able[0].slices)
        return able[0], (f"{others} single slice{'s' * (others != 1)} beside the stack ignored",)
    raise _undecided(path, stacks, able or stacks, f"{len(stacks)} stacks")


def _are_runs(stacks: Sequence[Stack]) -> bool:
    """Whether the stacks are the regular runs of one stack, of which the longest stands for all."""
    return bool(stacks[0].run_of) and len({stack.run_of for stack in stacks}) == 1


def _longest(path: Path, runs: Sequence[Stack]) -> tuple[Stack, tuple[str, ...]]:
    if any(run.is_doubtful for run in runs):
        names = "; ".join(f"{k} = {run.split_by}" for k, run in enumerate(runs, 1))
        raise UsageError(
            f"{path}: either one scan whose spacing changes, or two that lie between each other; choose with "
            f"--volume: {names}"
        )
    longest = max(runs, key=lambda run: len(run.slices))
    others = "; ".join(f"{k} = {run.split_by}" for k, run in enumerate(runs, 1) if run is not longest)
    return longest, (f"the longest of {len(runs)} regular runs was taken; --volume chooses another: {others}",)


def _undecided(path: Path, stacks: Sequence[Stack], left: Sequence[Stack], count: str) -> SaintError:
    """The question which of the stacks that are ``left`` is meant; the reasons where none can be upsampled."""
    usable = [stack for stack in left if stack.is_usable and len(stack.slices) > 1]
    if not usable:
        return GeometryError(f"{path}: {count}, none of which can be upsampled: {_reasons(stacks, left)}")
    if len(usable) == 1 and len(left) > 1:
        count += ", of which 1 can be upsampled"
    if len({stack.series_uid for stack in left}) > 1:
        return UsageError(f"{path}: {count}; choose one with --series: {listed(stacks)}")
    if all(stack.hint for stack in left):
        return UsageError(f"{path}: {count} of one series: {left[0].hint}, or choose with --volume: {listed(stacks)}")
    difference = _difference(left)
    if difference:
        return UsageError(
            f"{path}: {count} of one series; choose one with --volume or --series: {listed(stacks)}; "
            f"they are {difference}"
        )
    many = f"{count} at the same positions" if left[0].split_by.startswith(STATIC_KEYS) else f"4-D image, {count}"
    return GeometryError(f"{path}: {many}; choose one with --volume: {listed(stacks)}")


def _reasons(stacks: Sequence[Stack], left: Sequence[Stack]) -> str:
    """Why none of the stacks that are ``left`` can be upsampled, each with its number."""
    numbers = {id(stack): number for number, stack in enumerate(stacks, 1)}
    shown = []
    for stack in left[:SHOWN_REASONS]:
        what = _summary(stack, "").partition(" UID ")[0]
        reason = "a single slice" if len(stack.slices) == 1 else str(stack.problem)
        shown.append(f"{numbers[id(stack)]} = {what}: {reason}{hint(stack)}")
    more = [f"and {len(left) - SHOWN_REASONS} more"] if len(left) > SHOWN_REASONS else []
    return "; ".join(shown + more)


def _difference(stacks: Sequence[Stack]) -> str:
    """In what the stacks differ that volumes of a 4-D scan share: size, direction or place; "" if in none."""
    first = stacks[0].slices[0]
    others = [stack.slices[0] for stack in stacks[1:]]
    if any(one.shape != first.shape for one in others):
        return "of different size"
    if any(float(np.abs(one.orientation - first.orientation).max()) > PARALLEL for one in others):
        return "of different direction"
    ends = [_ends_mm(stack, first.orientation) for stack in stacks]
    if all(a[1] < b[0] or b[1] < a[0] for i, a in enumerate(ends) for b in ends[i + 1 :]):
        return "at different places"
    return ""


def _ends_mm(stack: Stack, orientation: np.ndarray) -> tuple[float, float]:
    along = geometry.positions_along_normal(np.array([one.position for one in stack.slices]), orientation)
    return float(along.min()), float(along.max())


def labels(stacks: Sequence[Stack]) -> list[str]:
    """The SeriesInstanceUID of each stack or ``NO_UID``, with ``#1``, ``#2``, ... where a series holds several."""
    names = [stack.series_uid or NO_UID for stack in stacks]
    total, count = Counter(names), Counter[str]()
    found = []
    for name in names:
        count[name] += 1
        found.append(f"{name}#{count[name]}" if total[name] > 1 else name)
    return found


def listed(stacks: Sequence[Stack]) -> str:
    """The stacks on one line, each with its number, what it is, and the end of its UID; usable ones first."""
    named = list(enumerate(zip(stacks, labels(stacks), strict=True), 1))
    named.sort(key=lambda one: not (one[1][0].is_usable and len(one[1][0].slices) > 1))
    lines = [f"{number} = {_summary(stack, label)}" for number, (stack, label) in named[:SHOWN_STACKS]]
    more = [f"and {len(stacks) - SHOWN_STACKS} more"] if len(stacks) > SHOWN_STACKS else []
    return "; ".join(lines + more)


def _named(stacks: Sequence[Stack], name: str) -> list[Stack]:
    if name.isdecimal() and 1 <= int(name) <= len(stacks):
        return [stacks[int(name) - 1]]
    found = [stack for stack in stacks if name and (stack.series_uid or NO_UID) == name]
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
        problem = " (phase map)" if first.is_phase else " (not one scan)" if stack.is_scattered else " (not regular)"
    told = f" {stack.split_by}" if stack.split_by else ""
    uid, hash_, place = label.partition("#")
    shown = uid if uid == NO_UID else f"…{uid[-8:]}"
    return f"{first.modality} {shape}{told}{problem} UID {shown}{hash_}{place}"
