"""Thin slices whose means over every acquired slab are the acquired values, and how far means are from them."""

import math
from dataclasses import dataclass

import numpy as np

from saint_cli.geometry import SliceGrid
from saint_cli.volume import Header, SlabDeviation

ROUNDS, PARTS = 400, 8
"""Steps at most where values that cannot be stored are in the way, and parts in which such columns are worked on."""

LEAST_EIGENVALUE, DAMPED_PASSES, DAMPED_ROUNDS = 0.005, 10, 10
"""Of A A^T, in parts of the largest. Slabs twice as thick as their distance say next to nothing of what alternates from
one to the next, and noise there would be amplified without limit: below this it is damped, and the means are then not
exact where slices contradict each other."""

TOLERANCE = 0.05
"""Of the means of columns that are clipped to what can be stored, in parts of the smallest step between two values."""

LARGEST_DEVIATION = 0.51
"""Of means over slabs from the acquired values, in steps between two values that can be stored; half is rounding."""


def make_consistent(thin: np.ndarray, slabs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The volume nearest to ``thin`` (..., count) of which the slabs (..., n) are means by ``weights`` (n, count).

    An orthogonal projection: of all volumes with A x = y, that with the least sum of squared changes,
    x + A^T (A A^T)^-1 (y - A x); see ``LEAST_EIGENVALUE`` for slabs that overlap by half and more.
    """
    first, columns = (np.moveaxis(values, -1, 0).reshape(values.shape[-1], -1) for values in (thin, slabs))
    result = first.copy()
    SlabProjection(weights).apply(result, columns)
    return np.moveaxis(result.reshape(-1, *thin.shape[:-1]), 0, -1)


@dataclass(frozen=True)
class StoredRange:
    """Which values thin slices can have: low, high (count,), and the least step between two; 0 for floats."""

    low: np.ndarray
    high: np.ndarray
    step: float


class SlabProjection:
    """``make_consistent`` for many columns of one stack, slices first: thin ones (count, m), slabs (n, m).

    weights (n, count): rows sum to 1, and those of each slab that are not 0 lie beside each other. No slab overlaps but
    the next few, so that A A^T is banded, and all work is proportional to the number of slices. Sums run over slices in
    order: a column comes out the same, bit for bit, whatever the others are.
    """

    def __init__(self, weights: np.ndarray) -> None:
        within = [np.flatnonzero(row) for row in weights]
        self._slabs = [(int(w[0]), row[w[0] : w[-1] + 1]) for w, row in zip(within, weights, strict=True)]
        self._factor, is_damped = _factorise(weights)
        self._passes = DAMPED_PASSES if is_damped else 1

    def average(self, thin: np.ndarray) -> np.ndarray:
        """(n, m) of the dtype of ``thin``: its means over the slabs."""
        means = np.zeros((len(self._slabs), thin.shape[1]), thin.dtype)
        part = np.empty_like(means[0])
        for mean, (first, row) in zip(means, self._slabs, strict=True):
            for j, weight in enumerate(row.tolist(), first):
                np.multiply(thin[j], weight, out=part)
                mean += part
        return means

    def apply(self, thin: np.ndarray, slabs: np.ndarray) -> None:
        """Make float ``thin`` consistent with ``slabs``, in place."""
        for _ in range(self._passes):
            missing = self.average(thin)
            np.subtract(slabs, missing, out=missing)
            self._add(self._solve(missing), thin)

    def _add(self, multipliers: np.ndarray, thin: np.ndarray) -> None:
        """Add A^T multipliers (n, m) to ``thin``."""
        part = np.empty_like(thin[0])
        for change, (first, row) in zip(multipliers, self._slabs, strict=True):
            for j, weight in enumerate(row.tolist(), first):
                np.multiply(change, weight, out=part)
                thin[j] += part

    def apply_within(self, thin: np.ndarray, slabs: np.ndarray, stored: StoredRange) -> None:
        """As ``apply``, onto those of these volumes whose values can be stored.

        The nearest is clip(x + A^T l), with multipliers l for which its means are the slabs. Where a column leaves its
        range they are found by ``ROUNDS`` steps of Nesterov's method, each by what the clipped means lack, until these
        are ``TOLERANCE`` steps from the slabs.
        """
        limits = tuple(bound.astype(thin.dtype)[:, None] for bound in (stored.low, stored.high))
        self.apply(thin, slabs)
        if stored.step == 0:
            return
        tolerance, most = TOLERANCE * stored.step, max(1, thin.shape[1] // PARTS)
        clipped = np.clip(thin, *limits)
        off = np.flatnonzero(self._measure_off(clipped, slabs) > tolerance)
        for part in np.array_split(off, math.ceil(len(off) / most)) if len(off) else ():
            some, of_some = (np.take(values, part, axis=1) for values in (thin, slabs))
            clipped[:, part] = self._find_stored(some, of_some, limits, tolerance)
        thin[:] = clipped

    def _find_stored(
        self, thin: np.ndarray, slabs: np.ndarray, limits: tuple[np.ndarray, ...], tolerance: float
    ) -> np.ndarray:
        """The nearest volumes within the limits whose means are the slabs, of projected ones that leave the limits."""
        found = np.clip(thin, *limits)
        left, before = np.arange(thin.shape[1]), thin
        for k in range(ROUNDS if self._passes == 1 else DAMPED_ROUNDS):
            after = thin.copy()
            self._add(self._solve(slabs - self.average(np.clip(thin, *limits))), after)
            thin, before = after + k / (k + 3) * (after - before), after
            found[:, left] = values = np.clip(thin, *limits)
            goes_on = self._measure_off(values, slabs) > tolerance
            if not goes_on.any():
                break
            left, thin, before, slabs = left[goes_on], thin[:, goes_on], before[:, goes_on], slabs[:, goes_on]
        return found

    def _solve(self, missing: np.ndarray) -> np.ndarray:
        """(A A^T)^-1 of (n, m)."""
        if len(self._factor) == 1:  # no slab overlaps another: what a slab misses is added to all of it
            return np.asarray(missing / (self._factor[0, :, None] ** 2).astype(missing.dtype))
        from scipy import linalg

        factor = self._factor.astype(missing.dtype)
        return np.asarray(linalg.cho_solve_banded((factor, True), missing, check_finite=False))

    def _measure_off(self, thin: np.ndarray, slabs: np.ndarray) -> np.ndarray:
        """(m,) how far the means of each column are from the slabs at most."""
        means = self.average(thin)
        return np.asarray(np.abs(np.subtract(slabs, means, out=means), out=means).max(0))


def _factorise(weights: np.ndarray) -> tuple[np.ndarray, bool]:
    """Cholesky factor of A A^T in LAPACK's lower banded form (bands, n), and whether it had to be damped."""
    from scipy import linalg

    bands = list[np.ndarray]()
    for below in range(len(weights)):
        overlap = np.zeros(len(weights))
        overlap[: len(weights) - below] = np.einsum("ij,ij->i", weights[: len(weights) - below], weights[below:])
        if not overlap.any():
            break
        bands.append(overlap)
    gram = np.stack(bands)
    ends = [linalg.eigvals_banded(gram, lower=True, select="i", select_range=(k, k))[0] for k in (0, gram.shape[1] - 1)]
    damping = max(0.0, LEAST_EIGENVALUE * float(ends[1]) - float(ends[0]))
    gram[0] += damping
    return linalg.cholesky_banded(gram, lower=True), damping > 0


def describe_deviation(deviation: SlabDeviation) -> str:
    """A warning where the means of thin slices are farther from the slabs than by rounding; else ""."""
    if deviation.is_rounding:
        return ""
    return (
        f"the means of the result over slabs are up to {deviation.largest:.3g} from the acquired values: slices that "
        "contradict each other, or values that cannot be stored, do not allow more"
    )


def measure_deviation(
    thin: np.ndarray, sparse: np.ndarray, grid: SliceGrid, header: Header, least: float = 0.0
) -> SlabDeviation:
    """How far the means of thin slices [X, Y, count] over the slabs are from [X, Y, acquired].

    Columns with padding, or with what is not finite, do not count. least: the step between two values of floats,
    scanner values.
    """
    counts = np.ones(sparse.shape[:2], bool)
    for k in range(grid.acquired):
        counts &= ~header.is_padding(sparse[..., k])
    largest, norms, count = 0.0, list[float](), 0
    for k, row in enumerate(grid.slab_weights):
        off = -sparse[..., k].astype(np.float64)
        for j in np.flatnonzero(row):
            off += row[j] * thin[..., j].astype(np.float64)
        off = off[counts & np.isfinite(off)]
        most = float(np.abs(off).max(initial=0.0))
        norms.append(most * float(np.linalg.norm(off / (most or 1.0))))  # so that no square overflows
        largest, count = max(largest, most), count + off.size
    steps = [abs(coding.slope) for coding in header.codings] or [float(sparse.dtype.kind in "iu")]
    is_rounding = largest <= LARGEST_DEVIATION * (max(steps) or least)
    return SlabDeviation(largest, math.hypot(*norms) / math.sqrt(max(1, count)), is_rounding)
