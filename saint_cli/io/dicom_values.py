"""Values of DICOM elements as plain Python, judged on the way."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom

from saint_cli import geometry
from saint_cli.errors import GeometryError


class Skipped(Exception):
    """A file that is no slice of a CT or MR volume; the text is the reason it is counted under.

    is_named: whether the file is worth naming. is_damage: whether it should be a slice.
    """

    is_named = False
    is_damage = False


class Incomplete(Skipped):
    """An image that lacks what fills or places a slice."""

    is_named = True


class Damaged(Skipped):
    """A file that should be a slice but cannot be used."""

    is_named = True
    is_damage = True


@dataclass(frozen=True)
class PixelFormat:
    """How stored values sit in their words (PS3.5 section 8.1.1).

    high_bit: what the header claims; ``stored - 1`` in all but old or faulty files.
    shift: bits below the stored value; 0 unless the pixels show that they are left-justified (``dicom_bits``).
    """

    allocated: int
    stored: int
    high_bit: int
    signed: bool
    shift: int = 0

    @property
    def claimed_shift(self) -> int:
        """Bits below the stored value if HighBit were right; 0 where that is not possible."""
        return self.high_bit + 1 - self.stored if self.stored <= self.high_bit < self.allocated else 0


def stack_uids(data: pydicom.Dataset) -> tuple[str, str, str]:
    """Study, series and frame-of-reference UIDs, empty where absent."""
    names = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
    study, series, frame = (str(data.get(name) or "") for name in names)
    return study, series, frame


def pixel_format(data: pydicom.Dataset) -> PixelFormat:
    """How this image's stored values sit in their words, taken to start at bit 0 whatever HighBit says.

    GDCM, pydicom and dcm2niix ignore HighBit too. A missing or damaged one is no obstacle.

    Raises:
        Damaged: words of another size than 8, 16 or 32 bits, or more bits stored than allocated.
    """
    allocated = whole(data.get("BitsAllocated"))
    stored = whole(data.get("BitsStored")) or allocated
    if not allocated or not stored:
        raise Damaged("without BitsAllocated")
    if allocated not in (8, 16, 32):
        raise Damaged(f"with BitsAllocated {allocated}, not supported")
    if not 0 < stored <= allocated:
        raise Damaged(f"with BitsStored {stored} of BitsAllocated {allocated}")
    high = whole(data.get("HighBit"))
    return PixelFormat(allocated, stored, stored - 1 if high is None else high, bool(data.get("PixelRepresentation")))


def padding_range(data: pydicom.Dataset, pixel: PixelFormat) -> tuple[int, int] | None:
    """Lowest and highest stored value of padding (PS3.3 C.7.5.1.1.2), whatever sign the elements were read with.

    Of left-justified pixels the elements hold values or whole words.
    """
    value, limit = (whole(data.get(name)) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit"))
    if value is None:
        return None
    ends = sorted(_as_stored(v, pixel) for v in (value, value if limit is None else limit))
    if _fits(ends, pixel):
        return ends[0], ends[1]
    if pixel.shift and not any(v % (1 << pixel.shift) for v in ends):
        ends = [v >> pixel.shift for v in ends]
        return (ends[0], ends[1]) if _fits(ends, pixel) else None
    return None


def _fits(ends: list[int], pixel: PixelFormat) -> bool:
    top = 1 << (pixel.stored - int(pixel.signed))
    return (-top if pixel.signed else 0) <= ends[0] and ends[1] < top


def _as_stored(value: int, pixel: PixelFormat) -> int:
    word = value & ((1 << pixel.allocated) - 1)
    return word - (1 << pixel.allocated) if pixel.signed and word >> (pixel.allocated - 1) else word


def whole(value: Any) -> int | None:
    """The whole number of an element that only informs; None where it is absent, empty or damaged."""
    if isinstance(value, bytes):  # an element of unknown representation
        return int.from_bytes(value, "little") if len(value) in (2, 4) else None
    found = optional(value)
    return None if found is None else int(found)


def is_phase(data: pydicom.Dataset, kinds: tuple[str, ...]) -> bool:
    """Whether an MR image shows phase: the third or fourth ImageType says so, or its component does."""
    component = str(data.get("ComplexImageComponent") or "")
    return str(data.get("Modality")) == "MR" and bool({"P", "PHASE", "PHASE MAP"} & {*kinds[2:], component})


def vector(values: Any, count: int, name: str) -> np.ndarray:
    """(count,) float64 of the multi-valued element called ``name``.

    Raises:
        Damaged: another number of values, or one that is not finite or beyond what places voxels.
    """
    try:
        found = np.array([float(v) for v in many(values)])
    except (TypeError, ValueError):
        raise Damaged(f"with damaged {name}") from None
    if found.shape != (count,) or not (np.abs(found) <= geometry.FARTHEST_MM).all():
        raise Damaged(f"with damaged {name}")
    return found


def directions(values: Any) -> tuple[np.ndarray, str]:
    """(6,) float64 ImageOrientationPatient, made perpendicular where rounding left it not quite, and a note on that.

    Raises:
        Damaged: not six finite numbers, a direction of length zero, or rows far from perpendicular to columns.
    """
    found = vector(values, 6, "ImageOrientationPatient")
    try:
        row, column = geometry.slice_directions(found)
    except GeometryError as error:
        raise Damaged(f"with {str(error).partition(' (')[0]}") from None
    cosine = abs(geometry.cosine(found[:3], found[3:]))
    if cosine <= geometry.ORTHOGONAL:
        return found, ""
    return np.concatenate([row, column]), (
        f"rows and columns are not quite perpendicular (cosine {cosine:.2g}); directions corrected"
    )


def spacing_pair(values: Any) -> tuple[float, float]:
    """PixelSpacing: mm between rows, mm between columns; zero is left for the geometry to refuse."""
    rows, columns = vector(values, 2, "PixelSpacing")
    return abs(float(rows)), abs(float(columns))


def optional(value: Any) -> float | None:
    """The number of an element that only informs; None where it is absent, empty or damaged."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def ordinal(value: Any) -> int:
    """The whole number of an element that only orders; 0 where it is absent, empty or damaged."""
    found = optional(value)
    return 0 if found is None else int(found)


def text(value: Any) -> str:
    """The one value of an element of plain text, whose bytes may not have been decoded yet; empty where absent."""
    return (value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")).strip(" \0")


def hashable(value: Any) -> Any:
    """The value with lists turned into tuples of text, so that it can be compared and used as a key."""
    if isinstance(value, tuple | list | pydicom.multival.MultiValue):
        return tuple(hashable(v) for v in value)
    return None if value is None else str(value)


def number(value: Any, absent: float, name: str) -> float:
    """The number of the element called ``name``, or ``absent`` where that is absent or empty.

    Raises:
        Damaged: it is no finite number.
    """
    found = optional(absent if value is None or value == "" else value)
    if found is None:
        raise Damaged(f"with damaged {name}")
    return found


def many(value: Any) -> list[Any]:
    """The values of an element that may have none, one or several."""
    if value is None:
        return []
    return list(value) if isinstance(value, pydicom.multival.MultiValue | list | tuple) else [value]
