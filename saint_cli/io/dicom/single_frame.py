"""A frame of an enhanced CT or MR image as the equivalent classic single-frame image (PS3.3 A.3, A.4)."""

import copy

from pydicom import uid
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.valuerep import DSfloat, format_number_as_ds

from saint_cli.io.dicom.values import FrameGroups, list_values

SINGLE_FRAME_CLASSES = {
    uid.EnhancedCTImageStorage: uid.CTImageStorage,
    uid.LegacyConvertedEnhancedCTImageStorage: uid.CTImageStorage,
    uid.EnhancedMRImageStorage: uid.MRImageStorage,
    uid.LegacyConvertedEnhancedMRImageStorage: uid.MRImageStorage,
}
"""The single-frame class of each multi-frame class that can be written back."""

WHOLE_GROUPS = {0x0010, 0x0012, 0x0032, 0x0038}
"""Patient, clinical trial, request and visit: the same modules in both kinds of image."""

KEPT_TAGS = {
    *("SpecificCharacterSet", "ImageType", "InstanceCreationDate", "InstanceCreationTime", "SOPInstanceUID"),
    *("StudyDate", "SeriesDate", "AcquisitionDate", "StudyTime", "SeriesTime", "AcquisitionTime", "AccessionNumber"),
    *("AcquisitionDateTime", "Modality", "Manufacturer", "InstitutionName", "InstitutionAddress"),
    *("InstitutionalDepartmentName", "ReferringPhysicianName", "StationName", "StudyDescription", "SeriesDescription"),
    *("ProcedureCodeSequence", "PhysiciansOfRecord", "PerformingPhysicianName", "ManufacturerModelName"),
    *("ReferencedStudySequence", "TimezoneOffsetFromUTC", "AnatomicRegionSequence"),
    *("BodyPartExamined", "PatientPosition", "ProtocolName", "DeviceSerialNumber", "SoftwareVersions"),
    *("MagneticFieldStrength", "ImagingFrequency", "ImagedNucleus", "MRAcquisitionType", "ContrastBolusAgent"),
    *("ReceiveCoilName", "DateOfLastCalibration", "TimeOfLastCalibration", "ContributingEquipmentSequence"),
    *("StudyInstanceUID", "SeriesInstanceUID", "StudyID", "SeriesNumber", "AcquisitionNumber", "Laterality"),
    *("FrameOfReferenceUID", "PositionReferenceIndicator"),
    *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "BurnedInAnnotation"),
    *("RecognizableVisualFeatures", "LossyImageCompression", "LossyImageCompressionRatio"),
    *("LossyImageCompressionMethod", "RequestAttributesSequence", "PresentationLUTShape"),
}
"""Elements of the enhanced image's top level that mean the same in a classic one."""

GROUP_ELEMENTS = {
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness"),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PlanePositionSequence": ("ImagePositionPatient",),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth"),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept", "RescaleType"),
    "FrameContentSequence": ("FrameAcquisitionNumber",),
    "CTXRayDetailsSequence": ("KVP",),
    "CTReconstructionSequence": ("ConvolutionKernel", "ReconstructionDiameter"),
    "MREchoSequence": ("EffectiveEchoTime",),
    "MRTimingAndRelatedParametersSequence": ("RepetitionTime", "EchoTrainLength", "FlipAngle"),
    "MRAveragesSequence": ("NumberOfAverages",),
    "FrameAnatomySequence": ("AnatomicRegionSequence", "FrameLaterality"),
}
"""Elements of functional groups that a classic image has at its top level."""

CLASSIC_NAMES = {
    "FrameAcquisitionNumber": "AcquisitionNumber",
    "EffectiveEchoTime": "EchoTime",
    "FrameLaterality": "ImageLaterality",
}
"""What a classic image calls those of them that it calls otherwise."""

PULSE_SEQUENCES = {"SPIN": "SE", "GRADIENT": "GR", "BOTH": ["SE", "GR"]}


def flatten_frame(data: Dataset, frame: int) -> Dataset:
    """The classic image of one frame (from 0), its pixels left out; ``data`` is not modified."""
    single = Dataset()
    for tag in data.keys():  # noqa: SIM118  (iterating over a data set gives elements, parsed)
        if tag.group in WHOLE_GROUPS or keyword_for_tag(tag) in KEPT_TAGS:
            single[tag] = copy.copy(data.get_item(tag))  # setting a value below must not change that of data
    implicit, little = data.original_encoding
    single.set_original_encoding(implicit, little, data.original_character_set)
    shared = data.get("SharedFunctionalGroupsSequence") or ()
    groups = (data.PerFrameFunctionalGroupsSequence[frame], *shared[:1])
    for group, name in ((group, name) for group, names in GROUP_ELEMENTS.items() for name in names):
        item, classic = _find_item(groups, group, name), CLASSIC_NAMES.get(name, name)
        if item is not None and name == classic:
            single[name] = copy.copy(item.get_item(name))  # as it was stored, text above all
        elif item is not None:
            value = item.get(name)
            is_double = isinstance(value, float) and not isinstance(value, DSfloat)  # FD there, 16 characters here
            setattr(single, classic, format_number_as_ds(value) if is_double else value)
    if "ImageLaterality" in single:
        single.pop("Laterality", None)  # Type 2C: only where no other element says it (PS3.3 C.7.3.1)
    single.SOPClassUID = SINGLE_FRAME_CLASSES.get(data.SOPClassUID, data.SOPClassUID)
    if single.SOPClassUID == uid.MRImageStorage:
        _complete_mr(single, data)
    else:
        single.ImageType = [*list_values(data.get("ImageType"))[:2], "AXIAL"]
    return single


def _find_item(groups: FrameGroups, group: str, name: str) -> Dataset | None:
    """The item of a frame's own or shared functional group that has a value of this name."""
    for own_or_shared in groups:
        items = own_or_shared.get(group)
        item = items[0] if items else Dataset()
        raw = item.get_item(name) if name in item else None
        value = raw.value.strip(b" \0") if raw is not None and isinstance(raw.value, bytes) else raw and raw.value
        if value not in (None, "", b""):
            return item
    return None


def _complete_mr(single: Dataset, data: Dataset) -> None:
    """The elements that a classic MR image must have, from what an enhanced one calls them (PS3.3 C.8.3.1)."""
    single.ScanningSequence = PULSE_SEQUENCES.get(str(data.get("EchoPulseSequence")), "RM")
    single.SequenceVariant = "NONE"
    if single.get("RescaleSlope") == 1 and single.get("RescaleIntercept") == 0:
        for name in ("RescaleSlope", "RescaleIntercept", "RescaleType"):
            single.pop(name, None)
    if "RepetitionTime" not in single:
        single.RepetitionTime = None
    if "EchoTrainLength" in single and not single.EchoTrainLength:
        single.EchoTrainLength = 1
