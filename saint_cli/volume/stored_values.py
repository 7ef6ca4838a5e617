"""Which scanner values the integers of a file can stand for, so that a result is the same in every format.

Modality LUT, DICOM PS3.3 C.11.1: scanner value = stored value * slope + intercept.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Coding:
    """How stored integers ``low`` to ``high`` stand for scanner values."""

    slope: float
    intercept: float
    low: int
    high: int

    @classmethod
    def of_dtype(cls, dtype: np.dtype, slope: float, intercept: float) -> "Coding":
        """The coding that uses every value of an integer type."""
        limits = np.iinfo(dtype)
        return cls(slope, intercept, int(limits.min), int(limits.max))

    @property
    def is_whole(self) -> bool:
        """Whether every whole number in its range is stored as one."""
        return self.slope == 1 and float(self.intercept).is_integer()

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Stored values, whole float64, of scanner values: rounded, clipped, never wrapped; of NaN those of 0."""
        stored = np.rint((np.nan_to_num(values.astype(np.float64)) - self.intercept) / self.slope)
        return np.asarray(np.clip(stored, float(self.low), round_down(self.high)))

    def nearest(self, values: np.ndarray) -> np.ndarray:
        """The scanner values nearest to ``values`` that can be stored, in their dtype; NaN stays NaN."""
        if self.is_whole and values.dtype.kind in "iu":
            limits = np.iinfo(values.dtype)
            low, high = (
                min(max(v + int(self.intercept), int(limits.min)), int(limits.max)) for v in (self.low, self.high)
            )
            return np.asarray(np.clip(values, low, high))
        near = self.encode(values) * self.slope + self.intercept
        if values.dtype.kind in "iu":
            return np.asarray(np.rint(near)).astype(values.dtype)
        return np.where(np.isnan(values), values, near.astype(values.dtype))

    def holds(self, values: np.ndarray) -> bool:
        """Whether all the values fit without clipping."""
        ends = np.array([values.min(), values.max()], dtype=np.float64)
        stored = np.rint((ends - self.intercept) / self.slope)
        return bool((stored >= self.low).all() and (stored <= self.high).all())


def round_down(limit: int) -> float:
    """The largest float64 that is not above a limit; the nearest one of a 64-bit maximum is."""
    nearest = float(limit)
    return float(np.nextafter(nearest, 0)) if int(nearest) > limit else nearest


def choose_coding(codings: Iterable[Coding], values: np.ndarray) -> Coding:
    """The coding for some values: one that holds exactly these, else the coarsest that need not clip."""
    coarse_first = sorted(dict.fromkeys(codings), key=lambda coding: -abs(coding.slope))
    if len(coarse_first) == 1:
        return coarse_first[0]
    exact = (c for c in coarse_first if np.array_equal(c.nearest(values), values))
    wide_enough = (c for c in coarse_first if c.holds(values))
    return next(exact, None) or next(wide_enough, coarse_first[0])
