"""Pixels of one DICOM slice as stored values: pydicom for native and RLE data, GDCM for every compressed syntax."""

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
from saint_cli.io.dicom_values import PixelFormat

sitk.ProcessObject.SetGlobalWarningDisplay(False)

NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.RLELossless,
)
"""Transfer syntaxes that pydicom decodes without plugins."""

PIXEL_ELEMENTS = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "NumberOfFrames")


def stored_dtype(pixel: PixelFormat) -> np.dtype:
    """The integer type of a slice's stored values."""
    return np.dtype(f"{'i' if pixel.signed else 'u'}{pixel.allocated // 8}")


def read_slices(headers: Sequence[SliceHeader]) -> Iterator[tuple[int, np.ndarray]]:
    """Index and stored values [row, column] of each slice, every file decoded once; errors as for `read_frames`."""
    by_file: dict[Path, list[int]] = defaultdict(list)
    for index, header in enumerate(headers):
        by_file[header.path].append(index)
    for indices in by_file.values():
        frames = read_frames(headers[indices[0]])
        for index in indices:
            yield index, frames[headers[index].frame]


def read_frames(header: SliceHeader) -> np.ndarray:
    """Stored values of every frame of a slice's file, [frame, row, column], masked and sign-extended to BitsStored.

    Raises:
        UnreadableError: the pixel data are truncated, corrupt, or of a syntax that no decoder here knows.
    """
    data, _ = read_dataset(header.path, pixels=True)
    syntax = _transfer_syntax(data)
    try:
        raw = _decode_native(data) if syntax in NATIVE else _decode_gdcm(data, syntax)
    except UnreadableError:
        raise
    except Exception as error:  # decoders raise whatever a damaged stream leads them to
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise UnreadableError(f"{header.path}: pixel data are truncated or corrupt ({reason[0][:160]})") from None
    frames = raw.reshape(-1, *raw.shape[-2:])  # [frame, row, column]
    if frames.shape[1:] != header.shape:
        raise UnreadableError(f"{header.path}: pixel data are {frames.shape[1:]}, the header says {header.shape}")
    return place_bits(frames, header.pixel)


def place_bits(raw: np.ndarray, pixel: PixelFormat) -> np.ndarray:
    """Stored values of raw words: the bits below and above them cleared, the sign extended (PS3.5 section 8.1.1)."""
    dtype = stored_dtype(pixel)
    low, unused = pixel.high_bit + 1 - pixel.stored, pixel.allocated - pixel.stored
    if not unused:
        return raw.astype(dtype, copy=False)
    words = raw.astype(np.dtype(f"u{pixel.allocated // 8}"), copy=False)
    lifted = np.left_shift(words, words.dtype.type(unused - low))
    return np.asarray(np.right_shift(lifted.view(dtype), dtype.type(unused)))


def _transfer_syntax(data: pydicom.Dataset) -> uid.UID:
    """The declared transfer syntax, or the one by which the elements of a file without meta header were read."""
    declared = (getattr(data, "file_meta", None) or {}).get("TransferSyntaxUID")
    if declared:
        return uid.UID(declared)
    implicit, little = data.original_encoding
    if implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian


def _decode_native(data: pydicom.Dataset) -> np.ndarray:
    if not getattr(data, "file_meta", None):
        data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = _transfer_syntax(data)
    data.PhotometricInterpretation = "MONOCHROME2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(data.pixel_array)


def _decode_gdcm(data: pydicom.Dataset, syntax: uid.UID) -> np.ndarray:
    """Decode a copy that holds the pixels alone: nothing is left that GDCM would rescale, invert or overlay."""
    bare = pydicom.Dataset()
    for name in PIXEL_ELEMENTS:
        if name in data:
            bare[name] = data[name]
    bare.SamplesPerPixel = 1
    bare.PhotometricInterpretation = "MONOCHROME2"
    bare.SOPClassUID = uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    bare.SOPInstanceUID = uid.generate_uid()
    bare.PixelData = data.PixelData
    bare["PixelData"].is_undefined_length = True
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = syntax
    with tempfile.TemporaryDirectory(prefix="saint-") as folder:
        copy = Path(folder, "pixels.dcm")
        bare.save_as(copy, enforce_file_format=True)
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(copy))
        return sitk.GetArrayFromImage(reader.Execute())
