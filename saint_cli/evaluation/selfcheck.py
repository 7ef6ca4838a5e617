"""A quality figure without ground truth: every second acquired slice is left out and predicted by the same networks.

The prediction spans twice the gap that the job itself spans, so that it is the harder of the two tasks.
"""

import math
import time
from dataclasses import dataclass, replace

import numpy as np

from saint_cli import geometry
from saint_cli.evaluation import degrade, interpolators, tissues
from saint_cli.evaluation.check_region import FEWEST_SLICES, Region, plan_region
from saint_cli.evaluation.left_out import LeftOutErrors, measure_change, measure_left_out
from saint_cli.evaluation.metrics import PAPER, Protocol, psnr_by_protocol
from saint_cli.evaluation.user_measures import UserMeasurer, UserMeasures
from saint_cli.evaluation.verdict import Verdict
from saint_cli.geometry import SliceGrid, in_plane
from saint_cli.method import intensity, padding, pipeline
from saint_cli.progress import ProgressCallback, silent
from saint_cli.runtime.device_selection import Compute
from saint_cli.volume import Header, Volume
from saint_cli.volume.float_limits import limit_values

FACTOR = 2

STAGE, STEPS = "self-check", 1000
"""Its name in progress, and its steps per pass of the networks."""

FOREGROUND_UNITS = 0.3
"""Network value above which a voxel of another modality than CT belongs to the body."""


@dataclass(frozen=True)
class SelfCheck:
    """The figures of a check, in scanner values and dB.

    psnr_db, cubic_db: mean over the predicted slices, of the networks and of aligned cubic interpolation;
    mean_error, cubic_error: mean absolute difference from the acquired slices; data_range: of the PSNR;
    body_error: ``mean_error`` inside the body alone, nan where there is none; noise_error: the mean absolute error that
    the noise of the left-out slices alone makes there, None where it could not be measured;
    measures: of CT, the truth, SAINT, cubic and linear interpolation in the scored box, acquired slices included;
    errors: what calibrates the expected error of this scan;
    truth, predicted, cubic: one slice in the middle of the scored region, its through-plane axis of length 1;
    index: that slice, counted from 0; slices: how many were predicted, of ``acquired``; unit: HU, or nothing.
    """

    region: Region
    slices: int
    acquired: int
    psnr_db: float
    cubic_db: float
    mean_error: float
    cubic_error: float
    body_error: float
    noise_error: float | None
    data_range: float
    unit: str
    measures: tuple[UserMeasures, ...]
    errors: LeftOutErrors
    truth: np.ndarray
    predicted: np.ndarray
    cubic: np.ndarray
    index: int
    seconds: float

    @property
    def verdict(self) -> Verdict:
        """The check in one sentence."""
        return Verdict(self.psnr_db - self.cubic_db, self.body_error, self.noise_error, self.unit)


@dataclass(frozen=True)
class _Prediction:
    """The scored box, [x, y, slices] scanner values, of which every second slice is predicted.

    difference: [x, y, predicted slices] |I_sag - I_cor|.
    """

    truth: np.ndarray
    predicted: np.ndarray
    cubic: np.ndarray
    linear: np.ndarray
    difference: np.ndarray

    @property
    def left_out(self) -> np.ndarray:
        """Indices of the predicted slices."""
        return np.arange(1, self.truth.shape[2], FACTOR)

    def absolute_error(self, result: np.ndarray) -> np.ndarray:
        """[x, y, predicted slices] |result - truth|, float32."""
        left_out = self.left_out
        error: np.ndarray = np.abs(result[..., left_out] - self.truth[..., left_out].astype(np.float32))
        return error


def find_reason_to_skip(restoration: pipeline.Restoration) -> str | None:
    """Why a restored volume cannot be checked, or None."""
    grid, (low, high) = restoration.grid, intensity.FLOAT32_SCALES
    if grid.slab is not None:
        return "slices were taken for slabs, of which none can be left out without leaving tissue out"
    if grid.positions is not None:
        return "slices are unevenly spaced, so none can be left out and predicted over the gaps of the job"
    if grid.acquired < FEWEST_SLICES:
        return f"only {grid.acquired} slices were acquired; at least {FEWEST_SLICES} are needed to leave some out"
    if not low < restoration.network_input.intensity_map.scale < high:
        return "its values are too large, or too near to each other, for figures"
    return None


def try_self_check(
    restoration: pipeline.Restoration, compute: Compute, on_progress: ProgressCallback = silent
) -> SelfCheck | str:
    """The self-check around the middle of the body, or why there is none."""
    reason = find_reason_to_skip(restoration)
    if reason is not None:
        return reason
    limited = replace(restoration, measured=limit_values(restoration.measured))
    check = run_self_check(limited, compute, find_middle(limited), on_progress)
    if not (math.isfinite(check.psnr_db) and math.isfinite(check.cubic_db)):
        return "a slice that was left out came back exactly, so that PSNR has no value"
    return check


def find_middle(restoration: pipeline.Restoration) -> tuple[int, int, int]:
    """The voxel x, y, z in the middle of the body."""
    foreground = _foreground(restoration)
    return tissues.find_middle(restoration.measured.voxels, tissues.BODY_HU if foreground is None else foreground)


