"""Regular runs of a stack that is not regular as a whole: its spacing changes, or slices are missing."""

from dataclasses import replace

import numpy as np

from saint_cli import geometry
from saint_cli.errors import GeometryError
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
    first = stack.slices[0]
    along = geometry.positions_along_normal(np.array([one.position for one in stack.slices]), first.orientation)
    order = np.argsort(along, kind="stable")
    slices, along = [stack.slices[i] for i in order], along[order]
    made = [_stack(stack, slices[a : b + 1], (float(along[a]), float(along[b]))) for a, b in _bounds(np.diff(along))]
    return [one for one in made if one.problem is None]


def _stack(stack: Stack, members: list[SliceHeader], ends_mm: tuple[float, float]) -> Stack:
    place = f"run from {ends_mm[0]:.6g} to {ends_mm[1]:.6g} mm"
    told = f"regular {place}: {len(members)} of the stack's {len(stack.slices)} slices"
    named = f"{stack.split_by}, {place}" if stack.split_by else place
    return replace(build(members, (*stack.warnings, told)), split_by=named, run_of=_name(stack))


def _name(stack: Stack) -> str:
    return f"{stack.slices[0].sop_instance} {stack.slices[0].frame}"


def _bounds(gaps: np.ndarray) -> list[tuple[int, int]]:
    """First and last slice of every run; ``gaps`` (n - 1,) mm between neighbouring slices, in order."""
    bounds, start = [], 0
    for i in range(1, len(gaps) + 1):
        tolerance = max(geometry.REGULAR_MM, geometry.REGULAR_FRACTION * gaps[start])
        if i == len(gaps) or abs(gaps[i] - gaps[start]) > tolerance:
            if i - start + 1 >= SHORTEST and gaps[start] >= geometry.SAME_POSITION_MM:
                bounds.append((start, i))
            start = i
    return bounds
