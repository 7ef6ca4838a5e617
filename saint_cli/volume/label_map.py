"""A label map in memory: a whole number for each voxel, and what the file says of each number."""

from dataclasses import dataclass, field

import numpy as np

from saint_cli import geometry
from saint_cli.volume import Header


@dataclass(frozen=True)
class CodedConcept:
    """A term of a coding scheme, as DICOM writes it (PS3.3 section 8): ``("10200004", "SCT", "Liver")``."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class Segment:
    """What a file says of one label; None or empty where it says nothing.

    number: of the label's voxels, 1 or more. color_rgb: 0 to 255 each. category, type, anatomic_regions: coded terms of
    DICOM SEG (PS3.3 C.8.20.4). algorithm_type: ``"MANUAL"``, ``"SEMIAUTOMATIC"`` or ``"AUTOMATIC"``.
    source: the data set of a DICOM SEG that describes it, from which a writer of SEG takes what is not listed here.
    """

    number: int
    name: str | None = None
    color_rgb: tuple[int, int, int] | None = None
    category: CodedConcept | None = None
    type: CodedConcept | None = None
    algorithm_type: str | None = None
    algorithm_name: str | None = None
    anatomic_regions: tuple[CodedConcept, ...] = ()
    tracking_id: str | None = None
    tracking_uid: str | None = None
    source: object = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class LabelMap:
    """Labels of a scan's voxels.

    labels: ``[x, y, z]`` whole numbers of an integer dtype, 0 or more; 0 is background. Written with this dtype.
    affine_lps: 4x4 float64, voxel index ``(i, j, k, 1)`` to LPS millimetres of that voxel's centre.
    segments: what the file says of its labels, by number; a label need not have one.
    """

    labels: np.ndarray
    affine_lps: np.ndarray
    segments: tuple[Segment, ...] = ()
    header: Header = field(default_factory=lambda: Header(is_labels=True))

    def __post_init__(self) -> None:
        if self.labels.ndim != 3 or self.labels.dtype.kind not in "iu":
            raise ValueError(
                f"a label map has three axes and whole numbers, not {self.labels.ndim}, {self.labels.dtype}"
            )
        if self.affine_lps.shape != (4, 4) or self.affine_lps.dtype != np.float64:
            raise ValueError("affine_lps must be a 4x4 float64 matrix")

    def __repr__(self) -> str:
        """One line: shape, dtype, spacing, how many segments are described (if any), format; no voxels, no names."""
        shape, spacing = geometry.format_shape(self.shape), geometry.format_spacing(self.spacing_mm)
        count = len(self.segments)
        segments = f"{count} segment{'s' * (count > 1)}, " if count else ""
        return f"LabelMap({shape} {self.labels.dtype}, {spacing} mm, {segments}{self.header.source_format})"

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between the centres of neighbouring voxels along each axis, mm."""
        return geometry.spacing_mm(self.affine_lps)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along x, y, z."""
        x, y, z = self.labels.shape
        return x, y, z
