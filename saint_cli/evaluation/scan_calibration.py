"""The expected error of one scan, calibrated by its own self-check.

The self-check knows the errors of slices that were predicted over twice the gap of the job. Part of them is the noise
of the left-out slice, which does not depend on the gap; the rest is smaller over the gap of the job, the less so, the
less neighbouring slices resemble each other more than those two apart do.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from saint_cli.evaluation.left_out import LeftOutErrors
from saint_cli.evaluation.selfcheck import SelfCheck
from saint_cli.geometry import in_plane
from saint_cli.method import intensity
from saint_cli.method.pipeline import Restoration
from saint_cli.models.calibration import HU, Calibration

SHRINKAGE, SHRINKAGE_POWER, CHANGE, MOST_SHRINKAGE = 0.49, 1.1, 0.7, 0.7
"""Over half the gap, ``SHRINKAGE`` of the error that is no noise is left in scans whose neighbouring slices differ
``CHANGE`` times as much as slices two apart; where that ratio is larger, its power of ``SHRINKAGE_POWER`` times as
much, up to ``MOST_SHRINKAGE``. Fitted with ``fast`` to eight scans at factors 2 to 8 (docs/quality.md)."""

LEAST_CORRELATION = 0.1
"""Of noise in neighbouring slices: below, it is chance and anatomy; above, slices overlap and share noise."""

MOST_NOISE = 0.9
"""Of the error of the check that noise may make, for its estimate may be too high."""

SAMPLED_PLANES = 24
"""Planes in which the disagreement of both networks all over the scan is looked at."""

FEWEST_VOXELS = 2000
"""Predicted voxels; from fewer, nothing is calibrated."""


@dataclass(frozen=True)
class CalibratedError:
    """Mean absolute error of one scan's synthesised slices, in ``unit``: observed, and predicted without the truth.

    by_weights: by the calibration in the weights file, None without one; by_scan: by the scan's self-check, None where
    that is not possible.
    """

    volume: str
    factor: float
    model: str
    observed_hu: float
    by_weights_hu: float | None
    by_scan_hu: float | None
    unit: str = HU


def calibrate_on_scan(restoration: Restoration, check: SelfCheck | str) -> Restoration:
    """The restoration with the expected error that its self-check gives; unchanged where there was none.

    Only where its error is known by the calibration of its weights, which stays where the check has too few voxels.
    """
    if isinstance(check, str) or not restoration.has_known_error:
        return restoration
    calibration = derive_calibration(restoration, check)
    if calibration is None:
        return restoration
    return replace(restoration, model=replace(restoration.model, calibration=calibration))


def derive_calibration(restoration: Restoration, check: SelfCheck) -> Calibration | None:
    """``fit_on_scan`` of a restoration and its check; None without a calibration for such a scan in its weights."""
    if restoration.calibration is None:
        return None
    region, whole = _take_region(restoration, check), _sample_planes(restoration)
    unit = 1.0 if intensity.is_ct(restoration.source) else check.data_range / 100
    return fit_on_scan(restoration.calibration, check.errors, region, whole, unit)


def fit_on_scan(
    by_weights: Calibration, errors: LeftOutErrors, region_hu: np.ndarray, whole_hu: np.ndarray, unit: float = 1.0
) -> Calibration | None:
    """From |I_sag - I_cor| of the job to its expected error; None where the check has too few voxels or no error.

    region_hu, whole_hu: |I_sag - I_cor| of the job inside the region that was checked, and everywhere, flat, scanner
    values; unit: 1 HU or 1 % of the range in scanner values, in which knots are rounded.
    In the region the mean is ``estimate_mean_error``; elsewhere it differs as the calibration of the weights says. Over
    |I_sag - I_cor| the error rises as the geometric mean of that calibration and of one fitted to the check: the first
    holds for all tissues, the second for this scan's noise.
    """
    if min(errors.error.size, region_hu.size) < FEWEST_VOXELS or not errors.error.any():
        return None
    in_check = Calibration.fit(errors.difference / unit, errors.error / unit).to_scanner_values(100 * unit)
    knots = np.union1d(by_weights.difference_hu, in_check.difference_hu)
    shape = np.sqrt(by_weights.expected_error(knots) * in_check.expected_error(knots))
    calibration = Calibration(tuple(knots.tolist()), tuple(shape.tolist()))
    in_region, found = by_weights.mean_error(region_hu), calibration.mean_error(whole_hu)
    if in_region <= 0 or found <= 0:
        return None
    level = estimate_mean_error(errors) * by_weights.mean_error(whole_hu) / in_region
    return replace(calibration.scale(level / found), is_of_scan=True)


def estimate_mean_error(errors: LeftOutErrors) -> float:
    """Mean absolute error of the job, by the errors over twice its gap, in scanner values."""
    over_twice = float(errors.error.mean(dtype=np.float64))
    noise = min(errors.noise or 0.0, MOST_NOISE * over_twice)
    shrinkage = min(MOST_SHRINKAGE, SHRINKAGE * (errors.change / CHANGE) ** SHRINKAGE_POWER)
    rest = shrinkage**2 * (over_twice**2 - noise**2)
    return math.sqrt((noise * _unpredictable_noise(errors.noise_correlation)) ** 2 + rest)


def _unpredictable_noise(correlation: float) -> float:
    """Part of a slice's noise, as a standard deviation, that linear interpolation half-way does not predict.

    correlation: of the noise of neighbouring acquired slices. Overlapping slices share noise, with a correlation that
    falls with distance as a normal distribution does: over half the distance it is the fourth root.
    """
    known = min(1.0, max(0.0, correlation - LEAST_CORRELATION))
    return math.sqrt(min(1.0, max(0.1, 1.5 + known / 2 - 2 * known**0.25)))


def _take_region(restoration: Restoration, check: SelfCheck) -> np.ndarray:
    """|I_sag - I_cor| of the job inside the box that was checked, flat."""
    axis, plan = restoration.grid.axis, restoration.plan
    box = check.region.scored_box
    x, y = in_plane(box, axis)
    is_inside = (plan.window >= box[axis].start) & (plan.above < box[axis].stop) & (plan.offset > 0)
    return restoration.difference((x, y))[..., is_inside].ravel()


def _sample_planes(restoration: Restoration) -> np.ndarray:
    """|I_sag - I_cor| of the job in some planes that are spread over the whole scan, flat."""
    count = in_plane(restoration.source.shape, restoration.grid.axis)[0]
    chosen = np.unique(np.linspace(0, count - 1, min(count, SAMPLED_PLANES)).astype(int))
    is_between = restoration.plan.offset > 0
    planes = [restoration.difference((slice(x, x + 1), slice(None)))[..., is_between] for x in chosen]
    return np.concatenate(planes).ravel()
