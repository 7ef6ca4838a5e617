"""Grey levels: which values are black and which white, by the names of radiology."""

from dataclasses import dataclass

import numpy as np

from saint_cli.report.anatomy import UprightVolume
from saint_cli.volume import Volume
from saint_cli.volume.hounsfield import CT_WINDOW_HU, ROBUST_PERCENTILES

LARGE_NUMBER = 1e7
"""Numbers from here on are shown with an exponent."""


@dataclass(frozen=True)
class Window:
    """Scanner values from ``low`` (black) to ``high`` (white)."""

    name: str
    low: float
    high: float
    unit: str = ""

    @property
    def range(self) -> str:
        """The values in words."""
        if max(abs(self.low), abs(self.high)) >= LARGE_NUMBER:
            return f"{self.low:.4g} to {self.high:.4g} {self.unit}".strip().replace("-", "\N{MINUS SIGN}")
        digits = 0 if abs(self.high - self.low) >= 20 else 3
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.low:.{digits}f} to {self.high:.{digits}f}{unit}".replace("-", "\N{MINUS SIGN}")

    def to_grey(self, picture: np.ndarray) -> np.ndarray:
        """Scanner values of any shape as uint8, black to white; what is not a number is black."""
        values = np.nan_to_num(picture.astype(np.float32), nan=self.low, posinf=self.high, neginf=self.low)
        low, high = np.float32(self.low), np.float32(self.high)
        if not high > low:  # a constant, or values that are equal in float32
            return np.zeros(values.shape, np.uint8)
        share = (np.clip(values, low, high) - low) / (high - low)
        level: np.ndarray = np.rint(share * 255).astype(np.uint8)
        return level


CT_WINDOWS = (
    Window("Soft tissue", -160.0, 240.0, "HU"),
    Window("Lung", -1350.0, 150.0, "HU"),
    Window("Bone", -500.0, 1300.0, "HU"),
)

SOFT_TISSUE, LUNG, BONE = range(3)
"""Indices of ``CT_WINDOWS``."""

TISSUE_HU, BONE_HU, LUNG_HU = -300.0, 250.0, (-920.0, -600.0)
"""Means of small blocks of voxels: what is body, what is bone, what is lung where body surrounds it."""

LEAST_LUNG_SHARE, LEAST_BONE_SHARE = 0.15, 0.3
"""Shares of the body from which on a scan is one of the chest, or of hands, feet or joints. Abdomens that
reach into the chest have up to 0.13 of lung, chests 0.17 and more; trunk, neck and legs have up to 0.11 of bone."""

PERCENTILE_WINDOWS = (("Whole range", 0.5, 99.5), ("Darker tissue", 2.0, 80.0), ("Brighter tissue", 50.0, 99.9))
"""Windows of what the windows of radiology do not show (MR, PET, some CT): percentiles of the finite voxels."""

LEAST_SHOWN_SHARE, LEAST_SPAN, AIR_SHARE = 0.3, 0.05, 0.1
"""A window shows a CT if at least this share of the body is neither black nor white, and the values span at least this
share of the window; the body is what lies above this share of the values' range. In six scans (chest, abdomen, neck,
legs) 0.64 to 0.94 of the body is neither. Where their values were shifted by 500 to 2000 HU and the window showed
next to nothing, at most 0.26 was; where it still showed the body, 0.4 and more."""


def choose_windows(volume: Volume, before: UprightVolume, *, is_ct: bool) -> tuple[tuple[Window, ...], int]:
    """Three windows that suit the measured values of a volume, and the index of the one that shows most.

    before: the acquired slices, whose anatomy decides. CT has the windows of radiology, unless the one for its anatomy
    would be black or white nearly everywhere. Those from its values are in HU too: the values may be HU and lie beyond
    the windows, as those of air and of dense bone do.
    """
    sample = volume.voxels[tuple(slice(None, None, max(1, n // 100)) for n in volume.shape)]
    sample = sample[np.isfinite(sample) & ~volume.header.is_padding(sample)]
    if is_ct:
        index = find_default_window(before)
        if not sample.size or _is_shown(sample, CT_WINDOWS[index]):
            return CT_WINDOWS, index
    return _make_percentile_windows(sample if sample.size else np.zeros(1), "HU" if is_ct else ""), 0


def _is_shown(sample: np.ndarray, window: Window) -> bool:
    """Whether a window shows a body with these values, and not one grey or a silhouette."""
    values = sample.astype(np.float64)
    lowest = values.min()
    if lowest < CT_WINDOW_HU[0] and values.max() > lowest:  # padding without a name, perhaps
        values = values[values > lowest]
    low, high = np.percentile(values, ROBUST_PERCENTILES)
    body = values[values >= low + AIR_SHARE * (high - low)]
    share = np.count_nonzero((body > window.low) & (body < window.high)) / body.size
    return bool(high - low >= LEAST_SPAN * (window.high - window.low) and share >= LEAST_SHOWN_SHARE)


def _make_percentile_windows(sample: np.ndarray, unit: str) -> tuple[Window, ...]:
    windows = []
    for name, *shares in PERCENTILE_WINDOWS:
        low, high = (float(v) for v in np.percentile(sample, shares))
        if high <= low:
            low, high = float(sample.min()), max(float(sample.max()), float(sample.min()) + 1.0)
        windows.append(Window(f"{name} ({shares[0]:g} to {shares[1]:g} %)", low, high, unit))
    return tuple(windows)


def find_default_window(upright: UprightVolume) -> int:
    """Which window of CT suits the anatomy: of the chest lung, of mostly bone bone, else soft tissue."""
    means = _average_blocks(upright)
    tissue = means > TISSUE_HU
    lung = (means > LUNG_HU[0]) & (means < LUNG_HU[1]) & _find_enclosed(tissue)
    body = int(np.count_nonzero(tissue)), int(np.count_nonzero(lung))
    if body[1] >= LEAST_LUNG_SHARE * max(1, sum(body)):
        return LUNG
    return BONE if np.count_nonzero(means > BONE_HU) >= LEAST_BONE_SHARE * max(1, body[0]) else SOFT_TISSUE


def _average_blocks(upright: UprightVolume) -> np.ndarray:
    """[left, posterior, slices] means of blocks of an axial plane, about 128 along each side, of some 48 planes."""
    x, y, z = upright.voxels.shape
    sides, step = [max(1, n // 128) for n in (x, y)], max(1, z // 48)
    stored = upright.voxels[: x // sides[0] * sides[0], : y // sides[1] * sides[1], ::step]
    values = np.where(upright.header.is_padding(stored), -1000, stored).astype(np.float32)
    values = np.clip(np.nan_to_num(values, nan=-1000.0), -1000, 3000)
    means: np.ndarray = values.reshape(x // sides[0], sides[0], y // sides[1], sides[1], -1).mean((1, 3))
    return means


def _find_enclosed(tissue: np.ndarray) -> np.ndarray:
    """Where tissue [left, posterior, slices] lies on all four sides in the same slice."""
    enclosed = np.ones_like(tissue)
    for axis in (0, 1):
        enclosed &= np.logical_or.accumulate(tissue, axis)
        enclosed &= np.flip(np.logical_or.accumulate(np.flip(tissue, axis), axis), axis)
    return enclosed
