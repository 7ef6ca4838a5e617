"""Values in Hounsfield units: what CT can hold, and whether values are HU at all."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

CT_WINDOW_HU = (-1024.0, 3071.0)
"""What 12-bit CT can hold: air to dense bone and most metal. Beyond it only linear interpolation applies."""

MAX_HU = 1e9
"""No HU is beyond, metal included; up to here interpolators, gradients and squares do not overflow float32."""

ROBUST_PERCENTILES = (0.5, 99.5)

FAT_HU, FAINTEST_HU, BRIGHTEST_HU = -50.0, -5000.0, 5000.0
"""A volume of unknown modality whose dark percentile lies between the first two, and whose bright one lies below the
third, is taken for CT: other modalities have no such negative values."""

OVERFLOW_LIMIT = 1e30
"""Values beyond are divided by 4 before differences are taken of them, which might overflow."""

PercentileMethod = Literal["linear", "lower"]


def is_likely_hu(sample: np.ndarray) -> bool:
    """Whether measured values are probably HU."""
    low, high = percentiles(sample, ROBUST_PERCENTILES) if sample.size else (0.0, 0.0)
    return FAINTEST_HU < low < FAT_HU and high < BRIGHTEST_HU


def percentiles(sample: np.ndarray, shares: Sequence[float], method: PercentileMethod = "linear") -> list[float]:
    """``np.percentile`` of finite values, of which none are so large that differences of them overflow."""
    if sample.dtype.kind == "f" and np.abs(sample).max(initial=0) > OVERFLOW_LIMIT:
        return [4 * float(v) for v in np.percentile(sample.astype(np.float64) / 4, shares, method=method)]
    return [float(v) for v in np.percentile(sample, shares, method=method)]
