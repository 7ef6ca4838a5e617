"""Volumes turned so that their axes run along the patient, and their planes as radiologists hang them."""

from dataclasses import dataclass

import numpy as np

from saint_cli.geometry import spacing_mm, turn_axes
from saint_cli.volume import Header

PLANES = ("sagittal", "coronal", "axial")
"""The plane that fixes the patient axis left (0), posterior (1), superior (2)."""

SIDE_LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))
"""Where each patient axis comes from and where it goes."""

NO_HEADER = Header()


@dataclass(frozen=True)
class UprightVolume:
    """A volume whose voxel axes run, as nearly as they can, to the patient's left, back and head.

    voxels: [left, posterior, superior], a view of the source's; affine_lps: 4x4, of these axes;
    axis_order: which source axis became each of these; is_flipped: which of these run against their source axis.
    header: the source's, which defines its padding.
    """

    voxels: np.ndarray
    affine_lps: np.ndarray
    axis_order: tuple[int, ...]
    is_flipped: tuple[bool, ...]
    header: Header = NO_HEADER

    @classmethod
    def from_voxels(cls, voxels: np.ndarray, affine_lps: np.ndarray, header: Header = NO_HEADER) -> "UprightVolume":
        """Turn [x, y, z] voxels by exchanging and flipping axes only: an oblique scan stays oblique."""
        return cls(*turn_axes(voxels, affine_lps, np.eye(3)), header)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centres along left, posterior and superior, mm."""
        return spacing_mm(self.affine_lps)

    @property
    def oblique_degrees(self) -> float:
        """Largest angle between an axis and the patient axis that it is named after."""
        cosines = [self.affine_lps[i, i] / s for i, s in enumerate(self.spacing_mm)]
        return float(np.degrees(np.arccos(np.clip(min(cosines), -1, 1))))

    def find_axis(self, source_axis: int) -> int:
        """The axis of this volume that a voxel axis of the source became."""
        return self.axis_order.index(source_axis)

    def find_source_index(self, axis: int, index: int) -> int:
        """The index of a plane along the source's axis; also the other way round."""
        return self.voxels.shape[axis] - 1 - index if self.is_flipped[axis] else index


def in_plane_axes(fixed: int) -> tuple[int, int]:
    """Which axes of an upright volume run across and along a picture of the plane that fixes another."""
    across, along = (axis for axis in range(3) if axis != fixed)
    return across, along


def take_plane(voxels: np.ndarray, fixed: int, index: int) -> np.ndarray:
    """The plane [lower axis, higher axis] at ``index`` of an axis: a view; ``take`` copies a turned volume."""
    return np.asarray(np.moveaxis(voxels, fixed, 0)[index])


def orient_for_display(plane: np.ndarray, fixed: int) -> np.ndarray:
    """A plane [lower axis, higher axis] as a picture [rows, columns]: head up, patient's left or back on the right."""
    return plane.T if fixed == 2 else plane.T[::-1]


def edge_letters(fixed: int) -> tuple[str, str, str, str]:
    """Letters for the left, right, upper and lower edge of a plane's picture."""
    across, along = in_plane_axes(fixed)
    upper, lower = SIDE_LETTERS[along] if fixed == 2 else SIDE_LETTERS[along][::-1]
    return (*SIDE_LETTERS[across], upper, lower)
