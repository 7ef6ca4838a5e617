"""Scanner values to the range that the networks see, and back, as one reversible object."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from saint_cli.errors import UsageError
from saint_cli.volume import Volume

CT_WINDOW_HU = (-1024.0, 3071.0)
"""What 12-bit CT can hold: air to dense bone and most metal. Beyond it only linear interpolation applies."""

Method = Literal["linear", "lower"]

LARGEST_HU = 1e9
"""What is beyond is no HU, metal included; up to here interpolators, gradients and squares do not overflow float32."""

HU_PER_UNIT = 1000.0
"""One unit of network range; air is 0, water about 1, so that zero padding looks like air."""

ROBUST_PERCENTILES = (0.5, 99.5)
MR_UPPER_UNITS = 1.5
"""Where the bright percentile of a non-CT volume is put: the middle of the range that CT tissue and bone occupy."""

BRIGHTEST_UNITS = 4.0
"""Network value above which a volume that is not CT is clipped for the networks, as CT is at dense bone."""

FAT_HU, FAINTEST_HU, BRIGHTEST_HU = -50.0, -5000.0, 5000.0
"""A volume of unknown modality whose dark percentile lies between the first two, and whose bright one lies below the
third, is taken for CT: other modalities have no such negative values."""

SAMPLES = 2_000_000

FLOAT32_SCALES = (1e-30, 1e30)
"""Values whose scale lies beyond, or which are more than ``FLOAT32_OFFSETS`` times as large as they vary, are brought
into network range in float64; all others in float32."""

FLOAT32_OFFSETS = 2.0**16

LARGE = 1e30
"""Values beyond are divided by 4 before differences are taken of them, which might overflow."""


@dataclass(frozen=True)
class IntensityMap:
    """An affine map of scanner values in [low, high] to network values in [0, (high - low) / scale]."""

    low: float
    high: float
    scale: float

    @property
    def fits_float32(self) -> bool:
        """Whether float32 is wide and exact enough to bring values into network range."""
        low, high = FLOAT32_SCALES
        largest = max(abs(self.low), abs(self.high))
        return low < self.scale < high and largest <= FLOAT32_OFFSETS * (self.high - self.low)

    def to_network(self, values: np.ndarray) -> np.ndarray:
        """Scanner values of any shape to float32 network values, clipped to the window."""
        if not self.fits_float32:
            wide = np.clip(values.astype(np.float64), self.low, self.high)
            return np.asarray((wide / 4 - self.low / 4) / self.scale * 4, np.float32)
        network: np.ndarray = np.clip(values, np.float32(self.low), np.float32(self.high)).astype(
            np.float32, copy=False
        )
        network -= np.float32(self.low)
        network /= np.float32(self.scale)
        return network

    def from_network(self, network: np.ndarray) -> np.ndarray:
        """Network values of any shape to float32 scanner values; the inverse of ``to_network`` inside the window."""
        values: np.ndarray = network.astype(np.float32) * np.float32(self.scale) + np.float32(self.low)
        return values


CT = IntensityMap(*CT_WINDOW_HU, HU_PER_UNIT)


def rounded(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Float values rounded to an integer dtype, clipped to its range, never wrapped."""
    info = np.iinfo(dtype)
    highest = float(info.max)
    if int(highest) > info.max:  # 64-bit maxima round up in float64
        highest = float(np.nextafter(highest, 0))
    whole: np.ndarray = np.clip(np.rint(values), float(info.min), highest).astype(dtype)
    return whole


def map_for(volume: Volume) -> IntensityMap:
    """The fixed HU window for CT, robust percentiles of the finite voxels for anything else.

    Raises:
        UsageError: values that span more than a float64 holds.
    """
    return CT if is_ct(volume) else _percentile_map(volume)


def is_ct(volume: Volume) -> bool:
    """Whether the values are HU: by the modality where the file has one, else by fat or air and nothing absurd."""
    if volume.header.modality is not None:
        return volume.header.modality == "CT"
    return looks_hu(measured_sample(volume))


def looks_hu(sample: np.ndarray) -> bool:
    """Whether measured values are probably HU."""
    low, high = percentiles(sample, ROBUST_PERCENTILES) if sample.size else (0.0, 0.0)
    return FAINTEST_HU < low < FAT_HU and high < BRIGHTEST_HU


def _percentile_map(volume: Volume) -> IntensityMap:
    sample = measured_sample(volume)
    low, high = percentiles(sample, ROBUST_PERCENTILES)
    least, top = float(sample.min()), float(sample.max())
    if high <= low:  # nearly constant, such as a mask with a few bright voxels
        low, high = least, max(top, least + 1.0)
    if high <= low:  # constant, and so large that it is its own successor
        low, high = sorted((least / 2, least))
    scale = (high - low) / MR_UPPER_UNITS
    if not 0 < scale < math.inf:
        raise UsageError(
            f"values from {least:g} to {top:g} span more than can be computed with; divide them by a constant first"
        )
    return IntensityMap(low, min(max(top, high), low + BRIGHTEST_UNITS * scale), scale)


def percentiles(sample: np.ndarray, shares: Sequence[float], method: Method = "linear") -> list[float]:
    """``np.percentile`` of finite values, of which none are so large that differences of them overflow."""
    if sample.dtype.kind == "f" and np.abs(sample).max(initial=0) > LARGE:
        return [4 * float(v) for v in np.percentile(sample.astype(np.float64) / 4, shares, method=method)]
    return [float(v) for v in np.percentile(sample, shares, method=method)]


def measured_sample(volume: Volume) -> np.ndarray:
    """At most about ``SAMPLES`` finite voxels on a regular grid that are no padding, or a zero where there is none."""
    voxels = volume.voxels
    stride = max(1, voxels.size // SAMPLES)
    sample = voxels.reshape(-1)[::stride] if voxels.flags.c_contiguous else voxels.ravel(order="K")[::stride]
    sample = sample[np.isfinite(sample) & ~volume.header.is_padding(sample)]
    return sample if sample.size else np.zeros(1, np.float32)
