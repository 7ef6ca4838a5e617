"""What saint keeps of the header of one DICOM slice."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from saint_cli.coding import Coding
from saint_cli.io.dicom_values import PixelFormat

CONTRAST_KEYS = (
    ("EchoNumbers",),
    ("EchoTime",),
    ("DiffusionBValue",),
    ("DiffusionBValue", "DiffusionGradientOrientation"),
    ("TemporalPositionIdentifier",),
    ("TemporalPositionTimeOffset",),
    ("NominalPercentageOfCardiacPhase",),
    ("NominalPercentageOfRespiratoryPhase",),
    ("NominalCardiacTriggerTimePriorToRPeak",),
    ("KVP",),
    ("MonoenergeticEnergyEquivalent",),
    ("ConvolutionKernel",),
    ("FilterType",),
    ("InversionTime",),
    ("FlipAngle",),
    ("SequenceName",),
    ("ContrastBolusAgent",),
    ("ReconstructionDiameter",),
    ("ScanOptions",),
)
"""Attributes that are the same in all slices of a volume, so that another value is another volume; the surest first."""

ACQUISITION_KEYS = (
    ("StackID",),
    ("RepetitionTime",),
    ("TriggerTime",),
    ("NominalCardiacTriggerDelayTime",),
    ("AcquisitionNumber",),
    ("SliceThickness",),
)
"""Attributes that tell volumes apart where they cut a series into whole ones, but may differ within a volume too."""

TIME_KEYS = (
    ("AcquisitionDateTime",),
    ("AcquisitionTime",),
    ("FrameReferenceTime",),
    ("ContentTime",),
    ("InstanceCreationTime",),
)
"""Times, which differ from slice to slice by nature: they count where all slices of one volume come before the next."""

VOLUME_KEYS = (*CONTRAST_KEYS, *ACQUISITION_KEYS, *TIME_KEYS)
"""Attributes that may tell apart the volumes of one series."""


@dataclass(frozen=True)
class SliceHeader:
    """One slice: a file, or one frame of a multi-frame file.

    position: (3,) float64 LPS mm, centre of the first pixel; orientation: (6,) float64, row then column direction.
    pixel_spacing: mm between rows, mm between columns.
    padding: lowest and highest stored value that means nothing was measured (PixelPaddingValue); None if none is told.
    volume_keys: values of ``VOLUME_KEYS``, in their order; None where absent.
    notes: what was odd about the header and how it is read.
    stamp: of the file before its header was read (``io.file_stamps``).
    """

    path: Path
    frame: int
    sop_class: str
    sop_instance: str
    stack_uids: tuple[str, str, str]
    modality: str
    image_type: tuple[str, ...]
    shape: tuple[int, int]
    position: np.ndarray
    orientation: np.ndarray
    pixel_spacing: tuple[float, float]
    slope: float
    intercept: float
    pixel: PixelFormat
    slice_thickness: float | None
    spacing_between_slices: float | None
    instance_number: int
    series_number: int
    padding: tuple[int, int] | None
    volume_keys: tuple[Any, ...]
    is_multiframe: bool = False
    is_phase: bool = False
    is_derived: bool = False
    notes: tuple[str, ...] = ()
    stamp: tuple[int, int, int] | None = None

    @property
    def has_instance_uid(self) -> bool:
        """Whether ``sop_instance`` is a SOPInstanceUID, and not the path that stands for a missing one."""
        return self.sop_instance != str(self.path)

    @property
    def coding(self) -> Coding:
        """Which scanner values BitsStored can hold after rescale."""
        top = 1 << (self.pixel.stored - int(self.pixel.signed))
        return Coding(self.slope, self.intercept, -top if self.pixel.signed else 0, top - 1)

    @property
    def series_uid(self) -> str:
        """SeriesInstanceUID."""
        return self.stack_uids[1]

    @property
    def order(self) -> tuple[int, str, int]:
        """What slices are put in order by where positions do not: their number, then what makes it definite."""
        return self.instance_number, self.sop_instance, self.frame

    def value(self, key: tuple[str, ...]) -> Any:
        """The value of one of ``VOLUME_KEYS``."""
        return self.volume_keys[VOLUME_KEYS.index(key)]
