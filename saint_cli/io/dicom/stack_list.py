"""The list of stacks from which one is chosen: how each is called, all of them on one line, and mistakable numbers."""

from collections import Counter
from collections.abc import Sequence

from saint_cli.errors.parameter_names import adapt_message
from saint_cli.errors.plain_text import list_first
from saint_cli.io.description import NO_UID
from saint_cli.io.dicom.stacks import Stack
from saint_cli.volume.fourth_axis import name_volume

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


def name_in_series(stacks: Sequence[Stack], stack: Stack) -> str:
    """Which of several volumes of its series one of the ``stacks`` is, counted as ``volume`` does; "" of one alone."""
    together = [one for one in stacks if one.series == stack.series]
    if sum(len(one.slices) > 1 for one in together) < 2:
        return ""
    number = next(i for i, one in enumerate(together, 1) if one is stack)
    return name_volume(number, len(together), stack.split_by)


def format_stacks(stacks: Sequence[Stack], named: Sequence[Stack] | None = None) -> str:
    """The stacks on one line, each with its number, what it is, and the end of its UID; usable ones first.

    named: list these of the stacks only.
    """
    shown = {id(stack) for stack in (stacks if named is None else named)}
    numbered = sorted(enumerate(zip(stacks, label_stacks(stacks), strict=True), 1), key=lambda n: not n[1][0].is_usable)
    lines = [
        f"{number} = {summarize_stack(stack)} UID {_shorten(label)}"
        for number, (stack, label) in numbered
        if id(stack) in shown
    ]
    return list_first(lines, MAX_SHOWN_STACKS, "; ")


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


def note_other_stacks(stacks: Sequence[Stack], named: Sequence[Stack], series: str | None) -> tuple[str, ...]:
    """Warnings that the number in ``series``, by which ``named`` were chosen, stands for another stack elsewhere."""
    name = (series or "").partition("#")[0]
    if not (name.isdecimal() and 1 <= int(name) <= len(stacks)):
        return ()
    notes = _note_whole_stack(stacks, int(name)), _note_series_number(stacks, named, name)
    return tuple(adapt_message(note) for note in notes if note)


def _note_whole_stack(stacks: Sequence[Stack], number: int) -> str:
    """That runs count in the list, where the stack of a number is another one in the list without runs; else ""."""
    split = [stack.run_of or str(k) for k, stack in enumerate(stacks)]
    whole = list(dict.fromkeys(split))
    if number > len(whole) or whole[number - 1] == split[number - 1]:
        return ""
    return (
        f"`series={number}` is number {number} of the list of `saint info --split-runs`; number {number} of the list "
        f"without that option is `series={split.index(whole[number - 1]) + 1}`"
    )


def _note_series_number(stacks: Sequence[Stack], named: Sequence[Stack], name: str) -> str:
    """That a number is the SeriesNumber of another stack than the one that it took; else ""."""
    taken = named[0].slices[0].series_number
    meant = [number for number, stack in enumerate(stacks, 1) if stack.slices[0].series_number == int(name)]
    if not meant or taken == int(name):
        return ""
    place = f"number {name} of the list" + (f", SeriesNumber {taken}" if taken else "")
    return f"`series={name}` is {place}; SeriesNumber {name} is `series={meant[0]}`"


def _shorten(label: str) -> str:
    uid, hash_, place = label.partition("#")
    return f"{uid if uid == NO_UID else f'…{uid[-8:]}'}{hash_}{place}"
