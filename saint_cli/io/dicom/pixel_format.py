"""How stored values lie in the words of a DICOM image: bits, sign, padding values, and a HighBit that contradicts."""

from dataclasses import dataclass

import numpy as np
import pydicom

from saint_cli.io.dicom.values import DamagedImageError, parse_optional_int

PADDING_TAGS = ("PixelPaddingValue", "PixelPaddingRangeLimit")


@dataclass(frozen=True)
class PixelFormat:
    """How stored values lie in their words (PS3.5 section 8.1.1).

    high_bit: as the header says; ``bits_stored - 1`` in all but old or faulty files.
    shift: bits below the stored value; 0 unless the pixels are left-justified (``stored_bits``).
    """

    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    shift: int = 0

    @property
    def claimed_shift(self) -> int:
        """Bits below the stored value if HighBit were right; 0 where that is not possible."""
        is_possible = self.bits_stored <= self.high_bit < self.bits_allocated
        return self.high_bit + 1 - self.bits_stored if is_possible else 0

    @property
    def dtype(self) -> np.dtype:
        """The integer type of the stored values."""
        return np.dtype(f"{'i' if self.is_signed else 'u'}{self.bits_allocated // 8}")

    @property
    def limits(self) -> tuple[int, int]:
        """Lowest and highest value that BitsStored can hold."""
        top = 1 << (self.bits_stored - int(self.is_signed))
        return -top if self.is_signed else 0, top - 1


def parse_pixel_format(data: pydicom.Dataset) -> PixelFormat:
    """The format of an image's words, whose values are taken to start at bit 0 whatever HighBit says.

    GDCM, pydicom and dcm2niix ignore HighBit too. It may be missing or damaged.

    Raises:
        DamagedImageError: words of another size than 8, 16 or 32 bits, or more bits stored than allocated.
    """
    allocated = parse_optional_int(data.get("BitsAllocated"))
    stored = parse_optional_int(data.get("BitsStored")) or allocated
    if not allocated or not stored:
        raise DamagedImageError("without BitsAllocated")
    if allocated not in (8, 16, 32):
        raise DamagedImageError(f"with BitsAllocated {allocated}, not supported")
    if not 0 < stored <= allocated:
        raise DamagedImageError(f"with BitsStored {stored} of BitsAllocated {allocated}")
    high = parse_optional_int(data.get("HighBit"))
    return PixelFormat(allocated, stored, stored - 1 if high is None else high, bool(data.get("PixelRepresentation")))


def parse_padding_range(data: pydicom.Dataset, pixel_format: PixelFormat) -> tuple[int, int] | None:
    """Lowest and highest stored value of padding (PS3.3 C.7.5.1.1.2), whatever sign the elements were read with.

    In left-justified images the elements hold values or whole words. A value may be beyond BitsStored, and pixels have
    to show whether it is used (``stored_bits``). A limit on the other side of the signs than the value counts as absent
    in unsigned images, of which the two would be nearly all values.
    """
    value, limit = (parse_optional_int(data.get(name)) for name in PADDING_TAGS)
    if value is None:
        return None
    named = (value, value if limit is None else limit)
    first, second = (_sign_extend(v, pixel_format) for v in named)
    if not pixel_format.is_signed and (first <= second) != (named[0] <= named[1]):
        second = first
    low, high = min(first, second), max(first, second)
    (least, most), shift = pixel_format.limits, pixel_format.shift
    if least <= low and high <= most:
        return low, high
    if shift and not any(v % (1 << shift) for v in (low, high)):
        return low >> shift, high >> shift
    return low, high


def _sign_extend(value: int, pixel_format: PixelFormat) -> int:
    """The stored value of a word, or of its lowest BitsStored bits where those above are zero."""
    size = pixel_format.bits_allocated
    word = value & ((1 << size) - 1)
    if not pixel_format.is_signed:
        return word
    if not pixel_format.shift and not word >> pixel_format.bits_stored:
        size = pixel_format.bits_stored
    return word - (1 << size) if word >> (size - 1) else word


def describe_high_bit(pixel_format: PixelFormat) -> str:
    """A note on a HighBit that is not the highest bit stored; "" where it is."""
    high_bit, stored = pixel_format.high_bit, pixel_format.bits_stored
    if high_bit == stored - 1:
        return ""
    note = f"HighBit {high_bit} contradicts BitsStored {stored}; HighBit is ignored, as other readers do"
    return f"{note}, unless all pixels are left-justified" if pixel_format.claimed_shift else note


def extract_stored_values(words: np.ndarray, pixel_format: PixelFormat) -> np.ndarray:
    """Stored values of words: other bits cleared, the sign extended (PS3.5 section 8.1.1)."""
    dtype = pixel_format.dtype
    unused = pixel_format.bits_allocated - pixel_format.bits_stored
    if not unused:
        return words.astype(dtype, copy=False)
    unsigned = _as_unsigned(words, pixel_format)
    lifted = np.left_shift(unsigned, unsigned.dtype.type(unused - pixel_format.shift))
    return np.asarray(np.right_shift(lifted.view(dtype), dtype.type(unused)))


def has_high_bits(words: np.ndarray, pixel_format: PixelFormat) -> bool:
    """Whether bits above BitsStored hold something else than zeros or the sign."""
    if pixel_format.shift or pixel_format.bits_stored == pixel_format.bits_allocated:
        return False
    unsigned = _as_unsigned(words, pixel_format)
    if not (unsigned >> unsigned.dtype.type(pixel_format.bits_stored)).any():
        return False
    extended = _as_unsigned(extract_stored_values(words, pixel_format), pixel_format)
    return not (pixel_format.is_signed and np.array_equal(extended, unsigned))


def _as_unsigned(words: np.ndarray, pixel_format: PixelFormat) -> np.ndarray:
    return words.astype(np.dtype(f"u{pixel_format.bits_allocated // 8}"), copy=False)
