"""The fields of ``StackInfo`` that follow from shape and affine alone, whatever the format."""

import math
from typing import Any

import numpy as np

from saint_cli import geometry, spacings
from saint_cli.errors import GeometryError, SaintError
from saint_cli.io.checks import tilt_note

AXES = "xyz"

TOLD_DEGREES = 0.1
"""Tilt and shear of a file's affine from which on they are told; less is rounding."""


def suggest_factor(spacing_mm: tuple[float, float, float], axis: int) -> int:
    """The whole factor, 2...16, that brings the spacing along ``axis`` nearest to the mean in-plane spacing."""
    first, second = (s for i, s in enumerate(spacing_mm) if i != axis)
    return min(16, max(2, round(spacing_mm[axis] / math.sqrt(first * second))))


def isotropic_fields(shape: tuple[int, int, int], affine_lps: np.ndarray, axis: int | None = None) -> dict[str, Any]:
    """The fields of ``StackInfo`` about the default grid; none where upsampling would ask for a wish, and the problem
    where it would refuse the spacing.
    """
    spacing = geometry.spacing_mm(affine_lps)
    try:
        spacings.check_spacing(affine_lps)
    except GeometryError as error:
        return {"problem": str(error), "exit_code": error.exit_code}
    try:
        axis = geometry.through_plane_axis(spacing) if axis is None else axis
        target = min(s for i, s in enumerate(spacing) if i != axis)
        grid = geometry.grid_by_spacing(shape[axis], axis, spacing[axis], target)
    except SaintError:
        return {}
    counts = tuple(grid.count if i == axis else n for i, n in enumerate(shape))
    return {"isotropic_shape": counts, "isotropic_spacing_mm": geometry.spacing_mm(grid.refine(affine_lps))}


def place_fields(affine_lps: np.ndarray, tilt: float | None = None, axis: int | None = None) -> dict[str, Any]:
    """The fields of ``StackInfo`` that follow from an affine; ``tilt`` in degrees where it was measured.

    ``axis`` is the through-plane one where it is known (z for DICOM), else the one with the largest spacing.
    """
    spacing = geometry.spacing_mm(affine_lps)
    widest = geometry.through_plane_axis(spacing, allow_isotropic=True) if axis is None else axis
    anisotropy = spacing[widest] / min(s for i, s in enumerate(spacing) if i != widest)
    clear = anisotropy >= geometry.NEAR_ISOTROPIC
    measured = geometry.tilt_degrees(affine_lps, widest) if tilt is None else tilt
    first, second = (affine_lps[:3, i] / spacing[i] for i in range(3) if i != widest)
    return {
        "spacing_mm": spacing,
        "slice_distance_mm": geometry.slice_distance_mm(affine_lps, widest),
        "tilt_degrees": round(measured, 3),
        "shear_degrees": round(abs(90.0 - math.degrees(math.acos(np.clip(first @ second, -1.0, 1.0)))), 3),
        "through_plane": AXES[widest] if clear else None,
        "uniform": True,
        "anisotropy": anisotropy,
        "suggested_factor": suggest_factor(spacing, widest) if clear else None,
    }


def place_warnings(fields: dict[str, Any]) -> tuple[str, ...]:
    """Sentences about a tilt or shear in the affine of a file that is not DICOM, of its ``place_fields``."""
    found = []
    tilt, shear, distance = fields["tilt_degrees"], fields["shear_degrees"], fields["slice_distance_mm"]
    if tilt >= TOLD_DEGREES:
        found.append(tilt_note(tilt, distance / math.cos(math.radians(tilt)), distance, is_ct=False))
    if shear >= TOLD_DEGREES:
        found.append(f"Shear {shear:.1f}° between the two in-plane axes: they are not perpendicular; kept as they are")
    return tuple(found)
