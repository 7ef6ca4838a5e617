"""How far apart the slices are that labels were drawn on, and which of them each plane with labels lies on."""

import math
from dataclasses import dataclass

import numpy as np

from saint_cli import geometry
from saint_cli.errors import GeometryError
from saint_cli.errors.plain_text import list_first
from saint_cli.volume import Volume

SLICE_TOLERANCE = 0.1
"""Of the distance between slices: how far a plane may lie from its slice. Positions are printed with few decimals."""

MAX_SHOWN = 5
"""Positions that a message lists."""


@dataclass(frozen=True)
class AcquiredSlices:
    """Acquired slices of which a finer scan was made: some of them, with the last.

    positions: (n, 3) float64, LPS mm of a point of each. ranks: (n,) ascending, the number of each among all.
    """

    positions: np.ndarray
    ranks: np.ndarray


@dataclass(frozen=True)
class Origin:
    """What is known of the scan that labels were drawn on.

    names_scan: the file of the labels names slices of the scan. names_source: those that the scan was made of.
    is_own: nothing speaks for another scan than the one given. acquired: slices that the scan was made of.
    """

    names_scan: bool = False
    names_source: bool = False
    is_own: bool = False
    acquired: AcquiredSlices | None = None


@dataclass(frozen=True)
class ScanGrid:
    """The grid of a scan, 4x4 float64 in LPS mm, and its shape; the z axis runs from slice to slice."""

    affine_lps: np.ndarray
    shape: tuple[int, int, int]

    @classmethod
    def across(cls, volume: Volume, normal: np.ndarray) -> "ScanGrid":
        """The grid of a volume whose axes are ordered so that z is the one along which slices lie behind each other.

        normal: (3,) of planes that are slices of it, in LPS.

        Raises:
            GeometryError: its slices are unevenly spaced.
        """
        if volume.header.slice_positions:
            raise GeometryError("the slices of the scan are unevenly spaced; labels need a scan with even ones")
        x, y, z = volume.affine_lps[:3, :3].T
        normals = np.array([np.cross(y, z), np.cross(z, x), np.cross(x, y)])
        axis = int(np.abs(normals @ normal / np.linalg.norm(normals, axis=1)).argmax())
        order = [*(i for i in range(3) if i != axis), axis]
        first, second, third = (volume.shape[i] for i in order)
        return cls(volume.affine_lps[:, [*order, 3]], (first, second, third))

    def to_indices(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) voxel indices of points (n, 3) in LPS mm."""
        return np.asarray(np.linalg.solve(self.affine_lps[:3, :3], (points - self.affine_lps[:3, 3]).T).T)


@dataclass(frozen=True)
class Steps:
    """Even steps along a line: the first, the length of a step, how many there are, and the step of each value."""

    start: float
    step: float
    count: int
    indices: np.ndarray


def find_steps(places: np.ndarray, distance: float | None, scan: ScanGrid, origin: Origin) -> Steps:
    """Even steps through places in slices of the scan, from its first slice to its last and as far as places go.

    Where steps are acquired slices, the last of them counts too, which may lie beyond the scan that was made of them.
    """
    step, start = _choose_step(places, distance, scan, origin)
    step, last = _snap(step, np.ptp(places)), float(scan.shape[2] - 1)
    unit = min(1.0, step)
    nearest = round(start / unit) * unit
    if abs(start - nearest) <= SLICE_TOLERANCE * unit and (step == round(step) or 1 / step == round(1 / step)):
        start = nearest
    indices = np.rint((places - start) / step)
    off = np.abs(places - start - indices * step) > SLICE_TOLERANCE * step
    if step == 1:
        off |= ~_on_slices(places, scan)
    if off.any():
        raise _misplaced_error(places[off], scan)
    if origin.acquired is not None and step > 1:
        last = max(last, float(scan.to_indices(origin.acquired.positions)[:, 2].max()))
    low = min(int(indices.min()), -math.floor(start / step + SLICE_TOLERANCE))
    high = max(int(indices.max()), math.floor((last - start) / step + SLICE_TOLERANCE))
    return Steps(start + low * step, step, high - low + 1, (indices - low).astype(int))


def _choose_step(places: np.ndarray, distance: float | None, scan: ScanGrid, origin: Origin) -> tuple[float, float]:
    """The distance between the slices that planes were drawn on, in slices of the scan, and the place of one of them.

    From what the files say, else from planes that follow each other without gaps.

    Raises:
        GeometryError: they do not say it, and planes are too far apart to tell; or the slices are uneven.
    """
    start = float(places.min())
    if origin.names_scan:
        return 1.0, start
    stated = _fit_distance(places, distance)
    if not (stated and _is_one(stated)) or origin.names_source:
        acquired = _find_acquired(places, scan, origin)
        if acquired:
            return acquired
    if stated:
        if stated > 1 + SLICE_TOLERANCE and not origin.is_own and not _are_contiguous(places, stated):
            raise _unknown_distance_error("planes are missing between the labelled ones")
        return stated, start
    on_slices = _on_slices(places, scan)
    is_made = origin.acquired is not None
    if on_slices.all() and (origin.is_own or is_made):
        return 1.0, start
    least = _fit_distance(places, _least_gap(places))
    if least and (_is_one(least) or least < 1):
        return least, start
    if not on_slices.all():
        raise _misplaced_error(places[~on_slices], scan)
    raise _unknown_distance_error("neither file says how far apart the slices are that the labels were drawn on")


def _find_acquired(places: np.ndarray, scan: ScanGrid, origin: Origin) -> tuple[float, float] | None:
    """Distance and first place of the acquired slices that the scan was made of; None if planes lie on others.

    Raises:
        GeometryError: planes on acquired slices that are uneven, or on none though they are said to be.
    """
    if origin.acquired is None:
        return None
    known, ranks = np.sort(scan.to_indices(origin.acquired.positions)[:, 2]), origin.acquired.ranks
    step = float(np.ptp(known) / np.ptp(ranks))
    if step < SLICE_TOLERANCE:  # they follow each other along another axis
        return None
    if scan.to_indices(origin.acquired.positions[[0, -1]])[:, 2] @ [1, -1] > 0:
        ranks = ranks[-1] - ranks[::-1]
    tolerance = SLICE_TOLERANCE * min(1.0, step)
    is_even = bool((np.abs(known - known[0] - (ranks - ranks[0]) * step) <= SLICE_TOLERANCE * step).all())
    ideal = known[0] + np.rint((places - known[0]) / step) * step
    nearest = ideal if is_even else known[np.abs(places[:, None] - known).argmin(axis=1)]
    off = np.abs(places - nearest) > tolerance
    if off.any():
        if origin.names_source:
            raise _misplaced_error(places[off], scan)
        return None
    if not is_even:
        raise GeometryError(
            "the scan was made of unevenly spaced slices, on which these labels lie; labels need even ones: label the "
            "upsampled scan itself, or labels of an evenly spaced part of the thick scan"
        )
    return step, float(known[0])


def _on_slices(places: np.ndarray, scan: ScanGrid) -> np.ndarray:
    """Which places (n,) are those of slices of the scan."""
    nearest = np.rint(places)
    return np.asarray((np.abs(places - nearest) <= SLICE_TOLERANCE) & (nearest >= 0) & (nearest < scan.shape[2]))


def _is_one(step: float) -> bool:
    """Whether a step is one slice of the scan."""
    return abs(step - 1) <= SLICE_TOLERANCE


def _unknown_distance_error(reason: str) -> GeometryError:
    """The error of planes that may have been drawn on thicker slices than those of the scan."""
    return GeometryError(
        f"{reason}, and this scan may be finer; give the thick scan: `saint upsample THICK --labels ...`, or "
        "`saint labels ... --like THICK -o thick.nii.gz` first, then thick.nii.gz onto the fine scan"
    )


def _misplaced_error(places: np.ndarray, scan: ScanGrid) -> GeometryError:
    """The error of planes that lie on no slice of the scan."""
    distance = geometry.slice_distance_mm(scan.affine_lps, 2)
    shown = list_first([f"{place * distance:.6g}" for place in np.unique(np.round(places, 3))], MAX_SHOWN)
    return GeometryError(
        f"label planes at {shown} mm from the first slice lie on none of the scan's {scan.shape[2]} slices "
        f"({distance:.6g} mm apart); give the scan on which the labels were drawn"
    )


def find_distance(places: np.ndarray, distance: float | None) -> float | None:
    """Distance between neighbouring planes: ``distance`` if it fits all places, else the least gap."""
    return _fit_distance(places, distance) or _fit_distance(places, _least_gap(places))


def _fit_distance(places: np.ndarray, distance: float | None) -> float | None:
    """A distance, made exact by the places; None where places are no multiples of it apart."""
    if not distance or distance <= 0:
        return None
    distinct = _distinct(places, distance * SLICE_TOLERANCE)
    steps = (distinct - distinct[0]) / distance
    if np.abs(steps - np.rint(steps)).max() > SLICE_TOLERANCE:
        return None
    return float((distinct[-1] - distinct[0]) / np.rint(steps[-1])) if len(distinct) > 1 else distance


def _least_gap(places: np.ndarray) -> float | None:
    distinct = _distinct(places, 0)
    return float(np.diff(distinct).min()) if len(distinct) > 1 else None


def _are_contiguous(places: np.ndarray, distance: float) -> bool:
    """Whether no plane is missing between the first and the last."""
    distinct = _distinct(places, distance * SLICE_TOLERANCE)
    return round(float(np.ptp(distinct)) / distance) == len(distinct) - 1


def _distinct(places: np.ndarray, tolerance: float) -> np.ndarray:
    """The places without repetitions, ascending; those within ``tolerance``, or a thousandth of all, are one."""
    ordered = np.sort(places)
    least = max(tolerance, 1e-3 * float(np.ptp(places)) / max(1, len(places)), 1e-6)
    return np.asarray(ordered[np.concatenate([[True], np.diff(ordered) > least])])


def _snap(step: float, extent: float) -> float:
    """A step as a whole number of slices, or a slice as a whole number of steps, where rounding hides that."""
    for exact in (float(round(step)), 1 / max(1, round(1 / step))):
        if exact > 0 and abs(step - exact) * max(1.0, extent / step) <= SLICE_TOLERANCE * exact:
            return exact
    return step
