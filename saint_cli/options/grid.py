"""Which slices to make: ``--factor``, ``--spacing``, ``--isotropic``, ``--axis``, ``--extrapolate``."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from saint_cli.errors import UsageError
from saint_cli.options.completion import word_completer
from saint_cli.options.fields import InKey, Option, Panel
from saint_cli.options.values import parse_axis

if TYPE_CHECKING:
    from saint_cli.geometry import SliceGrid
    from saint_cli.volume import Volume

DICOM_SLICE_AXIS = 2
"""The voxel axis along which a DICOM stack's slices follow each other, whatever their spacing."""


@dataclass(frozen=True)
class GridRequest:
    """Which slices to make; with neither factor nor spacing, isotropic voxels.

    factor: integer 2...16; spacing_mm: any target; axis: 0, 1, 2 or None for the one with the largest spacing (for
    DICOM, the one along which slices follow each other); extrapolate: repeat the last acquired slice to get N * factor
    slices, as many as the paper's tensors have.
    """

    factor: int | None = Option(
        "-f --factor", "How many times as many slices: 2 to 16.", Panel.GRID, int, None, "N"
    ).as_field()
    spacing_mm: float | None = Option(
        "--spacing", "Distance between slices to produce, in mm.", Panel.GRID, float, None, "MM"
    ).as_field()
    axis: int | None = Option(
        "--axis", "Through-plane axis: x, y, z.", Panel.GRID, str, None, "AXIS", word_completer("x", "y", "z"),
        parse_axis, page_text=lambda axis: "xyz"[axis],
    ).as_field()  # fmt: skip
    extrapolate: bool = Option(
        "--extrapolate", "Repeat the last slice to get exactly N * factor slices.", Panel.GRID
    ).as_field()
    isotropic: bool = Option(
        "--isotropic", "Slice spacing = pixel spacing (default).", Panel.GRID, in_key=InKey.NEVER
    ).as_field()

    def __post_init__(self) -> None:
        if self.factor is not None and self.spacing_mm is not None:
            raise UsageError("`factor` and `spacing_mm` both say how fine to interpolate; give one")
        if self.factor is None and self.spacing_mm is None:
            object.__setattr__(self, "isotropic", True)
        elif self.isotropic:
            raise UsageError("`isotropic=True` excludes `factor` and `spacing_mm`")
        if self.factor is not None:
            from saint_cli import geometry

            geometry.check_factor(self.factor)
        if self.spacing_mm is not None and not 0 < self.spacing_mm < math.inf:
            raise UsageError(f"`spacing_mm={self.spacing_mm}` is not a positive distance in mm")

    def make_grid(self, volume: "Volume") -> "SliceGrid":
        """The slice grid of one volume.

        Raises:
            UsageError: the wanted spacing is not finer than the volume's, or more than 16 times finer.
            GeometryError: no axis is clearly through-plane and none is named; fewer than two slices; a spacing that
                no scan has.
        """
        from saint_cli import geometry
        from saint_cli.geometry import spacing_limits

        spacing_limits.check_spacing(volume.affine_lps)
        axis = self.axis
        if axis is None and volume.header.source_format == "DICOM":
            axis = DICOM_SLICE_AXIS
        if axis is None:
            axis = geometry.through_plane_axis(volume.spacing_mm, allow_isotropic=not self.isotropic)
        acquired = volume.shape[axis]
        if self.factor is not None:
            return geometry.grid_by_factor(acquired, axis, self.factor, extrapolate=self.extrapolate)
        spacing = volume.spacing_mm
        in_plane = min(geometry.in_plane(spacing, axis))
        if self.isotropic and in_plane >= spacing[axis] * (1 - geometry.ACQUIRED_TOLERANCE):
            raise UsageError(_already_fine(spacing[axis], in_plane))
        target = self.spacing_mm or in_plane
        return geometry.grid_by_spacing(acquired, axis, spacing[axis], target, extrapolate=self.extrapolate)


def _already_fine(spacing: float, in_plane: float) -> str:
    """Why isotropic voxels need no slices in between."""
    finer = "as near together as pixels" if math.isclose(spacing, in_plane, rel_tol=1e-3) else "nearer than pixels"
    return (
        f"the target spacing {in_plane:.4g} mm is not below the input's {spacing:.4g} mm: slices are {finer}, so "
        "isotropic voxels need no new ones; for finer slices still, give `factor` or `spacing_mm`"
    )
