"""Pure affine maths in LPS millimetres: spacing, the through-plane axis, refined slice grids. No files, no torch."""

import math
from dataclasses import dataclass

import numpy as np

from saint_cli import regularity
from saint_cli.errors import GeometryError, UsageError

NEAR_ISOTROPIC = 1.2
"""Largest over smallest spacing below which no axis stands out as through-plane (in-plane rounding reaches 1.1)."""

ON_ACQUIRED = 1e-4
"""Fraction of the input spacing within which an output slice counts as the acquired slice itself (0.5 um at 5 mm)."""

TILT_PIXELS = 0.5
"""In-plane drift over the whole stack, in pixels, above which a stack counts as tilted; less is rounding."""

ORTHOGONAL = 1e-3
"""Largest cosine between the row and column directions of a slice (highdicom's tolerance)."""

NEARLY_ORTHOGONAL = 0.02
"""Largest cosine that is corrected: directions written with two decimals reach 0.0173."""

FARTHEST_MM = 1e12
"""Numbers of an affine beyond this are damage, and their squares and products may overflow."""

SNAP_FRACTION = 0.005
"""How far the last slice may move, in acquired spacings, for a wanted spacing to count as a whole fraction of them."""

RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""NIfTI's world axes point right, anterior, superior; DICOM's and ITK's point left, posterior, superior."""


def spacing_mm(affine_lps: np.ndarray) -> tuple[float, float, float]:
    """Norms of the three direction columns of a 4x4 affine, mm, in voxel-axis order."""
    x, y, z = np.linalg.norm(affine_lps[:3, :3], axis=0)
    return float(x), float(y), float(z)


def slice_distance_mm(affine_lps: np.ndarray, axis: int) -> float:
    """Distance in mm between neighbouring slices along their normal; less than the spacing when slices are sheared."""
    first, second = (affine_lps[:3, i] for i in range(3) if i != axis)
    normal = np.cross(first, second)
    return float(abs(affine_lps[:3, axis] @ normal) / np.linalg.norm(normal))


def tilt_degrees(affine_lps: np.ndarray, axis: int) -> float:
    """Angle in degrees between the step from slice to slice and the slices' normal (gantry tilt, shear)."""
    step = spacing_mm(affine_lps)[axis]
    return math.degrees(math.acos(min(1.0, slice_distance_mm(affine_lps, axis) / step)))


def through_plane_axis(spacing: tuple[float, float, float], *, allow_isotropic: bool = False) -> int:
    """The voxel axis (0, 1, 2) with the largest spacing.

    Raises:
        GeometryError: the largest spacing is under ``NEAR_ISOTROPIC`` times the smallest, so that no axis stands
            out, and ``allow_isotropic`` is False.
    """
    axis = max(range(3), key=lambda i: (round(spacing[i] / max(spacing), 3), i))  # the last of equal ones
    if not allow_isotropic and max(spacing) < NEAR_ISOTROPIC * min(spacing):
        shown = " x ".join(f"{s:.3g}" for s in spacing)
        raise GeometryError(
            f"spacing {shown} mm is nearly isotropic, so no axis is clearly through-plane; "
            "choose one with --axis x|y|z, or a grid with --factor or --spacing"
        )
    return axis


def check_affine(affine_lps: np.ndarray) -> None:
    """Refuse a 4x4 affine that places no volume.

    Raises:
        GeometryError: an entry is not finite or beyond ``FARTHEST_MM``, a spacing zero, or the axes in one plane.
    """
    if not np.isfinite(affine_lps).all():
        raise GeometryError("the affine holds NaN or infinity, so the voxels have no position; repair the header first")
    if np.abs(affine_lps).max() > FARTHEST_MM:
        raise GeometryError(f"the affine places voxels beyond {FARTHEST_MM:g} mm; repair the header first")
    spacing = spacing_mm(affine_lps)
    shown = " x ".join(f"{s:.4g}" for s in spacing)
    if min(spacing) == 0:
        raise GeometryError(f"spacing {shown} mm: a voxel spacing of zero; repair the header first")
    if abs(np.linalg.det(affine_lps[:3, :3])) < 1e-6 * math.prod(spacing):
        raise GeometryError(f"the voxel axes (spacing {shown} mm) lie in one plane; repair the header first")


