"""Where output slices lie: by a whole factor, or by a wanted spacing."""

import math
from dataclasses import dataclass, replace

import numpy as np

from saint_cli.errors import UsageError
from saint_cli.geometry.affine import refine_axis, slice_distance_mm
from saint_cli.geometry.slab_profile import SlabProfile
from saint_cli.geometry.slice_stack import require_two_slices

MIN_FACTOR, MAX_FACTOR = 2, 16
"""Slices per acquired one; the networks were trained up to the largest."""

ACQUIRED_TOLERANCE = 1e-4
"""Fraction of the input spacing within which an output slice counts as the acquired slice itself (0.5 um at 5 mm)."""

UNEVEN_TOLERANCE = 0.005
"""The same for an uneven stack, whose positions are printed with few digits: as much as ``SNAP_FRACTION`` moves slices
of an even one (15 um at 3 mm)."""

STEP_TOLERANCE = 0.01
"""Of a thin slice that may lie beyond the outer slabs."""

SNAP_FRACTION = 0.005
"""How far the last slice may move, in acquired spacings, for a wanted spacing to count as a whole fraction of them."""


@dataclass(frozen=True)
class SliceGrid:
    """Where the output slices lie along the through-plane axis, in units of the input spacing.

    Output slice j lies ``origin + j * step`` input spacings from acquired slice 0. positions: where the acquired slices
    of an uneven stack lie, ascending from 0, in units of its commonest gap; None where they are 0, 1, 2, ... A step
    above 1 is coarser than an even input: every output slice is the mean of a slab of ``step`` acquired ones.
    slab: the profile of acquired slices, in input spacings, where thin slices are to be made of slabs: then none of
    these is kept, and output slices begin before the first and end beyond the last one's middle.
    """

    axis: int
    acquired: int
    step: float
    count: int
    origin: float = 0.0
    positions: tuple[float, ...] | None = None
    slab: SlabProfile | None = None

    @property
    def averages(self) -> bool:
        """Whether output slices are means of several acquired ones, so that none of these is kept."""
        return self.step > 1 + ACQUIRED_TOLERANCE

    @property
    def is_same(self) -> bool:
        """Whether the output slices are the acquired ones, as where slices are only resampled in their plane."""
        return self.positions is None and self.step == 1 and self.count == self.acquired

    @property
    def needs_networks(self) -> bool:
        """Whether slices lie between acquired ones."""
        return not (self.averages or self.is_same)

    @property
    def gaps(self) -> np.ndarray:
        """(acquired - 1,) float64 distances between neighbouring acquired slices, in input spacings."""
        return np.ones(self.acquired - 1) if self.positions is None else np.diff(self.positions)

    @property
    def places(self) -> np.ndarray:
        """(count,) float64 where the output slices lie, in input spacings from acquired slice 0."""
        return self.origin + np.arange(self.count) * self.step

    @property
    def slab_weights(self) -> np.ndarray:
        """(acquired, count) float64: the part of each output slice in each slab; rows sum to 1. Only with ``slab``."""
        assert self.slab is not None
        return self.slab.weigh(np.arange(self.acquired) - self.places[0], self.step, self.count)

    @property
    def kept(self) -> np.ndarray:
        """(count,) bool, which output slices lie at an acquired one, and are not means of several, nor parts of it."""
        is_none = self.averages or self.slab is not None
        return np.zeros(self.count, bool) if is_none else np.asarray(self.locate()[1] == 0)

    @property
    def extrapolated(self) -> np.ndarray:
        """(count,) bool, which output slices lie beyond the last acquired one, and in no slab."""
        window, offset = self.locate()
        return np.asarray((window == self.acquired - 1) & (offset > 0))

    def output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Voxels of the output volume along x, y, z, of an input of ``shape``."""
        x, y, z = (self.count if axis == self.axis else n for axis, n in enumerate(shape))
        return x, y, z

    def locate(self) -> tuple[np.ndarray, np.ndarray]:
        """Window and offset of every output slice.

        Returns ``window`` (count,) int, index of the acquired slice at or below, and ``offset`` (count,) float64
        t in [0, 1), in parts of the gap above it: 0 exactly where the output slice is an acquired one. Extrapolated
        slices have the last acquired slice as their window. Those before the first acquired slice count as lying at it,
        and with ``slab`` those beyond the last one at that.
        """
        if self.positions is not None:
            return self._locate_uneven()
        position = np.clip(self.places, 0, None if self.slab is None else self.acquired - 1)
        nearest = np.rint(position)
        position = np.where(np.abs(position - nearest) < ACQUIRED_TOLERANCE, nearest, position)
        window = np.minimum(np.floor(position).astype(int), self.acquired - 1)
        return window, position - window

    def _locate_uneven(self) -> tuple[np.ndarray, np.ndarray]:
        acquired, places = np.array(self.positions), self.places
        window = np.clip(np.searchsorted(acquired, places + UNEVEN_TOLERANCE, "right") - 1, 0, self.acquired - 1)
        beyond = places - acquired[window]
        gaps = np.append(self.gaps, 1.0)[window]
        return window, np.where(np.abs(beyond) <= UNEVEN_TOLERANCE, 0.0, beyond / gaps)

    def find_nearest(self, place: float) -> int:
        """The acquired slice nearest to output slice ``place``, which may be a fraction."""
        at = self.origin + place * self.step
        if self.positions is None:
            return int(np.clip(round(at), 0, self.acquired - 1))
        return int(np.abs(np.array(self.positions) - at).argmin())

    def find_slabs_around(self, index: int) -> range:
        """The acquired slabs that thin slice ``index`` lies in, at least in part; only with ``slab``."""
        assert self.slab is not None
        at, reach = self.origin + index * self.step, self.slab.reach + self.step / 2 - ACQUIRED_TOLERANCE
        return range(max(0, math.ceil(at - reach)), min(self.acquired, math.floor(at + reach) + 1))

    def slab_thickness_mm(self, affine_lps: np.ndarray) -> float:
        """Of acquired slices with this affine, along their normal; only with ``slab``."""
        assert self.slab is not None
        return self.slab.thickness * slice_distance_mm(affine_lps, self.axis)

    def find_slab(self, index: int) -> range:
        """The acquired slices that output slice ``index`` is the mean of; only where ``averages``."""
        centre, half = self.origin + index * self.step, self.step / 2
        first = math.floor(centre - half + 0.5 + ACQUIRED_TOLERANCE)
        last = math.ceil(centre + half - 0.5 - ACQUIRED_TOLERANCE)
        return range(max(0, first), min(self.acquired, last + 1))

    def refine(self, affine_lps: np.ndarray) -> np.ndarray:
        """The affine of the output volume: the slice column times ``step``, its origin at output slice 0."""
        refined = refine_axis(affine_lps, self.axis, self.step)
        if self.origin:
            refined[:3, 3] += self.origin * affine_lps[:3, self.axis]
        return refined


def check_factor(factor: int) -> None:
    """Raise UsageError for a factor that no grid can have."""
    if not MIN_FACTOR <= factor <= MAX_FACTOR:
        raise UsageError(f"`factor={factor}` is outside {MIN_FACTOR}...{MAX_FACTOR}")


def grid_by_factor(acquired: int, axis: int, factor: int, *, extrapolate: bool = False) -> SliceGrid:
    """The grid of ``(acquired - 1) * factor + 1`` slices, or the paper's ``acquired * factor`` with ``extrapolate``.

    Raises:
        UsageError: factor outside 2...16.
        GeometryError: fewer than two acquired slices.
    """
    check_factor(factor)
    require_two_slices(acquired)
    count = acquired * factor if extrapolate else (acquired - 1) * factor + 1
    return SliceGrid(axis, acquired, 1 / factor, count)


def grid_by_spacing(acquired: int, axis: int, spacing: float, target: float, *, extrapolate: bool = False) -> SliceGrid:
    """The grid with ``target`` mm between slices, from acquired slice 0 up to at most the last acquired slice.

    ``spacing`` is the input's, mm. With ``extrapolate`` the grid goes on to less than one input spacing beyond.

    Raises:
        UsageError: target is not positive, not below the input spacing, finer than 1/16 of it, or so near to it that
            the grid would have no more slices than the input.
        GeometryError: fewer than two acquired slices.
    """
    if not (target > 0 and math.isfinite(target)):
        raise UsageError(f"`spacing_mm={target}` is not a positive distance in mm")
    if target >= spacing * (1 - ACQUIRED_TOLERANCE):
        raise UsageError(
            f"the target spacing {target:.4g} mm is not below the input's {spacing:.4g} mm; nothing to interpolate",
            nothing_to_do=True,
        )
    step = snap_step(target / spacing, acquired - 1)
    if step < 1 / MAX_FACTOR - ACQUIRED_TOLERANCE:
        raise UsageError(
            f"from {spacing:.4g} to {target:.4g} mm is a factor of {1 / step:.1f}; the finest is "
            f"`factor={MAX_FACTOR}`, or `spacing_mm={spacing / MAX_FACTOR:.4g}`"
        )
    require_two_slices(acquired)
    end = acquired - ACQUIRED_TOLERANCE if extrapolate else acquired - 1 + ACQUIRED_TOLERANCE
    count = int(end / step) + 1
    if count <= acquired:
        raise UsageError(
            f"{acquired} slices {spacing:.4g} mm apart become {count} at {target:.4g} mm, no more than there are; "
            "give `factor`, or a smaller `spacing_mm`",
            nothing_to_do=True,
        )
    return SliceGrid(axis, acquired, step, count)


def snap_step(step: float, extent: float) -> float:
    """1/n where that moves no slice of a stack of this extent by more than ``SNAP_FRACTION``: headers round spacings.

    Both in distances between acquired slices, the commonest one where they differ.
    """
    n = round(1 / step)
    return 1 / n if abs(1 - n * step) * extent <= SNAP_FRACTION else step


def grid_by_averaging(acquired: int, axis: int, spacing: float, target: float) -> SliceGrid:
    """The grid with ``target`` mm between slices of an even stack that is finer, ``spacing`` mm: means of slabs.

    The slabs begin at the outer face of the first acquired slice, and only whole ones count.

    Raises:
        UsageError: fewer than two slabs.
    """
    ratio = target / spacing
    if abs(ratio - round(ratio)) * acquired / round(ratio) <= SNAP_FRACTION:
        ratio = float(round(ratio))
    count = int(acquired / ratio + ACQUIRED_TOLERANCE)
    if count < 2:
        raise UsageError(
            f"{acquired} slices {spacing:.4g} mm apart make {count} of {target:.4g} mm; the coarsest is "
            f"`spacing_mm={math.floor(1e3 * spacing * acquired / 2) / 1e3:g}`"
        )
    return SliceGrid(axis, acquired, ratio, count, (ratio - 1) / 2)


def grid_of_slabs(grid: SliceGrid, profile: SlabProfile) -> SliceGrid:
    """Thin slices as near together as those of ``grid``, between the outer faces of the first and the last slab.

    profile: of the acquired slices, in input spacings. With a whole factor, slabs that touch each other are means of as
    many thin slices. What is left over of a length that is no multiple of the step is left out at both ends.
    """
    length = grid.acquired - 1 + max(profile.thickness, grid.step)  # no slab is thinner than a thin slice
    count = max(2, int(length / grid.step + STEP_TOLERANCE))
    origin = (grid.acquired - 1 - (count - 1) * grid.step) / 2
    return replace(grid, count=count, origin=origin, slab=profile)


def same_grid(acquired: int, axis: int) -> SliceGrid:
    """The grid of the acquired slices themselves."""
    return SliceGrid(axis, acquired, 1.0, acquired)
