"""Patches of slices in which noise is measured: where they lie, and what is taken from them."""

from functools import cache

import numpy as np

PATCH, STRIDE = 16, 8
"""Pixels along each side of a patch, and from one patch to the next: small enough for uniform tissue, large enough
for the wavelengths of CT noise."""

GUIDE_SIGMA = 2.0
"""Pixels of the Gaussian before uniform patches are looked for, so that noise does not decide which are."""


def count_places(plane: tuple[int, ...]) -> tuple[int, ...]:
    """Patches along each side of a plane."""
    return tuple(max(0, (n - PATCH) // STRIDE + 1) for n in plane)


def cut_windows(plane: np.ndarray) -> np.ndarray:
    """A plane's patches as a view, (places, places, PATCH, PATCH); none where the plane is smaller than one."""
    if min(plane.shape) < PATCH:
        return np.zeros((*count_places(plane.shape), PATCH, PATCH), plane.dtype)
    windows: np.ndarray = np.lib.stride_tricks.sliding_window_view(plane, (PATCH, PATCH))[::STRIDE, ::STRIDE]
    return windows


@cache
def quadratic_surfaces() -> np.ndarray:
    """(PATCH^2, 6) orthonormal columns that span all quadratic surfaces over a patch."""
    x, y = np.meshgrid(*[np.linspace(-1, 1, PATCH)] * 2, indexing="ij")
    columns = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y]).reshape(6, -1).T
    orthonormal: np.ndarray = np.linalg.qr(columns)[0]
    return orthonormal


@cache
def hann_window() -> np.ndarray:
    """(PATCH, PATCH) Hann window of mean square 1."""
    one = np.hanning(PATCH + 2)[1:-1]
    window = np.outer(one, one)
    scaled: np.ndarray = window / np.sqrt(np.mean(window**2))
    return scaled


@cache
def frequency_radius() -> np.ndarray:
    """(PATCH, PATCH) cycles per patch of every frequency of its Fourier transform."""
    cycles = np.fft.fftfreq(PATCH, 1 / PATCH)
    radius: np.ndarray = np.hypot(cycles[:, None], cycles)
    return radius
