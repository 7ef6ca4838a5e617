"""Stacks whose slices are missing or unevenly spaced, taken as they are (``irregular``)."""

from dataclasses import replace

import numpy as np

from saint_cli import geometry
from saint_cli.errors import GeometryError
from saint_cli.io.dicom.stacks import Stack, describe_contrast
from saint_cli.io.voxel_checks import format_tilt


def accept_uneven(stack: Stack) -> Stack:
    """The stack with a geometry although its slices are unevenly spaced; itself where that is not its problem."""
    if stack.geometry is not None or not isinstance(stack.problem, GeometryError):
        return stack
    first = stack.slices[0]
    positions = np.array([header.position for header in stack.slices])
    try:
        placed = geometry.stack_uneven_slices(positions, first.orientation, first.pixel_spacing)
    except GeometryError:
        return stack
    if not placed.slice_positions:  # evenly spaced: its problem is another
        return stack
    ordered = tuple(stack.slices[i] for i in placed.order)
    problem = GeometryError("phase map: its values wrap around, so no interpolation holds") if first.is_phase else None
    warnings = (*stack.warnings, *describe_contrast(ordered), *_describe_uneven(placed, is_ct=first.modality == "CT"))
    return replace(stack, slices=ordered, geometry=placed, problem=problem, warnings=warnings)


def _describe_uneven(placed: geometry.SliceStack, *, is_ct: bool) -> list[str]:
    """Warnings of the gaps, and of tilt."""
    step, distance = geometry.spacing_mm(placed.affine_lps)[2], geometry.slice_distance_mm(placed.affine_lps, 2)
    gaps = np.diff(placed.slice_positions) * step
    warnings = [
        f"slices are unevenly spaced: gaps of {gaps.min():.4g} to {gaps.max():.4g} mm, commonest {step:.4g} mm; each "
        "is interpolated by its own distance"
    ]
    if placed.tilt_degrees:
        warnings.append(format_tilt(placed.tilt_degrees, step, distance, is_ct=is_ct))
    return warnings
