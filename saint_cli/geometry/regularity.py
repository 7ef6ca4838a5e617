"""Whether slice positions along their normal are evenly spaced, relative to their spacing; what is wrong where not."""

import numpy as np

from saint_cli.errors import GeometryError
from saint_cli.errors.plain_text import format_count, list_first

REGULAR_FRACTION = 0.02
"""How far a gap may lie from the mean gap, in mean gaps: scanners that print positions with one decimal reach 1 % of
a 7 mm gap, and highdicom's 1 % limit refuses them."""

ROUNDED_FRACTION = 0.25
"""How far where printed digits explain it: 0.625 mm printed with one decimal gives gaps of 0.6 and 0.7 mm."""

SAME_POSITION_PIXELS = 0.02
"""Slices nearer than this are one position, in pixel spacings: the finest overlapping reconstructions step a tenth."""

SAME_POSITION_GAPS = 0.05
"""The same in typical gaps, for stacks whose slices are far finer than their pixels."""

NO_DISTANCE_MM = 1e-6
"""Slices nearer than this are at one position, however fine their pixels; rounding of printed positions is coarser."""

SURPLUS_GAP_FRACTION = 0.5
"""A gap below this part of the common one is a slice too many, not a slice that moved."""

MULTIPLE_TOLERANCE = 0.1
"""How far a gap may lie from a whole multiple of the common one to count as slices that are missing."""

MISPRINT_MM = 2e-4
"""Error of a position of six digits, or of single precision: 115.6 becomes 115.600006."""

MIN_SLICES = 3
"""Slices of the shortest sequence whose spacing means anything: two lie at one distance wherever they are."""

MAX_SHOWN = 3
"""Positions and gaps that a message lists."""


