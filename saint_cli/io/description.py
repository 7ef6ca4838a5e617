"""Descriptions of the volumes that a path holds, from headers."""

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from saint_cli import geometry
from saint_cli.errors import GeometryError, SaintError
from saint_cli.geometry import MAX_FACTOR, MIN_FACTOR, spacing_limits
from saint_cli.io.voxel_checks import format_tilt

MAX_TEXT_LENGTH = 64
"""Characters kept of a series' description, as many as DICOM allows (LO, PS3.5 section 6.2)."""

AXES = "xyz"

MIN_SHOWN_DEGREES = 0.1
"""Less tilt or shear in a file's affine is rounding."""

NO_UID = "none"
"""What stands for the SeriesInstanceUID of DICOM that has none."""

LABEL_MAP = "a label map"
"""``StackInfo.secondary`` of what holds labels."""


@dataclass(frozen=True)
class DescribeOptions:
    """What to describe of a path, and how.

    phi: DICOM stacks come with patient and study text. split_runs: list the regular runs of irregular DICOM stacks;
    irregular: describe these as they are.
    merge, outside_data: as for ``ReadOptions``. only_dicom: of a folder, the DICOM stacks alone.
    check_labels: of files other than DICOM, read as many voxels as it takes to recognise label maps.
    """

    phi: bool = False
    split_runs: bool = False
    irregular: bool = False
    merge: bool = False
    only_dicom: bool = False
    check_labels: bool = True
    outside_data: bool = False


@dataclass(frozen=True)
class StackInfo:
    """One volume that a file or folder holds, or a file of several; also the fields of ``saint info --json``.

    ``io.describe`` fills them in for files, ``io.dicom.describe`` for DICOM. ``without_text`` lists what people typed.

    number: 1, 2, ... as ``series`` of ``read_volume`` counts DICOM stacks; 1 for other formats.
    label: SeriesInstanceUID for DICOM, with #1, #2, ... if a series holds several; else the file's name, or its path
    below the folder that was described; never patient text.
    folder: where the files of a DICOM stack lie, as a path from the folder that was described, or from that of a file
    that was; "." is that folder itself; "" of other formats and of zip files.
    format: "NIfTI", "NRRD", "MetaImage" or "DICOM". modality: "CT", "MR", or None if unknown.
    shape: number of voxels along x, y, z, of one volume. volumes: how many of it a 4-D file holds (``volume`` of
    ``read_volume`` chooses one), else 1. dtype: of the stored values.
    slope, intercept: scanner value = stored * slope + intercept; None if they differ from slice to slice.
    spacing_mm: along the voxel axes. slice_distance_mm: between slice planes along their normal, for the through-plane
    axis. tilt_degrees: between slice step and normal, 0 if none. shear_degrees: by how much the angle between the two
    in-plane axes differs from 90.
    slice_thickness_mm, spacing_between_slices_mm: what the DICOM tags claim; None elsewhere.
    gap_mm: slice_distance_mm less slice_thickness_mm, negative where slices overlap; None elsewhere.
    order: how InstanceNumber runs along the normal: "ascending", "descending" or "mixed"; None elsewhere.
    split_by: how the stack differs from others at the same positions, such as "EchoTime 30"; "" elsewhere.
    series_volumes: of DICOM, how many volumes at one place its series holds; 1 where it holds one.
    series_problem: why ``volume=all`` refuses these volumes with the same options; None where it takes them together
    and where series_volumes is 1.
    series_number, series_description, protocol_name: of DICOM, None if absent; texts on one line, control characters
    shown as ``?``, cut to ``MAX_TEXT_LENGTH``.
    patient: patient and study text, only where asked for.
    through_plane: "x", "y" or "z"; None if nearly isotropic.
    uniform: whether the slices are evenly spaced; None of a single one. slice_positions: of slices that are not, where
    they lie along z from 0, in units of the spacing there; else (). median_distance_mm: between neighbouring slices of
    a DICOM stack that is not evenly spaced and so has no slice_distance_mm; else None.
    anisotropy: through-plane over smallest in-plane spacing. suggested_factor: 2...16, None if nearly isotropic.
    isotropic_shape, isotropic_spacing_mm: what ``saint upsample`` would produce by default; None where it needs
    ``--factor`` or ``--spacing``.
    secondary: why it is no acquired image, as far as headers say: a derived image, a label map; else "".
    problem: why it cannot be upsampled, else None; exit_code: the code that problem leads to, else 0.
    Everything that needs a geometry is None where there is none.
    """

    number: int
    label: str
    format: str
    modality: str | None = None
    shape: tuple[int, int, int] | None = None
    dtype: str | None = None
    slope: float | None = None
    intercept: float | None = None
    spacing_mm: tuple[float, float, float] | None = None
    slice_distance_mm: float | None = None
    tilt_degrees: float | None = None
    slice_thickness_mm: float | None = None
    spacing_between_slices_mm: float | None = None
    through_plane: str | None = None
    uniform: bool | None = None
    anisotropy: float | None = None
    suggested_factor: int | None = None
    gap_mm: float | None = None
    order: str | None = None
    split_by: str = ""
    patient: dict[str, str] | None = None
    isotropic_shape: tuple[int, int, int] | None = None
    isotropic_spacing_mm: tuple[float, float, float] | None = None
    secondary: str = ""
    slice_positions: tuple[float, ...] = ()
    problem: str | None = None
    exit_code: int = 0
    warnings: tuple[str, ...] = ()
    volumes: int = 1
    shear_degrees: float | None = None
    series_volumes: int = 1
    series_problem: str | None = None
    series_number: int | None = None
    series_description: str | None = None
    protocol_name: str | None = None
    median_distance_mm: float | None = None
    folder: str = ""

    @property
    def series_uid(self) -> str:
        """SeriesInstanceUID of a DICOM stack, or ``NO_UID``: ``label`` without its place in the series."""
        return self.label.partition("#")[0]

    def without_text(self) -> "StackInfo":
        """The same without text that people typed, which may name a patient: saint stores none of it."""
        return replace(self, series_description=None, protocol_name=None, patient=None)


