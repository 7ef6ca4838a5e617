"""Noise of axial slices, so that a stack whose every fourth slice looks different from the rest is found out."""

import numpy as np

LAPLACIANS = np.array([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]], np.float32)
"""The difference of two Laplacians, blind to constant, linear and quadratic anatomy (Immerkær 1996)."""

RESPONSE = 6.0
"""Standard deviation of that mask's answer to white noise of standard deviation 1: the root of the sum of squares."""

KEPT, KEPT_MEAN = 0.9, 0.6573
"""Share of the smallest answers that count, for edges that are left answer strongest, and the mean absolute value of as
much of a normal distribution of standard deviation 1. A median would do too, but moves in steps where HU are whole."""

AIR_HU = -1000.0
BODY_ABOVE_HU = -300.0
"""Soft tissue, bone and vessels; not air, and not lung, whose texture is no noise."""

SMOOTH_SIGMA = 2.0
"""Pixels of the Gaussian before edges are looked for, so that noise does not decide what is an edge."""

FEWEST_PIXELS = 200


def smooth_body(plane_hu: np.ndarray) -> np.ndarray:
    """Boolean mask of the half of a plane's body with the gentlest gradients, where what varies is noise.

    plane_hu: 2-D HU, of the truth, so that every method is measured at the same pixels. Empty where the body is small.
    """
    from scipy import ndimage

    body = ndimage.binary_erosion(plane_hu > BODY_ABOVE_HU, iterations=2)
    if np.count_nonzero(body) < 2 * FEWEST_PIXELS:
        return np.zeros_like(body)
    gradient = ndimage.gaussian_gradient_magnitude(plane_hu.astype(np.float32), SMOOTH_SIGMA)
    smooth: np.ndarray = body & (gradient <= np.median(gradient[body]))
    return smooth


def deviation(plane_hu: np.ndarray, mask: np.ndarray) -> float:
    """Standard deviation of the noise of a 2-D plane inside a mask, HU; nan where the mask is empty.

    Immerkær, *Fast Noise Variance Estimation*, CVIU 64, 1996, with a trimmed mean in place of the mean.
    """
    from scipy import ndimage

    answer = np.sort(np.abs(ndimage.convolve(plane_hu.astype(np.float32), LAPLACIANS, mode="nearest")[mask]))
    if not len(answer):
        return float("nan")
    return float(answer[: max(1, round(KEPT * len(answer)))].mean(dtype=float) / KEPT_MEAN / RESPONSE)


def ratio(synthesised: list[float], acquired: list[float]) -> float:
    """Median deviation of synthesised slices over that of acquired ones; nan where either is unknown or zero."""
    medians = [np.median(known) if known else np.nan for known in map(_known, (synthesised, acquired))]
    return float(medians[0] / medians[1]) if medians[1] > 0 else float("nan")


def _known(deviations: list[float]) -> list[float]:
    return [d for d in deviations if not np.isnan(d)]
