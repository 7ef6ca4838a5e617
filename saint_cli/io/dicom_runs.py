"""Regular runs of a stack that is not regular as a whole: its spacing changes, or slices are missing."""

from dataclasses import replace

import numpy as np

from saint_cli import regularity
from saint_cli.errors import GeometryError
from saint_cli.io.dicom_layout import Layout
from saint_cli.io.dicom_slice import SliceHeader
from saint_cli.io.dicom_stacks import Stack, build

SHORTEST = 3
"""Slices of the shortest run: two lie at one distance wherever they are."""


def split_runs(stack: Stack) -> list[Stack]:
    """The runs of at least ``SHORTEST`` evenly spaced slices of an irregular stack; any other stack, or none, as it is.

    A slice where the spacing changes ends one run and starts the next.
    """
    found = _runs(stack)
    return found or [stack]


def hint(stack: Stack) -> str:
    """What to do about an irregular stack that has regular runs; empty for any other."""
    count = len(_runs(stack))
    if count == 0:
        return ""
    return f", or take {'its regular run' if count == 1 else f'one of its {count} regular runs'} with --split-runs"


def _runs(stack: Stack) -> list[Stack]:
    if stack.geometry is not None or not isinstance(stack.problem, GeometryError) or len(stack.slices) < SHORTEST:
        return []
    layout = Layout(stack.slices)
    order = [i for i in np.argsort(layout.along, kind="stable") if layout.visits[layout.place[i]] == 1]
    if (layout.visits > 1).sum() > len(order):
        return []
    slices, along = [layout.slices[i] for i in order], layout.along[order]
    both = regularity.find_interleaved(along, layout.units[order])
    made = []
    for mask in both or ():
        part = [one for one, belongs in zip(slices, mask, strict=True) if belongs]
        made.append(_stack(stack, part, (float(along[mask][0]), float(along[mask][-1]))))
    for a, b in _bounds(np.diff(along), layout):
        run = _stack(stack, slices[a : b + 1], (float(along[a]), float(along[b])))
        if both is None:
            made.append(run)
        elif all(mask[a : b + 1].any() for mask in both):
            made.append(_doubtful(run))
    return [one for one in made if one.problem is None]


def _doubtful(run: Stack) -> Stack:
    told = "its slices may alternate between two scans that lie between each other"
    return replace(run, warnings=(*run.warnings, told), is_doubtful=True)


def _stack(stack: Stack, members: list[SliceHeader], ends_mm: tuple[float, float]) -> Stack:
    place = f"run from {ends_mm[0]:.6g} to {ends_mm[1]:.6g} mm"
    told = f"regular {place}: {len(members)} of the stack's {len(stack.slices)} slices"
    named = f"{stack.split_by}, {place}" if stack.split_by else place
    return replace(build(members, (*stack.warnings, told)), split_by=named, run_of=_name(stack), hint=stack.hint)


def _name(stack: Stack) -> str:
    return f"{stack.slices[0].sop_instance} {stack.slices[0].frame}"


def _bounds(gaps: np.ndarray, layout: Layout) -> list[tuple[int, int]]:
    """First and last slice of every run; ``gaps`` (n - 1,) mm between neighbouring slices, in order."""
    bounds, start = [], 0
    for i in range(1, len(gaps) + 1):
        if i == len(gaps) or abs(gaps[i] - gaps[start]) > regularity.tolerance_mm(gaps[start], layout.unit):
            if i - start + 1 >= SHORTEST:
                bounds.append((start, i))
            start = i
    return bounds
