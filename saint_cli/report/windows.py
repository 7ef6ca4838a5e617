"""Grey levels: which values are black and which white, by the names of radiology."""

from dataclasses import dataclass

import numpy as np

from saint_cli.volume import Volume

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
        return f"{self.low:.{digits}f} to {self.high:.{digits}f}{unit}".replace("-", "−")  # noqa: RUF001  (a minus)

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

PERCENTILE_WINDOWS = (("Whole range", 0.5, 99.5), ("Darker tissue", 2.0, 80.0), ("Brighter tissue", 50.0, 99.9))
"""Windows of modalities without a scale (MR, PET): percentiles of the finite voxels."""


def choose_windows(volume: Volume, *, is_ct: bool) -> tuple[Window, ...]:
    """Three windows that suit the measured values of a volume."""
    if is_ct:
        return CT_WINDOWS
    sample = volume.voxels[tuple(slice(None, None, max(1, n // 100)) for n in volume.shape)]
    sample = sample[np.isfinite(sample) & ~volume.header.is_padding(sample)]
    if not sample.size:
        sample = np.zeros(1)
    windows = []
    for name, *shares in PERCENTILE_WINDOWS:
        low, high = (float(v) for v in np.percentile(sample, shares))
        if high <= low:
            low, high = float(sample.min()), max(float(sample.max()), float(sample.min()) + 1.0)
        windows.append(Window(f"{name} ({shares[0]:g} to {shares[1]:g} %)", low, high))
    return tuple(windows)
