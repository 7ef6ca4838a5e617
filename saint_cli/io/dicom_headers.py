"""Headers of DICOM files: which of them are CT or MR slices, and where each slice lies. No pixels are read here."""

import lzma
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pydicom
from pydicom import config

from saint_cli.errors import SourceChangedError, UnreadableError
from saint_cli.files import NO_FILE, open_regular
from saint_cli.io.dicom_class import IMAGE_CLASSES, MULTIFRAME_CLASSES, class_name, complete_class
from saint_cli.io.dicom_file import AFTER_HEADER, parse_sequences, read_header, read_with_pixels
from saint_cli.io.dicom_multiframe import frame_headers
from saint_cli.io.dicom_slice import VOLUME_KEYS, SliceHeader
from saint_cli.io.dicom_streams import explain_excess
from saint_cli.io.dicom_syntax import NATIVE, explain_unsupported, transfer_syntax
from saint_cli.io.dicom_values import (
    Damaged,
    Incomplete,
    Skipped,
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
    whole,
)
from saint_cli.io.file_stamps import take_stamp
from saint_cli.io.packed import Packing, packing
from saint_cli.io.sniff import Format, sniff
from saint_cli.volume import SliceSource

config.settings.reading_validation_mode = config.IGNORE  # hospitals' files break length and character rules everywhere

MOSAIC = "Siemens mosaic"
"""Reason under which images are counted that hold many slices as tiles."""

NOT_DICOM = "not DICOM"
"""Reason under which files of other kinds are counted."""

GREY = ("MONOCHROME1", "MONOCHROME2")

PADDING = ("PixelPaddingValue", "PixelPaddingRangeLimit")

FLOATING = (b"\xe0\x7f\x08\x00", b"\xe0\x7f\x09\x00", b"\x7f\xe0\x00\x08", b"\x7f\xe0\x00\x09")
"""Tags of Float and Double Float Pixel Data, in either byte order."""

INFORMATIVE = {"SliceThickness", "SpacingBetweenSlices", "InstanceNumber", "SeriesNumber", "HighBit", *PADDING} | {
    name for key in VOLUME_KEYS for name in key
}
"""Elements that a slice can do without; where damaged, they count as absent."""

