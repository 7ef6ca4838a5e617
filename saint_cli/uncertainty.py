"""How far off the fused result is likely to be, told from how far I_sag and I_cor disagree."""

import json
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from saint_cli.errors import WeightsError

QUANTILES = (0.0, 0.1, 0.3, 0.5, 0.65, 0.75, 0.83, 0.88, 0.92, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 1.0)
"""Edges of the bins behind the knots, finer where the difference is large, for that is what users look for."""


@dataclass(frozen=True)
class Calibration:
    """A rising, piecewise linear map from |I_sag - I_cor| to the expected absolute error of the fused result, HU.

    difference_hu, error_hu: the knots, the first rising strictly, the second never falling. Beyond the last knot the
    map stays flat: nothing was measured there, and a straight line would promise more than was ever seen.
    """

    difference_hu: tuple[float, ...]
    error_hu: tuple[float, ...]

    def __post_init__(self) -> None:
        knots = np.array([self.difference_hu, self.error_hu], dtype=float)  # ValueError where lengths differ
        rising = (np.diff(knots[0]) > 0).all() and (np.diff(knots[1]) >= 0).all()
        if knots.shape[1] == 0 or not np.isfinite(knots).all() or knots.min() < 0 or not rising:
            raise ValueError("the knots of a calibration are finite, not negative, and rise")

    @classmethod
    def fit(cls, difference_hu: np.ndarray, error_hu: np.ndarray) -> "Calibration":
        """Mean error per quantile bin of the difference, made monotone (isotonic regression).

        difference_hu, error_hu: |I_sag - I_cor| and |I_fuse - truth| of the same voxels, any shape.
        """
        difference, error = (a.astype(np.float64).ravel() for a in (difference_hu, error_hu))
        edges = np.unique(np.quantile(difference, QUANTILES))
        bins = np.clip(np.searchsorted(edges, difference, side="right") - 1, 0, max(0, len(edges) - 2))
        counts = np.bincount(bins)
        held = counts > 0
        x, y = (np.bincount(bins, values)[held] / counts[held] for values in (difference, error))
        knots = dict(zip(_short(x), _short(_isotonic(y, counts[held])), strict=True))  # equal after rounding: the last
        return cls(tuple(knots), tuple(knots.values()))

    def expected_error(self, difference_hu: np.ndarray) -> np.ndarray:
        """|I_sag - I_cor| in HU, any shape, to the expected absolute error in HU, float32."""
        expected: np.ndarray = np.interp(difference_hu, self.difference_hu, self.error_hu).astype(np.float32)
        return expected

    def to_json(self) -> str:
        """One short line, the same for the same knots."""
        return json.dumps({"difference_hu": self.difference_hu, "error_hu": self.error_hu}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Calibration":
        """The calibration that ``to_json`` wrote.

        Raises:
            WeightsError: the text is something else.
        """
        try:
            knots = json.loads(text)
            return cls(tuple(map(float, knots["difference_hu"])), tuple(map(float, knots["error_hu"])))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise WeightsError("the calibration of the expected error is damaged") from None


def _short(values: np.ndarray) -> tuple[float, ...]:
    """Hundredths of a HU, for the map is no more exact than that."""
    return tuple(np.round(values, 2).tolist())


def _isotonic(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The never-falling sequence nearest to ``values`` in weighted squares: pool adjacent violators."""
    pools: list[tuple[float, float, int]] = []  # mean, weight, length
    for value, weight in zip(values, weights, strict=True):
        pools.append((float(value), float(weight), 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, n, i), (b, m, j) = pools[-2:]
            pools[-2:] = [((a * n + b * m) / (n + m), n + m, i + j)]
    return np.repeat([p[0] for p in pools], [p[2] for p in pools])


EDGES_HU = (0.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, float("inf"))
"""Bins of |I_sag - I_cor| in which a calibration is checked: the same for every volume, so that tables compare."""


@dataclass(frozen=True)
class Bin:
    """Observed and predicted mean absolute error, HU, of the voxels whose |I_sag - I_cor| lies in [low, high) HU."""

    low_hu: float
    high_hu: float
    voxels: int
    observed_hu: float
    predicted_hu: float | None


def reliability(difference_hu: np.ndarray, error_hu: np.ndarray, calibration: Calibration | None) -> list[Bin]:
    """Observed against predicted error per bin of ``EDGES_HU``, empty bins left out; no prediction, no calibration."""
    bins = []
    for low, high in pairwise(EDGES_HU):
        inside = (difference_hu >= low) & (difference_hu < high)
        if not inside.any():
            continue
        predicted = None
        if calibration is not None:
            predicted = float(calibration.expected_error(difference_hu[inside]).mean(dtype=np.float64))
        observed = float(error_hu[inside].mean(dtype=np.float64))
        bins.append(Bin(low, high, int(inside.sum()), observed, predicted))
    return bins


def pooled(tables: list[list[Bin]]) -> list[Bin]:
    """One table of several, each bin's errors weighted by its voxels."""
    result = []
    for low, high in pairwise(EDGES_HU):
        same = [b for table in tables for b in table if b.low_hu == low]
        if not same:
            continue
        voxels = sum(b.voxels for b in same)
        observed = sum(b.observed_hu * b.voxels for b in same) / voxels
        known = [b.predicted_hu * b.voxels for b in same if b.predicted_hu is not None]
        result.append(Bin(low, high, voxels, observed, sum(known) / voxels if len(known) == len(same) else None))
    return result
