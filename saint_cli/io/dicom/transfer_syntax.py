"""Transfer syntaxes of DICOM pixel data: which of them are read, and by what."""

import pydicom
from pydicom import uid

NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)
"""Transfer syntaxes whose pixels are not compressed frame by frame; pydicom reads them, and RLE, without plugins."""

COMPRESSED = {uid.RLELossless} | {
    uid.UID(f"1.2.840.10008.1.2.4.{number}")
    for number in (50, 51, 52, 53, 55, 57, 70, 80, 81, 90, 91, 92, 93, 201, 202, 203)
}
"""Transfer syntaxes that are decoded: RLE by pydicom; JPEG, JPEG-LS, JPEG 2000 and HTJ2K by GDCM (PS3.5 annex A.4)."""

NAMES = {
    "1.2.840.10008.1.2.1.98": "Encapsulated Uncompressed Explicit VR Little Endian",
    "1.2.840.10008.1.2.4.94": "JPIP Referenced",
    "1.2.840.10008.1.2.4.95": "JPIP Referenced Deflate",
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.10008.1.2.8.1": "Deflated Image Frame Compression",
    "1.2.840.113619.5.2": "GE Private Implicit VR Big Endian",
}
"""Names that pydicom's dictionary lacks."""


def transfer_syntax(data: pydicom.Dataset) -> uid.UID:
    """The declared transfer syntax, or the one by which the elements of a file without meta header were read."""
    declared = (getattr(data, "file_meta", None) or {}).get("TransferSyntaxUID")
    if declared:
        return uid.UID(str(declared).strip(" \0"))
    implicit, little = data.original_encoding
    if implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian


def syntax_name(syntax: uid.UID) -> str:
    """The name of a transfer syntax up to its first parenthesis, or its UID; what is not a UID is not repeated."""
    if not syntax.is_valid:  # a false length makes it contain whatever follows, patient text too
        return "(not a UID)"
    return (NAMES.get(syntax) or syntax.name).partition(" (")[0]


def explain_unsupported(syntax: uid.UID) -> str:
    """Why pixels in this transfer syntax are not read; "" if they are."""
    if syntax in NATIVE or syntax in COMPRESSED:
        return ""
    return f"transfer syntax {syntax_name(syntax)} not supported, decompress with gdcmconv --raw or dcmconv"
