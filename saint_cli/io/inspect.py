"""What a path holds, from headers alone."""

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saint_cli import geometry
from saint_cli.errors import GeometryError, SaintError
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
    label: file name, or SeriesInstanceUID for DICOM, with #1, #2, ... if a series holds several; never patient text.
    format: "NIfTI", "NRRD", "MetaImage" or "DICOM". modality: "CT", "MR", or None if not told.
    shape: number of voxels along x, y, z. dtype: of the stored values.
    slope, intercept: scanner value = stored * slope + intercept; None if they differ from slice to slice.
    spacing_mm: norms of the affine's columns. slice_distance_mm: between slice planes along their normal, for the
    through-plane axis. tilt_degrees: between slice step and normal, 0 if none.
    slice_thickness_mm, spacing_between_slices_mm: what the DICOM tags claim; None elsewhere.
    gap_mm: slice_distance_mm less slice_thickness_mm, negative where slices overlap; None elsewhere.
    order: how InstanceNumber runs along the normal: "ascending", "descending" or "mixed"; None elsewhere.
    split_by: what tells the stack from others at the same positions, such as "EchoTime 30"; "" elsewhere.
    patient: patient and study text, only where asked for.
    through_plane: "x", "y" or "z"; None if nearly isotropic.
    uniform: whether the slices are evenly spaced; None of a single one.
    anisotropy: through-plane over smallest in-plane spacing. suggested_factor: 2...16, None if nearly isotropic.
    isotropic_shape, isotropic_spacing_mm: what ``saint upsample`` makes of it by default; None if it needs a wish.
    secondary: why it is no acquired image, as far as headers tell: a derived image, a label map; else "".
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
    problem: str | None = None
    exit_code: int = 0
    warnings: tuple[str, ...] = ()


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


def describe(path: Path, *, phi: bool = False, split_runs: bool = False) -> Description:
    """Describe a file or folder without reading voxels; ``split_runs`` lists the regular runs of irregular stacks.

    A volume that could not be upsampled is described with its ``problem``. With ``phi`` the stacks of a DICOM folder
    come with patient and study text.

    Raises:
        UsageError: a folder without CT or MR slices.
        UnreadableError: missing, damaged, colour, complex, or of an unknown format.
    """
    form = find_format(path)
    if form is Format.DICOM:
        from saint_cli.io import dicom, dicom_choice

        inventory = dicom.list_stacks(path, in_runs=split_runs)
        labels = dicom_choice.labels(inventory.stacks)
        stacks = tuple(
            _of_stack(number, label, stack, phi=phi)
            for number, (label, stack) in enumerate(zip(labels, inventory.stacks, strict=True), 1)
        )
        packed = None if inventory.keeper is None else (path,)
        files = (packed or tuple(sorted({one.path for one in stack.slices})) for stack in inventory.stacks)
        return Description(path, stacks, inventory.skipped, tuple(files), inventory.named)
    files_of_one: tuple[Path, ...] = (path,)
    try:
        info, files_of_one = _of_nifti(path) if form is Format.NIFTI else _of_itk(path, form)
    except GeometryError as error:
        info = StackInfo(1, path.name, form.value, problem=_without(path, error), exit_code=error.exit_code)
    return Description(path, (info,), files=(files_of_one,))


def suggest_factor(spacing_mm: tuple[float, float, float], axis: int) -> int:
    """The whole factor, 2...16, that brings the spacing along ``axis`` nearest to the mean in-plane spacing."""
    first, second = (s for i, s in enumerate(spacing_mm) if i != axis)
    return min(16, max(2, round(spacing_mm[axis] / math.sqrt(first * second))))


def _without(path: Path, error: GeometryError) -> str:
    return str(error).removeprefix(f"{path}: ")


def _of_nifti(path: Path) -> tuple[StackInfo, tuple[Path, ...]]:
    from saint_cli.io import nifti, nifti_header

    header = nifti_header.read_header(path)
    nifti.check_length(header)
    info = StackInfo(
        1,
        path.name,
        Format.NIFTI.value,
        shape=header.shape,
        dtype=header.storage.dtype.newbyteorder("=").name,
        slope=header.storage.slope,
        intercept=header.storage.intercept,
        secondary="a label map" if header.is_labels else "",
        warnings=header.warnings,
        **_geometry(header.affine_lps),
        **_isotropic(header.shape, header.affine_lps),
    )
    return info, tuple(dict.fromkeys((path, header.data)))


