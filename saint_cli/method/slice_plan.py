"""Which output slices are copied, which are synthesised, and which of them share filters."""

from dataclasses import dataclass

import numpy as np

from saint_cli.geometry import ACQUIRED_TOLERANCE, MAX_FACTOR, SliceGrid
from saint_cli.method import slab_ends

TRAINED_OFFSETS = (1 / MAX_FACTOR, 1 - 1 / MAX_FACTOR)
"""The offsets nearest to acquired slices that the networks are trained at. Nearer ones are evaluated there, and the
residual is faded out linearly, since at an acquired slice it is zero by definition (Eq. 5)."""


@dataclass(frozen=True)
class WindowGroup:
    """Windows whose synthesised slices lie at the same offsets, so that one set of filters serves them all.

    windows (G,), offsets (T,) as the networks get them, rows (T, G): index of each slice among the synthesised ones;
    gap: between the acquired slices of each window, in input spacings.
    """

    windows: np.ndarray
    offsets: np.ndarray
    rows: np.ndarray
    gap: float


@dataclass(frozen=True)
class SlicePlan:
    """What happens to each slice of a grid.

    copied (C,) output indices and source (C,) the acquired slice that each repeats;
    synthesised (S,) output indices, with window (S,), above (S,) and offset (S,): I_s lies ``offset`` of the way
    from acquired slice ``window`` to ``above``, which are ``gap`` (S,) input spacings apart. of_slabs: whether thin
    slices are made of slabs; then indices of acquired slices count the ones that ``slab_ends`` repeats.
    """

    count: int
    copied: np.ndarray
    source: np.ndarray
    synthesised: np.ndarray
    window: np.ndarray
    above: np.ndarray
    offset: np.ndarray
    gap: np.ndarray
    of_slabs: bool = False

    @classmethod
    def from_grid(cls, grid: SliceGrid, *, regenerate: bool = False) -> "SlicePlan":
        """Acquired slices are copied unless ``regenerate``; slices beyond the last acquired one repeat it.

        Of slabs, all slices are synthesised.
        """
        if grid.slab is not None:
            return cls._of_slabs(grid)
        window, offset = grid.locate()
        is_copied = grid.extrapolated | (offset == 0) & (not regenerate)
        copied, synthesised = np.flatnonzero(is_copied), np.flatnonzero(~is_copied)
        window_s = window[synthesised]
        above = np.minimum(window_s + 1, grid.acquired - 1)
        gap = grid.gaps[np.minimum(window_s, grid.acquired - 2)]
        return cls(grid.count, copied, window[copied], synthesised, window_s, above, offset[synthesised], gap)

    @classmethod
    def _of_slabs(cls, grid: SliceGrid) -> "SlicePlan":
        places = grid.places + slab_ends.count_ends(grid)
        nearest = np.rint(places)
        places = np.where(np.abs(places - nearest) < ACQUIRED_TOLERANCE, nearest, places)
        window, none = np.floor(places).astype(int), np.zeros(0, int)
        synthesised, gap = np.arange(grid.count), np.ones(grid.count)
        return cls(grid.count, none, none, synthesised, window, window + 1, places - window, gap, of_slabs=True)

    @property
    def network_offset(self) -> np.ndarray:
        """(S,) float32 the offsets at which the networks are evaluated."""
        if self.of_slabs:
            return self.offset.astype(np.float32)
        return np.asarray(np.clip(self.offset, *TRAINED_OFFSETS), np.float32)

    @property
    def residual_weight(self) -> np.ndarray:
        """(S,) float32 in [0, 1], the factor of the residual at ``network_offset`` for the slice itself."""
        if self.of_slabs:
            return np.ones(len(self.offset), np.float32)
        low, high = TRAINED_OFFSETS
        near = np.minimum(self.offset / low, (1 - self.offset) / (1 - high))
        return np.asarray(np.minimum(1, near), np.float32)

    def uses_rfn(self, fewest: int) -> np.ndarray:
        """(S,) bool, whether a slice's window holds at least ``fewest`` synthesised slices (see ``RFN.fewest``)."""
        between = np.bincount(self.window, self.offset > 0)
        return np.asarray(between[self.window] >= fewest)

    def groups(self) -> list[WindowGroup]:
        """The synthesised slices by window; windows as wide with equal offsets together (one for an integer factor)."""
        by_offsets: dict[tuple[float, tuple[float, ...]], list[int]] = {}
        for window in np.unique(self.window):
            # rounded, since k * step - floor(k * step) differs in its last digits from window to window
            inside = self.window == window
            offsets = tuple(np.round(self.network_offset[inside].astype(float), 7).tolist())
            by_offsets.setdefault((float(self.gap[inside][0]), offsets), []).append(int(window))
        return [
            WindowGroup(
                np.array(windows),
                np.array(offsets, np.float32),
                np.stack([np.flatnonzero(self.window == w) for w in windows], 1),
                gap,
            )
            for (gap, offsets), windows in by_offsets.items()
        ]
