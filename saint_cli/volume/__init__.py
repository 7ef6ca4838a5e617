"""One scan in memory: voxels, where they lie in the patient, and what the file says about them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from saint_cli import geometry
from saint_cli.volume.stored_values import Coding

ValueRange = tuple[float, float]
"""Lowest and highest scanner value, both included."""


@dataclass(frozen=True)
class Storage:
    """How the source file stored its voxels, so that a writer can store the result the same way.

    ``scanner value = stored value * slope + intercept``.
    """

    dtype: np.dtype
    slope: float = 1.0
    intercept: float = 0.0

    @property
    def is_identity(self) -> bool:
        """Whether stored values are the scanner values themselves."""
        return self.slope == 1.0 and self.intercept == 0.0


@dataclass(frozen=True)
class SliceSource:
    """The file of one acquired DICOM slice, and which frame of it (from 0).

    header_digest: of all that the file held before its pixels when it was read; stamp: size and times of the file then
    (``io.file_stamps``). They show a writer whether the file is still the same. bits: how many hold a stored value, and
    how many lie below it; padding: lowest and highest stored value of it. Both as the pixels showed; bits are None
    where no pixels were read.
    """

    path: Path
    frame: int
    header_digest: str = ""
    stamp: tuple[int, int, int] | None = None
    bits: tuple[int, int] | None = None
    padding: tuple[int, int] | None = None


@dataclass(frozen=True)
class FolderListing:
    """What a folder held when a DICOM series was read from it.

    names: of all files below ``folder``, relative to it. series: the SeriesInstanceUIDs of the slices that were read.
    """

    folder: Path
    names: frozenset[str]
    series: frozenset[str]


@dataclass(frozen=True)
class DicomSource:
    """The DICOM slices that a volume was read from, in the order of its z axis.

    keep_alive: whatever must live as long as their files do (the unpacked folder of a zip file). listing: what the
    folder held that was searched; None where no folder was. slice_thickness_mm: of the first; None if it has none.
    """

    slices: tuple[SliceSource, ...]
    keep_alive: object = None
    listing: FolderListing | None = None
    slice_thickness_mm: float | None = None


@dataclass(frozen=True)
class SlabDeviation:
    """How far means of thin slices over the slabs are from the acquired slices, scanner values (HU for CT).

    largest, rms: greatest and root mean square of all voxels; is_rounding: whether storing values explains it.
    """

    largest: float
    rms: float
    is_rounding: bool

    @classmethod
    def merge(cls, several: Sequence["SlabDeviation"]) -> "SlabDeviation | None":
        """That of several volumes of one size together; None of none."""
        if not several:
            return None
        rms = math.hypot(*(one.rms for one in several)) / math.sqrt(len(several))
        return cls(max(one.largest for one in several), rms, all(one.is_rounding for one in several))


@dataclass(frozen=True)
class Derivation:
    """How a volume was computed from the one that was read: grid of its slices, networks, options of the method.

    plane: the pixels of slices that were resampled in their plane afterwards; None where they were not.
    slab_deviation: of thin slices of slabs, before they were resampled in their plane.
    """

    grid: geometry.SliceGrid
    model: str
    weights_sha256: str
    options: tuple[str, ...] = ()
    plane: geometry.PlaneGrid | None = None
    slab_deviation: SlabDeviation | None = None

    @property
    def means_differ(self) -> bool:
        """Whether means over slabs are farther from the acquired slices than by rounding."""
        return self.slab_deviation is not None and not self.slab_deviation.is_rounding

    @property
    def option_names(self) -> tuple[str, ...]:
        """Names of the options beside grid and model: ``noise=match``, ``extrapolate``, ``untilt``, ..."""
        of_grid = {
            "extrapolate": self.grid.extrapolated.any(),
            "irregular": self.grid.positions is not None,
            "average": self.grid.averages,
        }
        if self.grid.slab is not None:
            of_grid[f"slab={self.grid.slab.thickness:.4g}"] = True
            of_grid[f"slab-profile={self.grid.slab.shape}"] = self.grid.slab.shape is not geometry.ProfileShape.BOX
        of_plane = () if self.plane is None else self.plane.words
        return (*self.options, *(word for word, is_so in of_grid.items() if is_so), *of_plane)

    @property
    def changes_noise(self) -> bool:
        """Whether the noise of slices was matched or smoothed."""
        return not {"noise=match", "noise=smooth"}.isdisjoint(self.options)

    @property
    def keeps_acquired(self) -> bool:
        """Whether the method left acquired slices as they were."""
        is_changed = self.grid.averages or self.grid.slab is not None or self.plane is not None
        return not (is_changed or {"regenerate", "noise=smooth"} & set(self.options))


@dataclass(frozen=True)
class Header:
    """What the source file says besides voxels and geometry; holds no patient text.

    modality: DICOM Modality (0008,0060) such as ``"CT"`` or ``"MR"``; None where the format does not carry it.
    source_format: ``"NIfTI"``, ``"NRRD"``, ``"MetaImage"`` or ``"DICOM"``; of other images, their library.
    storage: how the voxels were stored.
    space_code: NIfTI sform code of the affine (1 scanner, 2 aligned, 3 Talairach, 4 MNI); 1 for other formats.
    warnings: sentences for the user about what was repaired or looks odd.
    padding: ranges of scanner values that mean "nothing was measured here": PixelPaddingValue of DICOM, and the fill
    values that ``io.fill_values`` found.
    dicom_source: the DICOM slices behind the volume; None for other formats.
    derivation: None for a volume as it was read.
    codings: which scanner values the source can store: one for all slices or, of DICOM whose rescale changes, one for
    each along z; none where every value of the voxels' dtype can be. A result has no other values.
    is_labels: whether the file says that its values are labels.
    slice_positions: where unevenly spaced slices lie along z, ascending from 0, in units of the affine's slice step
    (the commonest gap); () where they lie at 0, 1, 2, ..., as in every result.
    volume_name: which of several volumes of its file or series this is (``fourth_axis.name_volume``).
    """

    modality: str | None = None
    source_format: str = "NIfTI"
    storage: Storage | None = None
    space_code: int = 1
    warnings: tuple[str, ...] = ()
    padding: tuple[ValueRange, ...] = ()
    dicom_source: DicomSource | None = field(default=None, repr=False)
    derivation: Derivation | None = None
    codings: tuple[Coding, ...] = ()
    is_labels: bool = False
    slice_positions: tuple[float, ...] = ()
    volume_name: str = ""

    def is_padding(self, values: np.ndarray) -> np.ndarray:
        """Mask of the scanner values that lie in a range of padding."""
        mask = np.zeros(values.shape, bool)
        with np.errstate(over="ignore"):  # an end beyond the type of the values is infinity there
            for low, high in self.padding:
                mask |= (values >= low) & (values <= high)
        return mask


@dataclass(frozen=True)
class Volume:
    """A 3-D scan.

    voxels: ``[x, y, z]`` array of scanner values (HU for CT), an integer dtype, float32, or float64 where float32
    does not hold them.
    affine_lps: 4x4 float64, voxel index ``(i, j, k, 1)`` to LPS millimetres of that voxel's centre (DICOM, ITK).
    """

    voxels: np.ndarray
    affine_lps: np.ndarray
    header: Header = Header()

    def __post_init__(self) -> None:
        if self.voxels.ndim != 3:
            raise ValueError(f"a volume has three axes, not {self.voxels.ndim}")
        if self.affine_lps.shape != (4, 4) or self.affine_lps.dtype != np.float64:
            raise ValueError("affine_lps must be a 4x4 float64 matrix")

    def __repr__(self) -> str:
        """One line: shape, dtype, spacing, modality and format; neither voxels nor paths."""
        shape, spacing = geometry.format_shape(self.shape), geometry.format_spacing(self.spacing_mm)
        kind = ", ".join(filter(None, (self.header.modality, self.header.source_format)))
        return f"Volume({shape} {self.voxels.dtype}, {spacing} mm, {kind})"

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between the centres of neighbouring voxels along each axis, mm: the affine's column norms."""
        return geometry.spacing_mm(self.affine_lps)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along x, y, z."""
        x, y, z = self.voxels.shape
        return x, y, z

    def with_warning(self, *sentences: str) -> "Volume":
        """The same volume with more warnings in its header."""
        return replace(self, header=replace(self.header, warnings=(*self.header.warnings, *sentences)))

    def placeholder_on(self, grid: geometry.SliceGrid, plane: geometry.PlaneGrid | None = None) -> "Volume":
        """The volume on a grid and then ``plane``, its voxels zeros that take no memory."""
        shape, affine = grid.output_shape(self.shape), grid.refine(self.affine_lps)
        if plane is not None:
            shape, affine = plane.output_shape(shape), plane.affine_lps
        zeros = np.broadcast_to(self.voxels.dtype.type(0), shape)
        return replace(self, voxels=zeros, affine_lps=affine, header=replace(self.header, slice_positions=()))
