"""Pixels of DICOM slices as stored values: pydicom for native and RLE data, GDCM for every other compressed syntax.

Only Python code sees the file here; GDCM decodes in a process of its own (``decoder``).
"""

import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import pydicom
from pydicom import encaps, uid
from pydicom.dataset import FileMetaDataset

from saint_cli.errors import DecoderUnavailableError, UnreadableError
from saint_cli.errors.plain_text import format_count
from saint_cli.io.dicom.compressed_frames import StreamError, check_frame, explain_excessive_size, split_frames
from saint_cli.io.dicom.decoder import Decoder, DecoderError
from saint_cli.io.dicom.decoder_process import DecoderStartError
from saint_cli.io.dicom.headers import reread_dataset
from saint_cli.io.dicom.pixel_format import PixelFormat, extract_stored_values, has_high_bits
from saint_cli.io.dicom.predictor_overflow import check_predictor
from saint_cli.io.dicom.slice_header import SliceHeader
from saint_cli.io.dicom.transfer_syntax import NATIVE, explain_unsupported, syntax_name, transfer_syntax
from saint_cli.io.dicom.values import parse_optional_int

ITEM_TAG = b"\xfe\xff\x00\xe0"
"""Tag of an item, with which encapsulated pixel data start; of 16-bit pixels it would be 65534 beside 57344."""

HIGH_BITS_NOTE = "bits above BitsStored are set in some pixels; they are ignored, as other readers do"

ERROR_PREFIX = re.compile(r"^(ITK ERROR: )?\w+\(0x[0-9a-f]+\): |^sitk::ERROR: |^ *pydicom: ")
"""What a decoder's error starts with: who reports it."""

MAX_LINE = 160
"""Characters of a decoder's message that are shown."""


class PixelLayout(Protocol):
    """What of a header decoding needs: the file, one of its frames, and how pixels lie in it."""

    @property
    def path(self) -> Path: ...
    @property
    def frame(self) -> int: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def pixel_format(self) -> PixelFormat: ...


