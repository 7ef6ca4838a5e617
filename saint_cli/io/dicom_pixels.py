"""Pixels of one DICOM slice as stored values: pydicom for native and RLE data, GDCM for every compressed syntax."""

import os
import re
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom import uid
from pydicom.dataset import FileMetaDataset

from saint_cli.errors import UnreadableError
from saint_cli.io.dicom_headers import read_dataset
from saint_cli.io.dicom_slice import SliceHeader
from saint_cli.io.dicom_syntax import NATIVE, explain_unsupported, syntax_name, transfer_syntax
from saint_cli.io.dicom_values import PixelFormat, Skipped
from saint_cli.native_output import capture_stderr

sitk.ProcessObject.SetGlobalWarningDisplay(False)

PIXEL_ELEMENTS = ("Rows", "Columns", "BitsAllocated", "PixelRepresentation", "NumberOfFrames")

ITEM = b"\xfe\xff\x00\xe0"
"""Tag of an item, with which encapsulated pixel data start; of 16-bit pixels it would be 65534 beside 57344."""

HIGH_BITS = "bits above BitsStored are set in some pixels; they are ignored, as other readers do"

SPEAKER = re.compile(r"^(ITK ERROR: )?\w+\(0x[0-9a-f]+\): |^sitk::ERROR: |^ *pydicom: ")
"""What a decoder's error starts with: who reports it."""


def stored_dtype(pixel: PixelFormat) -> np.dtype:
    """The integer type of a slice's stored values."""
    return np.dtype(f"{'i' if pixel.signed else 'u'}{pixel.allocated // 8}")


