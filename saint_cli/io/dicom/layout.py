"""Where the slices of a group lie along their normal, and which parts of the group could be volumes."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from saint_cli import geometry
from saint_cli.geometry import regularity
from saint_cli.io.dicom.slice_header import SliceHeader

ORIENTATION_TOLERANCE = 1e-3
"""Largest difference in a component of ImageOrientationPatient between slices of one stack (rounding in DS)."""

SPACING_TOLERANCE = 1e-3
"""Largest relative difference of PixelSpacing between slices of one stack."""

INTERLEAVED_GAP_RATIO = 1.5
"""Parts lie between each other, instead of continuing each other, where their gaps exceed those of the whole this many
times."""

SliceList = list[SliceHeader]


def are_parallel(first: SliceHeader, second: SliceHeader) -> bool:
    """Whether two slices have one orientation and one pixel spacing."""
    same_spacing = np.allclose(first.pixel_spacing, second.pixel_spacing, rtol=SPACING_TOLERANCE, atol=0)
    return bool(same_spacing and np.abs(first.orientation - second.orientation).max() <= ORIENTATION_TOLERANCE)


def overlap(first: tuple[float, float], second: tuple[float, float], margin: float = 0.0) -> bool:
    """Whether two ranges (lowest, highest) share more than ``margin``."""
    return first[0] < second[1] - margin and second[0] < first[1] - margin


class Layout:
    """Slices by their position along the normal.

    along: (n,) float64 mm; position: (n,) int, number of each slice's position; both in the order of ``slices``.
    A *part* is a list of some of the slices.
    """

    def __init__(self, slices: Sequence[SliceHeader]) -> None:
        self.slices = list(slices)
        first = self.slices[0]
        positions = np.array([header.position for header in self.slices])
        self.along = geometry.positions_along_normal(positions, first.orientation)
        self.pixel_mm = min(first.pixel_spacing)
        self.position = regularity.number_positions(self.along, self.pixel_mm)
        normal = np.cross(*geometry.slice_directions(first.orientation))
        self.units_mm = regularity.printed_units_mm(positions, normal)
        self._index = {id(header): i for i, header in enumerate(self.slices)}

    @cached_property
    def counts(self) -> np.ndarray:
        """(positions,) int: slices at each position."""
        return np.bincount(self.position)

    @property
    def repeats(self) -> bool:
        """Whether a position holds more than one slice."""
        return bool(self.counts.max() > 1)

    @property
    def unit_mm(self) -> float:
        """The smallest unit that positions are printed in, along the normal; 0 where there is none."""
        return float(self.units_mm.min())

    @cached_property
    def gap(self) -> float:
        """The common gap between neighbouring positions, mm."""
        return self.gap_of_part(self.slices)

    @cached_property
    def is_even(self) -> bool:
        """Whether every position lies on one regular sequence, of which some may be missing."""
        return self.is_regular(self.slices) or self.is_even_with_gaps(self.slices)

    def indices(self, part: SliceList) -> list[int]:
        """Where slices of a part lie in ``slices``, in the order of the part."""
        return [self._index[id(header)] for header in part]

    def _first_indices(self, part: SliceList) -> np.ndarray:
        """Indices of the first slice of a part at each of its positions, ascending along the normal."""
        indices = np.array(self.indices(part))
        _, firsts = np.unique(self.position[indices], return_index=True)
        return np.asarray(indices[firsts])

    def positions_of_part(self, part: SliceList) -> np.ndarray:
        """(n,) int: the position numbers of a part, in its order."""
        return self.position[self.indices(part)]

    def positions_mm(self, part: SliceList) -> np.ndarray:
        """The positions of a part, ascending, each once; mm."""
        return np.asarray(self.along[self._first_indices(part)])

    def ends_mm(self, part: SliceList) -> tuple[float, float]:
        """The lowest and the highest position of a part, mm."""
        positions = self.positions_mm(part)
        return positions[0], positions[-1]

    def gap_of_part(self, part: SliceList) -> float:
        """The common gap between neighbouring positions of a part, mm."""
        return regularity.find_common_gap(np.diff(self.positions_mm(part)), self.unit_mm)

    def is_regular(self, part: SliceList) -> bool:
        """Whether the positions of a part are evenly spaced."""
        firsts = self._first_indices(part)
        enough = len(firsts) >= regularity.MIN_SLICES
        return enough and regularity.is_regular(self.along[firsts], self.units_mm[firsts])

    def is_even_with_gaps(self, part: SliceList) -> bool:
        """Whether the positions of a part are evenly spaced but for some that are missing."""
        return regularity.is_even_with_gaps(self.positions_mm(part), self.unit_mm)

    def covers(self, part: SliceList) -> bool:
        """Whether a part has a slice at every position."""
        return len(np.unique(self.positions_of_part(part))) == len(self.counts)

    def has_no_repeats(self, part: SliceList) -> bool:
        """Whether a part has at most one slice at each position."""
        return len(np.unique(self.positions_of_part(part))) == len(part)

    def is_volume(self, part: SliceList) -> bool:
        """Whether a part is a complete volume: each position once, all of them or an evenly spaced sequence."""
        if not self.has_no_repeats(part):
            return False
        return (self.repeats and self.covers(part)) or self.is_regular(part)

    def are_interleaved(self, parts: Sequence[SliceList]) -> bool:
        """Whether parts of slices that share no position lie between each other, each evenly spaced by itself."""
        if not all(map(self.is_even_with_gaps, parts)):
            return False
        ends = [self.ends_mm(part) for part in parts]
        if not any(overlap(a, b) for i, a in enumerate(ends) for b in ends[i + 1 :]):
            return False
        return not self.is_even or all(self.gap_of_part(part) > INTERLEAVED_GAP_RATIO * self.gap for part in parts)


def is_single_volume(slices: Sequence[SliceHeader]) -> bool:
    """Whether slices are one evenly spaced volume."""
    if len(slices) < regularity.MIN_SLICES:
        return False
    layout = Layout(slices)
    return not layout.repeats and layout.is_regular(layout.slices)