@dataclass(frozen=True)
class SliceStack:
    """Parallel slices put in order, and where they lie.

    order: (n,) int, indices of the given slices by ascending position along the normal.
    affine_lps: 4x4 float64; voxel axes are x along a row, y along a column, z from slice to slice.
    tilt_degrees: angle between the slice step and the normal; 0 where the drift is below ``TILT_PIXELS``.
    deviation_mm: largest distance, along the normal, of a slice from its place in the even stack.
    """

    order: np.ndarray
    affine_lps: np.ndarray
    tilt_degrees: float
    deviation_mm: float


def positions_along_normal(positions: np.ndarray, orientation: np.ndarray) -> np.ndarray:
    """(n,) float64 mm: ImagePositionPatient (n, 3) projected on row x column of ImageOrientationPatient (6,)."""
    row, column = slice_directions(orientation)
    return np.asarray(positions @ np.cross(row, column))


def stack_slices(positions: np.ndarray, orientation: np.ndarray, pixel_spacing: tuple[float, float]) -> SliceStack:
    """The regular stack that parallel slices form, in whatever order they are given.

    positions: (n, 3) float64, LPS mm of each slice's first pixel centre (ImagePositionPatient).
    orientation: (6,) float64, directions of a row and of a column (ImageOrientationPatient).
    pixel_spacing: mm between rows, mm between columns, both > 0 (DICOM PixelSpacing).

    Raises:
        GeometryError: fewer than two slices; two at one position; gaps that differ from their mean by more than
            ``regularity.REGULAR_FRACTION`` and printed digits explain; slices beside the line from first to last;
            rows not perpendicular to columns. The message names the positions along the normal.

    Source: DICOM PS3.3 C.7.6.2.1.1.
    """
    _require_stack(len(positions))
    row, column = slice_directions(orientation)
    along = positions_along_normal(positions, orientation)
    order = np.argsort(along, kind="stable")
    normal = np.cross(row, column)
    units = regularity.printed_units_mm(positions, normal)
    regularity.require_regular(along[order], units[order], min(pixel_spacing))
    placed = positions[order]
    step = (placed[-1] - placed[0]) / (len(order) - 1)
    offsets = placed - (placed[0] + np.arange(len(order))[:, None] * step)
    printed = regularity.printed_units_mm(positions, row) + regularity.printed_units_mm(positions, column)
    limit = max(float(printed.max()), TILT_PIXELS * min(pixel_spacing))
    _require_straight(offsets - np.outer(offsets @ normal, normal), along[order], limit)
    affine = np.eye(4)
    affine[:3, 0] = row * pixel_spacing[1]
    affine[:3, 1] = column * pixel_spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = placed[0]
    check_affine(affine)
    drift = np.linalg.norm(step - (step @ normal) * normal) * (len(order) - 1)
    tilt = tilt_degrees(affine, 2) if drift > TILT_PIXELS * min(pixel_spacing) else 0.0
    return SliceStack(order, affine, tilt, float(np.abs(offsets @ normal).max()))


def slice_directions(orientation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit directions of a row and of a column, (3,) each, of ImageOrientationPatient (6,).

    Where their cosine lies between ``ORTHOGONAL`` and ``NEARLY_ORTHOGONAL`` they are turned apart by the same angle
    until they are perpendicular (the nearest such pair); below they stay as they are.

    Raises:
        GeometryError: a direction of length zero, or a cosine beyond ``NEARLY_ORTHOGONAL``.
    """
    row, column = orientation[:3], orientation[3:]
    lengths = float(np.linalg.norm(row)), float(np.linalg.norm(column))
    if min(lengths) < 0.5 or not np.isfinite(lengths).all():
        raise GeometryError("a direction of length zero in ImageOrientationPatient")
    row, column = row / lengths[0], column / lengths[1]
    between = abs(float(row @ column))
    if between > NEARLY_ORTHOGONAL:
        raise GeometryError(
            f"rows not perpendicular to columns in ImageOrientationPatient (cosine {between:.2g}, "
            f"limit {NEARLY_ORTHOGONAL})"
        )
    if between <= ORTHOGONAL:
        return row, column
    along, across = row + column, row - column  # perpendicular to each other
    along, across = along / np.linalg.norm(along), across / np.linalg.norm(across)
    return (along + across) / math.sqrt(2), (along - across) / math.sqrt(2)


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Cosine of the angle between two vectors."""
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))


def _require_straight(aside: np.ndarray, along: np.ndarray, limit: float) -> None:
    distance = np.linalg.norm(aside, axis=1)
    worst = int(distance.argmax())
    if distance[worst] > limit:
        raise GeometryError(
            f"the slice at {along[worst]:.6g} mm lies {distance[worst]:.3g} mm beside the line through the first and "
            "last slice; the slices do not form one stack"
        )


