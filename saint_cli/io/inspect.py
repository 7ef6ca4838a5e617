"""What a path holds, from headers alone."""

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saint_cli import geometry
from saint_cli.errors import GeometryError
from saint_cli.io.read import find_format
from saint_cli.io.sniff import Format

if TYPE_CHECKING:
    from saint_cli.io.dicom_stacks import Stack

# The readers are imported where they are used: each brings a library that takes a tenth of a second and more.

AXES = "xyz"


@dataclass(frozen=True)
class StackInfo:
    """One volume that a file or folder holds.

    number: 1, 2, ... as ``series`` of ``read_volume`` counts DICOM stacks; 1 for other formats.
    label: file name, or SeriesInstanceUID for DICOM; never patient text.
    format: "NIfTI", "NRRD", "MetaImage" or "DICOM". modality: "CT", "MR", or None if not told.
    shape: number of voxels along x, y, z. dtype: of the stored values.
    slope, intercept: scanner value = stored * slope + intercept; None if they differ from slice to slice.
    spacing_mm: norms of the affine's columns. slice_distance_mm: between slice planes along their normal, for the
    through-plane axis. tilt_degrees: between slice step and normal, 0 if none.
    slice_thickness_mm, spacing_between_slices_mm: what the DICOM tags claim; None elsewhere.
    through_plane: "x", "y" or "z"; None if nearly isotropic. uniform: whether the slices are evenly spaced.
    anisotropy: largest over smallest spacing. suggested_factor: 2...16, None if nearly isotropic.
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
    problem: str | None = None
    exit_code: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Description:
    """The volumes a path holds, and how many of its files were passed over for which reason."""

    path: Path
    stacks: tuple[StackInfo, ...]
    skipped: Counter[str] = field(default_factory=Counter)

    @property
    def exit_code(self) -> int:
        """0 if at least one volume can be upsampled, else the code that the first one's problem leads to."""
        codes = [stack.exit_code for stack in self.stacks]
        return 0 if 0 in codes else codes[0]


def describe(path: Path) -> Description:
    """Describe a file or folder without reading voxels.

    A volume that could not be upsampled is described with its ``problem``.

    Raises:
        UsageError: a folder without CT or MR slices.
        UnreadableError: missing, damaged, colour, complex, or of an unknown format.
    """
    form = find_format(path)
    if form is Format.DICOM:
        from saint_cli.io import dicom

        inventory = dicom.list_stacks(path)
        stacks = tuple(_of_stack(number, stack) for number, stack in enumerate(inventory.stacks, 1))
        return Description(path, stacks, inventory.skipped)
    try:
        info = _of_nifti(path) if form is Format.NIFTI else _of_itk(path, form)
    except GeometryError as error:
        info = StackInfo(1, path.name, form.value, problem=_without(path, error), exit_code=error.exit_code)
    return Description(path, (info,))


def suggest_factor(spacing_mm: tuple[float, float, float], axis: int) -> int:
    """The whole factor, 2...16, that brings the spacing along ``axis`` nearest to the mean in-plane spacing."""
    first, second = (s for i, s in enumerate(spacing_mm) if i != axis)
    return min(16, max(2, round(spacing_mm[axis] / math.sqrt(first * second))))


def _without(path: Path, error: GeometryError) -> str:
    return str(error).removeprefix(f"{path}: ")


def _of_nifti(path: Path) -> StackInfo:
    from saint_cli.io import nifti, nifti_header

    header = nifti_header.read_header(path)
    nifti.check_length(header)
    return StackInfo(
        1,
        path.name,
        Format.NIFTI.value,
        shape=header.shape,
        dtype=header.storage.dtype.newbyteorder("=").name,
        slope=header.storage.slope,
        intercept=header.storage.intercept,
        warnings=header.warnings,
        **_geometry(header.affine_lps),
    )


def _of_itk(path: Path, form: Format) -> StackInfo:
    from saint_cli.io import itk

    header = itk.read_header(path, form)
    return StackInfo(
        1,
        path.name,
        form.value,
        shape=header.shape,
        dtype=header.dtype.name,
        slope=1.0,
        intercept=0.0,
        warnings=header.warnings,
        **_geometry(header.affine_lps),
    )


def _of_stack(number: int, stack: "Stack") -> StackInfo:
    from saint_cli.io.dicom_pixels import stored_dtype

    first = stack.slices[0]
    rows, columns = first.shape
    scalings = {(s.slope, s.intercept) for s in stack.slices}
    slope, intercept = scalings.pop() if len(scalings) == 1 else (None, None)
    placed = stack.geometry
    return StackInfo(
        number,
        stack.series_uid,
        Format.DICOM.value,
        modality=first.modality or None,
        shape=(columns, rows, len(stack.slices)),
        dtype=stored_dtype(first.pixel).name,
        slope=slope,
        intercept=intercept,
        slice_thickness_mm=first.slice_thickness,
        spacing_between_slices_mm=first.spacing_between_slices,
        problem=None if stack.problem is None else str(stack.problem),
        exit_code=0 if stack.problem is None else stack.problem.exit_code,
        warnings=stack.warnings,
        **({"uniform": False} if placed is None else _geometry(placed.affine_lps, placed.tilt_degrees)),
    )


def _geometry(affine_lps: np.ndarray, tilt: float | None = None) -> dict[str, Any]:
    """The fields of ``StackInfo`` that follow from an affine; ``tilt`` in degrees where it was measured."""
    spacing = geometry.spacing_mm(affine_lps)
    widest = geometry.through_plane_axis(spacing, allow_isotropic=True)
    anisotropy = max(spacing) / min(spacing)
    clear = anisotropy >= geometry.NEAR_ISOTROPIC
    measured = geometry.tilt_degrees(affine_lps, widest) if tilt is None else tilt
    return {
        "spacing_mm": spacing,
        "slice_distance_mm": geometry.slice_distance_mm(affine_lps, widest),
        "tilt_degrees": round(measured, 3),
        "through_plane": AXES[widest] if clear else None,
        "uniform": True,
        "anisotropy": anisotropy,
        "suggested_factor": suggest_factor(spacing, widest) if clear else None,
    }
