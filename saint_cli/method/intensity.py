"""From scanner values to the networks' input range."""

import math
from dataclasses import dataclass

import numpy as np

from saint_cli.errors import UsageError
from saint_cli.models.shipped import CT_MODALITY, MR_MODALITY
from saint_cli.volume import Volume
from saint_cli.volume.hounsfield import CT_WINDOW_HU, ROBUST_PERCENTILES, is_likely_hu, percentiles
from saint_cli.volume.stored_values import round_down

HU_PER_UNIT = 1000.0
"""One unit of network range; air is 0, water about 1, so that zero padding looks like air."""

MR_UPPER_UNITS = 1.5
"""Network value of the bright percentile of a volume that is not CT: the middle of CT's tissue and bone."""

BRIGHTEST_UNITS = 4.0
"""Network value above which a volume that is not CT is clipped for the networks, as CT is at dense bone."""

DATA_RANGE_PERCENTILES = (0.1, 99.9)
"""Ends of the span of a volume that is not CT which PSNR and expected errors are relative to, in place of 4000 HU."""

SAMPLE_VOXELS = 2_000_000

FLOAT32_SCALES = (1e-30, 1e30)
"""Values with a scale beyond these, or more than ``FLOAT32_OFFSETS`` times as large as their range, are brought into
network range in float64; all others in float32."""

FLOAT32_OFFSETS = 2.0**16


@dataclass(frozen=True)
class IntensityMap:
    """An affine map of scanner values in [low, high] to network values in [0, (high - low) / scale]."""

    low: float
    high: float
    scale: float

    @property
    def dtype(self) -> np.dtype:
        """float32 where it is wide and exact enough to bring values into network range, else float64."""
        low, high = FLOAT32_SCALES
        largest = max(abs(self.low), abs(self.high))
        is_exact = low < self.scale < high and largest <= FLOAT32_OFFSETS * (self.high - self.low)
        return np.dtype(np.float32 if is_exact else np.float64)

    def to_network(self, values: np.ndarray) -> np.ndarray:
        """Scanner values of any shape to float32 network values, clipped to the window."""
        if self.dtype == np.float64:
            wide = np.clip(values.astype(np.float64), self.low, self.high)
            return np.asarray((wide / 4 - self.low / 4) / self.scale * 4, np.float32)
        clipped = np.clip(values, np.float32(self.low), np.float32(self.high))
        network: np.ndarray = clipped.astype(np.float32, copy=False)
        network -= np.float32(self.low)
        network /= np.float32(self.scale)
        return network


CT = IntensityMap(*CT_WINDOW_HU, HU_PER_UNIT)


def round_to_dtype(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Float values in a dtype; in an integer one rounded, clipped to its range, never wrapped."""
    if dtype.kind not in "iu":
        return values.astype(dtype, copy=False)
    info = np.iinfo(dtype)
    whole: np.ndarray = np.clip(np.rint(values), float(info.min), round_down(info.max)).astype(dtype)
    return whole


def choose_result_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype of a result of voxels of a dtype: the same, of floats at least float32."""
    return dtype if dtype.kind in "iu" else np.result_type(dtype, np.float32)


def choose_wide_dtype(dtype: np.dtype) -> np.dtype:
    """The float type in which voxels of a dtype are interpolated."""
    return np.dtype(np.float64 if dtype.itemsize > 2 else np.float32)


def choose_map(volume: Volume) -> IntensityMap:
    """The fixed HU window for CT, robust percentiles of the finite voxels for anything else.

    Raises:
        UsageError: values that span too much for float64.
    """
    return CT if is_ct(volume) else _percentile_map(volume)


def is_ct(volume: Volume) -> bool:
    """Whether the values are HU: by the modality where the file has one, else by fat, air and their range."""
    if volume.header.modality is not None:
        return volume.header.modality == CT_MODALITY
    return is_likely_hu(sample_measured(volume))


def find_modality(volume: Volume) -> str:
    """DICOM's word for what made a volume, by its file, else by its values ``"CT"`` or ``"MR"``."""
    return volume.header.modality or (CT_MODALITY if is_ct(volume) else MR_MODALITY)


def find_data_range(volume: Volume) -> tuple[float, float]:
    """``DATA_RANGE_PERCENTILES`` of a volume's measured voxels, scanner values; wider where these are equal."""
    sample = sample_measured(volume)
    low, high = percentiles(sample, DATA_RANGE_PERCENTILES)
    if high <= low:
        low, high = float(sample.min()), float(sample.max())
    if high > low:
        return low, high
    with np.errstate(over="ignore"):
        high = float(np.nextafter(np.float32(low), np.float32(np.inf)))
    return (low, high) if math.isfinite(high) else (min(low, low / 2), max(low, low / 2))


def _percentile_map(volume: Volume) -> IntensityMap:
    sample = sample_measured(volume)
    low, high = percentiles(sample, ROBUST_PERCENTILES)
    least, top = float(sample.min()), float(sample.max())
    if high <= low:  # nearly constant, such as a mask with a few bright voxels
        low, high = least, top if top > least else least + 1.0
    if high <= low:  # constant, and so large that it is its own successor
        low, high = sorted((least / 2, least))
    scale = (high - low) / MR_UPPER_UNITS
    if not 0 < scale < math.inf:
        raise UsageError(f"values from {least:g} to {top:g} span too much for float64; divide them by a constant first")
    return IntensityMap(low, min(max(top, high), low + BRIGHTEST_UNITS * scale), scale)


def sample_measured(volume: Volume) -> np.ndarray:
    """About ``SAMPLE_VOXELS`` voxels at most on a regular grid, finite and no padding; a zero where there is none."""
    voxels = volume.voxels
    stride = max(1, voxels.size // SAMPLE_VOXELS)
    sample = voxels.reshape(-1)[::stride] if voxels.flags.c_contiguous else voxels.ravel(order="K")[::stride]
    sample = sample[np.isfinite(sample) & ~volume.header.is_padding(sample)]
    return sample if sample.size else np.zeros(1, np.float32)