@dataclass(frozen=True)
class SliceGrid:
    """Where the output slices lie along the through-plane axis, in units of the input spacing.

    Output slice j lies at ``j * step`` input spacings from acquired slice 0.
    """

    axis: int
    acquired: int
    step: float
    count: int

    @property
    def is_extrapolated(self) -> bool:
        """Whether there are output slices beyond the last acquired one."""
        return (self.count - 1) * self.step > self.acquired - 1 + ON_ACQUIRED

    def locate(self) -> tuple[np.ndarray, np.ndarray]:
        """Window and offset of every output slice.

        Returns ``window`` (count,) int, index of the acquired slice at or below, and ``offset`` (count,) float64
        t in [0, 1): 0 exactly where the output slice is an acquired one. Extrapolated slices have the last
        acquired slice as their window.
        """
        position = np.arange(self.count) * self.step
        nearest = np.rint(position)
        position = np.where(np.abs(position - nearest) < ON_ACQUIRED, nearest, position)
        window = np.minimum(np.floor(position).astype(int), self.acquired - 1)
        return window, position - window

    def refine(self, affine_lps: np.ndarray) -> np.ndarray:
        """The affine of the output volume: the slice column times ``step``, origin and other columns unchanged."""
        return refine_axis(affine_lps, self.axis, self.step)


def refine_axis(affine_lps: np.ndarray, axis: int, step: float) -> np.ndarray:
    """A copy of the affine whose column ``axis`` is multiplied by ``step``; voxel (0, 0, 0) does not move."""
    refined = affine_lps.copy()
    refined[:3, axis] *= step
    return refined


def check_factor(factor: int) -> None:
    """Raise UsageError for a factor that no grid can have."""
    if not 2 <= factor <= 16:
        raise UsageError(f"--factor {factor} is outside 2...16")


def grid_by_factor(acquired: int, axis: int, factor: int, *, extrapolate: bool = False) -> SliceGrid:
    """The grid of ``(acquired - 1) * factor + 1`` slices, or the paper's ``acquired * factor`` with ``extrapolate``.

    Raises:
        UsageError: factor outside 2...16.
        GeometryError: fewer than two acquired slices.
    """
    check_factor(factor)
    _require_stack(acquired)
    count = acquired * factor if extrapolate else (acquired - 1) * factor + 1
    return SliceGrid(axis, acquired, 1 / factor, count)


def grid_by_spacing(acquired: int, axis: int, spacing: float, target: float, *, extrapolate: bool = False) -> SliceGrid:
    """The grid with ``target`` mm between slices, from acquired slice 0 up to at most the last acquired slice.

    ``spacing`` is the input's, mm. With ``extrapolate`` the grid goes on to less than one input spacing beyond.

    Raises:
        UsageError: target is not positive, not below the input spacing, finer than 1/16 of it, or so near to it that
            the grid would have no more slices than the input.
        GeometryError: fewer than two acquired slices.
    """
    if not (target > 0 and math.isfinite(target)):
        raise UsageError(f"--spacing {target} is not a positive distance in mm")
    if target >= spacing * (1 - ON_ACQUIRED):
        raise UsageError(
            f"the target spacing {target:.4g} mm is not below the input's {spacing:.4g} mm; nothing to interpolate"
        )
    step = _whole_where_close(target / spacing, acquired)
    if step < 1 / 16 - ON_ACQUIRED:
        raise UsageError(
            f"from {spacing:.4g} to {target:.4g} mm is a factor of {1 / step:.1f}; the finest is "
            f"--factor 16, or --spacing {spacing / 16:.4g}"
        )
    _require_stack(acquired)
    end = acquired - ON_ACQUIRED if extrapolate else acquired - 1 + ON_ACQUIRED
    count = int(end / step) + 1
    if count <= acquired:
        raise UsageError(
            f"{acquired} slices {spacing:.4g} mm apart become {count} at {target:.4g} mm, no more than there are; "
            "give --factor, or a smaller --spacing"
        )
    return SliceGrid(axis, acquired, step, count)


def _whole_where_close(step: float, acquired: int) -> float:
    """1/n where that moves no slice of the stack by more than ``SNAP_FRACTION``: headers round spacings."""
    n = round(1 / step)
    drift = abs(1 - n * step) * (acquired - 1)
    return 1 / n if drift <= SNAP_FRACTION else step


def _require_stack(acquired: int) -> None:
    if acquired < 2:
        raise GeometryError(f"nothing to interpolate: {acquired} slice along the through-plane axis, 2 are needed")
