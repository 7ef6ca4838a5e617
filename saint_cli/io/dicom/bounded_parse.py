"""DICOM files parsed within bounds of memory and time; deflated data sets as a stream."""

import os
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import filereader
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.tag import BaseTag, Tag

from saint_cli.errors import UnreadableError
from saint_cli.io import size_limits
from saint_cli.io.decompress import MAX_TRAILING_BYTES, Packing, detect_packing, read_to_end, unpack
from saint_cli.io.regular_files import open_regular

MAX_HEADER_BYTES = 1 << 28
"""Bytes of a header that are held in memory; those of tens of thousands of frames take 100 MB."""

MAX_PACKED_HEADER_BYTES = 1 << 24
"""The same of a packed or deflated file, unless that is itself larger."""

MAX_BYTES_BEFORE_PIXELS = 1 << 26
"""Bytes that are unpacked before the pixels, or four times the file's size."""

ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
"""Tag of an item of a sequence, in either byte order."""

ITEM_BYTES, SPARE_BYTES = 40, 1 << 20
"""Bytes that items take at least on average beyond the first thousands: each takes a kilobyte of memory once parsed."""

ITEMS_BASE, PIECES_BASE = 1 << 17, 1 << 18
BYTES_PER_ITEM, BYTES_PER_PIECE = 128, 32
"""Items of a header, and pieces in which it is read (one to three for an element), at most: so many, and one more for
so many bytes of the file. Each takes some ten microseconds. Of a frame there are up to 15 items and 150 pieces."""

SMALL_HEADER = 1 << 20
"""Bytes of files and sequences that are parsed in a second, whatever is in them."""

BYTES_AFTER_HEADER = 9
"""Bytes read behind the header: the tag of pixel data, their length, and at least one byte."""

