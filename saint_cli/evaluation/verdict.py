"""The self-check in one sentence: how much better than cubic interpolation, and how much of the error is noise."""

import math
from dataclasses import dataclass

BETTER_DB = 0.1
"""Of gain: less may be chance."""

MOSTLY_NOISE = math.sqrt(0.5)
"""Of the remaining error: if noise alone makes more than this, it makes more than half of the squared error."""


@dataclass(frozen=True)
class Verdict:
    """What a self-check found, in figures and as a sentence.

    gain_db: PSNR of the predicted slices less that of cubic interpolation; remaining: mean absolute error inside the
    body, nan where none was checked; noise: the mean absolute error that the noise of the left-out slices alone makes,
    which nothing can predict, None where it could not be measured; both in ``unit`` (HU, or nothing: scanner values).
    """

    gain_db: float
    remaining: float
    noise: float | None
    unit: str

    @property
    def is_better(self) -> bool:
        """Whether the networks predict left-out slices better than cubic interpolation."""
        return round(self.gain_db, 1) >= BETTER_DB

    @property
    def is_mostly_noise(self) -> bool:
        """Whether noise makes more than half of the squared error."""
        return self.noise is not None and self.noise >= MOSTLY_NOISE * self.remaining

    def describe(self) -> str:
        """One plain sentence, or a warning where the networks are not better."""
        if not self.is_better:
            gain_db = round(self.gain_db, 1)
            how = f"{-gain_db:.1f} dB worse than" if gain_db < 0 else "no better than"
            return (
                f"On this scan saint predicts left-out slices {how} cubic interpolation: check synthesised slices "
                "against the acquired ones."
            )
        gain = f"On this scan saint predicts left-out slices {self.gain_db:.1f} dB better than cubic interpolation"
        if math.isnan(self.remaining):
            return f"{gain}."
        error = self._format(self.remaining)
        if self.noise is None:
            return f"{gain}; the remaining mean error is {error}."
        if self.noise >= self.remaining:  # both are estimates
            return f"{gain}; nearly all of the remaining {error} is noise."
        if self.is_mostly_noise:
            return f"{gain}; most of the remaining {error} is noise (noise alone makes {self._format(self.noise)})."
        return f"{gain}; the remaining mean error is {error}, of which noise alone makes {self._format(self.noise)}."

    def _format(self, value: float) -> str:
        return f"{value:.2g} {self.unit}".strip() if value < 10 else f"{value:.0f} {self.unit}".strip()
