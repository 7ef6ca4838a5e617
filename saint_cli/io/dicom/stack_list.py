"""The list of stacks from which one is chosen: how each is called, and all of them on one line."""

from collections import Counter
from collections.abc import Sequence

from saint_cli.io.dicom.stacks import Stack

NO_UID = "none"
"""What stands for the UID of stacks that have none."""

MAX_SHOWN_STACKS = 12
"""Stacks listed in the message that asks for a choice; more would hide the question."""


def label_stacks(stacks: Sequence[Stack]) -> list[str]:
    """The SeriesInstanceUID of each stack or ``NO_UID``, with ``#1``, ``#2``, ... where a series holds several."""
    names = [stack.series_uid or NO_UID for stack in stacks]
    total, count = Counter(names), Counter[str]()
    labels = []
    for name in names:
        count[name] += 1
        labels.append(f"{name}#{count[name]}" if total[name] > 1 else name)
    return labels


def format_stacks(stacks: Sequence[Stack]) -> str:
    """The stacks on one line, each with its number, what it is, and the end of its UID; usable ones first."""
    numbered = sorted(enumerate(zip(stacks, label_stacks(stacks), strict=True), 1), key=lambda n: not n[1][0].is_usable)
    lines = [
        f"{number} = {summarize_stack(stack)} UID {_shorten(label)}"
        for number, (stack, label) in numbered[:MAX_SHOWN_STACKS]
    ]
    if len(stacks) > MAX_SHOWN_STACKS:
        lines.append(f"and {len(stacks) - MAX_SHOWN_STACKS} more")
    return "; ".join(lines)


def summarize_stack(stack: Stack) -> str:
    """What a stack is: SeriesNumber, modality, size, what distinguishes it, why it cannot be upsampled."""
    first = stack.slices[0]
    rows, columns = first.shape
    shape = f"{columns}x{rows}x{len(stack.slices)}"
    problem = ""
    if stack.problem is not None and len(stack.slices) > 1:
        problem = " (phase map)" if first.is_phase else " (not one scan)" if stack.is_scattered else " (not regular)"
    number = f"SeriesNumber {first.series_number}, " if first.series_number else ""
    split_by = f" {stack.split_by}" if stack.split_by else ""
    derived = " (derived)" if first.is_derived else ""
    return f"{number}{first.modality} {shape}{split_by}{derived}{problem}"


def _shorten(label: str) -> str:
    uid, hash_, place = label.partition("#")
    return f"{uid if uid == NO_UID else f'…{uid[-8:]}'}{hash_}{place}"
