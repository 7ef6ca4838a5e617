"""Values of DICOM elements as plain Python, judged on the way."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom


class Skipped(Exception):
    """A file that is no slice of a CT or MR volume; the text is the reason it is counted under."""


@dataclass(frozen=True)
class PixelFormat:
    """How stored values sit in their words (PS3.5 section 8.1.1)."""

    allocated: int
    stored: int
    high_bit: int
    signed: bool


def stack_uids(data: pydicom.Dataset) -> tuple[str, str, str]:
    """Study, series and frame-of-reference UIDs, empty where absent."""
    names = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
    study, series, frame = (str(data.get(name) or "") for name in names)
    return study, series, frame


def pixel_format(data: pydicom.Dataset) -> PixelFormat:
    """How this image's stored values sit in their words."""
    allocated = int(data.BitsAllocated)
    stored = int(data.get("BitsStored") or allocated)
    high = data.get("HighBit")
    high_bit = stored - 1 if high is None else int(high)
    if allocated not in (8, 16, 32) or not 0 < stored <= high_bit + 1 <= allocated:
        raise Skipped(f"{allocated}-bit pixels, not supported")
    return PixelFormat(allocated, stored, high_bit, bool(data.get("PixelRepresentation")))


def padding_range(data: pydicom.Dataset) -> tuple[int, int] | None:
    """Lowest and highest stored value of padding (PS3.3 C.7.5.1.1.2), whatever sign the elements were read with."""
    pixel = pixel_format(data)
    value, limit = (whole(data.get(name)) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit"))
    if value is None:
        return None
    low, high = sorted(_as_stored(v, pixel) for v in (value, value if limit is None else limit))
    top = 1 << (pixel.stored - int(pixel.signed))
    fits = (-top if pixel.signed else 0) <= low and high < top
    return (low, high) if fits else None


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


def vector(values: Any, count: int) -> np.ndarray:
    """(count,) float64 of a multi-valued element.

    Raises:
        Skipped: another number of values, or one that is not finite.
    """
    found = np.array([float(v) for v in many(values)])
    if found.shape != (count,) or not np.isfinite(found).all():
        raise Skipped("damaged header")
    return found


def spacing_pair(values: Any) -> tuple[float, float]:
    """PixelSpacing: mm between rows, mm between columns; zero is left for the geometry to refuse."""
    rows, columns = vector(values, 2)
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


def number(value: Any, absent: float) -> float:
    """A number, or ``absent`` where the element is absent or empty; damage raises ValueError."""
    found = absent if value is None or value == "" else float(value)
    if not math.isfinite(found):
        raise ValueError(f"{found} is not finite")
    return found


def many(value: Any) -> list[Any]:
    """The values of an element that may have none, one or several."""
    if value is None:
        return []
    return list(value) if isinstance(value, pydicom.multival.MultiValue | list | tuple) else [value]
