"""Thin slices whose means over every acquired slab are the acquired values, and how far means are from them."""

import copy
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

BLOCK_COLUMNS = 512
"""Columns that are summed at a time, so that they stay in the processor's cache."""

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

    weights (n, count): rows sum to 1. No slab overlaps but the next few, so that A A^T is banded, and all work is
    proportional to the number of slices. Sums run over slices in order: a column comes out the same, bit for bit,
    whatever the others are.
    """

    def __init__(self, weights: np.ndarray) -> None:
        self._means, self._changes = _SparseSums(weights), _SparseSums(weights.T)
        self._gram, self._is_known = _multiply_bands(weights), np.ones(len(weights), bool)
        self._factor, is_damped = _factorise(self._gram)
        self._passes = DAMPED_PASSES if is_damped else 1

    def select(self, is_known: np.ndarray) -> "SlabProjection":
        """The projection for which only some slabs count, (n,) bools of which one is True at least.

        A A^T gets an equation of its own for each of the others. Its eigenvalues then lie between those of the whole,
        so that less has to be damped, if anything.
        """
        if is_known.all():
            return self
        selected, gram = copy.copy(self), self._gram.copy()
        for below, band in enumerate(gram):
            band[: len(band) - below] *= is_known[: len(band) - below] & is_known[below:]
        gram[0][~is_known] = gram[0][is_known][0]
        selected._is_known = is_known
        selected._factor, is_damped = _factorise(gram, may_damp=self._passes > 1)
        selected._passes = DAMPED_PASSES if is_damped else 1
        return selected

    def average(self, thin: np.ndarray) -> np.ndarray:
        """(n, m) of the dtype of ``thin``: its means over the slabs."""
        means = np.zeros((len(self._is_known), thin.shape[1]), thin.dtype)
        self._means.add(thin, means)
        return means

    def apply(self, thin: np.ndarray, slabs: np.ndarray) -> None:
        """Make float ``thin`` consistent with ``slabs``, in place."""
        for _ in range(self._passes):
            self._changes.add(self._solve(self._find_missing(thin, slabs)), thin)

    def _find_missing(self, thin: np.ndarray, slabs: np.ndarray) -> np.ndarray:
        """(n, m) what the means lack; 0 where a slab does not count."""
        means = self.average(thin)
        np.subtract(slabs, means, out=means)
        means[~self._is_known] = 0
        return means

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
            self._changes.add(self._solve(self._find_missing(np.clip(thin, *limits), slabs)), after)
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
        missing = self._find_missing(thin, slabs)
        return np.asarray(np.abs(missing, out=missing).max(0))


class _SparseSums:
    """Weighted sums of a few rows each, by weights (sums, rows), most of which are 0."""

    def __init__(self, weights: np.ndarray) -> None:
        most = np.count_nonzero(weights, axis=1).max()
        rows = np.argsort(weights == 0, axis=1, kind="stable")[:, :most]  # those that count first, in their order
        self._rows = np.ascontiguousarray(rows.T)
        self._weights = np.take_along_axis(weights, rows, axis=1).T[..., None]

    def add(self, rows: np.ndarray, sums: np.ndarray) -> None:
        """Add the sums over ``rows`` (rows, m) to ``sums`` (sums, m), in place, of all sums one row at a time."""
        weights = self._weights.astype(sums.dtype)
        for start in range(0, sums.shape[1], BLOCK_COLUMNS):
            block = slice(start, start + BLOCK_COLUMNS)
            for row, weight in zip(self._rows, weights, strict=True):
                sums[:, block] += rows[row, block] * weight


def _multiply_bands(weights: np.ndarray) -> np.ndarray:
    """A A^T in LAPACK's lower banded form (bands, n)."""
    bands = list[np.ndarray]()
    for below in range(len(weights)):
        overlap = np.zeros(len(weights))
        overlap[: len(weights) - below] = np.einsum("ij,ij->i", weights[: len(weights) - below], weights[below:])
        if not overlap.any():
            break
        bands.append(overlap)
    return np.stack(bands)


def _factorise(gram: np.ndarray, *, may_damp: bool = True) -> tuple[np.ndarray, bool]:
    """Cholesky factor of A A^T (bands, n), and whether it had to be damped."""
    from scipy import linalg

    if not may_damp:
        return linalg.cholesky_banded(gram, lower=True), False
    ends = [linalg.eigvals_banded(gram, lower=True, select="i", select_range=(k, k))[0] for k in (0, gram.shape[1] - 1)]
    damping = max(0.0, LEAST_EIGENVALUE * float(ends[1]) - float(ends[0]))
    return linalg.cholesky_banded(np.vstack([gram[:1] + damping, gram[1:]]), lower=True), damping > 0


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
