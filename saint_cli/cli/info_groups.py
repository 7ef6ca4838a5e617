"""Groups of similar volumes, which ``saint info`` shows as one block each."""

from collections.abc import Sequence
from dataclasses import dataclass

from saint_cli.cli import info_text
from saint_cli.errors.plain_text import format_ranges
from saint_cli.io import StackInfo

MIN_UID_END = 8
"""Characters shown of the end of a UID, or as many as distinguish it from the others; UIDs share their root."""

MAX_DIFFERENCES = 24
"""Volumes of a block whose differences are all listed; of more, the first and the last ones are."""


@dataclass(frozen=True)
class Group:
    """DICOM stacks that differ in one thing only, in the order of their numbers."""

    stacks: tuple[StackInfo, ...]

    @property
    def numbers(self) -> list[int]:
        """The numbers that ``--series`` takes."""
        return [stack.number for stack in self.stacks]


def group_stacks(stacks: Sequence[StackInfo]) -> list[Group]:
    """Neighbouring stacks of one series, or of series that have one stack each, with the same facts."""
    split = {series_uid(stack) for stack in stacks if "#" in stack.label}
    groups: list[list[StackInfo]] = []
    last: object = None
    for stack in stacks:
        key = (series_uid(stack) if series_uid(stack) in split else None, _list_facts(stack))
        if key != last:
            groups.append([])
        groups[-1].append(stack)
        last = key
    return [Group(tuple(members)) for members in groups]


def series_uid(stack: StackInfo) -> str:
    """SeriesInstanceUID."""
    return stack.label.partition("#")[0]


def _list_facts(stack: StackInfo) -> tuple[object, ...]:
    named = (stack.series_description, stack.protocol_name)
    return (
        info_text.format_kind(stack),
        *named,
        info_text.format_voxels(stack),
        stack.dtype,
        *info_text.list_facts(stack),
        stack.problem,
    )


def format_head(one: Group, uids: Sequence[str]) -> str:
    """The title of a group; ``uids``: of all series that are shown."""
    first = one.stacks[0]
    parts = [info_text.format_kind(first)]
    numbers = sorted({stack.series_number for stack in one.stacks if stack.series_number is not None})
    name = first.series_description or first.protocol_name
    named = f' "{name}"' if name else ""
    if numbers or named:
        parts.append(f"SeriesNumber {format_ranges(numbers)}{named}" if numbers else f"series{named}")
    places = [int(place) for stack in one.stacks if (place := stack.label.partition("#")[2])]
    if places:
        parts.append(f"volume{'s' if len(places) > 1 else ''} {format_ranges(places)}")
    if len(one.stacks) == 1 and first.split_by:
        parts.append(first.split_by)
    if len({series_uid(stack) for stack in one.stacks}) == 1 and series_uid(first):
        parts.append(f"UID …{_distinguishing_end(series_uid(first), uids)}")
    return ", ".join(parts)


def _distinguishing_end(uid: str, uids: Sequence[str]) -> str:
    """As much of the end of a UID as distinguishes it from the others."""
    lengths = range(MIN_UID_END, len(uid))
    return next((uid[-n:] for n in lengths if not any(o != uid and o.endswith(uid[-n:]) for o in uids)), uid)


def format_differences(one: Group) -> str:
    """What differs between the stacks of a group, with the number of each; empty where a warning says it."""
    texts = [stack.split_by for stack in one.stacks]
    if len(texts) < 2 or not all(texts):
        return ""
    names = {text.rpartition(" ")[0] for text in texts}
    name = names.pop() if len(names) == 1 else ""
    if name == "visit":
        return ""
    values = [text.removeprefix(name).strip() for text in texts]
    pairs = [f"{number}={value.removesuffix('.0')}" for number, value in zip(one.numbers, values, strict=True)]
    if len(pairs) > MAX_DIFFERENCES:
        pairs = [*pairs[: MAX_DIFFERENCES // 2], "…", *pairs[-2:]]
    return f"distinguished by {name + ': ' if name else ''}{', '.join(pairs)}"
