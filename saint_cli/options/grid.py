"""Which grid to make: ``--factor``, ``--spacing``, ``--isotropic``, ``--axis``, ``--in-plane``, ``--untilt``, ..."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from saint_cli.errors import UsageError
from saint_cli.options.completion import word_completer
from saint_cli.options.fields import InKey, Option, Panel, word_option
from saint_cli.options.values import HEADER, SLAB_PROFILES, match_word, parse_axis, parse_slab

if TYPE_CHECKING:
    from saint_cli.geometry import PlaneGrid, SliceGrid
    from saint_cli.volume import Volume

MIN_THICKNESS, MAX_THICKNESS = 0.3, 2.2
"""Of slabs in distances between them; networks for slabs were trained on 0.5 to 2."""

MAX_GAUSSIAN_THICKNESS = 1.4
"""The same of a Gaussian profile, whose means could not be kept exactly beyond it; networks were trained up to 1."""

DICOM_SLICE_AXIS = 2
"""The voxel axis along which a DICOM stack's slices follow each other, whatever their spacing."""


@dataclass(frozen=True)
class GridRequest:
    """Which slices to make; with neither factor nor spacing, isotropic voxels.

    factor: integer 2...16; spacing_mm: any target, of which a coarser one than acquired makes means of slices; axis: 0,
    1, 2 or None for the one with the largest spacing (for DICOM, the one along which slices follow each other);
    extrapolate: repeat the last acquired slice to get N * factor slices, as many as the paper's tensors have.
    slab: take slices for slabs, as thick as the header says, or so many mm, and make thin slices of them; None: do not.
    slab_profile: "box", or "gaussian" with thickness as its full width at half maximum.
    in_plane_mm: distance between pixels to resample slices to afterwards; untilt: resample slices of a tilted stack so
    that they stand straight above each other.
    """

    factor: int | None = Option(
        "-f --factor", "How many times as many slices: 2 to 16.", Panel.GRID, int, None, "N"
    ).as_field()
    spacing_mm: float | None = Option(
        "--spacing", "Distance between slices to produce, in mm.", Panel.GRID, float, None, "MM"
    ).as_field()
    axis: int | None = Option(
        "--axis", "Through-plane axis: x, y or z (default: that with the largest spacing).", Panel.GRID, str, None,
        "AXIS", word_completer("x", "y", "z"), parse_axis, page_text=lambda axis: "xyz"[axis],
    ).as_field()  # fmt: skip
    extrapolate: bool = Option(
        "--extrapolate", "Repeat the last slice to get exactly N * factor slices.", Panel.GRID
    ).as_field()
    isotropic: bool = Option(
        "--isotropic", "Slice spacing = pixel spacing (default).", Panel.GRID, in_key=InKey.NEVER
    ).as_field()
    in_plane_mm: float | None = Option(
        "--in-plane", "Resample slices to this distance between pixels, in mm.", Panel.GRID, float, None, "MM",
        in_key=InKey.IF_SET,
    ).as_field()  # fmt: skip
    slab: bool | float | None = Option(
        "--slab", "Thick slices are averages: make thin ones of them. MM: their thickness; header: as in the file.",
        Panel.GRID, str, None, "[MM]", parse=parse_slab, bare=HEADER,
        page_text=lambda slab: "" if slab is True else f"{slab:g}", in_key=InKey.IF_SET,
    ).as_field()  # fmt: skip
    slab_profile: str = word_option(
        "--slab-profile", "Slice profile with --slab: box, or gaussian (thickness = full width at half maximum).",
        Panel.GRID, SLAB_PROFILES, in_key=InKey.IF_SET,
    ).as_field()  # fmt: skip
    untilt: bool = Option(
        "--untilt", "Resample tilted slices to a rectangular grid.", Panel.GRID, in_key=InKey.IF_SET
    ).as_field()

    def __post_init__(self) -> None:
        if self.slab is False:
            object.__setattr__(self, "slab", None)  # the default, so that nothing counts it as set
        if self.factor is not None and self.spacing_mm is not None:
            raise UsageError("`factor` and `spacing_mm` both say how fine to interpolate; give one")
        if self.factor is None and self.spacing_mm is None:
            object.__setattr__(self, "isotropic", True)
        elif self.isotropic:
            raise UsageError("`isotropic=True` excludes `factor` and `spacing_mm`")
        if self.slab and self.extrapolate:
            raise UsageError("`slab` ends at the face of the last slab, and `extrapolate` goes on beyond it; give one")
        if self.factor is not None:
            from saint_cli import geometry

            geometry.check_factor(self.factor)
        object.__setattr__(self, "slab_profile", match_word("`slab_profile`", self.slab_profile, SLAB_PROFILES))
        if self.slab_profile != SLAB_PROFILES[0] and not self.slab:
            raise UsageError(f"`slab_profile={self.slab_profile}` is about slabs; give `slab` too")
        for name in ("spacing_mm", "in_plane_mm", "slab"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, bool) and not 0 < value < math.inf:
                raise UsageError(f"`{name}={value}` is not a positive distance in mm")

    @property
    def changes_planes(self) -> bool:
        """Whether slices may be resampled in their plane."""
        return self.untilt or self.in_plane_mm is not None

    def make_grid(self, volume: "Volume") -> "SliceGrid":
        """The slice grid of one volume.

        Raises:
            UsageError: the wanted spacing is the volume's own or more than 16 times finer, makes fewer than two slices,
                or does not go with ``extrapolate``.
            GeometryError: no axis is clearly through-plane and none is named; fewer than two slices; a spacing that
                no scan has; of unevenly spaced slices, gaps that are too wide.
        """
        from saint_cli import geometry
        from saint_cli.geometry import spacing_limits

        spacing_limits.check_spacing(volume.affine_lps)
        axis = self.axis
        if axis is None and volume.header.source_format == "DICOM":
            axis = DICOM_SLICE_AXIS
        if axis is None:
            axis = geometry.through_plane_axis(volume.spacing_mm, allow_isotropic=not self.isotropic)
        grid = self._make_thin_grid(volume, axis)
        return self._make_slab_grid(volume, grid) if self.slab else grid

    def _make_slab_grid(self, volume: "Volume", grid: "SliceGrid") -> "SliceGrid":
        """Thin slices of slabs, as near together as those of ``grid``."""
        from saint_cli import geometry

        if grid.positions is not None:
            raise UsageError("`slab` needs evenly spaced slices; leave it out, or take a part of them by `split_runs`")
        if not grid.needs_networks:
            raise UsageError(
                "`slab` makes thinner slices; leave it out, or give a finer `spacing_mm`", nothing_to_do=True
            )
        distance_mm = geometry.slice_distance_mm(volume.affine_lps, grid.axis)
        if volume.header.source_format == "DICOM" and grid.axis != DICOM_SLICE_AXIS:
            raise UsageError("`slab` is about slices, and across `axis` there are pixels; leave one of them out")
        thickness_mm = self._find_thickness(volume) or distance_mm
        thickness = thickness_mm / distance_mm
        profile = geometry.ProfileShape(self.slab_profile)
        thickest = MAX_THICKNESS if profile is geometry.ProfileShape.BOX else MAX_GAUSSIAN_THICKNESS
        if not MIN_THICKNESS <= thickness <= thickest:
            raise UsageError(
                f"slabs {thickness_mm:.4g} mm thick and {distance_mm:.4g} mm apart are not what the networks "
                f"know ({MIN_THICKNESS:g} to {thickest:g} distances thick); leave out `slab`, or correct it"
            )
        if abs(thickness - 1) <= geometry.SNAP_FRACTION:  # headers round
            thickness = 1.0
        return geometry.grid_of_slabs(grid, geometry.SlabProfile(thickness, profile))

    def assumes_thickness(self, volume: "Volume") -> bool:
        """Whether slices are taken for slabs as thick as their distance, since nothing else is known."""
        return self.slab is True and not self._find_thickness(volume)

    def _find_thickness(self, volume: "Volume") -> float | None:
        """Of the slabs, mm: what is given, else what the header says; None where it does not."""
        if self.slab is not True:
            return self.slab
        source = volume.header.dicom_source
        return None if source is None else source.slice_thickness_mm

    def _make_thin_grid(self, volume: "Volume", axis: int) -> "SliceGrid":
        from saint_cli import geometry

        acquired, positions = volume.shape[axis], volume.header.slice_positions
        if positions and (axis != DICOM_SLICE_AXIS or self.extrapolate):
            name = "extrapolate" if self.extrapolate else "axis"
            raise UsageError(
                f"`irregular=True` makes slices between the acquired ones of an uneven stack; leave `{name}` out"
            )
        if self.factor is not None and not positions:
            return geometry.grid_by_factor(acquired, axis, self.factor, extrapolate=self.extrapolate)
        target = self._find_target(volume, axis)
        if not positions:
            return self._make_even_grid(volume, axis, target)
        with self._excuse_default():
            return geometry.grid_of_uneven(positions, axis, volume.affine_lps, target)

    @contextmanager
    def _excuse_default(self) -> Iterator[None]:
        """Mark what is wrong with a grid as ``nothing_to_do`` where no option says how fine it must be."""
        try:
            yield
        except UsageError as error:
            error.nothing_to_do |= self.isotropic and self.in_plane_mm is None and not self.slab
            raise

    def _find_target(self, volume: "Volume", axis: int) -> float:
        """The wanted distance between slices as a step of the volume's affine, mm."""
        from saint_cli import geometry

        spacing = volume.spacing_mm[axis]
        if self.factor is not None:
            return spacing / self.factor
        in_plane = self.in_plane_mm or min(geometry.in_plane(volume.spacing_mm, axis))
        if not self.untilt:
            return self.spacing_mm or in_plane
        straight = geometry.slice_distance_mm(volume.affine_lps, axis)  # of slices that stand above each other
        return (self.spacing_mm or in_plane) * spacing / straight

    def _make_even_grid(self, volume: "Volume", axis: int, target: float) -> "SliceGrid":
        from saint_cli import geometry

        acquired, spacing = volume.shape[axis], volume.spacing_mm[axis]
        fine = min(geometry.in_plane(volume.spacing_mm, axis))
        limit = geometry.ACQUIRED_TOLERANCE
        if target < spacing * (1 - limit):
            with self._excuse_default():
                return geometry.grid_by_spacing(acquired, axis, spacing, target, extrapolate=self.extrapolate)
        if self.isotropic and not self.changes_planes:
            raise UsageError(_already_fine(spacing, fine), nothing_to_do=True)
        if self.extrapolate:
            raise UsageError("`extrapolate=True` goes on beyond the last slice of a finer grid; leave it out here")
        geometry.slice_stack.require_two_slices(acquired)
        if target <= spacing * (1 + limit):
            if not self.changes_planes:
                raise UsageError(
                    f"the target spacing {target:.4g} mm is the input's own; nothing to interpolate: give a finer or a "
                    "coarser `spacing_mm`",
                    nothing_to_do=True,
                )
            return geometry.same_grid(acquired, axis)
        return geometry.grid_by_averaging(acquired, axis, spacing, target)

    def make_plane_grid(self, volume: "Volume", grid: "SliceGrid") -> "PlaneGrid | None":
        """The pixels that slices of the result on ``grid`` get; None where they keep theirs.

        Raises:
            GeometryError: a pixel spacing that no scan has, or tilted slices that no rectangular grid holds.
        """
        if not self.changes_planes:
            return None
        from saint_cli import geometry
        from saint_cli.geometry import spacing_limits

        affine, shape = grid.refine(volume.affine_lps), grid.output_shape(volume.shape)
        plane = geometry.make_plane_grid(affine, shape, grid.axis, untilt=self.untilt, pixel_mm=self.in_plane_mm)
        if plane is not None:
            spacing_limits.check_spacing(plane.affine_lps)
            if min(line.count for line in plane.lines) < 2:
                raise UsageError(f"`in_plane_mm={self.in_plane_mm}` leaves fewer than two pixels; give a finer one")
        return plane


def _already_fine(spacing: float, in_plane: float) -> str:
    """Why isotropic voxels need no slices in between."""
    finer = "as near together as pixels" if math.isclose(spacing, in_plane, rel_tol=1e-3) else "nearer than pixels"
    return (
        f"the target spacing {in_plane:.4g} mm is not below the input's {spacing:.4g} mm: slices are {finer}, so "
        "isotropic voxels need no new ones; for finer slices still, give `factor` or `spacing_mm`"
    )
