"""What saint keeps of the header of one DICOM slice."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from saint_cli.io.dicom_values import PixelFormat

VOLUME_KEYS = (
    ("EchoNumbers",),
    ("EchoTime",),
    ("DiffusionBValue",),
    ("DiffusionBValue", "DiffusionGradientOrientation"),
    ("TemporalPositionIdentifier",),
    ("TriggerTime",),
    ("AcquisitionNumber",),
    ("ContentTime",),
)
"""Attributes that tell apart the volumes of a series that visits every position several times, the surest first."""


@dataclass(frozen=True)
class SliceHeader:
    """One slice: a file, or one frame of a multi-frame file.

    position: (3,) float64 LPS mm, centre of the first pixel; orientation: (6,) float64, row then column direction.
    pixel_spacing: mm between rows, mm between columns.
    padding: lowest and highest stored value that means nothing was measured (PixelPaddingValue); None if none is told.
    volume_keys: values of ``VOLUME_KEYS``, in their order; None where absent.
    notes: what was odd about the header and how it is read.
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

    @property
    def has_instance_uid(self) -> bool:
        """Whether ``sop_instance`` is a SOPInstanceUID, and not the path that stands for a missing one."""
        return self.sop_instance != str(self.path)

    @property
    def series_uid(self) -> str:
        """SeriesInstanceUID."""
        return self.stack_uids[1]
