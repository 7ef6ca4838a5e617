"""Acquired slices repeated at either end of a stack of slabs, so that all thin slices lie between two slices."""

import math

import numpy as np

from saint_cli.geometry import ACQUIRED_TOLERANCE, SliceGrid


def count_ends(grid: SliceGrid) -> int:
    """How many slices are repeated at either end; 0 where slices are not taken for slabs."""
    if grid.slab is None:
        return 0
    beyond = float(max(-grid.places[0], grid.places[-1] - (grid.acquired - 1)))
    return math.floor(beyond + ACQUIRED_TOLERANCE) + 1


def index_repeated(grid: SliceGrid) -> np.ndarray:
    """(acquired + 2 * ends,) which acquired slice each one of the stack with its repeated ends is."""
    ends = count_ends(grid)
    return np.clip(np.arange(-ends, grid.acquired + ends), 0, grid.acquired - 1)


def index_nearest(grid: SliceGrid) -> np.ndarray:
    """(count,) the acquired slice whose middle is nearest to each thin slice."""
    return np.asarray(np.clip(np.rint(grid.places).astype(int), 0, grid.acquired - 1))