@dataclass(frozen=True)
class Description:
    """The volumes a path holds, how many of its files were skipped for which reason, and each volume's files.

    named: the first of the skipped files for each reason that is a problem.
    """

    path: Path
    stacks: tuple[StackInfo, ...]
    skipped: Counter[str] = field(default_factory=Counter)
    files: tuple[tuple[Path, ...], ...] = ()
    named: dict[str, list[str]] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 if at least one volume can be upsampled, else the code that the first one's problem leads to."""
        codes = [stack.exit_code for stack in self.stacks]
        return 0 if 0 in codes else codes[0]


def make_refused(path: Path, file_format: str, error: SaintError) -> StackInfo:
    """The description of a volume that cannot be read."""
    return StackInfo(1, path.name, file_format, problem=remove_path(error, path), exit_code=error.exit_code)


def remove_path(error: SaintError, path: Path) -> str:
    """The message of an error without the path of the file that it is about."""
    return str(error).removeprefix(f"{path}: ")


def _suggest_factor(spacing_mm: tuple[float, float, float], axis: int) -> int:
    """The whole factor that brings the spacing along ``axis`` nearest to the mean in-plane spacing."""
    pixel = math.sqrt(math.prod(geometry.in_plane(spacing_mm, axis)))
    return min(MAX_FACTOR, max(MIN_FACTOR, round(spacing_mm[axis] / pixel)))


def isotropic_fields(shape: tuple[int, int, int], affine_lps: np.ndarray, axis: int | None = None) -> dict[str, Any]:
    """The fields of ``StackInfo`` about the default grid, or the problem where upsampling refuses the spacing.

    There are none where upsampling needs ``--factor`` or ``--spacing``.
    """
    spacing = geometry.spacing_mm(affine_lps)
    try:
        spacing_limits.check_spacing(affine_lps)
    except GeometryError as error:
        return {"problem": str(error), "exit_code": error.exit_code}
    try:
        axis = geometry.through_plane_axis(spacing) if axis is None else axis
        grid = geometry.grid_by_spacing(shape[axis], axis, spacing[axis], min(geometry.in_plane(spacing, axis)))
    except SaintError:
        return {}
    fine = geometry.spacing_mm(grid.refine(affine_lps))
    return {"isotropic_shape": grid.output_shape(shape), "isotropic_spacing_mm": fine}


def placement_fields(affine_lps: np.ndarray, tilt: float | None = None, axis: int | None = None) -> dict[str, Any]:
    """The fields of ``StackInfo`` that follow from an affine; ``tilt`` in degrees where it was measured.

    ``axis`` is the through-plane one where it is known (z for DICOM), else the one with the largest spacing.
    """
    spacing = geometry.spacing_mm(affine_lps)
    widest = geometry.through_plane_axis(spacing, allow_isotropic=True) if axis is None else axis
    anisotropy = spacing[widest] / min(geometry.in_plane(spacing, widest))
    is_clear = anisotropy >= geometry.NEAR_ISOTROPIC_RATIO
    measured = geometry.tilt_degrees(affine_lps, widest) if tilt is None else tilt
    first, second = geometry.in_plane((affine_lps[:3, :3] / spacing).T, widest)
    return {
        "spacing_mm": spacing,
        "slice_distance_mm": geometry.slice_distance_mm(affine_lps, widest),
        "tilt_degrees": round(measured, 3),
        "shear_degrees": round(abs(90.0 - math.degrees(math.acos(np.clip(first @ second, -1.0, 1.0)))), 3),
        "through_plane": AXES[widest] if is_clear else None,
        "uniform": True,
        "anisotropy": anisotropy,
        "suggested_factor": _suggest_factor(spacing, widest) if is_clear else None,
    }


def find_placement_warnings(affine_lps: np.ndarray) -> tuple[str, ...]:
    """Sentences about tilt or shear in an image that is not DICOM."""
    warnings, fields = [], placement_fields(affine_lps)
    tilt, shear, distance = fields["tilt_degrees"], fields["shear_degrees"], fields["slice_distance_mm"]
    if tilt >= MIN_SHOWN_DEGREES:
        warnings.append(format_tilt(tilt, distance / math.cos(math.radians(tilt)), distance, is_ct=False))
    if shear >= MIN_SHOWN_DEGREES:
        warnings.append(
            f"Shear {shear:.1f}° between the two in-plane axes: they are not perpendicular; kept as they are"
        )
    return tuple(warnings)
