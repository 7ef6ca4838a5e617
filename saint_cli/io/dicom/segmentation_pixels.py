"""Pixels of a DICOM Segmentation, frame by frame: bits of BINARY, bytes or words of the other kinds."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import uid

from saint_cli.errors import UnreadableError
from saint_cli.errors.plain_text import format_count
from saint_cli.io.dicom.compressed_frames import split_frames
from saint_cli.io.dicom.headers import read_dataset
from saint_cli.io.dicom.pixel_format import PixelFormat
from saint_cli.io.dicom.pixels import PixelReader
from saint_cli.io.dicom.segmentation_header import SegmentationHeader
from saint_cli.io.dicom.transfer_syntax import NATIVE, syntax_name, transfer_syntax
from saint_cli.io.dicom.values import SkippedFileError
from saint_cli.runtime import memory

DEFLATED_FRAMES = uid.UID("1.2.840.10008.1.2.8.1")
"""Each frame deflated by itself (PS3.5 A.4.13)."""

ReadFrame = Callable[[int], np.ndarray]
"""Stored values [row, column] of a frame, by its index."""


@dataclass(frozen=True)
class _FrameLayout:
    """What decoding needs to know of a file."""

    path: Path
    shape: tuple[int, int]
    pixel_format: PixelFormat
    frame: int = 0


def open_frames(header: SegmentationHeader, reader: PixelReader, max_memory: int | None) -> ReadFrame:
    """A function that gives the frames of a file, whose pixels are read now.

    max_memory: bytes that the pixels may take; None for all that is free.

    Raises:
        UsageError: the pixels take more memory than there is.
        UnreadableError: truncated, corrupt, or in a transfer syntax that is not read.
    """
    rows, columns = header.planes.shape
    bits = rows * columns * len(header.frames) * header.bits_allocated
    memory.check_voxels_fit(header.path, -(-bits // 8), max_memory)
    if header.bits_allocated > 1:
        layout = PixelFormat(header.bits_allocated, header.bits_allocated, header.bits_allocated - 1, False)
        stored = reader.read_frames(_FrameLayout(header.path, header.planes.shape, layout))
        _require_frames(header, len(stored))
        return lambda index: np.asarray(stored[index])
    return _open_bits(header)


def _open_bits(header: SegmentationHeader) -> ReadFrame:
    """The frames of a ``BINARY`` file: pixel after pixel in bits, the lowest first, without gaps (PS3.5 8.1.1)."""
    rows, columns = header.planes.shape
    size, path = rows * columns, header.path
    try:
        data, _ = read_dataset(path, pixels=True)
    except SkippedFileError as reason:
        raise UnreadableError(f"{path}: a DICOM Segmentation {reason}; export it again") from None
    syntax, stored = transfer_syntax(data), bytes(data.get("PixelData") or b"")
    if syntax == DEFLATED_FRAMES:
        frames = split_frames(stored, len(header.frames))
        _require_frames(header, len(frames))
        return lambda index: _unpack_bits(_inflate(path, frames[index], -(-size // 8)), 0, (rows, columns))
    if syntax not in NATIVE or syntax == uid.ExplicitVRBigEndian:
        raise UnreadableError(
            f"{path}: single-bit pixels in {syntax_name(syntax)} are not read; export it as Explicit VR Little Endian"
        )
    need = -(-size * len(header.frames) // 8)
    if len(stored) < need:
        raise UnreadableError(f"{path}: pixel data are truncated: {len(stored)} of {need} bytes; export the file again")
    return lambda index: _unpack_bits(stored, index * size, (rows, columns))


def _require_frames(header: SegmentationHeader, count: int) -> None:
    if count < len(header.frames):
        counts = f"{format_count(count, 'frame')}, the header says {len(header.frames)}"
        raise UnreadableError(f"{header.path}: pixel data hold {counts}")


def _unpack_bits(stored: bytes, start: int, shape: tuple[int, int]) -> np.ndarray:
    """The bits [row, column] from bit ``start`` on."""
    count = shape[0] * shape[1]
    packed = np.frombuffer(stored, np.uint8, -(-(start % 8 + count) // 8), start // 8)
    return np.unpackbits(packed, bitorder="little")[start % 8 : start % 8 + count].reshape(shape)


def _inflate(path: Path, frame: bytes, size: int) -> bytes:
    """The bytes of a deflated frame; no more than ``size`` are unpacked."""
    try:
        bits = zlib.decompressobj(-zlib.MAX_WBITS).decompress(frame, size)
    except zlib.error:
        raise UnreadableError(f"{path}: the compressed data is truncated or corrupt") from None
    if len(bits) < size:
        raise UnreadableError(
            f"{path}: pixel data are truncated: {len(bits)} of {size} bytes in a frame; export the file again"
        )
    return bits
