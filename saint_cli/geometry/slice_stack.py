"""Parallel DICOM slices as one regular stack, placed by ImagePositionPatient and ImageOrientationPatient."""

import math
from dataclasses import dataclass

import numpy as np

from saint_cli.errors import GeometryError
from saint_cli.geometry import regularity
from saint_cli.geometry.affine import MIN_TILT_DRIFT_PIXELS, check_affine, tilt_degrees

ORTHOGONAL_COSINE = 1e-3
"""Largest cosine between the row and column directions of a slice (highdicom's tolerance)."""

MAX_CORRECTED_COSINE = 0.02
"""Largest cosine that is corrected: directions written with two decimals reach 0.0173."""


@dataclass(frozen=True)
class SliceStack:
    """Parallel slices in order, and where they lie.

    order: (n,) int, indices of the given slices by ascending position along the normal.
    affine_lps: 4x4 float64; voxel axes are x along a row, y along a column, z from slice to slice.
    tilt_degrees: angle between the slice step and the normal; 0 where the drift is below ``MIN_TILT_DRIFT_PIXELS``.
    deviation_mm: largest distance, along the normal, of a slice from its place in the even stack.
    slice_positions: where the slices of an uneven stack lie, ascending from 0, in units of the affine's slice step,
    which is the commonest gap; () of an even stack.
    """

    order: np.ndarray
    affine_lps: np.ndarray
    tilt_degrees: float
    deviation_mm: float
    slice_positions: tuple[float, ...] = ()


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
        GeometryError: fewer than two slices; two at one position; uneven gaps (:func:`regularity.require_regular`);
            slices beside the line from first to last; rows not perpendicular to columns. The message names the
            positions along the normal.

    Source: DICOM PS3.3 C.7.6.2.1.1.
    """
    order, along, units = _sort_slices(positions, orientation)
    regularity.require_regular(along, units, min(pixel_spacing))
    return _place(positions, orientation, pixel_spacing, order, np.arange(len(order)))


def stack_uneven_slices(
    positions: np.ndarray, orientation: np.ndarray, pixel_spacing: tuple[float, float]
) -> SliceStack:
    """The stack that parallel slices at uneven distances form; an even one as :func:`stack_slices` makes it.

    Parameters as there. Where gaps are whole multiples of the commonest one, as of a stack with missing slices, the
    places are exactly those multiples, as rounded positions of an even stack are taken for even.

    Raises:
        GeometryError: fewer than two slices; two at one position; slices beside the line from first to last; rows not
            perpendicular to columns.
    """
    order, along, units = _sort_slices(positions, orientation)
    regularity.require_distinct(along, min(pixel_spacing))
    if regularity.is_regular(along, units):
        return _place(positions, orientation, pixel_spacing, order, np.arange(len(order)))
    gaps, unit = np.diff(along), float(units.min())
    common = regularity.find_common_gap(gaps, unit)
    multiples = np.rint(gaps / common) if regularity.is_even_with_gaps(along, unit) else gaps / common
    return _place(positions, orientation, pixel_spacing, order, np.concatenate([[0.0], np.cumsum(multiples)]))


def _sort_slices(positions: np.ndarray, orientation: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The order (n,) of slices along their normal, and by it their positions there and printed units (n,), mm."""
    require_two_slices(len(positions))
    along = positions_along_normal(positions, orientation)
    order = np.argsort(along, kind="stable")
    units = regularity.printed_units_mm(positions, np.cross(*slice_directions(orientation)))
    return order, along[order], units[order]


def _place(
    positions: np.ndarray,
    orientation: np.ndarray,
    pixel_spacing: tuple[float, float],
    order: np.ndarray,
    places: np.ndarray,
) -> SliceStack:
    """The stack of slices in an order; places: (n,) of these, from 0, in units of the affine's slice step."""
    row, column = slice_directions(orientation)
    along = positions_along_normal(positions, orientation)
    normal, pixel = np.cross(row, column), min(pixel_spacing)
    placed = positions[order]
    step = (placed[-1] - placed[0]) / places[-1]
    offsets = placed - (placed[0] + places[:, None] * step)
    printed = regularity.printed_units_mm(positions, row) + regularity.printed_units_mm(positions, column)
    limit = max(float(printed.max()), MIN_TILT_DRIFT_PIXELS * pixel)
    _require_straight(offsets - np.outer(offsets @ normal, normal), along[order], limit)
    affine = np.eye(4)
    affine[:3] = np.stack([row * pixel_spacing[1], column * pixel_spacing[0], step, placed[0]], axis=1)
    check_affine(affine)
    drift = np.linalg.norm(step - (step @ normal) * normal) * places[-1]
    tilt = tilt_degrees(affine, 2) if drift > MIN_TILT_DRIFT_PIXELS * pixel else 0.0
    uneven = () if places.dtype.kind == "i" else tuple(places.tolist())
    return SliceStack(order, affine, tilt, float(np.abs(offsets @ normal).max()), uneven)


def slice_directions(orientation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit directions of a row and of a column, (3,) each, of ImageOrientationPatient (6,).

    Where their cosine lies between ``ORTHOGONAL_COSINE`` and ``MAX_CORRECTED_COSINE`` they are turned apart by the
    same angle until they are perpendicular (the nearest such pair); below they stay as they are.

    Raises:
        GeometryError: a direction of length zero, or a cosine beyond ``MAX_CORRECTED_COSINE``.
    """
    row, column = orientation[:3], orientation[3:]
    lengths = float(np.linalg.norm(row)), float(np.linalg.norm(column))
    if min(lengths) < 0.5 or not np.isfinite(lengths).all():
        raise GeometryError("a direction of length zero in ImageOrientationPatient")
    row, column = row / lengths[0], column / lengths[1]
    between = abs(float(row @ column))
    if between > MAX_CORRECTED_COSINE:
        raise GeometryError(
            f"rows not perpendicular to columns in ImageOrientationPatient (cosine {between:.2g}, "
            f"limit {MAX_CORRECTED_COSINE})"
        )
    if between <= ORTHOGONAL_COSINE:
        return row, column
    along, across = row + column, row - column  # perpendicular to each other
    along, across = along / np.linalg.norm(along), across / np.linalg.norm(across)
    return (along + across) / math.sqrt(2), (along - across) / math.sqrt(2)


def require_two_slices(count: int) -> None:
    """Refuse a single slice, or none.

    Raises:
        GeometryError: nothing lies between the slices.
    """
    if count < 2:
        raise GeometryError(
            f"nothing to interpolate: {count} slice along the through-plane axis, 2 are needed", nothing_to_do=True
        )


def _require_straight(aside: np.ndarray, along: np.ndarray, limit: float) -> None:
    distance = np.linalg.norm(aside, axis=1)
    worst = int(distance.argmax())
    if distance[worst] > limit:
        raise GeometryError(
            f"the slice at {along[worst]:.6g} mm lies {distance[worst]:.3g} mm beside the line through the first and "
            "last slice; the slices do not form one stack"
        )
