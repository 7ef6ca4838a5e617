"""Which DICOM files are CT, MR or PET slices, and their headers. No pixels are read here."""

import lzma
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pydicom

from saint_cli.errors import UnreadableError
from saint_cli.io.decompress import Packing, read_packing
from saint_cli.io.dicom.bounded_parse import BYTES_AFTER_HEADER, parse_sequences, read_header, read_with_pixels
from saint_cli.io.dicom.compressed_frames import explain_excessive_size
from saint_cli.io.dicom.pixel_format import PADDING_TAGS
from saint_cli.io.dicom.slice_header import SliceHeader, parse_frame_headers, parse_slice_header
from saint_cli.io.dicom.sop_class import IMAGE_CLASSES, MULTIFRAME_CLASSES, class_name, complete_sop_class
from saint_cli.io.dicom.transfer_syntax import NATIVE, explain_unsupported, transfer_syntax
from saint_cli.io.dicom.values import (
    DamagedImageError,
    IncompleteImageError,
    SkippedFileError,
    list_values,
    parse_optional_int,
)
from saint_cli.io.dicom.volume_keys import VOLUME_KEYWORDS
from saint_cli.io.file_stamps import source_changed_error, take_stamp
from saint_cli.io.formats import Format, detect_format
from saint_cli.io.regular_files import SPECIAL_FILE, open_regular
from saint_cli.io.skipped_files import NOT_DICOM
from saint_cli.volume import SliceSource

MOSAIC = "mosaic"
"""Reason under which images are counted that hold many slices as tiles."""

FLOAT_PIXEL_TAGS = (b"\xe0\x7f\x08\x00", b"\xe0\x7f\x09\x00", b"\x7f\xe0\x00\x08", b"\x7f\xe0\x00\x09")
"""Tags of Float and Double Float Pixel Data, in either byte order."""

OPTIONAL_TAGS = {
    *("SliceThickness", "SpacingBetweenSlices", "InstanceNumber", "SeriesNumber", "HighBit"),
    "DerivationDescription",
    *PADDING_TAGS,
    *VOLUME_KEYWORDS,
}
"""Elements that a slice can do without; where damaged, they count as absent."""

