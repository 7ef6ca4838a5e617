"""The header of an acquired slice as the template of a derived one: cleaned, classic single-frame, nothing stale.

What stays is written back as it was: decimal strings keep their digits and text its bytes, whatever its character set.
"""

import warnings
from collections.abc import Callable
from pathlib import Path

from pydicom import uid
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.valuerep import PersonName

from saint_cli.errors import UnreadableError
from saint_cli.io.dicom import bounded_parse
from saint_cli.io.dicom.single_frame import flatten_frame
from saint_cli.io.dicom.sop_class import MULTIFRAME_CLASSES, complete_sop_class
from saint_cli.volume import SliceSource

TEXT = {"LO", "LT", "PN", "SH", "ST", "UC", "UT"}
"""Value representations whose bytes are copied undecoded, so that no character set can garble them (PS3.5 6.1.2.3)."""

DROPPED_GROUPS = {0x0002, 0x0004, 0x4FFE, 0x5200, 0x5400, 0x7FE0, 0xFFFA, 0xFFFC}
"""File meta, media directory, MACs, functional groups, waveforms, pixels, digital signatures, trailing padding."""

DROPPED_TAGS = {
    # pixel statistics and pictures of other pixels
    *("SmallestImagePixelValue", "LargestImagePixelValue", "SmallestPixelValueInSeries", "LargestPixelValueInSeries"),
    *("SmallestImagePixelValueInPlane", "LargestImagePixelValueInPlane", "HistogramSequence", "IconImageSequence"),
    "VOILUTSequence",
    # performed procedure step and who operated the scanner: they made the source, not this series
    *("ReferencedPerformedProcedureStepSequence", "PerformedProcedureStepID", "PerformedProcedureStepDescription"),
    *("PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime", "PerformedProcedureStepEndDate"),
    *("PerformedProcedureStepEndTime", "PerformedProtocolCodeSequence", "PerformedProcedureStepStatus"),
    *("PerformedStationAETitle", "PerformedStationName", "PerformedLocation", "PerformedProcedureTypeDescription"),
    *("PerformedStationNameCodeSequence", "PerformedStationClassCodeSequence", "PerformedSeriesSequence"),
    *("PerformedStationGeographicLocationCodeSequence", "PerformedProcedureStepDiscontinuationReasonCodeSequence"),
    *("OperatorsName", "OperatorIdentificationSequence", "CommentsOnThePerformedProcedureStep"),
    # retired elements that place a slice: nobody moves them with it
    *("ImagePosition", "ImageOrientation", "Location"),
    # free text about the source image
    *("ImageComments", "FrameComments", "DerivationDescription", "DerivationCodeSequence", "SourceImageSequence"),
    # true of the stored object only
    *("OriginalAttributesSequence", "ModifiedAttributesSequence", "InstanceCreatorUID", "SOPAuthorizationDateTime"),
    *("SOPInstanceStatus", "SOPAuthorizationComment", "InstanceAvailability", "RetrieveAETitle", "QueryRetrieveLevel"),
    *("StorageMediaFileSetID", "StorageMediaFileSetUID", "MACParametersSequence", "EncryptedAttributesSequence"),
    *("ImagesInAcquisition", "NumberOfSeriesRelatedInstances", "InConcatenationNumber", "ConcatenationUID"),
    *("NumberOfFrames", "FrameIncrementPointer", "PixelDataProviderURL"),
}

LOSSY_METHODS = {
    uid.JPEGBaseline8Bit: "ISO_10918_1",
    uid.JPEGExtended12Bit: "ISO_10918_1",
    uid.JPEGLSNearLossless: "ISO_14495_1",
    uid.JPEG2000: "ISO_15444_1",
    uid.HTJ2K: "ISO_15444_15",
}
"""Transfer syntaxes that may lose information, and the method's defined term (PS3.3 C.7.6.1.1.5.1)."""


class RawPersonName(bytes):
    """A name as it was stored: pydicom asks names, and no other text, to encode themselves."""

    def encode(self, _: object = None) -> bytes:
        """The bytes themselves, whatever character set is requested."""
        return bytes(self)


