"""Which volumes are alike, so that ``saint info`` shows them as one block."""

from collections.abc import Sequence
from dataclasses import dataclass

from saint_cli.cli import info_text
from saint_cli.io import StackInfo

SHORTEST_END = 8
"""Characters shown of the end of a UID, or as many as tell it from the others; UIDs share their root."""

LISTED = 24
"""Volumes of one block whose differences are listed; of more, the first and the last ones."""


@dataclass(frozen=True)
class Group:
    """DICOM stacks that are alike but for what tells them apart, in the order of their numbers."""

    stacks: tuple[StackInfo, ...]

    @property
    def numbers(self) -> list[int]:
        """As ``--series`` counts."""
        return [stack.number for stack in self.stacks]


def group(stacks: Sequence[StackInfo]) -> list[Group]:
    """Neighbouring stacks of one series, or of series that have one stack each, if the same can be said of them."""
    shared = {series(stack) for stack in stacks if "#" in stack.label}
    found: list[list[StackInfo]] = []
    last: object = None
    for stack in stacks:
        own = series(stack) if series(stack) in shared else None
        key = (own, _likeness(stack))
        if key != last:
            found.append([])
        found[-1].append(stack)
        last = key
    return [Group(tuple(members)) for members in found]


def series(stack: StackInfo) -> str:
    """SeriesInstanceUID."""
    return stack.label.partition("#")[0]


def _likeness(stack: StackInfo) -> tuple[object, ...]:
    named = (stack.series_description, stack.protocol_name)
    return (info_text.kind(stack), *named, info_text.voxels(stack), stack.dtype, *info_text.facts(stack), stack.problem)


def head(one: Group, uids: Sequence[str]) -> str:
    """What the stacks of a group are called; ``uids`` are those of all series that are shown."""
    first = one.stacks[0]
    found = [info_text.kind(first)]
    numbers = sorted({stack.series_number for stack in one.stacks if stack.series_number is not None})
    name = first.series_description or first.protocol_name
    named = f' "{name}"' if name else ""
    if numbers or named:
        found.append(f"series{' ' if numbers else ''}{ranges(numbers)}{named}")
    places = [int(place) for stack in one.stacks if (place := stack.label.partition("#")[2])]
    if places:
        found.append(f"volume{'s' if len(places) > 1 else ''} {ranges(places)}")
    if len(one.stacks) == 1 and first.split_by:
        found.append(first.split_by)
    if len({series(stack) for stack in one.stacks}) == 1 and series(first):
        found.append(f"UID …{_end(series(first), uids)}")
    return ", ".join(found)


def _end(uid: str, uids: Sequence[str]) -> str:
    """As much of the end of a UID as tells it from the others."""
    lengths = range(SHORTEST_END, len(uid))
    return next((uid[-n:] for n in lengths if not any(o != uid and o.endswith(uid[-n:]) for o in uids)), uid)


def differences(one: Group) -> str:
    """What tells the stacks of a group apart, with the number of each; empty where a warning says it."""
    told = [stack.split_by for stack in one.stacks]
    if len(told) < 2 or not all(told):
        return ""
    names = {text.rpartition(" ")[0] for text in told}
    name = names.pop() if len(names) == 1 else ""
    if name == "visit":
        return ""
    values = [text.removeprefix(name).strip() for text in told]
    pairs = [f"{number}={value.removesuffix('.0')}" for number, value in zip(one.numbers, values, strict=True)]
    if len(pairs) > LISTED:
        pairs = [*pairs[: LISTED // 2], "…", *pairs[-2:]]
    return f"told apart by {name + ': ' if name else ''}{', '.join(pairs)}"


def ranges(numbers: Sequence[int]) -> str:
    """Numbers in ascending order, of runs only the first and the last."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    shown = (f"{run[0]}{info_text.TO}{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
    return ", ".join(shown)