HEADER_TAGS = [
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality"),
    *("SeriesNumber", "InstanceNumber", "ImageType", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PhotometricInterpretation"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "ComplexImageComponent", *PADDING_TAGS),
    "DerivationDescription",
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *VOLUME_KEYWORDS,
]
"""Everything that is read of a header; other elements are skipped, patient text among them."""


def read_headers(path: Path) -> list[SliceHeader]:
    """The header of every slice in a file, one for each frame; whatever a file holds, nothing else is raised.

    Raises:
        DamagedImageError: a file that should be a slice but cannot be read or placed.
        SkippedFileError: not a slice of a CT, MR or PET volume.
    """
    try:
        stamp = take_stamp(path)
        if detect_format(path) is not Format.DICOM:
            raise SkippedFileError(NOT_DICOM)
        data, has_pixels = read_dataset(path)
    except UnreadableError:
        raise DamagedImageError(_explain_unopenable(path) or "unreadable DICOM") from None
    except SkippedFileError:
        raise
    except Exception as error:  # such as want of memory for what it claims to unpack to
        raise DamagedImageError(f"that cannot be read ({type(error).__name__})") from None
    try:
        return [replace(header, stamp=stamp) for header in _parse_headers(path, data, has_pixels=has_pixels)]
    except SkippedFileError:
        raise
    except Exception:  # nested elements are parsed on first use; see read_dataset
        raise DamagedImageError("damaged header") from None


def _explain_unopenable(path: Path) -> str:
    """Why a file cannot even be opened; "" if it can."""
    try:
        with open_regular(path):
            return ""
    except UnreadableError:
        return f"that is a {SPECIAL_FILE}"
    except FileNotFoundError:
        return "gone since the folder was listed"
    except OSError as error:
        return f"that cannot be opened, {(error.strerror or type(error).__name__).lower()}"


def _parse_headers(path: Path, data: pydicom.Dataset, *, has_pixels: bool) -> list[SliceHeader]:
    note = complete_sop_class(data)
    sop_class = data.get("SOPClassUID")
    if sop_class not in IMAGE_CLASSES and sop_class not in MULTIFRAME_CLASSES:
        raise SkippedFileError(class_name(sop_class))
    reason = explain_unsupported(transfer_syntax(data))
    if reason:
        raise DamagedImageError(f"in {reason}")
    if not has_pixels or not data.get("Rows") or not data.get("Columns"):
        raise IncompleteImageError("no pixel data")
    if min(int(data.Rows), int(data.Columns)) < 2:  # as in every other format
        raise IncompleteImageError("a single row or column of pixels")
    _check_image_kind(data)
    _check_claimed_size(path, data)
    if sop_class in MULTIFRAME_CLASSES:
        headers = parse_frame_headers(path, data)
    elif int(data.get("NumberOfFrames") or 1) != 1:
        raise IncompleteImageError("multi-frame without positions")
    else:
        headers = [parse_slice_header(path, data)]
    return [replace(header, notes=(note, *header.notes)) for header in headers] if note else headers


def _check_image_kind(data: pydicom.Dataset) -> None:
    """Refuse images whose pixels are not plain grey values of one slice."""
    is_grey = str(data.get("PhotometricInterpretation") or "MONOCHROME2") in ("MONOCHROME1", "MONOCHROME2")
    if int(data.get("SamplesPerPixel") or 1) != 1 or not is_grey:
        raise SkippedFileError("colour image")
    kinds = list_values(data.get("ImageType"))
    if "MOSAIC" in kinds or ("VFRAME" in kinds and "ImagePositionPatient" not in data):  # of Siemens, of UIH
        raise SkippedFileError(MOSAIC)
    if "ModalityLUTSequence" in data:
        raise DamagedImageError("with a Modality LUT, not supported")


def _check_claimed_size(path: Path, data: pydicom.Dataset) -> None:
    """Refuse compressed pixels that are more than the whole file could unpack to."""
    shape, frames = (int(data.Rows), int(data.Columns)), parse_optional_int(data.get("NumberOfFrames")) or 1
    itemsize = (parse_optional_int(data.get("BitsAllocated")) or 8) // 8
    if transfer_syntax(data) in NATIVE or not explain_excessive_size(shape, frames, itemsize, 0):
        return
    if explain_excessive_size(shape, frames, itemsize, path.stat().st_size * read_packing(path).max_ratio):
        raise DamagedImageError("whose header claims more pixels than its compressed data can hold")


def reread_headers(sources: Sequence[SliceSource]) -> list[SliceHeader]:
    """The headers of slices that were read before, in the same order, with the pixel formats found then.

    Raises:
        SourceChangedError: a file is gone, or no longer holds the slice.
    """
    files: dict[Path, dict[int, SliceHeader]] = {}
    for source in sources:
        if source.path not in files:
            try:
                files[source.path] = {header.frame: header for header in read_headers(source.path)}
            except SkippedFileError as reason:
                raise source_changed_error(source.path, str(reason)) from None
        if source.frame not in files[source.path]:
            raise source_changed_error(source.path, f"frame {source.frame + 1} is gone")
    return [_apply_format(files[source.path][source.frame], source) for source in sources]


def _apply_format(header: SliceHeader, source: SliceSource) -> SliceHeader:
    if source.bits is None:
        return header
    pixel_format = replace(header.pixel_format, bits_stored=source.bits[0], shift=source.bits[1])
    return replace(header, pixel_format=pixel_format, padding=source.padding)


def read_dataset(path: Path, *, pixels: bool = False) -> tuple[pydicom.Dataset, bool]:
    """The elements :data:`HEADER_TAGS`, or with ``pixels`` those for decoding, and whether pixel data follow.

    Raises:
        DamagedImageError: an element that matters cannot be parsed, or the pixels are floating-point numbers.
        UnreadableError: not readable as DICOM.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if pixels:
                return read_with_pixels(path), True
            data, following = read_header(path, HEADER_TAGS)
            parse_sequences(data, path.stat().st_size)
            _parse_values(data)
        except (SkippedFileError, UnreadableError):
            raise
        except Exception as error:  # damage makes pydicom raise whatever its parser stumbles over
            if isinstance(error, EOFError | zlib.error | lzma.LZMAError) and read_packing(path) is not Packing.NONE:
                raise UnreadableError(f"{path}: the compressed data is truncated or corrupt") from None
            raise UnreadableError(f"{path}: not readable as DICOM ({type(error).__name__})") from None
    if following[:4] in FLOAT_PIXEL_TAGS:
        raise DamagedImageError("with floating-point pixel data, not supported")
    return data, len(following) == BYTES_AFTER_HEADER


def reread_dataset(path: Path, *, pixels: bool = False) -> pydicom.Dataset:
    """The elements of a file that was read before; as :func:`read_dataset`.

    Raises:
        SourceChangedError: it no longer is what it was.
        UnreadableError: not readable as DICOM.
    """
    try:
        return read_dataset(path, pixels=pixels)[0]
    except SkippedFileError as reason:
        raise source_changed_error(path, str(reason)) from None


def _parse_values(data: pydicom.Dataset) -> None:
    """Parse every value, which pydicom does on first use, and forget damaged ones that only inform."""
    for tag in list(data.keys()):
        name = pydicom.datadict.keyword_for_tag(tag)
        try:
            data[tag]
        except Exception:  # as in read_dataset
            if name not in OPTIONAL_TAGS:
                raise DamagedImageError(f"with damaged {name or 'header'}") from None
            del data[tag]
