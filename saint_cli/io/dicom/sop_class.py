"""What kind of object a DICOM file holds: its SOP class, also where an image does not name it."""

from enum import Enum

import pydicom
from pydicom import uid

IMAGE_CLASSES = (uid.CTImageStorage, uid.MRImageStorage, uid.PositronEmissionTomographyImageStorage)
"""Single-frame images, which are read and written."""

ENHANCED_CLASSES = (uid.EnhancedCTImageStorage, uid.EnhancedMRImageStorage, uid.EnhancedPETImageStorage)

MULTIFRAME_CLASSES = (
    *ENHANCED_CLASSES,
    uid.LegacyConvertedEnhancedCTImageStorage,
    uid.LegacyConvertedEnhancedMRImageStorage,
    uid.LegacyConvertedEnhancedPETImageStorage,
)

CLASS_BY_MODALITY = dict(zip(("CT", "MR", "PT"), IMAGE_CLASSES, strict=True))
ENHANCED_CLASS_BY_MODALITY = dict(zip(("CT", "MR", "PT"), ENHANCED_CLASSES, strict=True))
"""The class of an image that names none."""

PLACEMENT_TAGS = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")
"""Elements by which an image without a class shows that it is a slice."""


class LabelObject(Enum):
    """Kinds of DICOM objects that hold labels, by the name of their SOP class."""

    SEGMENTATION = "Segmentation"
    STRUCTURE_SET = "RT Structure Set"


LABEL_CLASSES: dict[str, LabelObject] = {
    uid.SegmentationStorage: LabelObject.SEGMENTATION,
    "1.2.840.10008.5.1.4.1.1.66.7": LabelObject.SEGMENTATION,  # Label Map Segmentation
    uid.RTStructureSetStorage: LabelObject.STRUCTURE_SET,
}


LABELS_HINT = "it holds labels, which saint labels brings to the grid of an upsampled scan"
"""What to do with a file of labels that is taken for a scan."""


def complete_sop_class(data: pydicom.Dataset) -> str:
    """Give a data set without SOPClassUID that of its file meta, else the one that its modality and elements imply.

    Returns a note on a class that was implied; "" where it was named. Both are mandatory (PS3.10 section 7.1, PS3.3
    C.12.1), but a DICOMDIR has the first alone, and some exports have neither.
    """
    if data.get("SOPClassUID"):
        return ""
    media_class = (getattr(data, "file_meta", None) or {}).get("MediaStorageSOPClassUID")
    if media_class:
        data.SOPClassUID = uid.UID(str(media_class).strip(" \0"))
        return ""
    modality = str(data.get("Modality") or "")
    if data.get("PerFrameFunctionalGroupsSequence") and modality in ENHANCED_CLASS_BY_MODALITY:
        implied = ENHANCED_CLASS_BY_MODALITY[modality]
    elif modality in CLASS_BY_MODALITY and all(data.get(name) for name in PLACEMENT_TAGS):
        implied = CLASS_BY_MODALITY[modality]
    else:
        return ""
    data.SOPClassUID = implied
    return f"no SOPClassUID; by Modality {modality} taken for {class_name(implied)}"


def class_name(sop_class: str | None) -> str:
    """The name of a SOP class under which files are counted."""
    if not sop_class:
        return "no SOP class"
    known = uid.UID(str(sop_class))
    if not known.is_valid:  # whatever it is, it is not for showing
        return "unknown SOP class"
    return "DICOMDIR" if known.name.startswith("Media Storage Directory") else known.name.removesuffix(" Storage")