def _of_itk(path: Path, form: Format) -> tuple[StackInfo, tuple[Path, ...]]:
    from saint_cli.io import itk

    header = itk.read_header(path, form)
    info = StackInfo(
        1,
        path.name,
        form.value,
        shape=header.shape,
        dtype=header.dtype.name,
        slope=1.0,
        intercept=0.0,
        secondary="a label map" if header.is_labels else "",
        warnings=header.warnings,
        **_geometry(header.affine_lps),
        **_isotropic(header.shape, header.affine_lps),
    )
    return info, tuple(dict.fromkeys((path, header.data)))


def _of_stack(number: int, label: str, stack: "Stack", *, phi: bool) -> StackInfo:
    from saint_cli.io.dicom_headers import patient_text
    from saint_cli.io.dicom_pixels import stored_dtype
    from saint_cli.io.dicom_runs import hint

    first = stack.slices[0]
    rows, columns = first.shape
    scalings = {(s.slope, s.intercept) for s in stack.slices}
    slope, intercept = scalings.pop() if len(scalings) == 1 else (None, None)
    placed, shape = stack.geometry, (columns, rows, len(stack.slices))
    placement: dict[str, Any] = {"uniform": None if shape[2] == 1 else False}
    if placed is not None:
        placement = _geometry(placed.affine_lps, placed.tilt_degrees, 2)
        placement |= _between(stack, geometry.slice_distance_mm(placed.affine_lps, 2))
        if stack.problem is None:
            placement |= _isotropic(shape, placed.affine_lps, 2)
    return StackInfo(
        number,
        label,
        Format.DICOM.value,
        modality=first.modality or None,
        shape=shape,
        dtype=stored_dtype(first.pixel).name,
        slope=slope,
        intercept=intercept,
        slice_thickness_mm=first.slice_thickness,
        spacing_between_slices_mm=first.spacing_between_slices,
        split_by=stack.split_by,
        patient=patient_text(first.path) if phi else None,
        problem=None if stack.problem is None else f"{stack.problem}{hint(stack)}",
        secondary="a derived image" if any(one.is_derived for one in stack.slices) else "",
        exit_code=0 if stack.problem is None else stack.problem.exit_code,
        warnings=stack.warnings,
        **placement,
    )


def _between(stack: "Stack", distance: float) -> dict[str, Any]:
    """The fields of ``StackInfo`` about gaps between slices and the order in which they are counted."""
    thickness = stack.slices[0].slice_thickness
    steps = np.sign(np.diff([one.instance_number for one in stack.slices]))
    order = {(True, False): "ascending", (False, True): "descending"}.get(
        (bool((steps > 0).all()), bool((steps < 0).all())), "mixed"
    )
    return {"gap_mm": None if thickness is None else round(distance - thickness, 4), "order": order}


def _isotropic(shape: tuple[int, int, int], affine_lps: np.ndarray, axis: int | None = None) -> dict[str, Any]:
    """The fields of ``StackInfo`` about the default grid; none where upsampling would ask for a wish."""
    spacing = geometry.spacing_mm(affine_lps)
    try:
        axis = geometry.through_plane_axis(spacing) if axis is None else axis
        target = min(s for i, s in enumerate(spacing) if i != axis)
        grid = geometry.grid_by_spacing(shape[axis], axis, spacing[axis], target)
    except SaintError:
        return {}
    counts = tuple(grid.count if i == axis else n for i, n in enumerate(shape))
    return {"isotropic_shape": counts, "isotropic_spacing_mm": geometry.spacing_mm(grid.refine(affine_lps))}


def _geometry(affine_lps: np.ndarray, tilt: float | None = None, axis: int | None = None) -> dict[str, Any]:
    """The fields of ``StackInfo`` that follow from an affine; ``tilt`` in degrees where it was measured.

    ``axis`` is the through-plane one where it is known (z for DICOM), else the one with the largest spacing.
    """
    spacing = geometry.spacing_mm(affine_lps)
    widest = geometry.through_plane_axis(spacing, allow_isotropic=True) if axis is None else axis
    anisotropy = spacing[widest] / min(s for i, s in enumerate(spacing) if i != widest)
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
