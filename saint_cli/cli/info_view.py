"""How ``saint info`` shows descriptions: lines for people, a document for programs."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from saint_cli.cli import info_text
from saint_cli.cli.info_groups import Group, differences, group, head, ranges, series
from saint_cli.console import Line
from saint_cli.errors import SaintError
from saint_cli.io import Description, StackInfo
from saint_cli.io.skipped import shown_counts

NOT_DICOM = "not DICOM"
"""How files of other kinds are counted, which is no reason beside files that are shown and are not DICOM either."""

NAMED_FILES = 3
"""Files named beside what is told of several."""


def as_document(found: Sequence[tuple[str, Description | SaintError]]) -> list[dict[str, Any]]:
    """One JSON object per path, in the order given: its volumes (``io.StackInfo``), or its error."""
    return [_document(path, one) for path, one in found]


def _document(path: str, one: Description | SaintError) -> dict[str, Any]:
    if isinstance(one, SaintError):
        told = {"error": str(one), "error_class": type(one).__name__, "exit_code": one.exit_code}
        return {"path": path, "stacks": [], "skipped": {}, "skipped_files": {}, **told}
    stacks = [asdict(stack) for stack in one.stacks]
    return {
        "path": path,
        "stacks": stacks,
        "skipped": dict(one.skipped),
        "skipped_files": one.named,
        "error": None,
        "error_class": None,
        "exit_code": one.exit_code,
    }


def as_lines(path: str, one: Description) -> list[Line]:
    """The path; a block for each DICOM stack, or for several that are alike; a line for each file; skipped files."""
    stacks = [stack for stack in one.stacks if stack.format == "DICOM"]
    files = [stack for stack in one.stacks if stack.format != "DICOM"]
    if len(one.stacks) == 1 and files and files[0].label == one.path.name:
        return [Line("", path, "bold"), *_file_block(files[0])]
    counts = [*_counted(len(stacks), "DICOM volume"), *_counted(len(files), "file")]
    several = f": {', '.join(counts)}" if len(one.stacks) > 1 or files else ""
    lines = [Line("", f"{path}{several}", "bold"), *_blocks(stacks), *_rows(files)]
    return [*lines, *_skipped(one, beside_files=bool(files))]


def _skipped(one: Description, *, beside_files: bool) -> list[Line]:
    """Files that were skipped: those of which a slice may be missing by name, the others by number."""
    problems = {reason: count for reason, count in one.skipped.items() if reason in one.named}
    names = {NOT_DICOM: "of other kinds"} if beside_files else {}
    others = {names.get(why, why): count for why, count in one.skipped.items() if why not in one.named}
    lines = []
    if problems:
        lines.append(Line("  ", f"warning: skipped files: {shown_counts(problems, one.named)}", "yellow"))
    if others:
        lines.append(Line("  ", f"skipped files: {shown_counts(others, {})}", "dim"))
    return lines


def _counted(count: int, noun: str) -> list[str]:
    return [f"{count} {noun}{'s' if count > 1 else ''}"] if count else []


def _file_block(stack: StackInfo) -> list[Line]:
    """All that is known of one file that is no DICOM."""
    first = ", ".join(text for text in (stack.format, info_text.voxels(stack), info_text.stored(stack)) if text)
    lines = [Line("  ", text) for text in (first, *info_text.facts(stack))]
    if stack.problem:
        lines.append(Line("  ", f"cannot be upsampled: {stack.problem}", "red"))
    return [*lines, *(Line("  ", f"warning: {text}", "yellow") for text in stack.warnings)]


def _blocks(stacks: Sequence[StackInfo]) -> list[Line]:
    """Blocks of DICOM stacks, then what is told of several blocks."""
    groups = group(stacks)
    leads = [f" {ranges(one.numbers)}  " for one in groups]
    wide = max(map(len, leads), default=0)
    uids = sorted({series(stack) for stack in stacks})
    several = sum(stack.shape is not None and stack.shape[2] > 1 for stack in stacks) > 1
    shared = _shared(groups)
    lines = []
    for one, lead in zip(groups, leads, strict=True):
        inner = " " * wide
        lines.append(Line(lead.ljust(wide), head(one, uids), "bold"))
        lines += [Line(inner, text) for text in _facts(one, several=several)]
        lines += [Line(inner, text, style) for text, style in _notes(one, shared)]
    for text, numbers in shared.items():
        lines.append(Line(" ", _told(text, ranges(numbers)), _style(text)))
    return lines


def _facts(one: Group, *, several: bool) -> list[str]:
    first = one.stacks[0]
    alike = {info_text.stored(stack) for stack in one.stacks}
    stored = alike.pop() if len(alike) == 1 else f"{first.dtype}, scaled volume by volume"
    command = "`saint upsample`"
    if several:
        command = f"`saint upsample --series {first.number}`"
    if several and len(one.stacks) > 1:
        command = f"`saint upsample --series N` (N = {ranges(one.numbers)})"
    placed = ", ".join(text for text in (info_text.voxels(first), stored) if text)
    return [text for text in (placed, differences(one), *info_text.facts(first, command)) if text]


PROBLEM = "cannot be upsampled"

WARNING = "warning"


def _said(stack: StackInfo) -> list[str]:
    """Problem and warnings of a stack, each with the word it begins with."""
    problem = [f"{PROBLEM}: {stack.problem}"] if stack.problem else []
    return [*problem, *(f"{WARNING}: {text}" for text in stack.warnings)]


def _shared(groups: Sequence[Group]) -> dict[str, list[int]]:
    """What is said of stacks in several groups, with their numbers."""
    found: dict[str, list[int]] = {}
    homes: dict[str, set[int]] = {}
    for index, one in enumerate(groups):
        for stack in one.stacks:
            for text in _said(stack):
                found.setdefault(text, []).append(stack.number)
                homes.setdefault(text, set()).add(index)
    return {text: numbers for text, numbers in found.items() if len(homes[text]) > 1}


def _notes(one: Group, shared: Iterable[str]) -> list[tuple[str, str]]:
    """Problem and warnings of a group alone, with the numbers of the stacks if it is not all of them."""
    said: dict[str, list[int]] = {}
    for stack in one.stacks:
        for text in _said(stack):
            said.setdefault(text, []).append(stack.number)
    notes = []
    for text, numbers in said.items():
        if text not in shared:
            where = "" if len(numbers) == len(one.stacks) else ranges(numbers)
            notes.append((_told(text, where), _style(text)))
    return notes


def _told(text: str, where: str) -> str:
    """``warning: text`` as ``warning (where): text``."""
    word, _, rest = text.partition(": ")
    return f"{word} ({where}): {rest}" if where else text


def _style(text: str) -> str:
    return "red" if text.startswith(PROBLEM) else "yellow"


def _rows(files: Sequence[StackInfo]) -> list[Line]:
    """One line for each file of a folder, its name last, so that it may be long; then what is told of them."""
    if not files:
        return []
    cells = [("voxels", "spacing, mm", "factor"), *(_cells(stack) for stack in files)]
    widths = [max(len(row[i]) for row in cells) for i in range(3)]
    leads = ["  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + "  " for row in cells]
    names = [_name(stack) for stack in files]
    lines = [Line(leads[0], "file", "dim"), *map(Line, leads[1:], names)]
    said: dict[str, list[tuple[str, str]]] = {}
    for stack in files:
        for text in _said(stack):
            said.setdefault(re.sub(r"\d+(\.\d+)?", "#", text), []).append((stack.label, text))
    return [*lines, *(Line("  ", _of_files(told), _style(told[0][1])) for told in said.values())]


def _cells(stack: StackInfo) -> tuple[str, str, str]:
    shape = "x".join(map(str, stack.shape or ())) + (f"x{stack.volumes}" if stack.volumes > 1 else "")
    spacing = "x".join(f"{s:.4g}" for s in stack.spacing_mm or ())
    factor = str(stack.suggested_factor) if stack.suggested_factor and not stack.problem else ""
    return shape or "-", spacing or "-", factor or "-"


def _name(stack: StackInfo) -> str:
    """The file's name, and what is special about it."""
    special = [stack.secondary.removeprefix("a ")] if stack.secondary else []
    if stack.volumes > 1:
        special.append("4-D" if stack.problem else f"4-D, --volume 1…{stack.volumes}")
    if stack.problem:
        special.append(PROBLEM)
    return f"{stack.label}: {', '.join(special)}" if special else stack.label


def _of_files(told: Sequence[tuple[str, str]]) -> str:
    """A sentence with the names of the files of which it, or the same with other numbers, is told."""
    names, texts = [name for name, _ in told], {text for _, text in told}
    more = f" and {len(names) - NAMED_FILES} more" if len(names) > NAMED_FILES else ""
    where = f"{', '.join(names[:NAMED_FILES])}{more}"
    word, _, rest = told[0][1].partition(": ")
    alike = "; similar in the others" if len(texts) > 1 else ""
    return f"{word} ({where}): {rest}{alike}"
