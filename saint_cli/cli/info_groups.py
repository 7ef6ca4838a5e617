"""Groups of similar volumes, which ``saint info`` shows as one block each."""

from collections.abc import Sequence
from itertools import groupby

from saint_cli.cli import info_text
from saint_cli.errors.plain_text import format_ranges
from saint_cli.io import NO_UID, StackInfo

MIN_UID_END = 8
"""Characters shown of the end of a UID, or as many as distinguish it from the others; UIDs share their root."""

MAX_DIFFERENCES = 24
"""Volumes of a block whose differences are all listed; of more, the first and the last ones are."""


Group = tuple[StackInfo, ...]
"""DICOM stacks that differ in one thing only, in the order of their numbers."""


def group_stacks(stacks: Sequence[StackInfo]) -> list[Group]:
    """Neighbouring stacks of one series, or of series that have one stack each, with the same facts."""
    split = {stack.series_uid for stack in stacks if "#" in stack.label}

    def make_key(stack: StackInfo) -> tuple[object, ...]:
        return (stack.series_uid if stack.series_uid in split else None, *_list_facts(stack))

    return [tuple(members) for _, members in groupby(stacks, make_key)]


def list_numbers(group: Group) -> list[int]:
    """The numbers that ``--series`` takes."""
    return [stack.number for stack in group]


def _list_facts(stack: StackInfo) -> tuple[object, ...]:
    shown = info_text.format_kind(stack), info_text.format_voxels(stack), *info_text.list_facts(stack)
    return (*shown, stack.series_description, stack.protocol_name, stack.dtype, stack.problem)


def format_head(group: Group, uids: Sequence[str]) -> str:
    """The title of a group; ``uids``: of all series that are shown."""
    first = group[0]
    parts = [info_text.format_kind(first)]
    numbers = sorted({stack.series_number for stack in group if stack.series_number is not None})
    name = first.series_description or first.protocol_name
    named = f' "{name}"' if name else ""
    if numbers or named:
        parts.append(f"SeriesNumber {format_ranges(numbers)}{named}" if numbers else f"series{named}")
    places = [int(place) for stack in group if (place := stack.label.partition("#")[2])]
    if places:
        parts.append(f"volume{'s' if len(places) > 1 else ''} {format_ranges(places)}")
    if len(group) == 1 and first.split_by:
        parts.append(first.split_by)
    if len({stack.series_uid for stack in group}) == 1 and first.series_uid != NO_UID:
        parts.append(f"UID …{_distinguishing_end(first.series_uid, uids)}")
    return ", ".join(parts)


def _distinguishing_end(uid: str, uids: Sequence[str]) -> str:
    """As much of the end of a UID as distinguishes it from the others."""
    lengths = range(MIN_UID_END, len(uid))
    return next((uid[-n:] for n in lengths if not any(o != uid and o.endswith(uid[-n:]) for o in uids)), uid)


def format_differences(group: Group) -> str:
    """What differs between the stacks of a group, with the number of each; empty where a warning says it."""
    texts = [stack.split_by for stack in group]
    if len(texts) < 2 or not all(texts):
        return ""
    names = {text.rpartition(" ")[0] for text in texts}
    name = names.pop() if len(names) == 1 else ""
    if name in ("pass", "visit"):
        return ""
    values = [text.removeprefix(name).strip().removesuffix(".0") for text in texts]
    return f"distinguished by {name + ': ' if name else ''}{_join_pairs(group, values)}"


def format_folders(group: Group) -> str:
    """The folder of a group of stacks, or of each of them."""
    folders = [stack.folder for stack in group]
    if len(set(folders)) == 1:
        return f"in folder {folders[0]}"
    return f"in folders {_join_pairs(group, folders)}"


def _join_pairs(group: Group, values: Sequence[str]) -> str:
    """The number of each stack with its value; of many, the first and the last ones."""
    pairs = [f"{number}={value}" for number, value in zip(list_numbers(group), values, strict=True)]
    if len(pairs) > MAX_DIFFERENCES:
        pairs = [*pairs[: MAX_DIFFERENCES // 2], "…", *pairs[-2:]]
    return ", ".join(pairs)
