"""Sharpness of edges across slices: how many mm a step between two tissues takes from 10 to 90 % of its height."""

import math
from dataclasses import dataclass

import numpy as np

MIN_STEP_HU = 250.0
"""Height of a step that counts: lung to soft tissue, soft tissue to bone; much more than noise."""

PLATEAU_SLICES = 2
"""Slices at either end of a profile whose mean is the level before and after the step."""

LEVEL_TOLERANCE = 0.15
"""Of the step: so far may the slices of a plateau differ."""

LOW, MIDDLE, HIGH = 0.1, 0.5, 0.9

FEWEST_EDGES = 50
"""With fewer profiles no width is given."""

MOST_EDGES = 20_000
"""Profiles that are measured, evenly drawn from all that were found."""


@dataclass(frozen=True)
class EdgeProfiles:
    """Where the truth has a step along the through-plane axis between two even levels.

    place: (edges, 3) x, y, and the first slice of each profile; length: slices of a profile; before, after: (edges,)
    levels, HU; spacing_mm: between slices.
    """

    place: np.ndarray
    length: int
    before: np.ndarray
    after: np.ndarray
    spacing_mm: float

    def measure_rise(self, slices_hu: np.ndarray) -> float | None:
        """Median distance, mm, between 10 and 90 % of the step in [X, Y, slices] HU; None with too few edges.

        The levels are the truth's. Each profile is followed from where it first reaches one half, to both sides.
        """
        x, y, first = self.place.T
        profiles = slices_hu[x[:, None], y[:, None], first[:, None] + np.arange(self.length)].astype(np.float32)
        heights = (profiles - self.before[:, None]) / (self.after - self.before)[:, None]
        rises = _measure_rises(heights)
        known = rises[np.isfinite(rises)]
        return float(np.median(known) * self.spacing_mm) if len(known) >= FEWEST_EDGES else None


def find_edges(truth_hu: np.ndarray, factor: float, spacing_mm: float) -> EdgeProfiles:
    """The steps of a truth that are wide enough apart for linear interpolation between every ``factor``-th slice.

    truth_hu: [X, Y, slices] HU; spacing_mm: between these slices.
    """
    reach = math.ceil(factor)
    length = 2 * (reach + PLATEAU_SLICES)
    places, levels = list[np.ndarray](), list[np.ndarray]()
    for first in range(truth_hu.shape[2] - length + 1):
        window = truth_hu[..., first : first + length].astype(np.float32)
        before, after = window[..., :PLATEAU_SLICES].mean(-1), window[..., -PLATEAU_SLICES:].mean(-1)
        step = after - before
        middle = length // 2
        centred = (window[..., middle - 1] - (before + after) / 2) * (window[..., middle] - (before + after) / 2) <= 0
        is_even = np.ones(step.shape, bool)
        for plateau in (window[..., : PLATEAU_SLICES + 1], window[..., -PLATEAU_SLICES - 1 :]):
            is_even &= np.ptp(plateau, axis=-1) <= LEVEL_TOLERANCE * np.abs(step)
        x, y = np.nonzero((np.abs(step) >= MIN_STEP_HU) & centred & is_even)
        places.append(np.stack([x, y, np.full_like(x, first)], 1))
        levels.append(np.stack([before[x, y], after[x, y]], 1))
    place = np.concatenate(places) if places else np.zeros((0, 3), int)
    level = np.concatenate(levels) if levels else np.zeros((0, 2), np.float32)
    drawn = np.unique(np.linspace(0, len(place) - 1, min(MOST_EDGES, len(place))).astype(int))
    return EdgeProfiles(place[drawn], length, level[drawn, 0], level[drawn, 1], spacing_mm)


def _measure_rises(heights: np.ndarray) -> np.ndarray:
    """(edges,) slices from ``LOW`` to ``HIGH`` of profiles (edges, slices) from 0 to 1; nan where not reached."""
    count, length = heights.shape
    index = np.arange(length)
    crossing = np.argmax(heights >= MIDDLE, axis=1)[:, None]
    above = heights >= HIGH
    below = (heights <= LOW) & (index < crossing)
    high = np.argmax(above, axis=1)
    low = length - 1 - np.argmax(below[:, ::-1], axis=1)
    is_known = above.any(1) & below.any(1)
    rows = np.arange(count)[is_known]
    rises = np.full(count, np.nan)
    high, low = high[is_known], low[is_known]
    upper = high - _fraction(heights[rows, high - 1], heights[rows, high], HIGH)
    lower = low + 1 - _fraction(heights[rows, low], heights[rows, low + 1], LOW)
    rises[is_known] = upper - lower
    return rises


def _fraction(below: np.ndarray, above: np.ndarray, level: float) -> np.ndarray:
    """How far before ``above`` a line from ``below`` to it crosses a level, slices."""
    result: np.ndarray = (above - level) / (above - below)
    return result
