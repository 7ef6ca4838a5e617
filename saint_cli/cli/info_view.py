"""How ``saint info`` shows descriptions: a table for people, a document for programs."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from saint_cli import console
from saint_cli.errors import SaintError
from saint_cli.io import Description, StackInfo
from saint_cli.io.skipped import shown_counts

if TYPE_CHECKING:
    from rich.console import RenderableType

FINEST = 16
"""The largest factor."""

LOST_MM = 0.02
"""Distances below this are rounding (``geometry.SNAP_MM``)."""

TILTED_DEGREES = 0.1
"""Angle from which on the tilt of slices is told."""

LABEL_LENGTH = 24
"""Characters shown of a label; its end tells more than its start (UIDs share their root)."""


def as_document(found: Sequence[tuple[str, Description | SaintError]]) -> list[dict[str, Any]]:
    """One JSON object per path, in the order given: its volumes, or its error."""
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


def as_table(path: str, one: Description) -> "RenderableType":
    """The path, a line for each volume, then problems, warnings and skipped files."""
    from rich.console import Group
    from rich.text import Text

    notes = [Text(f"  {line}", style=style) for line, style in _notes(one)]
    return Group(Text(console.printable(path), style="bold"), _volumes(one.stacks), *notes)


def _volumes(stacks: Sequence[StackInfo]) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=True, header_style="dim")
    for name in ("#", "volume", "type", "voxels", "spacing mm", "slices", "stored", "factor"):
        table.add_column(name, overflow="fold", no_wrap=name == "volume")  # what --series takes stays in one piece
    for stack in stacks:
        table.add_row(*(Text(console.printable(cell)) for cell in _cells(stack)))
    return table


def _cells(stack: StackInfo) -> tuple[str, ...]:
    label = stack.label if len(stack.label) <= LABEL_LENGTH else "…" + stack.label[1 - LABEL_LENGTH :]
    kind = f"{stack.modality} {stack.format}" if stack.modality else stack.format
    shape = " x ".join(map(str, stack.shape)) if stack.shape else "-"
    spacing = " x ".join(f"{s:.4g}" for s in stack.spacing_mm) if stack.spacing_mm else "-"
    factor = str(stack.suggested_factor) if stack.suggested_factor and not stack.problem else "-"
    return str(stack.number), label, kind, shape, spacing, _slices(stack), _stored(stack), factor


def _slices(stack: StackInfo) -> str:
    if stack.shape is not None and stack.shape[2] == 1:
        return "single slice"
    if stack.slice_distance_mm is None:
        return "not uniform" if stack.uniform is False else "-"
    axis = f"along {stack.through_plane}" if stack.through_plane else "nearly isotropic"
    tilt = stack.tilt_degrees or 0.0
    told = f"{stack.slice_distance_mm / math.cos(math.radians(tilt)):.5g} mm {axis}, {stack.anisotropy:.3g}:1, uniform"
    if tilt < TILTED_DEGREES:
        return told
    return f"{told}, tilt {tilt:.1f}°: {stack.slice_distance_mm:.4g} mm along the normal"


def _stored(stack: StackInfo) -> str:
    if stack.dtype is None:
        return "-"
    if stack.slope is None or stack.intercept is None:
        return f"{stack.dtype}, scaled per slice"
    plain = stack.slope == 1 and stack.intercept == 0
    return stack.dtype if plain else f"{stack.dtype} x {stack.slope:.6g} {stack.intercept:+.6g}"


def _notes(one: Description) -> list[tuple[str, str]]:
    several = len(one.stacks) > 1
    notes = []
    for stack in one.stacks:
        where = f"{stack.number}: " if several else ""
        if stack.problem:
            notes.append((f"{where}cannot be upsampled: {console.printable(stack.problem)}", "red"))
        notes += [(f"{where}{line}", "") for line in _lines(stack)]
        notes += [(f"{where}warning: {console.printable(line)}", "yellow") for line in stack.warnings]
    problems = {reason: count for reason, count in one.skipped.items() if reason in one.named}
    others = {reason: count for reason, count in one.skipped.items() if reason not in one.named}
    if problems:
        notes.append((f"warning: skipped files: {console.printable(shown_counts(problems, one.named))}", "yellow"))
    if others:
        notes.append((f"skipped files: {console.printable(shown_counts(others, {}))}", "dim"))
    return notes


def _lines(stack: StackInfo) -> list[str]:
    """What does not fit into the table: patient text, slices beside what the tags claim, what upsampling would do."""
    lines = [f"{name}: {console.printable(text)}" for name, text in (stack.patient or {}).items()]
    if stack.secondary:
        lines.append(f"{stack.secondary}, which saint batch leaves out")
    if stack.format == "DICOM" and stack.slice_distance_mm is not None:
        tags = (("SliceThickness", stack.slice_thickness_mm), ("SpacingBetweenSlices", stack.spacing_between_slices_mm))
        claims = [f"{name} {value:.5g}" for name, value in tags if value is not None]
        along = " along the normal" if (stack.tilt_degrees or 0.0) >= TILTED_DEGREES else ""
        between = f"{stack.slice_distance_mm:.5g} mm from slice to slice{along}"
        lines.append(", ".join([between, *claims, *_gap(stack)]))
        told = f", {stack.split_by}" if stack.split_by else ""
        lines.append(f"InstanceNumber {stack.order} along the normal{told}")
    if stack.isotropic_shape and stack.isotropic_spacing_mm:
        shape = " x ".join(map(str, stack.isotropic_shape))
        lines.append(f"upsample makes {shape} at {' x '.join(f'{s:.4g}' for s in stack.isotropic_spacing_mm)} mm of it")
        lines += _lost(stack)
    elif not stack.problem:
        lines.append(_wish(stack))
    return lines


def _lost(stack: StackInfo) -> list[str]:
    """How far short of the last acquired slice the default result ends, where the spacings do not divide."""
    fields = (stack.shape, stack.spacing_mm, stack.isotropic_shape, stack.isotropic_spacing_mm)
    pairs = zip(*(field or () for field in fields), strict=True)
    short = max((before - 1) * wide - (after - 1) * fine for before, wide, after, fine in pairs)
    if short < LOST_MM:
        return []
    factor = f"--factor {stack.suggested_factor}" if stack.suggested_factor else "any --factor"
    return [f"its last slice lies {short:.2g} mm before the last acquired one; {factor} ends on that"]


def _wish(stack: StackInfo) -> str:
    """Why upsampling needs to be told how fine, and what could be said."""
    if stack.through_plane and stack.spacing_mm and stack.anisotropy and stack.anisotropy > FINEST:
        finest = stack.spacing_mm["xyz".index(stack.through_plane)] / FINEST
        return (
            f"isotropic voxels would take a factor of {stack.anisotropy:.3g}; give upsample --factor {FINEST} or less, "
            f"or --spacing {finest:.4g} or more"
        )
    return "upsample needs --factor or --spacing for it"


def _gap(stack: StackInfo) -> list[str]:
    if stack.gap_mm is None or abs(stack.gap_mm) < 0.005 * (stack.slice_distance_mm or 1):
        return []
    return [f"{'overlap' if stack.gap_mm < 0 else 'gap'} {abs(stack.gap_mm):.4g} mm"]
