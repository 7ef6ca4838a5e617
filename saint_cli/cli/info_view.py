"""How ``saint info`` shows descriptions: lines for people, a document for programs."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from saint_cli.cli import info_text
from saint_cli.cli.console import Line
from saint_cli.cli.info_groups import Group, format_differences, format_folders, format_head, group_stacks, list_numbers
from saint_cli.errors import SaintError
from saint_cli.errors.plain_text import format_count, format_ranges, list_first
from saint_cli.io import Description, StackInfo
from saint_cli.io.skipped_files import NOT_DICOM, format_counts

MAX_NAMED_FILES = 3
"""Files that a note of several files names."""

PROBLEM = "cannot be upsampled"


def make_document(descriptions: Sequence[tuple[str, Description | SaintError]]) -> list[dict[str, Any]]:
    """One JSON object per path, in the order given: its volumes (``io.StackInfo``), or its error."""
    return [{"path": path, **_document(one)} for path, one in descriptions]


def _document(one: Description | SaintError) -> dict[str, Any]:
    if isinstance(one, SaintError):
        error = {"error": str(one), "error_class": type(one).__name__, "exit_code": one.exit_code}
        return {"stacks": [], "skipped": {}, "skipped_files": {}, **error}
    return {
        "stacks": [asdict(stack) for stack in one.stacks],
        "skipped": dict(one.skipped),
        "skipped_files": one.named,
        "error": None,
        "error_class": None,
        "exit_code": one.exit_code,
    }


def format_lines(path: str, one: Description, flags: str = "") -> list[Line]:
    """The path; a block for each DICOM stack, or for several that are alike; a line for each file; skipped files.

    flags: the options, such as `` --split-runs``, that the numbers of DICOM stacks depend on; commands name them too.
    """
    stacks = [stack for stack in one.stacks if stack.format == "DICOM"]
    files = [stack for stack in one.stacks if stack.format != "DICOM"]
    if len(one.stacks) == 1 and files and files[0].label == one.path.name:
        return [Line("", path, "bold"), *_format_file(files[0])]
    counts = [format_count(len(some), noun) for some, noun in ((stacks, "DICOM volume"), (files, "file")) if some]
    summary = f": {', '.join(counts)}" if len(one.stacks) > 1 or files else ""
    lines = [Line("", f"{path}{summary}", "bold"), *_format_blocks(stacks, flags), *_format_rows(files)]
    return [*lines, *_format_skipped(one, beside_files=bool(files))]


def _format_skipped(one: Description, *, beside_files: bool) -> list[Line]:
    """Files that were skipped: by name where a slice may be missing, the others by number."""
    problems = {reason: count for reason, count in one.skipped.items() if reason in one.named}
    names = {NOT_DICOM: "of other kinds"} if beside_files else {}  # files that are shown are not DICOM either
    others = {names.get(why, why): count for why, count in one.skipped.items() if why not in one.named}
    lines = []
    if problems:
        lines.append(Line("  ", f"warning: skipped files: {format_counts(problems, one.named)}", "yellow"))
    if others:
        lines.append(Line("  ", f"skipped files: {format_counts(others, {})}", "dim"))
    return lines


class Note(NamedTuple):
    """A problem or a warning of a stack."""

    word: str
    text: str

    def as_line(self, lead: str, where: str = "") -> Line:
        """As ``warning (where): text``."""
        place = f" ({where})" if where else ""
        return Line(lead, f"{self.word}{place}: {self.text}", "red" if self.word == PROBLEM else "yellow")


def _list_notes(stack: StackInfo) -> list[Note]:
    problem = [Note(PROBLEM, stack.problem)] if stack.problem else []
    return [*problem, *(Note("warning", text) for text in stack.warnings)]


def _format_file(stack: StackInfo) -> list[Line]:
    """All that is known of one file of a format other than DICOM."""
    storage = (stack.format, info_text.format_voxels(stack), info_text.format_storage(stack))
    facts = (", ".join(filter(None, storage)), *info_text.list_facts(stack))
    return [*(Line("  ", text) for text in facts), *(note.as_line("  ") for note in _list_notes(stack))]


def _format_blocks(stacks: Sequence[StackInfo], flags: str) -> list[Line]:
    """Blocks of DICOM stacks, then the notes that several blocks share."""
    groups = group_stacks(stacks)
    notes = [_number_notes(group) for group in groups]
    shared = {note: where for note, where in _number_notes(stacks).items() if sum(note in own for own in notes) > 1}
    leads = [f" {format_ranges(list_numbers(group))}  " for group in groups]
    indent = " " * max(map(len, leads), default=0)
    uids = sorted({stack.series_uid for stack in stacks})
    is_one_of_several = sum(stack.shape is not None and stack.shape[2] > 1 for stack in stacks) > 1
    has_folders = len({stack.folder for stack in stacks}) > 1
    together = _describe_series(stacks, f"saint upsample{flags}")
    lines = []
    for group, lead, own in zip(groups, leads, notes, strict=True):
        lines.append(Line(lead.ljust(len(indent)), format_head(group, uids), "bold"))
        lines += [Line(indent, format_folders(group))] if has_folders else []
        upsample = f"saint upsample{flags}{' --irregular' * bool(group[0].slice_positions)}"
        facts = _list_facts(group, upsample, is_one_of_several=is_one_of_several)
        lines += [Line(indent, text) for text in (*facts, *together.get(group[0].number, ()))]
        for note, numbers in own.items():
            if note not in shared:
                is_of_all = len(numbers) == len(group)
                lines.append(note.as_line(indent, "" if is_of_all else format_ranges(numbers)))
    return [*lines, *(note.as_line(" ", format_ranges(numbers)) for note, numbers in shared.items())]


def _describe_series(stacks: Sequence[StackInfo], upsample: str) -> dict[int, list[str]]:
    """For the number of the first volume of each series of several: what takes them together, or why nothing does.

    Nothing of a series none of whose volumes can be upsampled: each block says why.
    """
    series: dict[tuple[str, int | None], list[StackInfo]] = {}
    for stack in stacks:
        if stack.series_volumes > 1:
            series.setdefault((stack.series_uid, stack.series_number), []).append(stack)
    lines = {}
    for first, *others in series.values():
        count, command = first.series_volumes, f"`{upsample} --series {first.number} --volume all`"
        if not first.series_problem:
            lines[first.number] = [f"{command} takes the {count} volumes together"]
        elif not all(stack.problem for stack in (first, *others)):
            lines[first.number] = [f"The {count} volumes cannot be taken together: {first.series_problem}"]
    return lines


def _number_notes(stacks: Sequence[StackInfo]) -> dict[Note, list[int]]:
    """The notes of stacks, with the numbers of those that have them."""
    numbers: dict[Note, list[int]] = {}
    for stack in stacks:
        for note in _list_notes(stack):
            numbers.setdefault(note, []).append(stack.number)
    return numbers


def _list_facts(group: Group, upsample: str, *, is_one_of_several: bool) -> list[str]:
    """Lines about a group of stacks; ``upsample``: the command without the choice of a stack."""
    first = group[0]
    storages = {info_text.format_storage(stack) for stack in group}
    storage = storages.pop() if len(storages) == 1 else f"{first.dtype}, scaled volume by volume"
    command = f"`{upsample}`"
    if is_one_of_several and len(group) > 1:
        command = f"`{upsample} --series N` (N = {format_ranges(list_numbers(group))})"
    elif is_one_of_several:
        command = f"`{upsample} --series {first.number}`"
    voxels = ", ".join(filter(None, (info_text.format_voxels(first), storage)))
    return list(filter(None, (voxels, format_differences(group), *info_text.list_facts(first, command))))


def _format_rows(files: Sequence[StackInfo]) -> list[Line]:
    """One line for each file of a folder, its name last, so that it may be long; then the notes of all files."""
    if not files:
        return []
    rows = [("voxels", "spacing, mm", "factor"), *(_format_cells(stack) for stack in files)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    leads = ["  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + "  " for row in rows]
    lines = [Line(leads[0], "file", "dim"), *map(Line, leads[1:], map(_format_name, files))]
    similar: dict[str, list[tuple[str, Note]]] = {}
    for stack in files:
        for note in _list_notes(stack):
            similar.setdefault(re.sub(r"\d+(\.\d+)?", "#", f"{note.word} {note.text}"), []).append((stack.label, note))
    return [*lines, *map(_join_notes, similar.values())]


def _format_cells(stack: StackInfo) -> tuple[str, str, str]:
    shape = "x".join(map(str, stack.shape or ())) + (f"x{stack.volumes}" if stack.volumes > 1 else "")
    spacing = "x".join(f"{s:.4g}" for s in stack.spacing_mm or ())
    factor = str(stack.suggested_factor) if stack.suggested_factor and not stack.problem else ""
    return shape or "-", spacing or "-", factor or "-"


def _format_name(stack: StackInfo) -> str:
    """The file's name, and what is special about it."""
    special = [stack.secondary.removeprefix("a ")] if stack.secondary else []
    if stack.volumes > 1:
        special.append("4-D" if stack.problem else f"4-D, --volume 1…{stack.volumes} or all")
    if stack.problem:
        special.append(PROBLEM)
    return f"{stack.label}: {', '.join(special)}" if special else stack.label


def _join_notes(notes: Sequence[tuple[str, Note]]) -> Line:
    """A note with the names of the files that have it, be it with other numbers."""
    names, texts = [name for name, _ in notes], {note.text for _, note in notes}
    word, text = notes[0][1]
    alike = "; similar in the others" if len(texts) > 1 else ""
    return Note(word, f"{text}{alike}").as_line("  ", list_first(names, MAX_NAMED_FILES))
