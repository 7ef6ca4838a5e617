"""A quality figure without ground truth: every second acquired slice is left out and predicted by the same networks.

The prediction spans twice the gap that the job itself spans, so that it is the harder of the two tasks.
"""

import math
import time
from dataclasses import dataclass, replace

import numpy as np

from saint_cli import geometry
from saint_cli.evaluation import baselines, degrade
from saint_cli.evaluation.metrics import PAPER, Protocol, psnr_by_protocol
from saint_cli.geometry import SliceGrid, in_plane
from saint_cli.method import intensity, padding, pipeline
from saint_cli.progress import ProgressCallback, silent
from saint_cli.runtime.device_selection import Compute
from saint_cli.volume import Header, Volume

FEWEST_SLICES = 5
"""Acquired slices; with fewer there is nothing left to predict from."""

FACTOR = 2

STAGE, STEPS = "self-check", 1000
"""Its name in progress, and its steps per pass of the networks."""

WORK_SHARE = 0.1
"""Part of the job's work that the check may take, without cut edges and the start of each pass."""

SMALL_VOXELS = 40_000
"""Volumes with up to so many predicted voxels are checked as a whole."""

MOST_PREDICTED = 8
"""Of predicted slices; the remaining work goes into a wider region of each."""

NARROWEST = 48
"""Voxels along each side of the region, where the volume has them."""

EDGE = 8
"""Voxels along a cut edge that are predicted but not scored, for networks guess what lies beyond it."""


@dataclass(frozen=True)
class Region:
    """Boxes of acquired voxels along x, y, z: the networks' input, and the part of it that is compared.

    Along the through-plane axis both hold the same odd number of slices; the second, fourth, ... are predicted.
    """

    predicted_box: tuple[slice, ...]
    scored_box: tuple[slice, ...]
    is_whole: bool


@dataclass(frozen=True)
class SelfCheck:
    """The figures of a check, in scanner values and dB.

    psnr_db, cubic_db: mean over the predicted slices, of the networks and of aligned cubic interpolation;
    mean_error, cubic_error: mean absolute difference from the acquired slices; data_range: of the PSNR;
    truth, predicted, cubic: one slice in the middle of the scored region, its through-plane axis of length 1;
    index: that slice, counted from 0; slices: how many were predicted, of ``acquired``.
    """

    region: Region
    slices: int
    acquired: int
    psnr_db: float
    cubic_db: float
    mean_error: float
    cubic_error: float
    data_range: float
    truth: np.ndarray
    predicted: np.ndarray
    cubic: np.ndarray
    index: int
    seconds: float


def find_reason_to_skip(volume: Volume, axis: int) -> str | None:
    """Why a volume cannot be checked, or None."""
    acquired = volume.shape[axis]
    if acquired < FEWEST_SLICES:
        return f"only {acquired} slices were acquired; at least {FEWEST_SLICES} are needed to leave some out"
    return None


