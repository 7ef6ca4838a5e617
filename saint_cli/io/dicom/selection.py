"""Which of several DICOM stacks is meant: by number, by UID, by the end of a UID, by its place within a series."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from saint_cli import geometry
from saint_cli.errors import GeometryError, SaintError, UsageError
from saint_cli.errors.parameter_names import adapt_message
from saint_cli.errors.plain_text import format_count, list_first
from saint_cli.io.description import NO_UID
from saint_cli.io.dicom.layout import ORIENTATION_TOLERANCE
from saint_cli.io.dicom.regular_runs import advise_uneven
from saint_cli.io.dicom.stack_list import format_stacks, label_stacks, note_other_stacks, summarize_stack
from saint_cli.io.dicom.stacks import Stack
from saint_cli.io.read_options import TAKE_ALL, ReadOptions

MIN_SUFFIX = 4
"""Characters of a UID's end that may stand for it; fewer could be a number that was meant to count stacks."""

STATIC_KEYS = (
    *("KVP", "Monoenergetic", "ConvolutionKernel", "FilterType", "Reconstruction", "SliceThickness", "ScanOptions"),
    *("RescaleType", "Units", "PhotometricInterpretation", "ImageType"),
)
"""What distinguishes reconstructions and energies of one moment, which nobody calls a 4-D image."""

SAME_PLACE = 0.1
"""Largest distance between the corners of volumes of one scan that is put down to rounding, in pixels."""

MAX_NAME, SHOWN_NAME = 128, 32
"""Characters of what may name a series, and of a longer one that are shown: UIDs have up to 64 (PS3.5 6.2), numbers
fewer."""

MAX_SHOWN_REASONS = 3
"""Reasons listed in a message; more would hide the question."""


def choose_stack(path: Path, stacks: Sequence[Stack], options: ReadOptions) -> tuple[Stack, tuple[str, ...]]:
    """The stack that the options name, or the only one of more than one slice, and notes on the choice.

    Where several have more than one slice and only one of them can be upsampled, the user still has to name it, since
    another may be meant: the message names it first. A number counts in the list, with a note where it may mislead.

    options: ``series`` is the number of the stack in the list (from 1), its SeriesInstanceUID, the end of that, or one
    of these with ``#k`` for the k-th stack of that series; ``volume`` is k as well, from 1.

    Raises:
        UsageError: nothing or several stacks are named; the message lists them.
        GeometryError: no volume is chosen of a series that holds several at one place, as of a 4-D file.
    """
    named, series, volume = list(stacks), options.series, options.volume
    if series is not None:
        _check_length(path, series)
        named = _find_by_name(stacks, series.partition("#")[0])
        volume = _choose_place(path, series, volume)
        if not named:
            raise UsageError(f"{path}: `series={series}` names no stack; choose one of: {format_stacks(stacks)}")
        if "#" in series and series in (labels := label_stacks(stacks)):
            return stacks[labels.index(series)], ()
        if volume is not None and len({stack.series for stack in named}) == 1:
            named = [stack for stack in stacks if stack.series == named[0].series]
    notes = note_other_stacks(stacks, named, series)
    if volume is not None:
        return _choose_volume(path, stacks, named, volume), notes
    if len(named) == 1:
        return named[0], notes
    if named[0].run_of and len({stack.run_of for stack in named}) == 1:
        return _choose_longest_run(path, named)
    if series is not None:
        count = f"`series={series}` names {len(named)} stacks"
        raise _explain_undecided(path, stacks, named, options, count, listed=named)
    larger = [stack for stack in stacks if _is_volume(stack)]
    if len(larger) == 1:
        others = sum(len(stack.slices) for stack in stacks) - len(larger[0].slices)
        return larger[0], (f"{format_count(others, 'single slice')} beside the stack ignored",)
    raise _explain_undecided(path, stacks, larger or stacks, options, format_count(len(stacks), "stack"))


def _check_length(path: Path, series: str) -> None:
    """Refuse what is longer than any name of a series.

    Raises:
        UsageError: quoting its beginning.
    """
    if max(map(len, series.split("#", 1))) > MAX_NAME:
        raise UsageError(
            f"{path}: `series={series[:SHOWN_NAME]}...` has {len(series)} characters; no number or UID of a series has "
            f"more than {MAX_NAME}"
        )


def _choose_place(path: Path, series: str, volume: int | None) -> int | None:
    """The number of the stack within its series: ``volume``, or ``k`` where ``series`` ends in ``#k``.

    Raises:
        UsageError: both, or ``#`` before what is no number.
    """
    _, hash_, place = series.partition("#")
    if not hash_:
        return volume
    if not place.isdecimal():
        raise UsageError(
            f"{path}: `series={series}`: # must be followed by the number of a stack of the series, from 1"
        )
    if volume not in (None, int(place)):
        raise UsageError(f"{path}: `series={series}` names another stack than `volume={volume}`; give one of them")
    return int(place)


