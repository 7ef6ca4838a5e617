"""Affine maths in LPS millimetres: spacing, slice distance, tilt, the through-plane axis."""

import math
from collections.abc import Iterable
from itertools import permutations
from typing import TypeVar

import numpy as np

from saint_cli.errors import GeometryError

Value = TypeVar("Value")

NEAR_ISOTROPIC_RATIO = 1.2
"""Largest over smallest spacing below which no axis stands out as through-plane (in-plane rounding reaches 1.1)."""

MAX_COORDINATE_MM = 1e12
"""Larger numbers in an affine are damage, and their squares and products may overflow."""

MIN_TILT_DRIFT_PIXELS = 0.5
"""In-plane drift over the whole stack, in pixels, above which a stack counts as tilted; less is rounding."""

RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""NIfTI's world axes point right, anterior, superior; DICOM's and ITK's point left, posterior, superior."""


def spacing_mm(affine_lps: np.ndarray) -> tuple[float, float, float]:
    """Norms of the three direction columns of a 4x4 affine, mm, in voxel-axis order."""
    x, y, z = np.linalg.norm(affine_lps[:3, :3], axis=0)
    return float(x), float(y), float(z)


def format_shape(shape: Iterable[int]) -> str:
    """``512 x 512 x 40``: numbers of voxels as messages show them."""
    return " x ".join(map(str, shape))


def format_spacing(spacing: Iterable[float], digits: int = 4) -> str:
    """``0.7 x 0.7 x 5``: spacings in mm as messages show them."""
    return " x ".join(f"{s:.{digits}g}" for s in spacing)


def in_plane(values: Iterable[Value], axis: int) -> tuple[Value, Value]:
    """Of one value per voxel axis those of the two in-plane axes; ``axis`` is the through-plane one."""
    first, second = (value for i, value in enumerate(values) if i != axis)
    return first, second


def find_normal(affine_lps: np.ndarray, axis: int) -> np.ndarray:
    """(3,) of length one, perpendicular to the slices of a 4x4 affine; ``axis`` is the through-plane one."""
    normal = np.cross(*in_plane(affine_lps[:3, :3].T, axis))
    return np.asarray(normal / np.linalg.norm(normal))


def slice_distance_mm(affine_lps: np.ndarray, axis: int) -> float:
    """Distance in mm between neighbouring slices along their normal; less than the spacing when slices are sheared."""
    normal = np.cross(*in_plane(affine_lps[:3, :3].T, axis))
    return float(abs(affine_lps[:3, axis] @ normal) / np.linalg.norm(normal))


def tilt_degrees(affine_lps: np.ndarray, axis: int) -> float:
    """Angle in degrees between the step from slice to slice and the slices' normal."""
    step = spacing_mm(affine_lps)[axis]
    return math.degrees(math.acos(min(1.0, slice_distance_mm(affine_lps, axis) / step)))


def through_plane_axis(spacing: tuple[float, float, float], *, allow_isotropic: bool = False) -> int:
    """The voxel axis (0, 1, 2) with the largest spacing.

    Raises:
        GeometryError: the largest spacing is under ``NEAR_ISOTROPIC_RATIO`` times the smallest, so that no axis stands
            out, and ``allow_isotropic`` is False.
    """
    axis = max(range(3), key=lambda i: (round(spacing[i] / max(spacing), 3), i))  # the last of equal ones
    if not allow_isotropic and max(spacing) < NEAR_ISOTROPIC_RATIO * min(spacing):
        raise GeometryError(
            f"spacing {format_spacing(spacing, 3)} mm is nearly isotropic, so no axis is clearly through-plane; "
            "choose one with `axis`, or a grid with `factor` or `spacing_mm`",
            nothing_to_do=True,
        )
    return axis


def check_affine(affine_lps: np.ndarray) -> None:
    """Refuse a 4x4 affine that places no volume.

    Raises:
        GeometryError: an entry is not finite or beyond ``MAX_COORDINATE_MM``, the last row is not that of an affine, a
            spacing is zero, or the axes lie in one plane.
    """
    if not np.isfinite(affine_lps).all():
        raise GeometryError("the affine holds NaN or infinity, so the voxels have no position; repair the header first")
    if np.abs(affine_lps).max() > MAX_COORDINATE_MM:
        raise GeometryError(f"the affine places voxels beyond {MAX_COORDINATE_MM:g} mm; repair the header first")
    if not np.allclose(affine_lps[3], (0, 0, 0, 1)):
        row = " ".join(f"{number:.4g}" for number in affine_lps[3])
        raise GeometryError(f"the last row of the affine is {row}, not 0 0 0 1; transpose it if it is for row vectors")
    spacing = spacing_mm(affine_lps)
    shown = format_spacing(spacing)
    if min(spacing) == 0:
        raise GeometryError(f"spacing {shown} mm: a voxel spacing of zero; repair the header first")
    if abs(np.linalg.det(affine_lps[:3, :3])) < 1e-6 * math.prod(spacing):
        raise GeometryError(f"the voxel axes (spacing {shown} mm) lie in one plane; repair the header first")


def refine_axis(affine_lps: np.ndarray, axis: int, step: float) -> np.ndarray:
    """A copy of the affine whose column ``axis`` is multiplied by ``step``; voxel (0, 0, 0) does not move."""
    refined = affine_lps.copy()
    refined[:3, axis] *= step
    return refined


def turn_axes(
    voxels: np.ndarray, affine_lps: np.ndarray, wanted: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...], tuple[bool, ...]]:
    """Voxels [x, y, z] with axes swapped and flipped so that they run as nearly as they can along wanted directions.

    wanted: (3, 3), a column of length one for each axis. Returns a view of the voxels, its affine, which axis of
    ``voxels`` became each of its axes, and which of these run against it.
    """
    cosines = (affine_lps[:3, :3] / spacing_mm(affine_lps)).T @ wanted  # [own axis, wanted axis]
    order = max(permutations(range(3)), key=lambda p: sum(abs(cosines[own, axis]) for axis, own in enumerate(p)))
    turned, affine = voxels.transpose(order), affine_lps[:, [*order, 3]].copy()
    is_flipped = tuple(bool(cosines[own, axis] < 0) for axis, own in enumerate(order))
    for axis in range(3):
        if is_flipped[axis]:
            affine[:3, 3] += affine[:3, axis] * (turned.shape[axis] - 1)
            affine[:3, axis] *= -1
            turned = np.flip(turned, axis)
    return turned, affine, order, is_flipped


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Cosine of the angle between two vectors."""
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))
