"""Where the slices of a group lie along their normal, and which parts of it could be volumes."""

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np

from saint_cli import geometry, regularity
from saint_cli.io.dicom_slice import TIME_KEYS, SliceHeader

PARALLEL = 1e-3
"""Largest difference in a component of ImageOrientationPatient between slices of one stack (rounding in DS)."""

SAME_SPACING = 1e-3
"""Largest relative difference of PixelSpacing between slices of one stack."""

DAY_S = 86400.0

Part = list[SliceHeader]

FINER = 1.5
"""A part whose gaps exceed those of the whole this many times lies between other parts, it does not continue them."""


def value_of(one: SliceHeader, key: tuple[str, ...]) -> Any:
    """The value of a slice's attributes, so that 80 and 80.0 are equal; None where absent or empty."""
    return _plain(one.value(key))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        found = tuple(_plain(v) for v in value)
        return None if all(v is None for v in found) else found
    if value in (None, ""):
        return None
    try:
        return round(float(value), 4)
    except ValueError:
        return value.strip()


def seconds(one: SliceHeader, key: tuple[str, ...]) -> float | None:
    """A time or a number by which slices are put in order; None where absent or damaged.

    DICOM times (HHMMSS.F) and times with dates (YYYYMMDDHHMMSS.F) are told by their keyword; PS3.5 section 6.2.
    """
    value = value_of(one, key)
    value = value[0] if isinstance(value, tuple) else value
    if value is None:
        return None
    text = str(one.value(key)[0])
    if key in TIME_KEYS and key != ("FrameReferenceTime",):
        text = text.partition("+")[0].partition("-")[0].replace(":", "")
        whole, _, fraction = text.partition(".")
        clock = whole[8:] if is_dated(key) else whole
        if not clock.isdecimal() or len(clock) not in (4, 6):
            return None
        hours, minutes, rest = int(clock[:2]), int(clock[2:4]), int(clock[4:] or 0)
        days = _day(whole[:8]) if is_dated(key) else 0
        return (
            None
            if days is None
            else days * DAY_S + hours * 3600.0 + minutes * 60.0 + rest + float(f"0.{fraction or 0}")
        )
    return value if isinstance(value, float) else None


def _day(text: str) -> int | None:
    """The number of a day, YYYYMMDD; None where there is no such day."""
    try:
        return datetime.strptime(text, "%Y%m%d").toordinal()
    except ValueError:
        return None


def is_dated(key: tuple[str, ...]) -> bool:
    """Whether the values of a key are times with dates."""
    return "DateTime" in key[0]


def is_clock(key: tuple[str, ...]) -> bool:
    """Whether the values of a key are times of day, which start anew at midnight."""
    return key in TIME_KEYS and not is_dated(key) and key != ("FrameReferenceTime",)


def are_parallel(one: SliceHeader, other: SliceHeader) -> bool:
    """Whether two slices have one orientation and one pixel spacing."""
    same_spacing = np.allclose(one.pixel_spacing, other.pixel_spacing, rtol=SAME_SPACING, atol=0)
    return bool(same_spacing and np.abs(one.orientation - other.orientation).max() <= PARALLEL)


class Layout:
    """Slices by their position along the normal.

    along: (n,) float64 mm; place: (n,) int, number of each slice's position; both in the order of ``slices``.
    """

    def __init__(self, slices: Sequence[SliceHeader]) -> None:
        self.slices = list(slices)
        first = self.slices[0]
        positions = np.array([s.position for s in self.slices])
        self.along = geometry.positions_along_normal(positions, first.orientation)
        self.pixel = min(first.pixel_spacing)
        self.place = regularity.place_numbers(self.along, self.pixel)
        normal = np.cross(*geometry.slice_directions(first.orientation))
        self.units = regularity.printed_units_mm(positions, normal)
        self._index = {id(one): i for i, one in enumerate(self.slices)}

    @cached_property
    def visits(self) -> np.ndarray:
        """(positions,) int: slices at each position."""
        return np.bincount(self.place)

    @property
    def repeats(self) -> bool:
        """Whether a position holds more than one slice."""
        return bool(self.visits.max() > 1)

    @property
    def unit(self) -> float:
        """The smallest unit that positions are printed in, mm along the normal; 0 where there is none."""
        return float(self.units.min())

    @cached_property
    def gap(self) -> float:
        """The common gap between neighbouring positions, mm."""
        return self.gap_of(self.slices)

    @cached_property
    def is_even(self) -> bool:
        """Whether every position lies on one regular sequence, of which some may be missing."""
        return self.is_regular(self.slices) or self.is_comb(self.slices)

    def _firsts(self, part: Part) -> np.ndarray:
        """Indices of the first slice of a part at each of its positions, ascending along the normal."""
        index = np.array([self._index[id(one)] for one in part])
        _, firsts = np.unique(self.place[index], return_index=True)
        return np.asarray(index[firsts])

    def places(self, part: Part) -> np.ndarray:
        """(n,) int: the position numbers of some of the slices, in their order."""
        return self.place[[self._index[id(one)] for one in part]]

    def positions(self, part: Part) -> np.ndarray:
        """The positions of some of the slices, ascending, each once; mm."""
        return np.asarray(self.along[self._firsts(part)])

    def gap_of(self, part: Part) -> float:
        """The common gap between neighbouring positions of a part, mm."""
        return regularity.common_gap(np.diff(self.positions(part)), self.unit)

    def is_regular(self, part: Part) -> bool:
        """Whether the positions of a part are evenly spaced."""
        firsts = self._firsts(part)
        return len(firsts) >= regularity.FEWEST and regularity.is_regular(self.along[firsts], self.units[firsts])

    def is_comb(self, part: Part) -> bool:
        """Whether the positions of a part are evenly spaced but for some that are missing."""
        return regularity.is_comb(self.positions(part), self.unit)

    def covers(self, part: Part) -> bool:
        """Whether a part visits every position."""
        return len(np.unique(self.places(part))) == len(self.visits)

    def is_single(self, part: Part) -> bool:
        """Whether a part visits no position twice."""
        return len(np.unique(self.places(part))) == len(part)

    def is_volume(self, part: Part) -> bool:
        """Whether a part is a complete volume: each position once, all of them or an evenly spaced sequence."""
        if not self.is_single(part):
            return False
        if self.repeats and self.covers(part):
            return True
        return self.is_regular(part)

    def are_between(self, parts: Sequence[Part]) -> bool:
        """Whether parts of slices that share no position lie between each other, each evenly spaced by itself."""
        ends = [(p[0], p[-1]) for p in map(self.positions, parts)]
        if any(not self.is_comb(part) for part in parts):
            return False
        if not any(a[0] < b[1] and b[0] < a[1] for i, a in enumerate(ends) for b in ends[i + 1 :]):
            return False
        if not self.is_even:
            return True
        return all(self.gap_of(part) > FINER * self.gap for part in parts)
