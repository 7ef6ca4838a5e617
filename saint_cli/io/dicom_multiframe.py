"""Enhanced multi-frame CT and MR: one slice header per frame, from the functional groups (PS3.3 C.7.6.16)."""

from pathlib import Path
from typing import Any

import pydicom

from saint_cli.io.dicom_slice import VOLUME_KEYS, SliceHeader
from saint_cli.io.dicom_values import (
    Incomplete,
    directions,
    hashable,
    is_phase,
    many,
    number,
    optional,
    ordinal,
    padding_range,
    pixel_format,
    spacing_pair,
    stack_uids,
    vector,
)

KIND_GROUP = "MRImageFrameTypeSequence"

FRAME_TYPES = ("CTImageFrameTypeSequence", KIND_GROUP, "PETFrameTypeSequence")

KEY_GROUPS = {
    "EchoTime": ("MREchoSequence", "EffectiveEchoTime"),
    "DiffusionBValue": ("MRDiffusionSequence", "DiffusionBValue"),
    "TemporalPositionIdentifier": ("FrameContentSequence", "TemporalPositionIndex"),
    "TemporalPositionTimeOffset": ("TemporalPositionSequence", "TemporalPositionTimeOffset"),
    "TriggerTime": ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    "NominalCardiacTriggerDelayTime": ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    "NominalPercentageOfCardiacPhase": ("CardiacSynchronizationSequence", "NominalPercentageOfCardiacPhase"),
    "NominalCardiacTriggerTimePriorToRPeak": (
        "CardiacSynchronizationSequence",
        "NominalCardiacTriggerTimePriorToRPeak",
    ),
    "NominalPercentageOfRespiratoryPhase": (
        "RespiratorySynchronizationSequence",
        "NominalPercentageOfRespiratoryPhase",
    ),
    "KVP": ("CTXRayDetailsSequence", "KVP"),
    "FilterType": ("CTXRayDetailsSequence", "FilterType"),
    "ConvolutionKernel": ("CTReconstructionSequence", "ConvolutionKernel"),
    "ReconstructionDiameter": ("CTReconstructionSequence", "ReconstructionDiameter"),
    "MonoenergeticEnergyEquivalent": ("CTAdditionalXRaySourceSequence", "MonoenergeticEnergyEquivalent"),
    "InversionTime": ("MRModifierSequence", "InversionTimes"),
    "FlipAngle": ("MRTimingAndRelatedParametersSequence", "FlipAngle"),
    "RepetitionTime": ("MRTimingAndRelatedParametersSequence", "RepetitionTime"),
    "StackID": ("FrameContentSequence", "StackID"),
    "SliceThickness": ("PixelMeasuresSequence", "SliceThickness"),
    "AcquisitionNumber": ("FrameContentSequence", "FrameAcquisitionNumber"),
    "AcquisitionDateTime": ("FrameContentSequence", "FrameAcquisitionDateTime"),
}
"""Where a frame keeps what a single-frame image keeps in ``VOLUME_KEYS``."""


class _Frame:
    """Functional groups of one frame: its own, then the shared ones, then the top level of the data set."""

    def __init__(self, own: pydicom.Dataset, shared: pydicom.Dataset, top: pydicom.Dataset) -> None:
        self.own, self.shared, self.top = own, shared, top

    def get(self, group: str, name: str) -> Any:
        for place in (self.own, self.shared):
            items = place.get(group)
            if items and items[0].get(name) not in (None, ""):
                return items[0].get(name)
        return self.top.get(name)


def frame_headers(path: Path, data: pydicom.Dataset) -> list[SliceHeader]:
    """The slice headers of a multi-frame image, in the order of its frames.

    Raises:
        Incomplete: no functional groups, fewer than NumberOfFrames says, or frames without position or orientation.
    """
    groups = data.get("PerFrameFunctionalGroupsSequence")
    count = int(data.get("NumberOfFrames") or 1)
    if not groups or len(groups) != count:
        raise Incomplete("multi-frame without functional groups for every frame")
    shared = data.get("SharedFunctionalGroupsSequence")
    common = shared[0] if shared else pydicom.Dataset()
    return [_frame_header(path, data, _Frame(own, common, data), index) for index, own in enumerate(groups)]


def _frame_header(path: Path, data: pydicom.Dataset, frame: _Frame, index: int) -> SliceHeader:
    position = frame.get("PlanePositionSequence", "ImagePositionPatient")
    orientation = frame.get("PlaneOrientationSequence", "ImageOrientationPatient")
    spacing = frame.get("PixelMeasuresSequence", "PixelSpacing")
    if not (position and orientation and spacing):
        raise Incomplete("no position, orientation or pixel spacing")
    kinds = next((k for g in FRAME_TYPES if (k := frame.get(g, "FrameType"))), data.get("ImageType"))
    transform = "PixelValueTransformationSequence"
    turned, note = directions(orientation)
    pixel = pixel_format(data)
    return SliceHeader(
        path=path,
        frame=index,
        sop_class=str(data.SOPClassUID),
        sop_instance=str(data.get("SOPInstanceUID") or path),
        stack_uids=stack_uids(data),
        modality=str(data.get("Modality") or ""),
        image_type=tuple(str(kind) for kind in many(kinds)[2:]),
        shape=(int(data.Rows), int(data.Columns)),
        position=vector(position, 3, "ImagePositionPatient"),
        orientation=turned,
        pixel_spacing=spacing_pair(spacing),
        slope=number(frame.get(transform, "RescaleSlope"), 1.0, "RescaleSlope"),
        intercept=number(frame.get(transform, "RescaleIntercept"), 0.0, "RescaleIntercept"),
        pixel=pixel,
        slice_thickness=optional(frame.get("PixelMeasuresSequence", "SliceThickness")),
        spacing_between_slices=optional(frame.get("PixelMeasuresSequence", "SpacingBetweenSlices")),
        instance_number=index + 1,
        series_number=ordinal(data.get("SeriesNumber")),
        padding=padding_range(data, pixel),
        is_multiframe=True,
        is_phase=is_phase(data, (*map(str, many(kinds)), str(frame.get(KIND_GROUP, "ComplexImageComponent")))),
        is_derived=[str(kind) for kind in many(kinds)[:1]] == ["DERIVED"],
        volume_keys=tuple(hashable(tuple(_key(frame, name) for name in key)) for key in VOLUME_KEYS),
        notes=(note,) if note else (),
    )


def _key(frame: _Frame, name: str) -> Any:
    group, inside = KEY_GROUPS.get(name, ("", name))
    return frame.get(group, inside)
