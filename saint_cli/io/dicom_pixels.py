"""Pixels of one DICOM slice as stored values: pydicom for native and RLE data, GDCM for every other compressed syntax.

Only Python code sees the file here; GDCM decodes in a process of its own (``dicom_decoder``).
"""

import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from pydicom import encaps, uid
from pydicom.dataset import FileMetaDataset

from saint_cli.errors import DecoderUnavailableError, SourceChangedError, UnreadableError
from saint_cli.io.decoder_process import DecoderStartError
from saint_cli.io.dicom_decoder import Decoder, DecoderError
from saint_cli.io.dicom_headers import read_dataset
from saint_cli.io.dicom_slice import SliceHeader
from saint_cli.io.dicom_streams import StreamError, check_frame, explain_excess, split_frames
from saint_cli.io.dicom_syntax import NATIVE, explain_unsupported, syntax_name, transfer_syntax
from saint_cli.io.dicom_values import PixelFormat, Skipped, whole

ITEM = b"\xfe\xff\x00\xe0"
"""Tag of an item, with which encapsulated pixel data start; of 16-bit pixels it would be 65534 beside 57344."""

HIGH_BITS = "bits above BitsStored are set in some pixels; they are ignored, as other readers do"

SPEAKER = re.compile(r"^(ITK ERROR: )?\w+\(0x[0-9a-f]+\): |^sitk::ERROR: |^ *pydicom: ")
"""What a decoder's error starts with: who reports it."""


def stored_dtype(pixel: PixelFormat) -> np.dtype:
    """The integer type of a slice's stored values."""
    return np.dtype(f"{'i' if pixel.signed else 'u'}{pixel.allocated // 8}")


