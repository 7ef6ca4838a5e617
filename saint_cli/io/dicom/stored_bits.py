"""Which bits of a word hold the stored value where headers leave it open or are wrong: the pixels show it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from saint_cli.io.dicom.headers import reread_dataset
from saint_cli.io.dicom.pixel_format import PixelFormat, extract_stored_values, parse_padding_range
from saint_cli.io.dicom.pixels import PixelReader
from saint_cli.io.dicom.slice_header import SliceHeader


def read_stored_values(
    slices: Sequence[SliceHeader], reader: PixelReader
) -> tuple[np.ndarray, tuple[SliceHeader, ...], tuple[str, ...]]:
    """Stored values [x, y, z] of slices in order, their headers as the pixels show them, and notes on these.

    The values have the smallest type that holds those of every slice. Where HighBit or PixelPaddingValue contradicts
    BitsStored, the pixels of all slices decide on format and padding; every slice is decoded once.

    Raises: as ``PixelReader.read_frames``.
    """
    is_open = any(header.pixel_format.claimed_shift or _is_beyond(header) for header in slices)
    stored = _read_planes(slices, reader, whole_words=is_open)
    if not is_open:
        return stored, tuple(slices), ()
    shifted, shift_notes = _resolve_bit_shift(slices, stored)
    resolved, padding_notes = _resolve_padding(shifted, stored)
    for index, header in enumerate(resolved):
        stored[:, :, index] = reader.extract(header, stored[:, :, index])
    return stored, resolved, (*shift_notes, *padding_notes)


def _read_planes(slices: Sequence[SliceHeader], reader: PixelReader, *, whole_words: bool) -> np.ndarray:
    """Stored values, or the words that hold them, [x, y, z].

    Memory is taken when the first slice has shown that its pixels are there.
    """
    rows, columns = slices[0].shape
    dtype = np.result_type(*{header.pixel_format.dtype for header in slices})
    planes = np.empty((0, 0, 0), dtype)
    for index, plane in reader.read_slices(slices, whole_words=whole_words):
        if not planes.size:
            planes = np.empty((columns, rows, len(slices)), dtype=dtype, order="F")
        planes[:, :, index] = plane.T  # [row, column] -> [x, y]
    return planes


def _resolve_bit_shift(
    slices: Sequence[SliceHeader], words: np.ndarray
) -> tuple[tuple[SliceHeader, ...], tuple[str, ...]]:
    """GDCM, pydicom and dcm2niix read from bit 0 whatever HighBit says, which is right where it is a mistake, as in
    many files. Old files are left-justified, as HighBit says (ACR-NEMA, PS3.5 section 8.1.1): then the bits below the
    value are zero in every pixel, and values lie above BitsStored.
    """
    doubtful = [header.pixel_format.claimed_shift > 0 for header in slices]
    has_low, has_high = False, False
    for header, plane in _select_planes(slices, words, doubtful):
        has_low |= bool((plane & ((1 << header.pixel_format.claimed_shift) - 1)).any())
        has_high |= bool(_find_high(header, plane).any())
    if has_low or not has_high:
        return tuple(slices), ()
    shift = slices[doubtful.index(True)].pixel_format.claimed_shift
    note = f"the lowest {shift} bits of every pixel are zero and higher bits are set: read as left-justified"
    return tuple(map(_apply_claimed_shift, slices)), (note,)


def _resolve_padding(
    slices: Sequence[SliceHeader], words: np.ndarray
) -> tuple[tuple[SliceHeader, ...], tuple[str, ...]]:
    """Padding that BitsStored cannot hold: where some pixels hold it, and others nothing beyond BitsStored, that is
    wrong and all bits count; else no pixel is such padding.
    """
    beyond = [_is_beyond(header) for header in slices]
    affected = [header for header, is_beyond in zip(slices, beyond, strict=True) if is_beyond]
    if not affected:
        return tuple(slices), ()
    formats = dict.fromkeys(header.pixel_format for header in affected)
    ranges = {header.padding for header in affected if header.padding}
    chosen = [header.pixel_format in formats for header in slices]
    if not _hold_padding_alone(_select_planes(slices, words, chosen), ranges):
        padding = (None if is_beyond else header.padding for header, is_beyond in zip(slices, beyond, strict=True))
        return tuple(replace(header, padding=p) for header, p in zip(slices, padding, strict=True)), ()
    notes = tuple(
        f"BitsStored {pixel_format.bits_stored} cannot hold PixelPaddingValue, which pixels have: all "
        f"{pixel_format.bits_allocated} bits are read"
        for pixel_format in formats
    )
    return tuple(_widen(header) if header.pixel_format in formats else header for header in slices), notes


def _is_beyond(header: SliceHeader) -> bool:
    low, high = header.pixel_format.limits
    return header.padding is not None and not low <= header.padding[0] <= header.padding[1] <= high


def _hold_padding_alone(planes: Iterator[tuple[SliceHeader, np.ndarray]], ranges: set[tuple[int, int]]) -> bool:
    """Whether some words of planes exceed BitsStored, and those are all in ``ranges``."""
    is_held = False
    for header, plane in planes:
        found = plane[_find_high(header, plane)]
        is_held |= bool(found.size)
        if not np.any([(found >= low) & (found <= high) for low, high in ranges], axis=0).all():
            return False
    return is_held


def _select_planes(
    slices: Sequence[SliceHeader], words: np.ndarray, chosen: Sequence[bool]
) -> Iterator[tuple[SliceHeader, np.ndarray]]:
    """The chosen ones of slices, and their words [x, y] in their own type."""
    for index, header in enumerate(slices):
        if chosen[index]:
            yield header, words[:, :, index].astype(header.pixel_format.dtype, copy=False)


def _find_high(header: SliceHeader, plane: np.ndarray) -> np.ndarray:
    """Where words exceed BitsStored."""
    return np.asarray(extract_stored_values(plane, header.pixel_format) != plane)


def _widen(header: SliceHeader) -> SliceHeader:
    allocated = header.pixel_format.bits_allocated
    return replace(header, pixel_format=PixelFormat(allocated, allocated, allocated - 1, header.pixel_format.is_signed))


def _apply_claimed_shift(header: SliceHeader) -> SliceHeader:
    if not header.pixel_format.claimed_shift:
        return header
    pixel_format = replace(header.pixel_format, shift=header.pixel_format.claimed_shift)
    return replace(
        header, pixel_format=pixel_format, padding=parse_padding_range(reread_dataset(header.path), pixel_format)
    )