def choose_volumes(
    path: Path, stacks: Sequence[Stack], options: ReadOptions
) -> tuple[tuple[Stack, ...], tuple[str, ...]]:
    """All volumes of the series that ``series`` of the options names, or of the only one, and notes on the choice.

    Single slices beside them do not count. A number in ``series`` stands for the series of that stack; with ``#k`` only
    that volume is meant. Of a series with one volume that is the only one.

    Raises:
        UsageError: as of :func:`choose_stack`, or several series, or stacks that are not volumes of one scan.
        GeometryError: a volume of another size or place than the others, or one that cannot be upsampled; it is named.
    """
    named, series = list(stacks), options.series
    if series is not None:
        _check_length(path, series)
        found = {stack.series for stack in _find_by_name(stacks, series.partition("#")[0])}
        named = [stack for stack in stacks if stack.series in found]
    larger = [stack for stack in named if _is_volume(stack)]
    if len(larger) < 2 or "#" in (series or ""):
        stack, notes = choose_stack(path, stacks, options)
        return (stack,), notes
    notes = note_other_stacks(stacks, named, series)
    if len({stack.series for stack in larger}) > 1:
        raise UsageError(
            f"{path}: `volume=all` takes the volumes of one series; choose it with `series`, or upsample every series "
            f"with `saint batch`: {format_stacks(stacks)}"
        )
    if len(find_volumes(named)) != len(larger):
        raise _explain_undecided(path, stacks, larger, options, f"`volume=all`: {format_count(len(larger), 'stack')}")
    if unlike := describe_unlike(larger):
        raise GeometryError(
            f"{path}: {unlike}; `volume=all` needs volumes of one size and place that can all be upsampled, so choose "
            "others one at a time with `volume`"
        )
    others = sum(len(stack.slices) for stack in named) - sum(len(stack.slices) for stack in larger)
    return tuple(larger), (f"{format_count(others, 'single slice')} beside the volumes ignored",) * bool(others)


def _is_volume(stack: Stack) -> bool:
    return len(stack.slices) > 1 and not stack.is_scattered


def find_volumes(stacks: Sequence[Stack]) -> list[Stack]:
    """The stacks of one series that are the volumes of a 4-D scan: at one place; none where there are not several."""
    volumes = [stack for stack in stacks if _is_volume(stack)]
    are_parts = any(stack.run_of or stack.merge_hint for stack in volumes)
    return [] if len(volumes) < 2 or are_parts or _describe_difference(volumes) else volumes


def describe_unlike(volumes: Sequence[Stack]) -> str:
    """The first of the volumes of a series that ``volume=all`` does not take together, and why; "" if it takes all."""
    usual = Counter(len(stack.slices) for stack in volumes if stack.problem is None).most_common(1)
    first = next((stack for stack in volumes if stack.geometry and [len(stack.slices)] == [n for n, _ in usual]), None)
    for number, stack in enumerate(volumes, 1):
        reason = _find_unlikeness(stack, first)
        if reason:
            label = f" ({stack.split_by})" if stack.split_by else ""
            return f"volume {number}{label} of {len(volumes)}: {reason}"
    return ""


def _find_unlikeness(stack: Stack, first: Stack | None) -> str:
    """Why a volume is not like the ``first`` usual one; "" if it is."""
    if stack.problem is not None or stack.geometry is None or first is None or first.geometry is None:
        return str(stack.problem or "no regular stack")
    if stack.geometry.slice_positions:
        return "its slices are unevenly spaced"
    counts = len(stack.slices), len(first.slices)
    if counts[0] != counts[1]:
        return f"{format_count(counts[0], 'slice')}, where most volumes have {counts[1]}"
    rows, columns = first.slices[0].shape
    corners = np.array([(0, 0, 0, 1), (columns - 1, rows - 1, counts[0] - 1, 1)], dtype=float).T  # (4, 2)
    apart = np.linalg.norm(((stack.geometry.affine_lps - first.geometry.affine_lps) @ corners)[:3], axis=0).max()
    pixel = min(first.slices[0].pixel_spacing)
    return f"it lies up to {apart:.3g} mm from the others" if apart > SAME_PLACE * pixel else ""


def _find_by_name(stacks: Sequence[Stack], name: str) -> list[Stack]:
    if name.isdecimal() and 1 <= int(name) <= len(stacks):
        return [stacks[int(name) - 1]]
    matching = [stack for stack in stacks if name and (stack.series_uid or NO_UID) == name]
    if not matching and len(name) >= MIN_SUFFIX:
        matching = [stack for stack in stacks if stack.series_uid.endswith(name)]
    return matching