def run_self_check(
    restoration: pipeline.Restoration,
    compute: Compute,
    centre: tuple[int, int, int],
    on_progress: ProgressCallback = silent,
) -> SelfCheck:
    """Predict acquired slices of a restored volume around ``centre`` (voxel x, y, z) by the networks that restored it.

    The user's options hold but for ``match_noise`` and ``regenerate``, which do not make a prediction better.
    """
    began = time.perf_counter()
    axis, measured = restoration.grid.axis, restoration.measured
    region, protocol = plan_region(restoration.grid, measured.shape, centre), choose_protocol(measured)
    dense = _crop_box(measured, region.predicted_box, axis)
    sparse = degrade.decimate(dense, axis, FACTOR)
    grid = geometry.grid_by_factor(sparse.shape[axis], axis, FACTOR)
    predicted = _predict(sparse, restoration, grid, compute, on_progress)
    cubic = baselines.interpolate_cubic(np.moveaxis(sparse.voxels, axis, 2), grid)
    boxes = zip(region.scored_box, region.predicted_box, strict=True)
    inner = tuple(slice(s.start - p.start, s.stop - p.start) for s, p in boxes)
    truth, predicted, cubic = (v[inner] for v in (dense.voxels, *(np.moveaxis(v, 2, axis) for v in (predicted, cubic))))
    left_out = np.arange(1, truth.shape[axis], FACTOR)
    shown = int(left_out[len(left_out) // 2])
    return SelfCheck(
        region=region,
        slices=len(left_out),
        acquired=restoration.grid.acquired,
        psnr_db=psnr_by_protocol(truth, predicted, axis, FACTOR, protocol),
        cubic_db=psnr_by_protocol(truth, cubic, axis, FACTOR, protocol),
        mean_error=_mean_error(truth, predicted, left_out, axis),
        cubic_error=_mean_error(truth, cubic, left_out, axis),
        data_range=protocol.data_range,
        truth=truth.take([shown], axis),
        predicted=predicted.take([shown], axis),
        cubic=cubic.take([shown], axis),
        index=region.scored_box[axis].start + shown,
        seconds=time.perf_counter() - began,
    )


def plan_region(grid: SliceGrid, shape: tuple[int, ...], centre: tuple[int, ...]) -> Region:
    """The box to check: the whole volume where that is cheap, else slices and plane cut around ``centre``.

    The work of a job is that of its acquired slices (AMI's features) or of its synthesised ones (RFN), whichever weighs
    more; the box takes ``WORK_SHARE`` of it.
    """
    axis, acquired = grid.axis, grid.acquired
    plane = math.prod(shape) // shape[axis]
    predicted = (acquired - 1) // 2
    if plane * predicted > SMALL_VOXELS:
        predicted = min(predicted, MOST_PREDICTED)
    synthesised = max(1, grid.count - acquired)
    share = WORK_SHARE / max((predicted + 1) / acquired, predicted / synthesised)
    if plane * (acquired - 1) // 2 <= SMALL_VOXELS:
        share = 1.0
    predicted_box, scored_box = [], []
    for i, size in enumerate(shape):
        if i == axis:
            box = _centred_slice(centre[i], 2 * predicted + 1, size)
            predicted_box.append(box)
            scored_box.append(box)
            continue
        length = size if share >= 1 else min(size, max(NARROWEST, round(size * math.sqrt(share))))
        box = _centred_slice(centre[i], length, size)
        predicted_box.append(box)
        scored_box.append(slice(box.start + EDGE * (box.start > 0), box.stop - EDGE * (box.stop < size)))
    is_whole = all(s.stop - s.start == n for s, n in in_plane(zip(scored_box, shape, strict=True), axis))
    return Region(tuple(predicted_box), tuple(scored_box), is_whole and predicted * 2 + 2 > acquired)


def _centred_slice(centre: int, length: int, size: int) -> slice:
    start = min(max(0, centre - length // 2), size - length)
    return slice(start, start + length)


def _crop_box(volume: Volume, box: tuple[slice, ...], axis: int) -> Volume:
    """The voxels of a box, all finite, as a volume of the same kind of values."""
    kind = "CT" if intensity.is_ct(volume) else volume.header.modality or "MR"
    inside = np.moveaxis(volume.voxels[box], axis, 2)
    return Volume(np.moveaxis(padding.fill_nonfinite(inside), 2, axis), volume.affine_lps, Header(kind))


def _predict(
    sparse: Volume, restoration: pipeline.Restoration, grid: SliceGrid, compute: Compute, on_progress: ProgressCallback
) -> np.ndarray:
    """[X, Y, slices] as the networks restore them."""
    options = replace(restoration.options, match_noise=False, regenerate=False)
    passes = list[str]()

    def on_pass(stage: str, done: int, total: int) -> None:
        if stage not in passes:
            passes.append(stage)
        steps = STEPS * passes.index(stage) + (STEPS * done // total if total else 0)
        on_progress(STAGE, steps, STEPS * (options.directions + 1))

    return pipeline.restore(sparse, restoration.model, grid, compute, options, on_pass).stage(
        pipeline.ResultStage.FUSED
    )


def choose_protocol(volume: Volume) -> Protocol:
    """The paper's range for CT; for other modalities that between the percentiles that the networks were given."""
    if intensity.is_ct(volume):
        return replace(PAPER, crop=None)
    values = intensity.choose_map(volume)
    span = values.scale * intensity.MR_UPPER_UNITS
    return Protocol("percentiles", values.low, span, synthesised_only=True, crop=None, pooled=False)


def _mean_error(truth: np.ndarray, result: np.ndarray, left_out: np.ndarray, axis: int) -> float:
    difference = truth.take(left_out, axis).astype(np.float32) - result.take(left_out, axis)
    return float(np.abs(difference).mean(dtype=np.float64))