def run_self_check(
    restoration: pipeline.Restoration,
    compute: Compute,
    centre: tuple[int, int, int],
    on_progress: ProgressCallback = silent,
) -> SelfCheck:
    """Predict acquired slices of a restored volume around ``centre`` (voxel x, y, z) by the networks that restored it.

    The user's options hold but for ``noise`` and ``regenerate``, which do not make a prediction better.
    """
    began = time.perf_counter()
    region = plan_region(restoration.grid, restoration.measured.shape, centre)
    return _score(_predict(restoration, region, compute, on_progress), restoration, region, began)


def _score(found: _Prediction, restoration: pipeline.Restoration, region: Region, began: float) -> SelfCheck:
    """The figures of a prediction; began: when that did, by ``time.perf_counter``."""
    measured, axis = restoration.measured, restoration.grid.axis
    protocol = choose_protocol(measured)
    error, left_out, is_ct = found.absolute_error(found.predicted), found.left_out, intensity.is_ct(measured)
    shown = int(left_out[len(left_out) // 2])
    noise = measure_left_out(found.truth, _foreground(restoration))
    body = noise.body[..., left_out]
    truth, predicted, cubic = (
        np.moveaxis(slices[..., [shown]], 2, axis) for slices in (found.truth, found.predicted, found.cubic)
    )
    return SelfCheck(
        region=region,
        slices=len(left_out),
        acquired=restoration.grid.acquired,
        psnr_db=psnr_by_protocol(found.truth, found.predicted, FACTOR, protocol),
        cubic_db=psnr_by_protocol(found.truth, found.cubic, FACTOR, protocol),
        mean_error=_mean(error),
        cubic_error=_mean(found.absolute_error(found.cubic)),
        body_error=_mean(error[body]),
        noise_error=noise.mean_error,
        data_range=protocol.data_range,
        unit="HU" if is_ct else "",
        measures=_measure(found, measured, axis) if is_ct else (),
        errors=LeftOutErrors(
            difference=found.difference,
            error=error,
            noise=None if noise.mean_error is None else noise.mean_error * float(body.mean()),
            noise_correlation=noise.correlation,
            change=measure_change(found.truth),
        ),
        truth=truth,
        predicted=predicted,
        cubic=cubic,
        index=region.scored_box[axis].start + shown,
        seconds=time.perf_counter() - began,
    )


def _predict(
    restoration: pipeline.Restoration, region: Region, compute: Compute, on_progress: ProgressCallback
) -> _Prediction:
    """Leave every second slice of the region out, and predict it from the others."""
    axis = restoration.grid.axis
    dense = _crop_box(restoration.measured, region.predicted_box, axis)
    sparse = degrade.decimate(dense, axis, FACTOR)
    grid = geometry.grid_by_factor(sparse.shape[axis], axis, FACTOR)
    check = _restore(sparse, restoration, grid, compute, on_progress)
    acquired = np.moveaxis(sparse.voxels, axis, 2)
    boxes = in_plane(zip(region.scored_box, region.predicted_box, strict=True), axis)
    x, y = (slice(scored.start - box.start, scored.stop - box.start) for scored, box in boxes)
    inner = x, y
    return _Prediction(
        truth=np.moveaxis(dense.voxels, axis, 2)[inner],
        predicted=check.stage(pipeline.ResultStage.FUSED)[inner],
        cubic=interpolators.interpolate_cubic(acquired[inner], grid),
        linear=interpolators.interpolate_linear(acquired[inner], grid),
        difference=check.difference(inner),
    )


def _crop_box(volume: Volume, box: tuple[slice, ...], axis: int) -> Volume:
    """The voxels of a box, all finite, as a volume of the same kind of values."""
    inside, header = np.moveaxis(volume.voxels[box], axis, 2), Header(intensity.find_modality(volume))
    return Volume(np.moveaxis(padding.fill_nonfinite(inside), 2, axis), volume.affine_lps, header)


def _restore(
    sparse: Volume, restoration: pipeline.Restoration, grid: SliceGrid, compute: Compute, on_progress: ProgressCallback
) -> pipeline.Restoration:
    """A volume as the networks restore it."""
    options = replace(restoration.options.with_noise_kept, regenerate=False)
    passes = list[str]()

    def on_pass(stage: str, done: int, total: int) -> None:
        if stage not in passes:
            passes.append(stage)
        steps = STEPS * passes.index(stage) + (STEPS * done // total if total else 0)
        on_progress(STAGE, steps, STEPS * (options.directions + 1))

    return pipeline.restore(sparse, restoration.model, grid, compute, options, on_pass)


def _foreground(restoration: pipeline.Restoration) -> float | None:
    """The value above which voxels of other modalities than CT belong to the body."""
    values = restoration.network_input.intensity_map
    return None if values is intensity.CT else values.low + FOREGROUND_UNITS * values.scale


def _measure(found: _Prediction, volume: Volume, axis: int) -> tuple[UserMeasures, ...]:
    spacing_mm = (*in_plane(volume.spacing_mm, axis), volume.spacing_mm[axis])
    measurer = UserMeasurer(found.truth, spacing_mm, FACTOR)
    return tuple(map(measurer.measure, (found.truth, found.predicted, found.cubic, found.linear)))


def choose_protocol(volume: Volume) -> Protocol:
    """The whole plane in the paper's range for CT; for other modalities in that of ``intensity.find_data_range``."""
    protocol = replace(PAPER, crop=None)
    return protocol if intensity.is_ct(volume) else protocol.with_range(*intensity.find_data_range(volume))


def _mean(errors: np.ndarray) -> float:
    return float(errors.mean(dtype=np.float64)) if errors.size else math.nan
