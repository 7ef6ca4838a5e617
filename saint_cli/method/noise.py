"""Noise of axial slices, which reveals a stack whose every fourth slice looks different from the rest."""

import numpy as np

from saint_cli.errors import UsageError
from saint_cli.geometry import SliceGrid
from saint_cli.method import intensity
from saint_cli.options.method import NoiseHandling
from saint_cli.volume import Volume

LAPLACIANS = np.array([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]], np.float32)
"""The difference of two Laplacians, blind to constant, linear and quadratic anatomy (Immerkær 1996)."""

MASK_GAIN = 6.0
"""Standard deviation of that mask's response to white noise of standard deviation 1: the root of the sum of squares."""

TRIMMED_SHARE, TRIMMED_MEAN = 0.9, 0.6573
"""Share of the smallest responses that count, since remaining edges respond most, and the mean absolute value of that
share of a standard normal distribution. A median would do too, but changes in steps where HU are integers."""

AIR_HU = -1000.0
BODY_THRESHOLD_HU = -300.0
"""Soft tissue, bone and vessels; not air, and not lung, whose texture is no noise."""

SMOOTH_SIGMA = 2.0
"""Pixels of the Gaussian before edge detection, so that noise is not taken for edges."""

MIN_BODY_PIXELS = 200

UNCHANGED_WARNING = "noise is as it was: none to change was found (too little noise or uniform tissue)"


def check_handling(volume: Volume, grid: SliceGrid, handling: NoiseHandling) -> None:
    """Refuse to change noise where it was never measured: on such a grid, or of what is not CT.

    Raises:
        UsageError: ``handling`` is not ``KEEP`` there.
    """
    check_grid(grid, handling)
    check_modality(volume, handling)


def check_modality(volume: Volume, handling: NoiseHandling) -> None:
    """Refuse to change noise of what is not CT.

    Raises:
        UsageError: ``handling`` is not ``KEEP`` there.
    """
    if handling is not NoiseHandling.KEEP and not intensity.is_ct(volume):
        advice = "leave it out for other modalities"
        if volume.header.modality is None:
            advice = "the scan is MR by its values: `modality=ct` if it is HU, else leave it out"
        raise UsageError(f"`noise={handling}` needs CT; {advice}")


def check_grid(grid: SliceGrid, handling: NoiseHandling) -> None:
    """Refuse to change noise between uneven slices, and of means of slices.

    Raises:
        UsageError: ``handling`` is not ``KEEP`` there.
    """
    if handling is NoiseHandling.KEEP:
        return
    if not grid.needs_networks:
        raise UsageError(f"`noise={handling}` needs synthesised slices, and there are none; leave it out")
    if grid.slab is not None:
        raise UsageError(f"`noise={handling}` and `slab` exclude each other: noise changes means over slabs")
    if grid.positions is not None:
        raise UsageError(f"`noise={handling}` needs evenly spaced slices; leave it out with `irregular=True`")


def find_smooth_body(plane_hu: np.ndarray, body_above: float = BODY_THRESHOLD_HU) -> np.ndarray:
    """Boolean mask of the half of a plane's body with the smallest gradients, where variation is noise.

    plane_hu: 2-D HU, of the truth, so that every method is measured at the same pixels; of another modality scanner
    values, with ``body_above`` the lowest of the body. Empty where the body is small.
    """
    from scipy import ndimage

    body = ndimage.binary_erosion(plane_hu > body_above, iterations=2)
    if np.count_nonzero(body) < 2 * MIN_BODY_PIXELS:
        return np.zeros_like(body)
    gradient = ndimage.gaussian_gradient_magnitude(plane_hu.astype(np.float32), SMOOTH_SIGMA)
    smooth: np.ndarray = body & (gradient <= np.median(gradient[body]))
    return smooth


def estimate_deviation(plane_hu: np.ndarray, mask: np.ndarray) -> float:
    """Standard deviation of the noise of a 2-D plane inside a mask, HU; nan where the mask is empty.

    Immerkær, *Fast Noise Variance Estimation*, CVIU 64, 1996, with a trimmed mean in place of the mean.
    """
    from scipy import ndimage

    responses = np.sort(np.abs(ndimage.convolve(plane_hu.astype(np.float32), LAPLACIANS, mode="nearest")[mask]))
    if not len(responses):
        return float("nan")
    trimmed = responses[: max(1, round(TRIMMED_SHARE * len(responses)))]
    return float(trimmed.mean(dtype=float) / TRIMMED_MEAN / MASK_GAIN)


def compute_ratio(synthesised: list[float], acquired: list[float]) -> float:
    """Median deviation of synthesised slices over that of acquired ones; nan where either is unknown or zero."""
    known = ([d for d in deviations if not np.isnan(d)] for deviations in (synthesised, acquired))
    numerator, denominator = (np.median(deviations) if deviations else np.nan for deviations in known)
    return float(numerator / denominator) if denominator > 0 else float("nan")
