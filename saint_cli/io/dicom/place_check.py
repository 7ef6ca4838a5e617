"""Whether a volume still lies where the DICOM slices do that it was read from: their headers place what is written."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from saint_cli import geometry
from saint_cli.errors import UsageError
from saint_cli.geometry import PlaneGrid, SliceGrid
from saint_cli.io.dicom.slice_header import SliceHeader
from saint_cli.volume import Volume

MAX_SHIFT_PIXELS = 0.1
"""Largest distance of slices that is put down to rounding."""

MAX_TURN = 0.005
"""Largest difference of a row or column from the acquired one, in its length: slices of one stack may differ by
``ORIENTATION_TOLERANCE`` and ``SPACING_TOLERANCE``, and a volume has the directions of one of them."""

AXIS_NAMES = "rows", "columns"
"""Along x and along y."""


def check_place(
    volume: Volume, acquired: Sequence[SliceHeader], path: Path, grid: SliceGrid, plane: PlaneGrid | None = None
) -> None:
    """Refuse a volume on ``grid`` and then ``plane`` that these would not have placed there.

    acquired: headers of the source's slices in the order of the z axis; only the first and the last one count.

    Raises:
        UsageError: its slices, rows or columns are elsewhere.
    """
    first, last = acquired[0], acquired[-1]
    pixel_mm = np.array(first.pixel_spacing[::-1])  # along x, y
    columns = volume.affine_lps[:3, :2] / ([line.pixel for line in plane.lines] if plane is not None else 1.0)
    directions = np.stack(geometry.slice_directions(first.orientation), axis=1)
    turn = np.linalg.norm(columns / pixel_mm - directions, axis=0)
    step = (last.position - first.position) / (grid.positions[-1] if grid.positions else grid.acquired - 1)
    expected = np.eye(4)
    expected[:3] = np.column_stack([columns, step, first.position])
    expected = grid.refine(expected)
    if plane is not None:
        expected = plane.refine(expected)
    ends = np.array([(0, 0, 0, 1), (0, 0, volume.shape[2] - 1, 1)]).T
    shift = float(np.linalg.norm(((volume.affine_lps - expected) @ ends)[:3], axis=0).max())
    is_moved = shift > MAX_SHIFT_PIXELS * pixel_mm.min()
    if is_moved or (turn > MAX_TURN).any():
        found = [f"first or last slice {shift:.3g} mm away"] if is_moved else []
        for axis in np.flatnonzero(turn > MAX_TURN):
            found.append(_describe_turn(AXIS_NAMES[axis], columns[:, axis], directions[:, axis] * pixel_mm[axis]))
        raise UsageError(
            f"{path}: the volume no longer lies where its DICOM slices do ({'; '.join(found)}); name a file ending "
            "in .nii.gz"
        )


def _describe_turn(name: str, vector: np.ndarray, acquired: np.ndarray) -> str:
    """How rows or columns differ from the acquired ones; vectors: from pixel to pixel, LPS mm."""
    length, acquired_mm = float(np.linalg.norm(vector)), float(np.linalg.norm(acquired))
    if float(np.linalg.norm(vector + acquired)) <= MAX_TURN * acquired_mm:
        return f"{name} reversed"
    degrees = math.degrees(math.acos(np.clip(vector @ acquired / (length * acquired_mm), -1, 1)))
    if degrees < math.degrees(MAX_TURN):
        return f"pixels {length:.4g} instead of {acquired_mm:.4g} mm apart along {name}"
    return f"{name} turned by {degrees:.3g} degrees"
