"""The expected error of the fused result, estimated from the difference of I_sag and I_cor."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from saint_cli.errors import WeightsError

KNOT_QUANTILES = (0.0, 0.1, 0.3, 0.5, 0.65, 0.75, 0.83, 0.88, 0.92, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 1.0)
"""Edges of the bins behind the knots, finer where the difference is large, which interests users most."""

HU, PERCENT = "HU", "%"
"""Units of a calibration: of CT, and of other volumes, relative to the span of ``intensity.find_data_range``."""

RELIABILITY_EDGES = {
    HU: (0.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, float("inf")),
    PERCENT: (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, float("inf")),
}
"""Bins of |I_sag - I_cor| in which a calibration is checked: the same for every volume, so that tables compare."""


@dataclass(frozen=True)
class Calibration:
    """A rising, piecewise linear map from |I_sag - I_cor| to the expected absolute error of the fused result.

    difference_hu, error_hu: the knots in ``unit``, the first strictly rising, the second never falling. Beyond the last
    knot, where nothing was measured, the map is constant. is_of_scan: whether a scan's own self-check made it, in
    scanner values; such ones are never written to weights.
    """

    difference_hu: tuple[float, ...]
    error_hu: tuple[float, ...]
    is_of_scan: bool = False
    unit: str = HU

    def __post_init__(self) -> None:
        knots = np.array([self.difference_hu, self.error_hu], dtype=float)  # ValueError where lengths differ
        rising = (np.diff(knots[0]) > 0).all() and (np.diff(knots[1]) >= 0).all()
        if knots.shape[1] == 0 or not np.isfinite(knots).all() or knots.min() < 0 or not rising:
            raise ValueError("the knots of a calibration must be finite, not negative, and rising")
        if self.unit not in RELIABILITY_EDGES:
            raise ValueError("a calibration is in HU or %")

    @classmethod
    def fit(cls, difference_hu: np.ndarray, error_hu: np.ndarray, unit: str = HU) -> "Calibration":
        """Mean error per quantile bin of the difference, made monotone (isotonic regression).

        difference_hu, error_hu: |I_sag - I_cor| and |I_fuse - truth| of the same voxels, any shape, in HU or percent of
        the range: knots are rounded to hundredths of it.
        """
        difference, error = (a.astype(np.float64).ravel() for a in (difference_hu, error_hu))
        edges = np.unique(np.quantile(difference, KNOT_QUANTILES))
        bins = np.clip(np.searchsorted(edges, difference, side="right") - 1, 0, max(0, len(edges) - 2))
        counts = np.bincount(bins)
        filled = counts > 0
        x, y = (np.bincount(bins, values)[filled] / counts[filled] for values in (difference, error))
        x, y = (np.round(values, 2) for values in (x, _fit_isotonic(y, counts[filled])))  # the map is no more exact
        knots = dict(zip(x.tolist(), y.tolist(), strict=True))  # of equal x, the last
        return cls(tuple(knots), tuple(knots.values()), unit=unit)

    def expected_error(self, difference_hu: np.ndarray) -> np.ndarray:
        """|I_sag - I_cor| in HU, any shape, to the expected absolute error in HU, float32."""
        expected: np.ndarray = np.interp(difference_hu, self.difference_hu, self.error_hu).astype(np.float32)
        return expected

    def mean_error(self, difference_hu: np.ndarray) -> float:
        """The mean of ``expected_error``."""
        return float(self.expected_error(difference_hu).mean(dtype=np.float64))

    def scale(self, factor: float) -> "Calibration":
        """The same map with every error ``factor`` times as large."""
        return replace(self, error_hu=tuple(error * factor for error in self.error_hu))

    def to_scanner_values(self, data_range: float) -> "Calibration":
        """The same map in scanner values instead of percent of their range."""
        part = data_range / 100
        difference, error = (tuple(part * v for v in values) for values in (self.difference_hu, self.error_hu))
        return Calibration(difference, error, self.is_of_scan)

    def to_json(self) -> str:
        """One short line, the same for the same knots."""
        unit = {} if self.unit == HU else {"unit": self.unit}
        knots = {"difference_hu": self.difference_hu, "error_hu": self.error_hu}
        return json.dumps(knots | unit, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Calibration":
        """The calibration that ``to_json`` wrote.

        Raises:
            WeightsError: the text is something else.
        """
        try:
            knots = json.loads(text)
            difference, error = (tuple(map(float, knots[name])) for name in ("difference_hu", "error_hu"))
            return cls(difference, error, unit=str(knots.get("unit", HU)))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise WeightsError("the calibration of the expected error is damaged") from None


def _fit_isotonic(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The never-falling sequence nearest to ``values`` in weighted squares: pool adjacent violators."""
    pools: list[tuple[float, float, int]] = []  # mean, weight, length
    for value, weight in zip(values, weights, strict=True):
        pools.append((float(value), float(weight), 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, n, i), (b, m, j) = pools[-2:]
            pools[-2:] = [((a * n + b * m) / (n + m), n + m, i + j)]
    return np.repeat([p[0] for p in pools], [p[2] for p in pools])


@dataclass(frozen=True)
class ReliabilityBin:
    """Observed and predicted mean absolute error, in ``unit``, of the voxels with |I_sag - I_cor| in [low, high)."""

    low_hu: float
    high_hu: float
    voxels: int
    observed_hu: float
    predicted_hu: float | None
    unit: str = HU


def compute_reliability(
    difference_hu: np.ndarray, error_hu: np.ndarray, calibration: Calibration | None, unit: str = HU
) -> list[ReliabilityBin]:
    """Observed and predicted error per bin of ``RELIABILITY_EDGES``, empty ones left out.

    unit: of both arrays; without a calibration in this unit there is no prediction.
    """
    bins = []
    for low, high in pairwise(RELIABILITY_EDGES[unit]):
        inside = (difference_hu >= low) & (difference_hu < high)
        if not inside.any():
            continue
        observed, predicted = float(error_hu[inside].mean(dtype=np.float64)), None
        if calibration is not None and calibration.unit == unit:
            predicted = calibration.mean_error(difference_hu[inside])
        bins.append(ReliabilityBin(low, high, int(inside.sum()), observed, predicted, unit))
    return bins


def pool_reliability(tables: Iterable[list[ReliabilityBin]]) -> list[ReliabilityBin]:
    """One table of several, each bin's errors weighted by its voxels; of each unit by itself."""
    pooled, bins = list[ReliabilityBin](), [one for table in tables for one in table]
    for unit, (low, high) in ((unit, ends) for unit, edges in RELIABILITY_EDGES.items() for ends in pairwise(edges)):
        same = [one for one in bins if (one.unit, one.low_hu) == (unit, low)]
        if not same:
            continue
        voxels = sum(b.voxels for b in same)
        observed = sum(b.observed_hu * b.voxels for b in same) / voxels
        known = [b.predicted_hu * b.voxels for b in same if b.predicted_hu is not None]
        predicted = sum(known) / voxels if len(known) == len(same) else None
        pooled.append(ReliabilityBin(low, high, voxels, observed, predicted, unit))
    return pooled
