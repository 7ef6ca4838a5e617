"""What kind of object a DICOM file holds: its SOP class, and what stands in for it where an image does not name it."""

import pydicom
from pydicom import uid

IMAGE_CLASSES = (uid.CTImageStorage, uid.MRImageStorage, uid.PositronEmissionTomographyImageStorage)

MULTIFRAME_CLASSES = (
    uid.EnhancedCTImageStorage,
    uid.EnhancedMRImageStorage,
    uid.LegacyConvertedEnhancedCTImageStorage,
    uid.LegacyConvertedEnhancedMRImageStorage,
    uid.EnhancedPETImageStorage,
    uid.LegacyConvertedEnhancedPETImageStorage,
)

SINGLE_OF = dict(zip(("CT", "MR", "PT"), IMAGE_CLASSES, strict=True))
ENHANCED_OF = {
    "CT": uid.EnhancedCTImageStorage,
    "MR": uid.EnhancedMRImageStorage,
    "PT": uid.EnhancedPETImageStorage,
}
"""The class of an image that names none, by its modality."""

PLACED = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")
"""Elements by which an image without a class shows that it is a slice."""


def complete_class(data: pydicom.Dataset) -> str:
    """Give a data set without SOPClassUID that of its file meta, else the one that its modality and elements imply.

    Returns what to tell of that: nothing where the class was named. Both are mandatory (PS3.10 section 7.1, PS3.3
    C.12.1), but a DICOMDIR has the first alone, and some exports have neither.
    """
    if data.get("SOPClassUID"):
        return ""
    named = (getattr(data, "file_meta", None) or {}).get("MediaStorageSOPClassUID")
    if named:
        data.SOPClassUID = uid.UID(str(named).strip(" \0"))
        return ""
    modality = str(data.get("Modality") or "")
    if data.get("PerFrameFunctionalGroupsSequence") and modality in ENHANCED_OF:
        implied = ENHANCED_OF[modality]
    elif modality in SINGLE_OF and all(data.get(name) for name in PLACED):
        implied = SINGLE_OF[modality]
    else:
        return ""
    data.SOPClassUID = implied
    return f"no SOPClassUID; by Modality {modality} taken for {class_name(implied)}"


def class_name(sop_class: str | None) -> str:
    """The name of a SOP class as files are counted by it."""
    if not sop_class:
        return "no SOP class"
    named = uid.UID(str(sop_class))
    if not named.is_valid:  # whatever it is, it is not for showing
        return "unknown SOP class"
    name = named.name
    return "DICOMDIR" if name.startswith("Media Storage Directory") else name.removesuffix(" Storage")