PIXEL_TAGS = (
    *("SOPClassUID", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration", "PixelData"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PhotometricInterpretation"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
)
"""What is read of a file with its pixels; other elements may be larger than these."""

PIXEL_DATA_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
"""Tags of Float, Double Float and plain Pixel Data."""

UNDEFINED_LENGTH = 0xFFFFFFFF
"""Of an element that ends with a delimiter (PS3.5 7.1)."""

FRAME_SEQUENCE_TAGS = (0x52009229, 0x52009230)
"""Tags of the shared and the frames' functional groups, the sequences that are read."""

StopWhen = Callable[[BaseTag, str | None, int], bool]
"""Whether pydicom stops at an element, by its tag, value representation and length."""


class _DeflatedError(Exception):
    """pydicom is about to unpack a whole file into memory."""


class _Bounded:
    """A file for pydicom to read; raises where a header takes more bytes, items or elements than headers have."""

    def __init__(self, file: BinaryIO, max_bytes: int, size: int) -> None:
        self._file, self._max_bytes = file, max_bytes
        self._bytes_read, self._items, self._pieces = 0, 0, 0
        self._max_items = ITEMS_BASE + size // BYTES_PER_ITEM
        self._max_pieces = PIECES_BASE + size // BYTES_PER_PIECE
        self.seek, self.tell = file.seek, file.tell
        self.name = str(getattr(file, "name", ""))

    def read(self, size: int = -1) -> bytes:
        """Read bytes; pydicom asks for all of them only to inflate them."""
        if size < 0:
            raise _DeflatedError
        data = self._file.read(min(size, self._max_bytes + 1))
        self._bytes_read += len(data)
        self._pieces += 1
        if size > 8:
            self._items += data.count(ITEMS[0]) + data.count(ITEMS[1])
        elif data[:4] in ITEMS:  # the head of one
            self._items += 1
        if self._bytes_read > self._max_bytes:
            raise UnreadableError(
                f"{self.name}: takes over {self._max_bytes >> 20} MB, more than it declares; it is damaged"
            )
        if self._items * ITEM_BYTES > self._bytes_read + SPARE_BYTES:
            raise UnreadableError(f"{self.name}: its header has {self._items} items and hardly anything in them")
        if self._items > self._max_items or self._pieces > self._max_pieces:
            raise UnreadableError(f"{self.name}: its header has more elements than any image; it is damaged")
        return data


def read_header(path: Path, tags: Sequence[str] | None = None) -> tuple[FileDataset, bytes]:
    """The elements of a file before its pixels, and the bytes that follow, ``BYTES_AFTER_HEADER`` at most.

    tags: keywords of the elements that are wanted; all others are skipped. Values are parsed on first use.

    Raises:
        UnreadableError: the header takes more than any does, or a pipe, socket or device.
        Exception: whatever damage leads pydicom to.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        packing = detect_packing(file.read(8))
        file.seek(0)
        plain = unpack(file, packing, _max_bytes_before_pixels(size))
        max_bytes = MAX_HEADER_BYTES if packing is Packing.NONE else max(MAX_PACKED_HEADER_BYTES, size)
        try:
            return _parse(_Bounded(plain, max_bytes, size), tags, _at_pixels), plain.read(BYTES_AFTER_HEADER)
        except _DeflatedError:
            pass
        meta, inflated = _inflate(plain, max_bytes, _max_bytes_before_pixels(size))
        bounded = _Bounded(inflated, max(MAX_PACKED_HEADER_BYTES, size), size)
        return _parse_deflated(bounded, meta, tags, _at_pixels), inflated.read(BYTES_AFTER_HEADER)


def is_truncated(data: Dataset) -> bool:
    """Whether an element that was not parsed yet is shorter than it declares; pydicom takes what there is."""
    raws = (data.get_item(tag) for tag in data.keys())  # noqa: SIM118 - which iterates over parsed elements
    return any(
        isinstance(raw, RawDataElement) and raw.value is not None and len(raw.value) < raw.length < UNDEFINED_LENGTH
        for raw in raws
    )


def parse_sequences(data: Dataset, size: int, tags: Sequence[int] = FRAME_SEQUENCE_TAGS) -> None:
    """Parse the large sequences of the header of a file of ``size`` bytes, those with ``tags``, within the same bounds.

    pydicom has none where it does so on first use.

    Raises:
        UnreadableError: more elements than any image has.
        Exception: whatever damage leads pydicom to.
    """
    for tag in tags:
        raw = data.get_item(tag) if tag in data else None
        value = raw.value if isinstance(raw, RawDataElement) else None
        if value and len(value) > SMALL_HEADER:
            bounded: Any = _Bounded(BytesIO(value), 2 * len(value), size)  # some bytes are read again
            order = raw.is_implicit_VR, raw.is_little_endian
            items = filereader.read_sequence(bounded, *order, len(value), data.original_character_set)
            data[tag] = DataElement(tag, "SQ", items)


def read_with_pixels(path: Path) -> FileDataset:
    """The elements ``PIXEL_TAGS`` of a file; what is packed is unpacked as far as its pixels need, and no further.

    Raises: as :func:`read_header`.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        packing = detect_packing(file.read(8))
        file.seek(0)
        if packing is Packing.NONE:
            try:
                return _parse(_Bounded(file, _max_bytes_with_pixels(path, size), size), PIXEL_TAGS, _after_pixels)
            except _DeflatedError:
                pass
        max_bytes = _pixel_bytes(path, size) + _max_bytes_before_pixels(size) + MAX_TRAILING_BYTES
        file.seek(0)
        plain = unpack(file, packing, max_bytes)
        try:
            data = _parse(_Bounded(plain, max_bytes, size), PIXEL_TAGS, _after_pixels)
        except _DeflatedError:
            meta, plain = _inflate(plain, max_bytes, max_bytes)
            data = _parse_deflated(_Bounded(plain, max_bytes, size), meta, PIXEL_TAGS, _after_pixels)
        read_to_end(plain, path)
        return data


def _max_bytes_with_pixels(path: Path, size: int) -> int:
    """Bytes that are read of a file which is not packed: where it is large, hardly more than its pixels can take."""
    if size <= MAX_HEADER_BYTES:
        return 4 * max(size, 1)
    return 2 * _pixel_bytes(path, size) + MAX_HEADER_BYTES


def _pixel_bytes(path: Path, size: int) -> int:
    """Bytes of the pixels that the header of a file declares.

    Raises:
        UnreadableError: far more than the file could unpack to.
    """
    data, _ = read_header(path, [name for name in PIXEL_TAGS if name != "PixelData"])
    count = int(data.get("Rows") or 0) * int(data.get("Columns") or 0) * int(data.get("NumberOfFrames") or 1)
    need = count * (int(data.get("BitsAllocated") or 16) + 7) // 8
    size_limits.check_image_ratio(path, need, size)
    return max(0, need)


def _max_bytes_before_pixels(size: int) -> int:
    return max(MAX_BYTES_BEFORE_PIXELS, 4 * size)


def _inflate(plain: BinaryIO, max_meta_bytes: int, max_bytes: int) -> tuple[Any, BinaryIO]:
    """The file meta information of a deflated file, and its data set as what it unpacks to (PS3.5 A.5)."""
    plain.seek(0)
    bounded: Any = _Bounded(plain, max_meta_bytes, max_meta_bytes)
    filereader.read_preamble(bounded, True)
    meta = filereader._read_file_meta_info(bounded)
    return meta, unpack(plain, Packing.DEFLATE, max_bytes)


def _parse(bounded: Any, tags: Sequence[str] | None, stop: StopWhen) -> FileDataset:
    data = filereader.read_partial(bounded, stop, force=True, specific_tags=_to_tags(tags))
    data.buffer = None  # what was read is copied without its file
    return data


def _parse_deflated(bounded: Any, meta: Any, tags: Sequence[str] | None, stop: StopWhen) -> FileDataset:
    data = filereader.read_dataset(bounded, False, True, stop_when=stop, specific_tags=_to_tags(tags))
    whole = FileDataset(bounded, data, None, meta, False, True)
    whole.buffer = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole.set_original_encoding(False, True, data._character_set)
    return whole


def _to_tags(names: Sequence[str] | None) -> list[BaseTag | int] | None:
    return None if names is None else list(map(_to_tag, names))


@cache
def _to_tag(name: str) -> BaseTag:
    """Cached, since finding all of them takes as long as a tenth of a header."""
    return Tag(name)


def _at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return int(tag) in PIXEL_DATA_TAGS  # which compares tags in C


def _after_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return int(tag) > PIXEL_DATA_TAGS[-1]
