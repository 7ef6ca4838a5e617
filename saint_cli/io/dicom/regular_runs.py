"""Regular runs of a stack that is not regular as a whole: its spacing changes, or slices are missing."""

from dataclasses import replace

import numpy as np

from saint_cli.errors import GeometryError
from saint_cli.errors.parameter_names import adapt_message
from saint_cli.geometry import regularity
from saint_cli.io.dicom.layout import Layout, SliceList
from saint_cli.io.dicom.stacks import Stack, accept_uneven, build_stack
from saint_cli.io.read_options import CHOICES


def advise_uneven(stack: Stack, offered: frozenset[str] = CHOICES) -> str:
    """What to do about an irregular stack, by the choices that are offered; empty for any other."""
    uneven = accept_uneven(stack)
    if uneven.geometry is None or uneven is stack:
        return ""
    advice, count = "", len(find_regular_runs(stack))
    if "irregular" in offered:
        advice = ", or interpolate every gap by its own distance with `irregular=True`"
    if count and "split_runs" in offered:
        runs = "its regular run" if count == 1 else f"one of its {count} regular runs"
        advice += f", or take {runs} with `split_runs=True`"
    return adapt_message(advice)


def find_regular_runs(stack: Stack) -> list[Stack]:
    """The evenly spaced runs of an irregular stack; none of a regular one.

    A slice where the spacing changes ends one run and starts the next.
    """
    is_irregular = stack.geometry is None and isinstance(stack.problem, GeometryError)
    if not is_irregular or len(stack.slices) < regularity.MIN_SLICES:
        return []
    layout = Layout(stack.slices)
    order = [i for i in np.argsort(layout.along, kind="stable") if layout.counts[layout.position[i]] == 1]
    if (layout.counts > 1).sum() > len(order):
        return []
    slices, along = [layout.slices[i] for i in order], layout.along[order]
    interleaved = regularity.find_interleaved(along, layout.units_mm[order])
    runs = []
    for mask in interleaved or ():
        part = [header for header, belongs in zip(slices, mask, strict=True) if belongs]
        runs.append(_build_run(stack, part, along[mask]))
    for first, last in _find_run_bounds(np.diff(along), layout.unit_mm):
        within = slice(first, last + 1)
        run = _build_run(stack, slices[within], along[within])
        if interleaved is None:
            runs.append(run)
        elif all(mask[within].any() for mask in interleaved):
            warning = "its slices may alternate between two scans that lie between each other"
            warnings = (*run.warnings, warning)
            runs.append(replace(run, warnings=warnings, is_doubtful=True, is_alternation_known=True))
    return [run for run in runs if run.problem is None]


def _build_run(stack: Stack, slices: SliceList, along: np.ndarray) -> Stack:
    """Some slices of a stack as a stack; along: (n,) their positions, ascending, mm."""
    place = f"run from {along[0]:.6g} to {along[-1]:.6g} mm"
    warning = f"regular {place}: {len(slices)} of the stack's {len(stack.slices)} slices"
    first = stack.slices[0]
    return replace(
        build_stack(slices, (*stack.warnings, warning)),
        split_by=f"{stack.split_by}, {place}" if stack.split_by else place,
        run_of=f"{first.sop_instance} {first.frame}",
        merge_hint=stack.merge_hint,
    )


def _find_run_bounds(gaps: np.ndarray, unit_mm: float) -> list[tuple[int, int]]:
    """First and last slice of every run; ``gaps`` (n - 1,) mm between neighbouring slices, in order."""
    bounds, start = [], 0
    for i in range(1, len(gaps) + 1):
        if i == len(gaps) or abs(gaps[i] - gaps[start]) > regularity.tolerance_mm(gaps[start], unit_mm):
            if i - start + 1 >= regularity.MIN_SLICES:
                bounds.append((start, i))
            start = i
    return bounds