def read_full_header(path: Path) -> Dataset:
    """Every element of a file before its pixels, parsed on first use; for :func:`load_template`."""
    data, _ = bounded_parse.read_header(path)
    complete_sop_class(data)
    return data


def load_template(source: SliceSource, read: Callable[[Path], Dataset] = read_full_header) -> Dataset:
    """The header of one acquired slice without pixels, private groups and what :data:`DROPPED_TAGS` lists.

    A frame of a multi-frame image comes back as the classic single-frame image it would have been. ``read`` may keep
    the headers that it read: none is modified.

    Raises:
        UnreadableError: the file is gone or no longer readable.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data = read(source.path)
            lossy = _make_lossy_elements(data, source)
            if data.get("SOPClassUID") in MULTIFRAME_CLASSES:
                data = flatten_frame(data, source.frame)
            clean = _clean(data)
        except Exception as error:  # damage makes pydicom raise whatever its parser stumbles over
            raise UnreadableError(f"{source.path}: not readable as DICOM ({type(error).__name__})") from None
    clean.update(lossy)
    return clean


def _clean(data: Dataset) -> Dataset:
    kept = Dataset()
    for tag in sorted(data.keys()):
        if not _is_dropped(tag):
            element = _clean_element(data, tag)
            if element is not None:
                kept.add(element)
    return kept


def _is_dropped(tag: BaseTag) -> bool:
    repeating = tag.group & 0xFF00 in (0x5000, 0x6000) and tag.group != 0x5200  # curves, overlays
    stale = tag.group in DROPPED_GROUPS or keyword_for_tag(tag) in DROPPED_TAGS
    return bool(tag.is_private or tag.element == 0 or repeating or stale)


def _clean_element(data: Dataset, tag: BaseTag) -> DataElement | None:
    """The element as it will be written, with the standard's value representation; None where it is damaged."""
    raw = data.get_item(tag)
    vr = _standard_vr(tag, raw.VR)
    is_odd = vr != raw.VR
    if isinstance(raw, RawDataElement):
        raw = raw._replace(VR=vr)
    if isinstance(raw, RawDataElement) and isinstance(raw.value, bytes) and (vr := _text_vr(raw)):
        value = RawPersonName(raw.value) if vr == "PN" else raw.value
        return DataElement(tag, vr, value, already_converted=True)
    try:
        if not is_odd:
            element = data[tag]
        elif isinstance(raw, RawDataElement):
            element = convert_raw_data_element(raw)
        else:
            value = str(raw.value) if isinstance(raw.value, PersonName) else raw.value
            element = DataElement(tag, str(vr), value)
    except Exception:  # as in load_template
        return None
    if element.VR != "SQ":
        return element
    return DataElement(tag, "SQ", Sequence([_clean(item) for item in element.value]))


def _standard_vr(tag: BaseTag, stored: str | None) -> str | None:
    """The value representation of an element by the dictionary, else the ``stored`` one.

    A file may name a wrong one, for which no value that is set here would be valid.
    """
    try:
        vr = dictionary_VR(tag)
    except KeyError:
        return stored
    return vr if stored not in (None, "UN") and len(vr) == 2 else stored


def _text_vr(raw: RawDataElement) -> str | None:
    try:
        vr = str(raw.VR) if raw.VR not in (None, "UN") else dictionary_VR(raw.tag)
    except KeyError:
        return None
    return vr if vr in TEXT else None


def _make_lossy_elements(data: Dataset, source: SliceSource) -> Dataset:
    """LossyImageCompression and its companions, where the transfer syntax is lossy and the header does not say so."""
    lossy = Dataset()
    syntax = (getattr(data, "file_meta", None) or {}).get("TransferSyntaxUID")
    method = LOSSY_METHODS.get(syntax) if syntax else None
    if method and not data.get("LossyImageCompression"):
        size = int(data.Rows) * int(data.Columns) * int(data.BitsAllocated) // 8 * int(data.get("NumberOfFrames") or 1)
        lossy.LossyImageCompression = "01"
        lossy.LossyImageCompressionRatio = f"{max(1.0, size / source.path.stat().st_size):.3g}"
        lossy.LossyImageCompressionMethod = method
    return lossy
