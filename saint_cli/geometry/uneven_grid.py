"""The regular grid that slices at uneven distances are interpolated onto, gap by gap."""

import math

import numpy as np

from saint_cli.errors import GeometryError, UsageError
from saint_cli.errors.plain_text import list_first
from saint_cli.geometry.affine import find_normal, slice_distance_mm, spacing_mm
from saint_cli.geometry.slice_grid import ACQUIRED_TOLERANCE, MAX_FACTOR, UNEVEN_TOLERANCE, SliceGrid, snap_step

MAX_GAP_MM = 12.0
"""Wider gaps are not interpolated: too much anatomy lies within one, and the networks were trained up to about that."""

MAX_SHOWN_GAPS = 3
"""Gaps that a message lists."""


def grid_of_uneven(positions: tuple[float, ...], axis: int, affine_lps: np.ndarray, target_mm: float) -> SliceGrid:
    """The grid with ``target_mm`` between slices that meets as many acquired slices of an uneven stack as possible.

    positions: of the acquired slices, ascending from 0, in units of the affine's step along ``axis``, which is the
    commonest gap. The grid lies between the first and the last of them; of phases that meet as many, the least counts.

    Raises:
        GeometryError: a gap wider than ``MAX_GAP_MM``; the message names it by its positions along the normal.
        UsageError: a target coarser than the commonest gap, or a gap that would hold more than 16 output slices.
    """
    spacing = spacing_mm(affine_lps)[axis]
    if target_mm > spacing * (1 + ACQUIRED_TOLERANCE):
        raise UsageError(
            f"the target spacing {target_mm:.4g} mm is coarser than the commonest gap of these uneven slices, "
            f"{spacing:.4g} mm; make them even first with `irregular=True` and `spacing_mm={spacing:.4g}`, then "
            "average the result with the coarser `spacing_mm`"
        )
    places, step = np.array(positions), snap_step(target_mm / spacing, positions[-1])
    phases = np.mod(places + ACQUIRED_TOLERANCE, step) - ACQUIRED_TOLERANCE
    met = np.array([_count_met(places, phase, step) for phase in phases])
    best = phases[met == met.max()].min()
    origin = 0.0 if abs(best) <= 2 * ACQUIRED_TOLERANCE else float(best)
    count = int((places[-1] + UNEVEN_TOLERANCE - origin) / step) + 1
    grid = SliceGrid(axis, len(places), step, count, origin, positions)
    _check_gaps(grid, affine_lps)
    return grid


def _count_met(places: np.ndarray, phase: float, step: float) -> int:
    """How many acquired slices a grid of that phase meets."""
    distance = (places - phase) / step
    return int((np.abs(distance - np.rint(distance)) * step <= UNEVEN_TOLERANCE).sum())


def _check_gaps(grid: SliceGrid, affine_lps: np.ndarray) -> None:
    spacing = spacing_mm(affine_lps)[grid.axis]
    wide = np.flatnonzero(grid.gaps * spacing > MAX_GAP_MM * (1 + ACQUIRED_TOLERANCE))
    if len(wide):
        raise GeometryError(
            f"gaps wider than {MAX_GAP_MM:g} mm are not interpolated: {_list_gaps(grid, affine_lps, wide)}; take an "
            "evenly spaced part with `split_runs=True`, and `volume` to choose which"
        )
    many = np.flatnonzero(grid.gaps / grid.step > MAX_FACTOR + UNEVEN_TOLERANCE)
    if len(many):
        coarsest = math.ceil(1e3 * grid.gaps.max() * spacing / MAX_FACTOR) / 1e3
        raise UsageError(
            f"gaps of more than {MAX_FACTOR} output slices: {_list_gaps(grid, affine_lps, many)}; give "
            f"`spacing_mm={coarsest:g}` or coarser"
        )


def _list_gaps(grid: SliceGrid, affine_lps: np.ndarray, which: np.ndarray) -> str:
    """The gaps by the positions of their slices along the normal, mm."""
    normal = find_normal(affine_lps, grid.axis)
    normal *= np.sign(normal @ affine_lps[:3, grid.axis])
    start, distance = float(affine_lps[:3, 3] @ normal), slice_distance_mm(affine_lps, grid.axis)
    along, spacing = start + np.array(grid.positions) * distance, spacing_mm(affine_lps)[grid.axis]
    gaps = [
        f"{grid.gaps[i] * spacing:.4g} mm between {along[i]:.6g} and {along[i + 1]:.6g} mm along the normal"
        for i in which
    ]
    return list_first(gaps, MAX_SHOWN_GAPS, "; ")
