"""Where stored values lie in their words if HighBit contradicts BitsStored: decided by all pixels of the stack."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from saint_cli.errors import SourceChangedError
from saint_cli.io.dicom_decoder import Decoder
from saint_cli.io.dicom_headers import read_dataset
from saint_cli.io.dicom_pixels import place_bits, read_words, stored_dtype
from saint_cli.io.dicom_slice import SliceHeader
from saint_cli.io.dicom_values import PixelFormat, Skipped, padding_range


def bit_note(pixel: PixelFormat) -> str:
    """What to tell of a HighBit that is not the highest bit stored; "" where it is."""
    if pixel.high_bit == pixel.stored - 1:
        return ""
    told = f"HighBit {pixel.high_bit} contradicts BitsStored {pixel.stored}; HighBit is ignored, as other readers do"
    return f"{told}, unless all pixels are left-justified" if pixel.claimed_shift else told


def settle_bits(slices: Sequence[SliceHeader], decoder: Decoder) -> tuple[tuple[SliceHeader, ...], tuple[str, ...]]:
    """The headers with the place of their stored values as the pixels show it, and what to tell of it.

    GDCM, pydicom and dcm2niix read from bit 0 whatever HighBit says, which is right for the many files in which it is
    a mistake. Old files are left-justified, as HighBit says (ACR-NEMA, PS3.5 section 8.1.1): then the bits below the
    value are zero in every pixel, and values lie above BitsStored. Pixels are read only where HighBit leaves both open.

    Raises:
        UnreadableError: the pixel data cannot be read.
    """
    doubtful = {one.path: one for one in slices if one.pixel.claimed_shift}
    if not doubtful:
        return tuple(slices), ()
    has_low, has_high = False, False
    for one in doubtful.values():
        words = read_words(one, decoder).astype(stored_dtype(one.pixel), copy=False)
        has_low |= bool((words & ((1 << one.pixel.claimed_shift) - 1)).any())
        has_high |= not np.array_equal(place_bits(words, one.pixel), words)
    if has_low or not has_high:
        return tuple(slices), ()
    shift = next(iter(doubtful.values())).pixel.claimed_shift
    told = (f"the lowest {shift} bits of every pixel are zero and higher bits are set: read as left-justified",)
    return tuple(_shifted(one) if one.pixel.claimed_shift else one for one in slices), told


def _shifted(one: SliceHeader) -> SliceHeader:
    pixel = replace(one.pixel, shift=one.pixel.claimed_shift)
    return replace(one, pixel=pixel, padding=_padding(one.path, pixel))


def _padding(path: Path, pixel: PixelFormat) -> tuple[int, int] | None:
    try:
        return padding_range(read_dataset(path)[0], pixel)
    except Skipped as reason:
        raise SourceChangedError(f"{path}: changed since it was read ({reason})") from None
