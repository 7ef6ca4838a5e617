"""The header of one DICOM slice: what saint keeps of it, and how it is parsed from single- and multi-frame images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from saint_cli.io.dicom import values
from saint_cli.io.dicom.pixel_format import PixelFormat, parse_padding_range, parse_pixel_format
from saint_cli.io.dicom.volume_keys import FRAME_ELEMENTS, VOLUME_KEYS, Key, comparable_value, parse_seconds
from saint_cli.volume.stored_values import Coding
from saint_cli.volume.warning_words import MADE_BY_SAINT

PIXEL_MEASURES = "PixelMeasuresSequence"
VALUE_TRANSFORMATION = "PixelValueTransformationSequence"
MR_FRAME_TYPE = "MRImageFrameTypeSequence"
NO_SLOPE = "no RescaleSlope: 1 is assumed"
"""A note that is worth a word only where other slices have one."""

OTHER_UNITS = {
    "MGML": "mg/ml",
    "Z_EFF": "the effective atomic number",
    "ED": "the electron density",
    "EDW": "the electron density relative to water",
    "PCT": "percent",
    "OD": "the optical density",
}
"""What CT values are that are no HU, such as those of maps of spectral CT, by RescaleType (PS3.3 C.11.1.1.2)."""

INTERPOLATED_BY_SAINT = "SAINT slice interpolation"
"""How DerivationDescription of slices begins that networks made, and of acquired ones between them."""

FRAME_TYPES = ("CTImageFrameTypeSequence", MR_FRAME_TYPE, "PETFrameTypeSequence")


@dataclass(frozen=True)
class SliceHeader:
    """One slice: a file, or one frame of a multi-frame file.

    sop_instance: SOPInstanceUID, or the path where there is none. image_type: ImageType from its third value on.
    position: (3,) float64 LPS mm, centre of the first pixel; orientation: (6,) float64, row then column direction.
    pixel_spacing: mm between rows, mm between columns.
    padding: lowest and highest stored value that means nothing was measured (PixelPaddingValue); None if none is named.
    volume_keys: values of ``VOLUME_KEYS``, in their order; None where absent.
    instance_number: InstanceNumber, or the number of the frame. file_number: InstanceNumber of a multi-frame file.
    notes: what was odd about the header and how it is read.
    stamp: of the file before its header was read (``io.file_stamps``).
    """

    path: Path
    frame: int
    sop_class: str
    sop_instance: str
    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    modality: str
    image_type: tuple[str, ...]
    shape: tuple[int, int]
    position: np.ndarray
    orientation: np.ndarray
    pixel_spacing: tuple[float, float]
    slope: float
    intercept: float
    pixel_format: PixelFormat
    slice_thickness: float | None
    spacing_between_slices: float | None
    instance_number: int
    series_number: int
    padding: tuple[int, int] | None
    volume_keys: tuple[Any, ...]
    is_multiframe: bool = False
    file_number: int = 0
    is_phase: bool = False
    is_derived: bool = False
    notes: tuple[str, ...] = ()
    stamp: tuple[int, int, int] | None = None

    @property
    def has_instance_uid(self) -> bool:
        """Whether ``sop_instance`` is a SOPInstanceUID."""
        return self.sop_instance != str(self.path)

    @property
    def rescale(self) -> tuple[float, float]:
        """RescaleSlope and RescaleIntercept."""
        return self.slope, self.intercept

    @property
    def coding(self) -> Coding:
        """Which scanner values BitsStored can hold after rescale."""
        return Coding(self.slope, self.intercept, *self.pixel_format.limits)

    @property
    def sort_key(self) -> tuple[int, str, int]:
        """Orders slices where positions do not: by number, then by what makes the order definite."""
        return self.instance_number, self.sop_instance, self.frame

    def value(self, key: Key) -> Any:
        """The values of one of ``VOLUME_KEYS`` as text."""
        return self.volume_keys[VOLUME_KEYS.index(key)]

    def comparable(self, key: Key) -> Any:
        """The values of one of ``VOLUME_KEYS`` so that 80 and 80.0 are equal; None where absent or empty."""
        return comparable_value(self.value(key))

    def seconds(self, key: Key) -> float | None:
        """The time or number under one of ``VOLUME_KEYS``; None where absent or damaged."""
        return parse_seconds(key, self.value(key))


@dataclass(frozen=True)
class _Elements:
    """The elements of an image or of one frame: of its own functional groups, the shared ones, then the top level."""

    data: pydicom.Dataset
    groups: values.FrameGroups = ()

    def get(self, group: str, name: str) -> Any:
        found = values.find_in_groups(self.groups, group, name)
        return self.data.get(name) if found is None else found

    def get_keyword(self, name: str) -> Any:
        """The value of a keyword of ``VOLUME_KEYS``."""
        if self.groups and name in FRAME_ELEMENTS:
            return self.get(*FRAME_ELEMENTS[name])
        return self.data.get(name)

    def image_type(self) -> tuple[str, ...]:
        groups = FRAME_TYPES if self.groups else ()
        frame_type = next((value for group in groups if (value := self.get(group, "FrameType"))), None)
        return tuple(map(str, values.list_values(frame_type or self.data.get("ImageType"))))


def parse_slice_header(path: Path, data: pydicom.Dataset) -> SliceHeader:
    """The header of a single-frame CT, MR or PET image.

    Raises:
        SkippedFileError: a localizer, or an image without position, orientation or pixel spacing.
    """
    elements = _Elements(data)
    if "LOCALIZER" in elements.image_type():
        raise values.SkippedFileError("localizer")
    return _parse_header(path, elements, 0)


def parse_frame_headers(path: Path, data: pydicom.Dataset) -> list[SliceHeader]:
    """The header of every frame of an enhanced image, from its functional groups (PS3.3 C.7.6.16).

    Raises:
        IncompleteImageError: not as many functional groups as frames, or frames without position or orientation.
    """
    found = values.list_frame_groups(data)
    if not found or len(found) != int(data.get("NumberOfFrames") or 1):
        raise values.IncompleteImageError("multi-frame without functional groups for every frame")
    return [_parse_header(path, _Elements(data, groups), frame) for frame, groups in enumerate(found)]


def _parse_header(path: Path, elements: _Elements, frame: int) -> SliceHeader:
    data, is_multiframe = elements.data, bool(elements.groups)
    position = elements.get("PlanePositionSequence", "ImagePositionPatient")
    orientation = elements.get("PlaneOrientationSequence", "ImageOrientationPatient")
    spacing = elements.get(PIXEL_MEASURES, "PixelSpacing")
    if not (position and orientation and spacing):
        raise values.IncompleteImageError("no position, orientation or pixel spacing")
    image_type = elements.image_type()
    directions, note = values.parse_orientation(orientation)
    pixel_format = parse_pixel_format(data)
    return SliceHeader(
        path=path,
        frame=frame,
        sop_class=str(data.SOPClassUID),
        sop_instance=str(data.get("SOPInstanceUID") or path),
        study_uid=str(data.get("StudyInstanceUID") or ""),
        series_uid=str(data.get("SeriesInstanceUID") or ""),
        frame_of_reference_uid=str(data.get("FrameOfReferenceUID") or ""),
        modality=str(data.get("Modality") or ""),
        image_type=image_type[2:],
        shape=(int(data.Rows), int(data.Columns)),
        position=values.parse_vector(position, 3, "ImagePositionPatient"),
        orientation=directions,
        pixel_spacing=values.parse_pixel_spacing(spacing),
        slope=values.parse_float(elements.get(VALUE_TRANSFORMATION, "RescaleSlope"), 1.0, "RescaleSlope"),
        intercept=values.parse_float(elements.get(VALUE_TRANSFORMATION, "RescaleIntercept"), 0.0, "RescaleIntercept"),
        pixel_format=pixel_format,
        slice_thickness=values.parse_optional_float(elements.get(PIXEL_MEASURES, "SliceThickness")),
        spacing_between_slices=values.parse_optional_float(elements.get(PIXEL_MEASURES, "SpacingBetweenSlices")),
        instance_number=frame + 1 if is_multiframe else values.parse_ordinal(data.get("InstanceNumber")),
        series_number=values.parse_ordinal(data.get("SeriesNumber")),
        padding=parse_padding_range(data, pixel_format),
        is_multiframe=is_multiframe,
        file_number=values.parse_ordinal(data.get("InstanceNumber")) if is_multiframe else 0,
        is_phase=_is_phase(elements, image_type),
        is_derived=image_type[:1] == ("DERIVED",),
        volume_keys=tuple(values.make_hashable(tuple(map(elements.get_keyword, key))) for key in VOLUME_KEYS),
        notes=tuple(
            filter(None, (note, *_describe_missing_rescale(elements), _describe_unit(elements), _describe_maker(data)))
        ),
    )


def _describe_maker(data: pydicom.Dataset) -> str:
    """A note on a slice of a result of saint; empty of others."""
    made = values.decode_text(data.get("DerivationDescription"))
    return MADE_BY_SAINT if made.startswith(INTERPOLATED_BY_SAINT) else ""


def _is_phase(elements: _Elements, image_type: tuple[str, ...]) -> bool:
    """Whether an MR image shows phase: the third or fourth ImageType says so, or its component does."""
    name = "ComplexImageComponent"
    kinds = {*image_type[2:], str(elements.data.get(name)), str(elements.get(MR_FRAME_TYPE, name))}
    return str(elements.data.get("Modality")) == "MR" and not kinds.isdisjoint({"P", "PHASE", "PHASE MAP"})


def _describe_missing_rescale(elements: _Elements) -> list[str]:
    """Notes on an image without RescaleSlope, and on CT without RescaleIntercept, mandatory there (PS3.3 C.8.2.1)."""
    slope, intercept = (elements.get(VALUE_TRANSFORMATION, name) for name in ("RescaleSlope", "RescaleIntercept"))
    notes = [NO_SLOPE] if slope in (None, "") else []
    if str(elements.data.get("Modality")) == "CT" and intercept in (None, ""):
        notes.append("no RescaleIntercept: stored values are taken for HU")
    return notes


def _describe_unit(elements: _Elements) -> str:
    """A note on CT whose values are no HU; empty of others."""
    kind = str(elements.get(VALUE_TRANSFORMATION, "RescaleType")).strip().upper()
    if str(elements.data.get("Modality")) != "CT" or kind not in OTHER_UNITS:
        return ""
    return f"RescaleType is {kind}: values are {OTHER_UNITS[kind]}, though treated and named as HU"
