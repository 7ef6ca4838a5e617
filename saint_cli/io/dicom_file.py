"""DICOM files parsed within bounds: deflated data sets as a stream, and no header that takes gigabytes or minutes."""

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
from saint_cli.files import open_regular
from saint_cli.io import limits
from saint_cli.io.packed import MOST_BEHIND, Packing, finish, packing_of, unpack

MOST_HEADER = 1 << 28
"""Bytes of a header that are held in memory; those of tens of thousands of frames take 100 MB."""

MOST_PACKED_HEADER = 1 << 24
"""The same of a packed or deflated file, unless that is itself larger."""

MOST_BEFORE_PIXELS = 1 << 26
"""Bytes that are unpacked on the way to the pixels, or four times the file's own."""

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

AFTER_HEADER = 9
"""Bytes read behind the header: the tag of pixel data, their length, and at least one byte."""

PIXEL_TAGS = (
    *("SOPClassUID", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration", "PixelData"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PhotometricInterpretation"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
)
"""What is read of a file with its pixels; other elements may be larger than these."""


PIXEL_DATA = (0x7FE00008, 0x7FE00009, 0x7FE00010)
"""Tags of Float, Double Float and plain Pixel Data."""

SEQUENCES = (0x52009229, 0x52009230)
"""Tags of the shared and the frames' functional groups, the sequences that are looked into."""

StopWhen = Callable[[BaseTag, str | None, int], bool]
"""What tells pydicom, by tag, value representation and length, at which element to stop."""


class _DeflatedError(Exception):
    """pydicom is about to unpack a whole file into memory."""


class _Bounded:
    """A file as pydicom reads it, that stops where a header takes more than headers do."""

    def __init__(self, file: BinaryIO, most: int, size: int) -> None:
        self._file, self._most, self._items, self._done, self._pieces = file, most, 0, 0, 0
        self._most_items = ITEMS_BASE + size // BYTES_PER_ITEM
        self._most_pieces = PIECES_BASE + size // BYTES_PER_PIECE
        self.seek, self.tell = file.seek, file.tell
        self.name = str(getattr(file, "name", ""))

    def read(self, size: int = -1) -> bytes:
        """Read bytes; without a size is how pydicom reads what it is going to inflate."""
        if size < 0:
            raise _DeflatedError
        data = self._file.read(min(size, self._most + 1))
        self._done += len(data)
        self._pieces += 1
        if size > 8:
            self._items += data.count(ITEMS[0]) + data.count(ITEMS[1])
        elif data[:4] in ITEMS:  # the head of one
            self._items += 1
        if self._done > self._most:
            raise UnreadableError(
                f"{self.name}: takes over {self._most >> 20} MB, more than it declares; it is damaged"
            )
        if self._items * ITEM_BYTES > self._done + SPARE_BYTES:
            raise UnreadableError(f"{self.name}: its header has {self._items} items and hardly anything in them")
        if self._items > self._most_items or self._pieces > self._most_pieces:
            raise UnreadableError(f"{self.name}: its header has more elements than any image; it is damaged")
        return data


def read_header(path: Path, tags: Sequence[str] | None = None) -> tuple[FileDataset, bytes]:
    """The elements of a file before its pixels, and the bytes that follow, ``AFTER_HEADER`` at most.

    tags: keywords of the elements that are wanted; all others are passed over. Values are parsed on first use.

    Raises:
        UnreadableError: the header takes more than any does, or a pipe, socket or device.
        Exception: whatever damage leads pydicom to.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        kind = packing_of(file.read(8))
        file.seek(0)
        plain = unpack(file, kind, _most_before_pixels(size))
        most = MOST_HEADER if kind is Packing.NONE else max(MOST_PACKED_HEADER, size)
        try:
            return _parse(_Bounded(plain, most, size), tags, _at_pixels), plain.read(AFTER_HEADER)
        except _DeflatedError:
            pass
        meta, inflated = _inflate(plain, most, _most_before_pixels(size))
        bounded = _Bounded(inflated, max(MOST_PACKED_HEADER, size), size)
        return _parse_deflated(bounded, meta, tags, _at_pixels), inflated.read(AFTER_HEADER)


def parse_sequences(data: Dataset, size: int) -> None:
    """Parse the large sequences of the header of a file of ``size`` bytes within the same bounds.

    pydicom has none where it does so on first use.

    Raises:
        UnreadableError: more elements than any image has.
        Exception: whatever damage leads pydicom to.
    """
    for tag in SEQUENCES:
        raw = data.get_item(tag) if tag in data else None
        value = raw.value if isinstance(raw, RawDataElement) else None
        if value and len(value) > SMALL_HEADER:
            bounded: Any = _Bounded(BytesIO(value), len(value), size)
            order = raw.is_implicit_VR, raw.is_little_endian
            items = filereader.read_sequence(bounded, *order, len(value), data.original_character_set)
            data[tag] = DataElement(tag, "SQ", items)


def read_with_pixels(path: Path) -> FileDataset:
    """The elements ``PIXEL_TAGS`` of a file; what is packed is unpacked as far as its pixels need, and no further.

    Raises: as :func:`read_header`.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        kind = packing_of(file.read(8))
        file.seek(0)
        if kind is Packing.NONE:
            try:
                return _parse(_Bounded(file, _most_with_pixels(path, size), size), PIXEL_TAGS, _after_pixels)
            except _DeflatedError:
                pass
        most = _pixel_bytes(path, size) + _most_before_pixels(size) + MOST_BEHIND
        file.seek(0)
        plain = unpack(file, kind, most)
        try:
            data = _parse(_Bounded(plain, most, size), PIXEL_TAGS, _after_pixels)
        except _DeflatedError:
            meta, plain = _inflate(plain, most, most)
            data = _parse_deflated(_Bounded(plain, most, size), meta, PIXEL_TAGS, _after_pixels)
        finish(plain, path)
        return data


def _most_with_pixels(path: Path, size: int) -> int:
    """Bytes that are read of a file which is not packed: where it is large, hardly more than its pixels can take."""
    if size <= MOST_HEADER:
        return 4 * max(size, 1)
    return 2 * _pixel_bytes(path, size) + MOST_HEADER


def _pixel_bytes(path: Path, size: int) -> int:
    """Bytes of the pixels that the header of a file declares.

    Raises:
        UnreadableError: far more than the file could unpack to.
    """
    data, _ = read_header(path, [name for name in PIXEL_TAGS if name != "PixelData"])
    count = int(data.get("Rows") or 0) * int(data.get("Columns") or 0) * int(data.get("NumberOfFrames") or 1)
    need = count * (int(data.get("BitsAllocated") or 16) + 7) // 8
    limits.check_packed(path, need, size)
    return max(0, need)


def _most_before_pixels(size: int) -> int:
    return max(MOST_BEFORE_PIXELS, 4 * size)


def _inflate(plain: BinaryIO, most_meta: int, most: int) -> tuple[Any, BinaryIO]:
    """The file meta information of a deflated file, and its data set as what it unpacks to (PS3.5 A.5)."""
    plain.seek(0)
    bounded: Any = _Bounded(plain, most_meta, most_meta)
    filereader.read_preamble(bounded, True)
    meta = filereader._read_file_meta_info(bounded)
    return meta, unpack(plain, Packing.DEFLATE, most)


def _parse(bounded: Any, tags: Sequence[str] | None, stop: StopWhen) -> FileDataset:
    data = filereader.read_partial(bounded, stop, force=True, specific_tags=_numbers(tags))
    data.buffer = None  # what was read is copied without its file
    return data


def _parse_deflated(bounded: Any, meta: Any, tags: Sequence[str] | None, stop: StopWhen) -> FileDataset:
    data = filereader.read_dataset(bounded, False, True, stop_when=stop, specific_tags=_numbers(tags))
    whole = FileDataset(bounded, data, None, meta, False, True)
    whole.buffer = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole.set_original_encoding(False, True, data._character_set)
    return whole


def _numbers(tags: Sequence[str] | None) -> list[BaseTag | int] | None:
    return None if tags is None else list(_tags_of(tuple(tags)))


@cache
def _tags_of(names: tuple[str, ...]) -> tuple[BaseTag, ...]:
    """Worked out once: it takes as long as a tenth of a header."""
    return tuple(Tag(name) for name in names)


def _at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return int(tag) in PIXEL_DATA  # which compares tags in C


def _after_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return int(tag) > PIXEL_DATA[-1]
