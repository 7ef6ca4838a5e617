"""Random noise of a given spectrum: one field for each slice, correlated from slice to slice."""

from functools import cache
from zlib import crc32

import numpy as np

from saint_cli.method.noise_maps import to_finite_hu
from saint_cli.method.noise_patches import PATCH
from saint_cli.method.noise_spectra import transform_patches

REFINEMENTS, MOST_GAIN = 3, 3.0
"""How often a filter's spectrum is measured and corrected, as a patch blurs the spectrum; and by how much at most."""

TRIAL_PIXELS = 384
"""Along each side of the field in which it is measured."""

MOST_CORRELATION = 0.8
"""Of what is added to neighbouring slices: more would make streaks from one acquired slice to the next."""


def compute_seed(slices: np.ndarray) -> int:
    """A seed from the values of [X, Y, slices], so that the same scan always gets the same noise."""
    seed = 0
    for k in range(slices.shape[2]):
        seed = crc32(np.ascontiguousarray(to_finite_hu(slices[..., k])).tobytes(), seed)
    return seed


def profile_correlation(distance: np.ndarray) -> np.ndarray:
    """Correlation of the noise of two slices whose centres lie ``distance`` slice thicknesses apart.

    A slice of helical CT weights rays by a triangle as wide at half its height as the slice is thick; two overlap by
    the cubic B-spline. Dense scans agree: 0.7 at half the thickness, 0.3 at the whole, 0.03 at twice.
    """
    u = np.abs(distance)
    near, far = 2 / 3 - u**2 + u**3 / 2, np.maximum(0, 2 - u) ** 3 / 6
    return np.asarray(np.where(u < 1, near, far) * 1.5)


def find_thickness(correlation: float) -> float:
    """The slice thickness, in slice spacings, at which neighbouring slices correlate so."""
    thickness = np.linspace(0.5, 4, 351)
    return float(np.interp(min(correlation, MOST_CORRELATION), profile_correlation(1 / thickness), thickness))


class WhiteSlices:
    """White noise of variance 1 for output slices, correlated between those of one window only."""

    def __init__(self, shape: tuple[int, int], seed: int, thickness: float) -> None:
        self._shape, self._seed, self._thickness = shape, seed, thickness

    def draw(self, window: int, count: int) -> list[np.ndarray]:
        """[X, Y] float32 for each of the ``count`` synthesised slices of a window, evenly spaced."""
        steps = np.arange(count)
        correlation = profile_correlation((steps[:, None] - steps) / self._thickness)
        mixing = np.linalg.cholesky(correlation + 1e-6 * np.eye(count)).astype(np.float32)
        random = np.random.default_rng([self._seed, window])
        drawn = [random.standard_normal(self._shape, dtype=np.float32) for _ in range(count)]
        return [sum(w * one for w, one in zip(row, drawn, strict=False) if w) for row in mixing]


class NoiseFilter:
    """Shapes white noise so that its patches have a wanted mean power; power: [PATCH, PATCH], of variance."""

    def __init__(self, power: np.ndarray) -> None:
        self._power = self._refine(np.maximum(power, 0))
        self._transfers = dict[tuple[int, int], np.ndarray]()

    def apply(self, spectrum: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """The shaped noise, float32 of ``shape``, whose white spectrum is ``rfft2`` of that shape."""
        from scipy import fft

        if shape not in self._transfers:
            self._transfers[shape] = make_transfer(np.sqrt(self._power), shape)
        return np.asarray(fft.irfft2(spectrum * self._transfers[shape], s=shape), np.float32)

    @staticmethod
    def _refine(wanted: np.ndarray) -> np.ndarray:
        """The power of the filter at which patches of the shaped noise show the wanted one."""
        from scipy import fft

        shape = (TRIAL_PIXELS, TRIAL_PIXELS)
        white = fft.rfft2(_trial_noise())
        corners = np.arange(0, TRIAL_PIXELS - PATCH + 1, PATCH // 2)
        places = np.stack(np.meshgrid(corners, corners, indexing="ij"), -1).reshape(-1, 2)
        power, flat = wanted.copy(), np.ones(shape, np.float32)
        for _ in range(REFINEMENTS):
            trial = fft.irfft2(white * make_transfer(np.sqrt(power), shape), s=shape).astype(np.float32)
            found = np.square(np.abs(transform_patches(trial, places, flat))).mean(0, dtype=float)
            floor = 1e-3 * max(1e-12, float(wanted.max()))
            power *= np.clip((wanted + floor) / (found + floor), 1 / MOST_GAIN, MOST_GAIN)
        return power


@cache
def _trial_noise() -> np.ndarray:
    noise: np.ndarray = np.random.default_rng(0).standard_normal((TRIAL_PIXELS, TRIAL_PIXELS), dtype=np.float32)
    return noise


def make_transfer(amplitude: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """float32 amplitudes at the frequencies of ``rfft2`` of ``shape``, interpolated from those of a patch."""
    rows, columns = _frequency_weights(shape)
    return np.asarray(rows @ amplitude.astype(np.float32) @ columns.T, np.float32)


@cache
def _frequency_weights(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """float32 weights (frequencies, PATCH), along both axes, of linear interpolation between a patch's frequencies."""
    from scipy import fft

    cycles = (fft.fftfreq(shape[0]) * PATCH, fft.rfftfreq(shape[1]) * PATCH)
    distance = [np.abs((c[:, None] - np.arange(PATCH) + PATCH / 2) % PATCH - PATCH / 2) for c in cycles]
    rows, columns = (np.maximum(0, 1 - d).astype(np.float32) for d in distance)
    return rows, columns