def read_slices(headers: Sequence[SliceHeader], remarks: list[str] | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """Index and stored values [row, column] of each slice, every file decoded once; as :func:`read_frames`."""
    by_file: dict[Path, list[int]] = defaultdict(list)
    for index, header in enumerate(headers):
        by_file[header.path].append(index)
    for indices in by_file.values():
        frames = read_frames(headers[indices[0]], remarks)
        for index in indices:
            yield index, frames[headers[index].frame]


def read_frames(header: SliceHeader, remarks: list[str] | None = None) -> np.ndarray:
    """Stored values of every frame of a slice's file, [frame, row, column], masked and sign-extended to BitsStored.

    ``remarks`` takes what a decoder found odd but went on from, with the name of the file.

    Raises:
        UnreadableError: the pixel data are truncated, corrupt, or of a syntax that no decoder here knows.
    """
    words = read_words(header, remarks)
    if remarks is not None and has_high_bits(words, header.pixel):
        remarks.append(f"{header.path.name}: {HIGH_BITS}")
    return place_bits(words, header.pixel)


def read_words(header: SliceHeader, remarks: list[str] | None = None) -> np.ndarray:
    """The words that hold the stored values, [frame, row, column], as the file has them; errors as ``read_frames``."""
    try:
        data, _ = read_dataset(header.path, pixels=True)
    except Skipped as reason:
        raise UnreadableError(f"{header.path}: changed since it was read ({reason})") from None
    syntax = transfer_syntax(data)
    raw, lines = _decoded(header, data, syntax)
    if lines and remarks is not None:
        remarks.append(f"{header.path.name}: {lines[-1][:160]}")
    frames = raw.reshape(-1, *raw.shape[-2:])  # [frame, row, column]
    if frames.shape[1:] != header.shape:
        raise UnreadableError(f"{header.path}: pixel data are {frames.shape[1:]}, the header says {header.shape}")
    if header.frame >= len(frames):
        raise UnreadableError(f"{header.path}: pixel data hold {len(frames)} frames, not {header.frame + 1}")
    return frames


def _decoded(header: SliceHeader, data: pydicom.Dataset, syntax: uid.UID) -> tuple[np.ndarray, list[str]]:
    """The pixels, and what the decoder wrote about them; the one door to all decoders."""
    _check_extent(header.path, data, syntax)
    try:
        with capture_stderr() as lines:
            is_pydicom = syntax in NATIVE or syntax == uid.RLELossless
            decode = _decode_pydicom if is_pydicom else _decode_gdcm
            found = decode(data, syntax, header.pixel)
        return found, lines
    except UnreadableError:
        raise
    except Exception as error:  # decoders raise whatever a damaged stream leads them to
        told = [line for text in (*lines, str(error)) if (line := text.strip())]
        reason = SPEAKER.sub("", (told[:-1] or told or [type(error).__name__])[-1].splitlines()[-1])
        raise UnreadableError(
            f"{header.path}: pixel data ({syntax_name(syntax)}) are truncated or corrupt ({reason[:160]})"
        ) from None


def _check_extent(path: Path, data: pydicom.Dataset, syntax: uid.UID) -> None:
    """Refuse pixels that are not what the transfer syntax says, or too few."""
    reason = explain_unsupported(syntax)
    if reason:
        raise UnreadableError(f"{path}: {reason}")
    if "PixelData" not in data:
        raise UnreadableError(f"{path}: no pixel data")
    stored = data.PixelData or b""
    pixels = int(data.Rows) * int(data.Columns) * int(data.get("NumberOfFrames") or 1)
    need, got = pixels * int(data.BitsAllocated) // 8, len(stored)
    is_native = syntax in NATIVE
    is_packed = data["PixelData"].is_undefined_length or (stored.startswith(ITEM) and (got < need or not is_native))
    if is_packed == is_native:
        raise UnreadableError(
            f"{path}: pixel data are {'' if is_packed else 'not '}encapsulated, but the transfer syntax is "
            f"{syntax_name(syntax)}; export the file again"
        )
    if is_native and got < need:
        raise UnreadableError(f"{path}: pixel data are truncated: expected {need} bytes, found {got}")


def has_high_bits(words: np.ndarray, pixel: PixelFormat) -> bool:
    """Whether bits above BitsStored hold something else than zeros or the sign."""
    if pixel.shift or pixel.stored == pixel.allocated:
        return False
    kind = f"{pixel.allocated // 8}"
    above = words.astype(f"u{kind}", copy=False) >> np.array(pixel.stored, dtype=f"u{kind}")
    if not above.any():
        return False
    extended = place_bits(words, pixel).astype(f"u{kind}", copy=False)
    return not (pixel.signed and np.array_equal(extended, words.astype(f"u{kind}", copy=False)))


def place_bits(words: np.ndarray, pixel: PixelFormat) -> np.ndarray:
    """Stored values of words: other bits cleared, the sign extended (PS3.5 section 8.1.1)."""
    dtype = stored_dtype(pixel)
    unused = pixel.allocated - pixel.stored
    if not unused:
        return words.astype(dtype, copy=False)
    plain = words.astype(np.dtype(f"u{pixel.allocated // 8}"), copy=False)
    lifted = np.left_shift(plain, plain.dtype.type(unused - pixel.shift))
    return np.asarray(np.right_shift(lifted.view(dtype), dtype.type(unused)))


def _decode_pydicom(data: pydicom.Dataset, syntax: uid.UID, pixel: PixelFormat) -> np.ndarray:
    """Whole words, whatever BitsStored says: pydicom would clear the bits above it."""
    if not getattr(data, "file_meta", None):
        data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsStored, data.HighBit = data.BitsAllocated, data.BitsAllocated - 1
    data.SamplesPerPixel, data.PixelRepresentation = 1, int(pixel.signed)  # some files lack them
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(data.pixel_array)


def _decode_gdcm(data: pydicom.Dataset, syntax: uid.UID, pixel: PixelFormat) -> np.ndarray:
    """Decode a copy that holds the pixels alone: nothing is left that GDCM would rescale, invert or overlay."""
    bare = pydicom.Dataset()
    for name in PIXEL_ELEMENTS:
        if name in data:
            bare[name] = data[name]
    bare.BitsStored = pixel.stored + pixel.claimed_shift
    bare.HighBit = bare.BitsStored - 1
    bare.SamplesPerPixel = 1
    bare.PhotometricInterpretation = "MONOCHROME2"
    bare.SOPClassUID = uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    bare.SOPInstanceUID = uid.generate_uid()
    bare.PixelData = data.PixelData
    bare["PixelData"].is_undefined_length = True
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = syntax
    with tempfile.TemporaryDirectory(prefix="saint-", dir=_folder_for_gdcm()) as folder:
        copy = Path(folder, "pixels.dcm")
        bare.save_as(copy, enforce_file_format=True)
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(copy))
        return sitk.GetArrayFromImage(reader.Execute())


def _folder_for_gdcm() -> str | None:
    """Where to put a copy for GDCM, which ends the process over a path that is not UTF-8; None for the usual place."""
    usual = tempfile.gettempdir()
    try:
        usual.encode()
    except UnicodeEncodeError:
        return next((folder for folder in ("/tmp", "/var/tmp", "/dev/shm") if os.access(folder, os.W_OK)), usual)
    return None