def printed_units_mm(positions: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """How far digits that were not printed may move each position along ``direction``, (n,) mm.

    positions: (n, 3) float64 mm, as printed; direction: (3,) of length one. The unit of a value is the largest of
    0.1, 0.01, ... 1e-6 mm of which its distance from the first slice is a whole multiple (scanners round where the
    centre of a slice lies, not its corner); 0 where none is, or where all slices share the value.
    """
    apart = positions - positions[np.argmin(positions @ direction)]
    units = np.zeros(positions.shape)
    for digits in range(6, 0, -1):
        unit = 10.0**-digits
        units[np.abs(apart - apart.round(digits)) <= min(0.01 * unit, MISPRINT_MM)] = unit
    units[:, np.ptp(positions, axis=0) < 1e-6] = 0
    return np.asarray(units @ np.abs(direction))


def tolerance_mm(gap: float, unit: float) -> float:
    """How far a gap may lie from ``gap`` mm and count as equal; ``unit`` is the smallest of the printed ones."""
    return max(REGULAR_FRACTION * gap, min(unit, ROUNDED_FRACTION * gap)) + 1e-9


def same_position_mm(positions: np.ndarray, pixel: float) -> float:
    """Distance along the normal below which slices share one position; ``pixel`` is the smaller pixel spacing."""
    gaps = np.diff(np.sort(positions))
    limit = SAME_POSITION_PIXELS * pixel
    apart = gaps[gaps > NO_DISTANCE_MM]
    if len(apart) and gaps.max() < limit:
        return min(limit, SAME_POSITION_GAPS * float(np.median(apart)))
    return limit


def number_positions(positions: np.ndarray, pixel: float) -> np.ndarray:
    """(n,) int: number of each slice's position, counted along the normal; those of one position share a number."""
    order = np.argsort(positions, kind="stable")
    place = np.empty(len(positions), dtype=int)
    apart = np.diff(positions[order]) >= same_position_mm(positions, pixel)
    place[order] = np.concatenate([[0], np.cumsum(apart)])
    return place


def find_common_gap(gaps: np.ndarray, unit: float) -> float:
    """The smallest gap that at least two and a quarter of the gaps share; the smallest of all where none is shared."""
    ordered = np.sort(gaps)
    for gap in ordered:
        alike = ordered[np.abs(ordered - gap) <= tolerance_mm(gap, unit)]
        if len(alike) >= max(2, len(gaps) / 4):
            return float(alike.mean())
    return float(ordered[0])


def is_regular(positions: np.ndarray, units: np.ndarray) -> bool:
    """Whether ascending positions are evenly spaced, to ``REGULAR_FRACTION`` or to the digits that were printed.

    positions: (n,) float64 mm; units: (n,) mm, see :func:`printed_units_mm`.
    """
    gaps = np.diff(positions)
    mean = float(gaps.mean())
    worst = float(np.abs(gaps - mean).max())
    if worst <= REGULAR_FRACTION * mean:
        return True
    astray = np.abs(positions - np.linspace(positions[0], positions[-1], len(positions)))
    return bool(worst <= ROUNDED_FRACTION * mean + 1e-9 and (astray <= units + 1e-9).all())


def is_even_with_gaps(positions: np.ndarray, unit: float) -> bool:
    """Whether ascending positions are those of a regular sequence of which slices may be missing."""
    if len(positions) < MIN_SLICES:
        return False
    gaps = np.diff(positions)
    smallest = find_common_gap(gaps, unit)
    times = np.rint(gaps / smallest)
    return bool((times >= 1).all() and (np.abs(gaps - times * smallest) <= times * tolerance_mm(smallest, unit)).all())


def find_interleaved(positions: np.ndarray, units: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The two regular sequences of one spacing that uneven positions are made of, as (n,) bool masks; None if not.

    positions: (n,) float64 mm, ascending, no position twice; units: see :func:`is_regular`. Both sequences have at
    least ``MIN_SLICES`` slices.
    """
    if len(positions) < 2 * MIN_SLICES:
        return None
    gaps, unit = np.diff(positions), float(units.min())
    candidates = np.unique(np.concatenate([gaps, gaps[1:] + gaps[:-1]]).round(9))
    for step in candidates[candidates > NO_DISTANCE_MM]:
        distance = (positions - positions[0]) / step
        limit = tolerance_mm(step, unit)
        first = np.abs(distance - np.rint(distance)) * step <= limit * np.maximum(1, np.rint(distance)).clip(max=2)
        if not MIN_SLICES <= first.sum() <= len(positions) - MIN_SLICES:
            continue
        one, other = positions[first], positions[~first]
        if is_regular(one, units[first]) and is_regular(other, units[~first]):
            steps = [float(np.diff(part).mean()) for part in (one, other)]
            if abs(steps[0] - steps[1]) <= limit and one[-1] > other[0] + step / 2 and other[-1] > one[0]:
                return first, ~first
    return None


def require_regular(positions: np.ndarray, units: np.ndarray, pixel: float) -> None:
    """Refuse ascending positions (n,) mm that are not evenly spaced; ``pixel`` as in :func:`same_position_mm`.

    Raises:
        GeometryError: several slices at one position, slices too many, missing, or unevenly spaced; the message
            names the places along the normal.
    """
    require_distinct(positions, pixel)
    if not is_regular(positions, units):
        raise GeometryError(_explain_irregular(positions, units))


def require_distinct(positions: np.ndarray, pixel: float) -> None:
    """Refuse ascending positions (n,) mm of which some are the same; ``pixel`` as in :func:`same_position_mm`.

    Raises:
        GeometryError: the message names the positions.
    """
    gaps = np.diff(positions)
    repeated = positions[1:][gaps < same_position_mm(positions, pixel)]
    if len(repeated) == len(gaps) > 1:
        raise GeometryError(
            f"{len(positions)} slices at one position ({positions[0]:.6g} mm along the normal); nothing lies between "
            "them"
        )
    if len(repeated):
        places = list_first([f"{place:.6g}" for place in repeated], MAX_SHOWN)
        raise GeometryError(
            f"duplicated slices at {places} mm along the normal, and their images differ; remove those that do not "
            "belong"
        )


def _explain_irregular(positions: np.ndarray, units: np.ndarray) -> str:
    """What is wrong with uneven positions, and what to do."""
    gaps, unit = np.diff(positions), float(units.min())
    extent = f"gaps of {gaps.min():.4g} to {gaps.max():.4g} mm"
    both = find_interleaved(positions, units)
    if both is not None:
        counts = [int(mask.sum()) for mask in both]
        step = float(np.diff(positions[both[0]]).mean())
        return (
            f"slices are unevenly spaced ({extent}): either two scans of {counts[0]} and {counts[1]} slices, both "
            f"{step:.4g} mm apart, that lie between each other, or one scan whose spacing changes; separate them if "
            "they are two"
        )
    expected = find_common_gap(gaps, unit)
    odd = np.flatnonzero(np.abs(gaps - expected) > tolerance_mm(expected, unit))
    if len(odd) > len(gaps) / 2:
        shared = len(gaps) - len(odd)
        where = f"{extent}, of which {shared} are {expected:.4g} mm"
        return f"slices are missing or unevenly spaced: {where}; look for missing slices"
    if not len(odd):
        odd = np.array([np.abs(gaps - gaps.mean()).argmax()])
    places = [f"{gaps[i]:.4g} mm between {positions[i]:.6g} and {positions[i + 1]:.6g}" for i in odd]
    where = f"{list_first(places, MAX_SHOWN, '; ')}, expected {expected:.4g} mm"
    if (gaps[odd] < SURPLUS_GAP_FRACTION * expected).any():
        return f"slices are unevenly spaced, some too close together: {where}; remove the slices that do not belong"
    times = gaps[odd] / expected
    if (np.abs(times - np.rint(times)) > MULTIPLE_TOLERANCE).any() or np.rint(times).min() < 2:
        return f"slices are missing or unevenly spaced: {where}; look for missing slices"
    count = int((np.rint(times) - 1).sum())
    return f"slices are missing: {where}: {format_count(count, 'slice')} missing; add the missing slices"