TAGS = [
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality"),
    *("SeriesNumber", "InstanceNumber", "ImageType", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PhotometricInterpretation"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "ComplexImageComponent", *PADDING),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *sorted({name for key in VOLUME_KEYS for name in key}),
]
"""Everything that is read of a header; other elements are passed over, patient text among them."""


def read_headers(path: Path) -> list[SliceHeader]:
    """The header of every slice in a file, one for each frame; nothing that a file may hold raises anything else.

    Raises:
        Damaged: a file that should be a slice but cannot be read or placed.
        Skipped: not a slice of a CT, MR or PET volume.
    """
    try:
        stamp = take_stamp(path)
        if sniff(path) is not Format.DICOM:
            raise Skipped(NOT_DICOM)
        data, has_pixels = read_dataset(path)
    except UnreadableError:
        raise Damaged(_unopened(path) or "unreadable DICOM") from None
    except Skipped:
        raise
    except Exception as error:  # such as want of memory for what it claims to unpack to
        raise Damaged(f"that cannot be read ({type(error).__name__})") from None
    try:
        found = _image_slices(path, data, has_pixels=has_pixels)
        return [replace(one, stamp=stamp) for one in found]
    except Skipped:
        raise
    except Exception:  # nested elements are parsed on first use; see read_dataset
        raise Damaged("damaged header") from None


def _unopened(path: Path) -> str:
    """Why a file cannot even be opened; "" if it can."""
    try:
        with open_regular(path):
            return ""
    except UnreadableError:
        return f"that is a {NO_FILE}"
    except FileNotFoundError:
        return "gone since the folder was listed"
    except OSError as error:
        return f"that cannot be opened, {(error.strerror or type(error).__name__).lower()}"


def _image_slices(path: Path, data: pydicom.Dataset, *, has_pixels: bool) -> list[SliceHeader]:
    note = complete_class(data)
    sop_class = data.get("SOPClassUID")
    if sop_class not in IMAGE_CLASSES and sop_class not in MULTIFRAME_CLASSES:
        raise Skipped(class_name(sop_class))
    reason = explain_unsupported(transfer_syntax(data))
    if reason:
        raise Damaged(f"in {reason}")
    if not has_pixels or not data.get("Rows") or not data.get("Columns"):
        raise Incomplete("no pixel data")
    if min(int(data.Rows), int(data.Columns)) < 2:  # as in every other format
        raise Incomplete("a single row or column of pixels")
    _check_kind(data)
    _check_claim(path, data)
    if sop_class in MULTIFRAME_CLASSES:
        found = frame_headers(path, data)
    elif int(data.get("NumberOfFrames") or 1) != 1:
        raise Incomplete("multi-frame without positions")
    else:
        found = [slice_header(path, data)]
    return [replace(one, notes=(note, *one.notes)) for one in found] if note else found


def _check_kind(data: pydicom.Dataset) -> None:
    """Refuse images whose pixels are no plain grey values of one slice, and those that are marked as unusable."""
    if int(data.get("SamplesPerPixel") or 1) != 1:
        raise Skipped("colour image")
    if str(data.get("PhotometricInterpretation") or "MONOCHROME2") not in GREY:
        raise Skipped("colour image")
    if "MOSAIC" in many(data.get("ImageType")):
        raise Skipped(MOSAIC)
    if "ModalityLUTSequence" in data:
        raise Damaged("with a Modality LUT, not supported")


def _check_claim(path: Path, data: pydicom.Dataset) -> None:
    """Refuse compressed pixels that are more than the whole file could unpack to."""
    shape, frames = (int(data.Rows), int(data.Columns)), whole(data.get("NumberOfFrames")) or 1
    itemsize = (whole(data.get("BitsAllocated")) or 8) // 8
    if transfer_syntax(data) in NATIVE or not explain_excess(shape, frames, itemsize, 0):
        return
    if explain_excess(shape, frames, itemsize, path.stat().st_size * packing(path).most_ratio):
        raise Damaged("whose header claims more pixels than its compressed data can hold")


def reread(sources: Sequence[SliceSource]) -> list[SliceHeader]:
    """The headers of slices that were read before, in the same order.

    Raises:
        SourceChangedError: a file is gone, or no longer holds the slice.
    """
    files: dict[Path, dict[int, SliceHeader]] = {}
    for source in sources:
        if source.path not in files:
            try:
                files[source.path] = {one.frame: one for one in read_headers(source.path)}
            except Skipped as reason:
                raise SourceChangedError(f"{source.path}: changed since it was read ({reason}); run again") from None
        if source.frame not in files[source.path]:
            raise SourceChangedError(
                f"{source.path}: changed since it was read (frame {source.frame + 1} is gone); run again"
            )
    return [files[source.path][source.frame] for source in sources]


def read_dataset(path: Path, *, pixels: bool = False) -> tuple[pydicom.Dataset, bool]:
    """The elements ``TAGS`` of a file, or with ``pixels`` those that decoding takes, and whether pixel data follow.

    Raises:
        Damaged: an element that matters cannot be parsed, or the pixels are floating-point numbers.
        UnreadableError: not readable as DICOM.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if pixels:
                return read_with_pixels(path), True
            data, following = read_header(path, TAGS)
            parse_sequences(data, path.stat().st_size)
            _parse(data)
        except (Skipped, UnreadableError):
            raise
        except Exception as error:  # damage makes pydicom raise whatever its parser stumbles over
            if isinstance(error, EOFError | zlib.error | lzma.LZMAError) and packing(path) is not Packing.NONE:
                raise UnreadableError(f"{path}: the compressed data is truncated or corrupt") from None
            raise UnreadableError(f"{path}: not readable as DICOM ({type(error).__name__})") from None
    if following[:4] in FLOATING:
        raise Damaged("with floating-point pixel data, not supported")
    return data, len(following) == AFTER_HEADER


def _parse(data: pydicom.Dataset) -> None:
    """Parse every value, which pydicom does on first use, and forget damaged ones that only inform."""
    for tag in list(data.keys()):
        name = pydicom.datadict.keyword_for_tag(tag)
        try:
            data[tag]
        except Exception:  # as above
            if name not in INFORMATIVE:
                raise Damaged(f"with damaged {name or 'header'}") from None
            del data[tag]


def slice_header(path: Path, data: pydicom.Dataset) -> SliceHeader:
    """The header of a single-frame CT or MR image.

    Raises:
        Skipped: a localizer, or an image without position, orientation or pixel spacing.
    """
    kinds = tuple(str(v) for v in many(data.get("ImageType")))
    if "LOCALIZER" in kinds:
        raise Skipped("localizer")
    if not all(data.get(name) for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")):
        raise Incomplete("no position, orientation or pixel spacing")
    orientation, note = directions(data.ImageOrientationPatient)
    pixel = pixel_format(data)
    return SliceHeader(
        path=path,
        frame=0,
        sop_class=str(data.SOPClassUID),
        sop_instance=str(data.get("SOPInstanceUID") or path),
        stack_uids=stack_uids(data),
        modality=str(data.get("Modality") or ""),
        image_type=kinds[2:],
        shape=(int(data.Rows), int(data.Columns)),
        position=vector(data.ImagePositionPatient, 3, "ImagePositionPatient"),
        orientation=orientation,
        pixel_spacing=spacing_pair(data.PixelSpacing),
        slope=number(data.get("RescaleSlope"), 1.0, "RescaleSlope"),
        intercept=number(data.get("RescaleIntercept"), 0.0, "RescaleIntercept"),
        pixel=pixel,
        slice_thickness=optional(data.get("SliceThickness")),
        spacing_between_slices=optional(data.get("SpacingBetweenSlices")),
        instance_number=ordinal(data.get("InstanceNumber")),
        series_number=ordinal(data.get("SeriesNumber")),
        padding=padding_range(data, pixel),
        is_phase=is_phase(data, kinds),
        is_derived=kinds[:1] == ("DERIVED",),
        volume_keys=tuple(hashable(tuple(data.get(name) for name in key)) for key in VOLUME_KEYS),
        notes=tuple(filter(None, (note, _rescale_note(data)))),
    )


def _rescale_note(data: pydicom.Dataset) -> str:
    """What to tell of a CT slice without RescaleIntercept, which is mandatory there (PS3.3 C.8.2.1); "" of others."""
    missing = str(data.get("Modality")) == "CT" and data.get("RescaleIntercept") in (None, "")
    return "no RescaleIntercept: stored values are taken for HU" if missing else ""