def _choose_volume(path: Path, stacks: Sequence[Stack], named: Sequence[Stack], volume: int) -> Stack:
    if len({stack.series for stack in named}) > 1:
        raise UsageError(
            f"{path}: `volume={volume}` counts within one series; choose that with `series` too: "
            f"{format_stacks(stacks)}"
        )
    if not 1 <= volume <= len(named):
        raise UsageError(
            f"{path}: no volume {volume}, of {len(named)} in the series; choose one of: {format_stacks(stacks)}"
        )
    return named[volume - 1]


def _choose_longest_run(path: Path, runs: Sequence[Stack]) -> tuple[Stack, tuple[str, ...]]:
    """The longest of the regular runs of one stack, which stands for all."""
    if any(run.is_doubtful for run in runs):
        names = "; ".join(f"{k} = {run.split_by}" for k, run in enumerate(runs, 1))
        raise UsageError(
            f"{path}: either one scan whose spacing changes, or two that lie between each other; choose with "
            f"`volume`: {names}"
        )
    longest = max(runs, key=lambda run: len(run.slices))
    others = "; ".join(f"{k} = {run.split_by}" for k, run in enumerate(runs, 1) if run is not longest)
    taken = f"the longest of {len(runs)} regular runs was taken; `volume` chooses another: {others}"
    return longest, (adapt_message(taken),)


def _explain_undecided(
    path: Path,
    stacks: Sequence[Stack],
    possible: Sequence[Stack],
    options: ReadOptions,
    count: str,
    listed: Sequence[Stack] | None = None,
) -> SaintError:
    """The question which of the ``possible`` stacks is meant; the reasons where none can be upsampled.

    options: they do not say which. listed: the stacks that the question lists; all where none are given.
    """
    offered = options.offered
    usable = [stack for stack in possible if stack.is_usable]
    if not usable:
        reasons = _explain_unusable(stacks, possible, offered)
        return GeometryError(f"{path}: {count}, none of which can be upsampled: {reasons}")
    limit = ", of which 1 can be upsampled" if len(usable) == 1 and len(possible) > 1 else ""
    shown = format_stacks(stacks, listed)
    if len({stack.series for stack in possible}) > 1:
        return UsageError(f"{path}: {count}{limit}; {_advise_choice(offered, 'series')}: {shown}")
    if "merge" in offered and all(stack.merge_hint for stack in possible):
        return UsageError(
            f"{path}: {count} of one series{limit}: {possible[0].merge_hint}, or choose with `volume`: {shown}"
        )
    difference = _describe_difference(possible)
    if difference:
        return UsageError(
            f"{path}: {count} of one series{limit}; {_advise_choice(offered, 'volume', 'series')}: {shown}; they are "
            f"{difference}"
        )
    is_static = possible[0].split_by.startswith(STATIC_KEYS)
    kind = (f"{count} at the same positions" if is_static else f"4-D image, {count}") + limit
    is_one_scan = TAKE_ALL in offered and not describe_unlike(possible)
    together = f", or take all with `{TAKE_ALL}`" if is_one_scan else ""
    return GeometryError(f"{path}: {kind}; {_advise_choice(offered, 'volume')}{together}: {shown}")


def _advise_choice(offered: frozenset[str], *names: str) -> str:
    """How to choose one of several stacks by options of these names, or without them where they are not offered."""
    choices = " or ".join(f"`{name}`" for name in names if name in offered)
    return f"choose one with {choices}" if choices else "give the files of one of them alone"


def _explain_unusable(stacks: Sequence[Stack], unusable: Sequence[Stack], offered: frozenset[str]) -> str:
    """Why none of some stacks can be upsampled, each with its number."""
    numbers = {id(stack): number for number, stack in enumerate(stacks, 1)}
    lines = []
    for stack in unusable:
        reason = "a single slice" if len(stack.slices) == 1 else str(stack.problem)
        lines.append(f"{numbers[id(stack)]} = {summarize_stack(stack)}: {reason}{advise_uneven(stack, offered)}")
    return list_first(lines, MAX_SHOWN_REASONS, "; ")


def _describe_difference(stacks: Sequence[Stack]) -> str:
    """In what the stacks differ that volumes of a 4-D scan share: size, direction or place; "" if in none."""
    first, *others = (stack.slices[0] for stack in stacks)
    if any(header.shape != first.shape for header in others):
        return "of different size"
    if any(float(np.abs(header.orientation - first.orientation).max()) > ORIENTATION_TOLERANCE for header in others):
        return "of different direction"
    ends = [_ends_mm(stack, first.orientation) for stack in stacks]
    are_apart = all(a[1] < b[0] or b[1] < a[0] for i, a in enumerate(ends) for b in ends[i + 1 :])
    return "at different places" if are_apart else ""


def _ends_mm(stack: Stack, orientation: np.ndarray) -> tuple[float, float]:
    positions = np.array([header.position for header in stack.slices])
    along = geometry.positions_along_normal(positions, orientation)
    return float(along.min()), float(along.max())
