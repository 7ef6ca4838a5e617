"""Values of DICOM elements as checked Python values, and the reasons for which a file is skipped."""

import math
from typing import Any

import numpy as np
import pydicom

from saint_cli import geometry
from saint_cli.errors import GeometryError


class SkippedFileError(Exception):
    """A file that is not a slice of a CT, MR or PET volume; the text is the reason it is counted under.

    is_named: whether the file is worth naming. is_damaged: whether it should be a slice.
    """

    is_named = False
    is_damaged = False


class IncompleteImageError(SkippedFileError):
    """An image that lacks what fills or places a slice."""

    is_named = True


class DamagedImageError(SkippedFileError):
    """A file that should be a slice but cannot be used."""

    is_named = True
    is_damaged = True


def list_values(value: Any) -> list[Any]:
    """The values of an element that may have none, one or several."""
    if value is None:
        return []
    return list(value) if isinstance(value, pydicom.multival.MultiValue | list | tuple) else [value]


FrameGroups = tuple[pydicom.Dataset, ...]
"""The functional groups of a frame: its own, then those that all frames share (PS3.3 C.7.6.16)."""


def list_frame_groups(data: pydicom.Dataset) -> list[FrameGroups]:
    """The functional groups of each frame of a multi-frame object."""
    shared = data.get("SharedFunctionalGroupsSequence") or ()
    return [(own, *shared[:1]) for own in data.get("PerFrameFunctionalGroupsSequence") or ()]


def find_in_groups(groups: FrameGroups, group: str, name: str) -> Any:
    """The value of an element of a functional group, from the first groups that have one; None where none has it."""
    found = (items[0].get(name) for one in groups if (items := one.get(group)))
    return next((value for value in found if value not in (None, "")), None)


def parse_optional_float(value: Any) -> float | None:
    """The number of an element that only informs; None where it is absent, empty or damaged."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def parse_optional_int(value: Any) -> int | None:
    """The whole number of an element that only informs; None where it is absent, empty or damaged."""
    if isinstance(value, bytes):  # an element of unknown representation
        return int.from_bytes(value, "little") if len(value) in (2, 4) else None
    number = parse_optional_float(value)
    return None if number is None else int(number)


def parse_ordinal(value: Any) -> int:
    """The whole number of an element that only orders; 0 where it is absent, empty or damaged."""
    return int(parse_optional_float(value) or 0)


def parse_float(value: Any, absent: float, name: str) -> float:
    """The number of the element called ``name``, or ``absent`` where that is absent or empty.

    Raises:
        DamagedImageError: it is not a finite number.
    """
    number = parse_optional_float(absent if value is None or value == "" else value)
    if number is None:
        raise DamagedImageError(f"with damaged {name}")
    return number


def parse_vector(values: Any, count: int, name: str) -> np.ndarray:
    """(count,) float64 of the multi-valued element called ``name``.

    Raises:
        DamagedImageError: another number of values, or one that is not finite or beyond what places voxels.
    """
    try:
        vector = np.array([float(v) for v in list_values(values)])
    except (TypeError, ValueError):
        raise DamagedImageError(f"with damaged {name}") from None
    if vector.shape != (count,) or not (np.abs(vector) <= geometry.MAX_COORDINATE_MM).all():
        raise DamagedImageError(f"with damaged {name}")
    return vector


def parse_orientation(values: Any) -> tuple[np.ndarray, str]:
    """(6,) float64 ImageOrientationPatient, made perpendicular where rounding left it not quite, and a note on that.

    Raises:
        DamagedImageError: not six finite numbers, a direction of length zero, or rows far from perpendicular to
            columns.
    """
    orientation = parse_vector(values, 6, "ImageOrientationPatient")
    try:
        row, column = geometry.slice_directions(orientation)
    except GeometryError as error:
        raise DamagedImageError(f"with {str(error).partition(' (')[0]}") from None
    cosine = abs(geometry.cosine(orientation[:3], orientation[3:]))
    if cosine <= geometry.ORTHOGONAL_COSINE:
        return orientation, ""
    return np.concatenate([row, column]), (
        f"rows and columns are not quite perpendicular (cosine {cosine:.2g}); directions corrected"
    )


def parse_pixel_spacing(values: Any) -> tuple[float, float]:
    """PixelSpacing: mm between rows, mm between columns; zero is left for the geometry to refuse."""
    rows, columns = parse_vector(values, 2, "PixelSpacing")
    return abs(float(rows)), abs(float(columns))


def decode_text(value: Any) -> str:
    """The one value of an element of plain text, whose bytes may not have been decoded yet; empty where absent."""
    return (value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")).strip(" \0")


def make_hashable(value: Any) -> Any:
    """The value with lists turned into tuples of text, so that it can be compared and used as a key."""
    if isinstance(value, tuple | list | pydicom.multival.MultiValue):
        return tuple(make_hashable(v) for v in value)
    return None if value is None else str(value)
