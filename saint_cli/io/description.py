"""What is told of the volumes that a path holds."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

LONGEST_TEXT = 64
"""Characters kept of a series' description, as many as DICOM allows (LO, PS3.5 section 6.2)."""


LABEL_MAP = "a label map"
"""``StackInfo.secondary`` of what holds labels."""


@dataclass(frozen=True)
class StackInfo:
    """One volume that a file or folder holds, or a file of several; also the fields of ``saint info --json``.

    number: 1, 2, ... as ``series`` of ``read_volume`` counts DICOM stacks; 1 for other formats.
    label: SeriesInstanceUID for DICOM, with #1, #2, ... if a series holds several; else the file's name, or its path
    below the folder that was described; never patient text.
    format: "NIfTI", "NRRD", "MetaImage" or "DICOM". modality: "CT", "MR", or None if not told.
    shape: number of voxels along x, y, z, of one volume. volumes: how many of it a 4-D file holds (``volume`` of
    ``read_volume`` chooses one), else 1. dtype: of the stored values.
    slope, intercept: scanner value = stored * slope + intercept; None if they differ from slice to slice.
    spacing_mm: norms of the affine's columns. slice_distance_mm: between slice planes along their normal, for the
    through-plane axis. tilt_degrees: between slice step and normal, 0 if none. shear_degrees: by how much the angle
    between the two in-plane axes differs from 90.
    slice_thickness_mm, spacing_between_slices_mm: what the DICOM tags claim; None elsewhere.
    gap_mm: slice_distance_mm less slice_thickness_mm, negative where slices overlap; None elsewhere.
    order: how InstanceNumber runs along the normal: "ascending", "descending" or "mixed"; None elsewhere.
    split_by: what tells the stack from others at the same positions, such as "EchoTime 30"; "" elsewhere.
    series_number, series_description, protocol_name: of DICOM, None if absent; texts on one line, control characters
    shown as ``?``, cut to ``LONGEST_TEXT``.
    patient: patient and study text, only where asked for.
    through_plane: "x", "y" or "z"; None if nearly isotropic.
    uniform: whether the slices are evenly spaced; None of a single one.
    anisotropy: through-plane over smallest in-plane spacing. suggested_factor: 2...16, None if nearly isotropic.
    isotropic_shape, isotropic_spacing_mm: what ``saint upsample`` would produce by default; None where it needs
    ``--factor`` or ``--spacing``.
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
    volumes: int = 1
    shear_degrees: float | None = None
    series_number: int | None = None
    series_description: str | None = None
    protocol_name: str | None = None


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