class PixelReader:
    """Reads the stored values of slices; what was odd about them collects on the way, file by file.

    high_bit_notes: of bits set above BitsStored. excess_notes: of bytes after the pixels. decoder_notes: what decoders
    reported but went on from.
    """

    def __init__(self) -> None:
        self.high_bit_notes: dict[Path, str] = {}
        self.excess_notes: dict[Path, str] = {}
        self.decoder_notes: dict[Path, str] = {}
        self._decoder = Decoder()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._decoder.close()

    def read_slices(
        self, headers: Sequence[SliceHeader], *, whole_words: bool = False
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Index and stored values [row, column] of each slice, every file read once; as :meth:`read_frames`.

        whole_words: give the words that hold the values, for :meth:`extract`.
        """
        by_file: dict[Path, list[int]] = defaultdict(list)
        for index, header in enumerate(headers):
            by_file[header.path].append(index)
        for indices in by_file.values():
            read = self._read_words if whole_words else self.read_frames
            frames = read(headers[indices[0]], [headers[index].frame for index in indices])
            yield from zip(indices, frames, strict=True)

    def read_frames(self, header: PixelLayout, wanted: Sequence[int] | None = None) -> np.ndarray:
        """Stored values of frames of a slice's file, [frame, row, column], masked and sign-extended to BitsStored.

        wanted: their numbers, from 0, in the order of the result; None for every frame. No other is decoded.

        Raises:
            UnreadableError: the pixel data are truncated, corrupt, or of a syntax that no decoder here knows.
            DecoderUnavailableError: there is no process to decode in.
        """
        return self.extract(header, self._read_words(header, wanted))

    def extract(self, header: PixelLayout, words: np.ndarray) -> np.ndarray:
        """Stored values of words, masked and sign-extended to BitsStored."""
        if has_high_bits(words, header.pixel_format):
            self.high_bit_notes[header.path] = HIGH_BITS_NOTE
        return extract_stored_values(words, header.pixel_format)

    def _read_words(self, header: PixelLayout, wanted: Sequence[int] | None) -> np.ndarray:
        """The words that hold the stored values, [frame, row, column], in the type of these."""
        data = reread_dataset(header.path, pixels=True)
        words, lines, excess = _decode_file(header, data, wanted, self._decoder)
        if lines:
            self.decoder_notes[header.path] = lines[-1][:MAX_LINE]
        if excess:
            self.excess_notes[header.path] = excess
        frames = words.reshape(-1, *words.shape[-2:])  # [frame, row, column]
        if frames.shape[1:] != header.shape:
            raise UnreadableError(f"{header.path}: pixel data are {frames.shape[1:]}, the header says {header.shape}")
        return frames.astype(header.pixel_format.dtype, copy=False)


def _decode_file(
    header: PixelLayout, data: pydicom.Dataset, wanted: Sequence[int] | None, decoder: Decoder
) -> tuple[np.ndarray, list[str], str]:
    """Words of frames, lines of the decoder, a note on bytes after the pixels; all decoders are called from here."""
    syntax = transfer_syntax(data)
    lines: list[str] = []
    try:
        frames, excess = _find_frames(header, data, syntax, wanted)
        if syntax in NATIVE:
            words = _decode_pydicom(data, syntax, header)
        elif syntax == uid.RLELossless:
            words = np.stack([_decode_pydicom(data, syntax, header, frame) for frame in frames])
        else:
            words = _decode_gdcm(frames, syntax, header, decoder, lines)
        return words, lines, excess
    except (UnreadableError, MemoryError):
        raise
    except DecoderStartError as error:
        raise DecoderUnavailableError(
            f"{header.path}: the process that decodes {syntax_name(syntax)} cannot be started or given files ({error})"
        ) from None
    except Exception as error:  # pydicom and decoders raise whatever a damaged stream leads them to
        if isinstance(error, DecoderError) and error.is_transient:
            raise DecoderUnavailableError(
                f"{header.path}: pixel data ({syntax_name(syntax)}) could not be decoded ({error}); try again, or "
                "export the file again"
            ) from None
        raise UnreadableError(
            f"{header.path}: pixel data ({syntax_name(syntax)}) are truncated or corrupt "
            f"({_summarize_error(error, lines)}); export the file again"
        ) from None


def _summarize_error(error: Exception, lines: list[str]) -> str:
    """The last line that the decoder wrote before its error, else the error; without the name of who reports it."""
    lines = [*lines, *(error.lines if isinstance(error, DecoderError) else []), str(error)]
    texts = [text for line in lines if (text := line.strip())]
    reason = (texts[:-1] or texts or [type(error).__name__])[-1].splitlines()[-1]
    return ERROR_PREFIX.sub("", reason)[:MAX_LINE]


def _find_frames(
    header: PixelLayout, data: pydicom.Dataset, syntax: uid.UID, wanted: Sequence[int] | None
) -> tuple[list[bytes], str]:
    """The ``wanted`` compressed frames; none of native pixels, of which only the wanted ones are left in ``data``.

    With a note on bytes after native pixels; "" without. Refuses pixels that are too few or contradict the syntax.

    Raises:
        UnreadableError, StreamError: saying what is wrong.
    """
    path, allocated = header.path, header.pixel_format.bits_allocated
    stored = _read_stored(path, data, syntax)
    count = parse_optional_int(data.get("NumberOfFrames")) or 1
    need, size = header.shape[0] * header.shape[1] * count * allocated // 8, len(stored)
    is_native = syntax in NATIVE
    starts_with_item = stored.startswith(ITEM_TAG) and (size < need or not is_native)
    is_encapsulated = data["PixelData"].is_undefined_length or starts_with_item
    if is_encapsulated == is_native:
        raise UnreadableError(
            f"{path}: pixel data are {'' if is_encapsulated else 'not '}encapsulated, but the transfer syntax is "
            f"{syntax_name(syntax)}; export the file again"
        )
    if is_native:
        excess = _check_native_size(header, count, need, size)
        _require_frames(header, count, wanted)
        _keep_frames(data, count, need // count, wanted)
        return [], excess
    problem = explain_excessive_size(header.shape, count, allocated // 8, size)
    if problem:
        raise StreamError(problem)
    frames = split_frames(stored, count)
    _require_frames(header, len(frames), wanted)
    frames = frames if wanted is None else [frames[index] for index in wanted]
    for frame in frames:
        check_frame(frame, syntax, header.shape, allocated)
    return frames, ""


def _read_stored(path: Path, data: pydicom.Dataset, syntax: uid.UID) -> bytes:
    """The bytes of the pixels as they are stored.

    Raises:
        UnreadableError: there are none, or no decoder is for the transfer syntax.
    """
    reason = explain_unsupported(syntax)
    if reason:
        raise UnreadableError(f"{path}: {reason}")
    if "PixelData" not in data:
        raise UnreadableError(f"{path}: no pixel data")
    stored: bytes = data.PixelData or b""
    return stored


def _check_native_size(header: PixelLayout, count: int, need: int, size: int) -> str:
    """A note on a row or more after native pixels, "" without; refuses pixels of other frames than the header says.

    need, size: bytes of ``count`` frames, and bytes that there are.

    Raises:
        UnreadableError: too few bytes, or whole frames too many.
    """
    if size < need:
        raise UnreadableError(f"{header.path}: pixel data are truncated: {size} of {need} bytes; export the file again")
    if size - need >= need // count:
        raise UnreadableError(
            f"{header.path}: pixel data hold {size * count // need} frames, the header says {count} (Rows, Columns, "
            "BitsAllocated or NumberOfFrames is wrong); repair the header or export the file again"
        )
    if size - need >= need // count // header.shape[0]:
        return f"{size - need} bytes after the last of the {header.shape[0]} rows that the header says"
    return ""


def _require_frames(header: PixelLayout, count: int, wanted: Sequence[int] | None) -> None:
    last = max([header.frame, *(wanted or ())])
    if last >= count:
        raise UnreadableError(f"{header.path}: pixel data hold {format_count(count, 'frame')}, not {last + 1}")


def _keep_frames(data: pydicom.Dataset, count: int, size: int, wanted: Sequence[int] | None) -> None:
    """Leave only the wanted ones of native frames of ``size`` bytes in a data set."""
    if wanted is not None and list(wanted) != list(range(count)):
        stored = memoryview(data.PixelData)
        data.PixelData = b"".join(stored[index * size : (index + 1) * size] for index in wanted)
        data.NumberOfFrames = len(wanted)


def _decode_pydicom(
    data: pydicom.Dataset, syntax: uid.UID, header: PixelLayout, frame: bytes | None = None
) -> np.ndarray:
    """Whole words, whatever BitsStored says: pydicom would clear the bits above it. Of one RLE frame, or all native."""
    if not getattr(data, "file_meta", None):
        data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsStored, data.HighBit = data.BitsAllocated, data.BitsAllocated - 1
    data.SamplesPerPixel, data.PixelRepresentation = 1, int(header.pixel_format.is_signed)  # some files lack them
    if frame is not None:
        data.PixelData, data.NumberOfFrames = encaps.encapsulate([frame]), 1
        data["PixelData"].is_undefined_length = True
    data.pixel_array_options(decoding_plugin="pydicom")  # no other that happens to be installed: they are native code
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(data.pixel_array)


def _decode_gdcm(
    frames: Sequence[bytes], syntax: uid.UID, header: PixelLayout, decoder: Decoder, lines: list[str]
) -> np.ndarray:
    """Words [frame, row, column]; ``lines`` takes what GDCM wrote about them."""
    planes = []
    for frame in frames:
        words, more = decoder.decode(make_frame_file(frame, syntax, header), header.shape)
        if syntax == uid.JPEGLossless:
            check_predictor(header.path, frame, words)
        lines += more
        planes.append(words)
    return planes[0][None] if len(planes) == 1 else np.stack(planes)


def make_frame_file(frame: bytes, syntax: uid.UID, header: PixelLayout) -> bytes:
    """A DICOM file of one frame and nothing else that GDCM would rescale, invert or overlay."""
    bare, pixel_format = pydicom.Dataset(), header.pixel_format
    bare.Rows, bare.Columns = header.shape
    bare.BitsAllocated, bare.PixelRepresentation = pixel_format.bits_allocated, int(pixel_format.is_signed)
    bare.BitsStored = pixel_format.bits_stored + pixel_format.claimed_shift
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