def read_slices(
    headers: Sequence[SliceHeader], decoder: Decoder, remarks: list[str] | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """Index and stored values [row, column] of each slice, every file decoded once; as :func:`read_frames`."""
    by_file: dict[Path, list[int]] = defaultdict(list)
    for index, header in enumerate(headers):
        by_file[header.path].append(index)
    for indices in by_file.values():
        frames = read_frames(headers[indices[0]], decoder, remarks)
        for index in indices:
            yield index, frames[headers[index].frame]


def read_frames(header: SliceHeader, decoder: Decoder, remarks: list[str] | None = None) -> np.ndarray:
    """Stored values of every frame of a slice's file, [frame, row, column], masked and sign-extended to BitsStored.

    ``remarks`` takes what a decoder found odd but went on from, with the name of the file.

    Raises:
        UnreadableError: the pixel data are truncated, corrupt, or of a syntax that no decoder here knows.
    """
    words = read_words(header, decoder, remarks)
    if remarks is not None and has_high_bits(words, header.pixel):
        remarks.append(f"{header.path.name}: {HIGH_BITS}")
    return place_bits(words, header.pixel)


def read_words(header: SliceHeader, decoder: Decoder, remarks: list[str] | None = None) -> np.ndarray:
    """The words that hold the stored values, [frame, row, column], as the file has them; errors as ``read_frames``."""
    try:
        data, _ = read_dataset(header.path, pixels=True)
    except Skipped as reason:
        raise SourceChangedError(f"{header.path}: changed since it was read ({reason})") from None
    syntax = transfer_syntax(data)
    raw, lines = _decode_all(header, data, syntax, decoder)
    if lines and remarks is not None:
        remarks.append(f"{header.path.name}: {lines[-1][:160]}")
    frames = raw.reshape(-1, *raw.shape[-2:])  # [frame, row, column]
    if frames.shape[1:] != header.shape:
        raise UnreadableError(f"{header.path}: pixel data are {frames.shape[1:]}, the header says {header.shape}")
    if header.frame >= len(frames):
        raise UnreadableError(f"{header.path}: pixel data hold {len(frames)} frames, not {header.frame + 1}")
    return frames


def _decode_all(
    header: SliceHeader, data: pydicom.Dataset, syntax: uid.UID, decoder: Decoder
) -> tuple[np.ndarray, list[str]]:
    """The pixels of every frame, and what the decoder wrote about them; the one door to all decoders."""
    lines: list[str] = []
    try:
        frames = _find_frames(header, data, syntax)
        if syntax in NATIVE:
            return _decode_pydicom(data, syntax, header), lines
        if syntax == uid.RLELossless:
            return np.stack([_decode_pydicom(data, syntax, header, one) for one in frames]), lines
        return _decode_gdcm(frames, syntax, header, decoder, lines), lines
    except (UnreadableError, MemoryError):
        raise
    except DecoderStartError as error:
        raise DecoderUnavailableError(
            f"{header.path}: the process that decodes {syntax_name(syntax)} cannot be started or given files ({error})"
        ) from None
    except Exception as error:  # pydicom and decoders raise whatever a damaged stream leads them to
        if isinstance(error, DecoderError) and error.may_pass:
            raise DecoderUnavailableError(
                f"{header.path}: pixel data ({syntax_name(syntax)}) could not be decoded ({error}); try again, or "
                "export the file again"
            ) from None
        lines += error.lines if isinstance(error, DecoderError) else []
        told = [line for text in (*lines, str(error)) if (line := text.strip())]
        reason = SPEAKER.sub("", (told[:-1] or told or [type(error).__name__])[-1].splitlines()[-1])
        raise UnreadableError(
            f"{header.path}: pixel data ({syntax_name(syntax)}) are truncated or corrupt ({reason[:160]}); "
            "export the file again"
        ) from None


def _find_frames(header: SliceHeader, data: pydicom.Dataset, syntax: uid.UID) -> list[bytes]:
    """The compressed frames, none of native pixels; refuses pixels that are not what the transfer syntax says, or few.

    Raises:
        UnreadableError, StreamError: saying what is wrong.
    """
    path, pixel = header.path, header.pixel
    reason = explain_unsupported(syntax)
    if reason:
        raise UnreadableError(f"{path}: {reason}")
    if "PixelData" not in data:
        raise UnreadableError(f"{path}: no pixel data")
    stored = data.PixelData or b""
    count = whole(data.get("NumberOfFrames")) or 1
    need, got = header.shape[0] * header.shape[1] * count * pixel.allocated // 8, len(stored)
    is_native = syntax in NATIVE
    is_packed = data["PixelData"].is_undefined_length or (stored.startswith(ITEM) and (got < need or not is_native))
    if is_packed == is_native:
        raise UnreadableError(
            f"{path}: pixel data are {'' if is_packed else 'not '}encapsulated, but the transfer syntax is "
            f"{syntax_name(syntax)}; export the file again"
        )
    if is_native:
        if got < need:
            raise UnreadableError(f"{path}: pixel data are truncated: expected {need} bytes, found {got}")
        return []
    excess = explain_excess(header.shape, count, pixel.allocated // 8, got)
    if excess:
        raise StreamError(excess)
    frames = split_frames(stored, count)
    for frame in frames:
        check_frame(frame, syntax, header.shape, pixel.allocated)
    return frames


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


def _decode_pydicom(
    data: pydicom.Dataset, syntax: uid.UID, header: SliceHeader, frame: bytes | None = None
) -> np.ndarray:
    """Whole words, whatever BitsStored says: pydicom would clear the bits above it. Of one RLE frame, or all native."""
    if not getattr(data, "file_meta", None):
        data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsStored, data.HighBit = data.BitsAllocated, data.BitsAllocated - 1
    data.SamplesPerPixel, data.PixelRepresentation = 1, int(header.pixel.signed)  # some files lack them
    if frame is not None:
        data.PixelData, data.NumberOfFrames = encaps.encapsulate([frame]), 1
        data["PixelData"].is_undefined_length = True
    data.pixel_array_options(decoding_plugin="pydicom")  # no other that happens to be installed: they are native code
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(data.pixel_array)


def _decode_gdcm(
    frames: Sequence[bytes], syntax: uid.UID, header: SliceHeader, decoder: Decoder, lines: list[str]
) -> np.ndarray:
    """Words [frame, row, column]; ``lines`` takes what GDCM wrote about them."""
    planes = []
    for frame in frames:
        words, more = decoder.decode(file_of_frame(frame, syntax, header), header.shape)
        lines += more
        planes.append(words)
    return planes[0][None] if len(planes) == 1 else np.stack(planes)


def file_of_frame(frame: bytes, syntax: uid.UID, header: SliceHeader) -> bytes:
    """A DICOM file of one frame and nothing else: nothing is left that GDCM would rescale, invert or overlay."""
    bare = pydicom.Dataset()
    bare.Rows, bare.Columns = header.shape
    bare.BitsAllocated, bare.PixelRepresentation = header.pixel.allocated, int(header.pixel.signed)
    bare.BitsStored = header.pixel.stored + header.pixel.claimed_shift
    bare.HighBit = bare.BitsStored - 1
    bare.SamplesPerPixel, bare.NumberOfFrames = 1, 1
    bare.PhotometricInterpretation = "MONOCHROME2"
    bare.SOPClassUID = uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    bare.SOPInstanceUID = uid.generate_uid()
    bare.PixelData = encaps.encapsulate([frame])
    bare["PixelData"].is_undefined_length = True
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = syntax
    file = BytesIO()
    bare.save_as(file, enforce_file_format=True)
    return file.getvalue()
