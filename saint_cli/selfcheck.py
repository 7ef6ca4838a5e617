"""A quality figure without ground truth: every second acquired slice is left out and predicted by the same networks.

The prediction spans twice the gap that the job itself spans, so that it is the harder of the two tasks.
"""

import math
import time
from dataclasses import dataclass, replace

import numpy as np

from saint_cli import degrade, geometry, intensity, interpolate, padding, pipeline
from saint_cli.choices import Choices, Report, silent
from saint_cli.compute import Compute
from saint_cli.geometry import SliceGrid
from saint_cli.metrics import PAPER, Protocol, psnr_by_protocol
from saint_cli.volume import Header, Volume
from saint_cli.weights import SaintModel

FEWEST_SLICES = 5
"""Acquired slices below which nothing is left to predict from."""

FACTOR = 2

STAGE, STEPS = "self-check", 1000
"""What progress calls it, and its steps per pass of the networks."""

SHARE = 0.1
"""Part of the job's own work that the check may take; cut edges and the start of each pass come on top."""

SMALL_VOXELS = 40_000
"""Predicted voxels that take no time worth saving: such volumes are checked as a whole."""

MOST_PREDICTED = 8
"""Slices predicted at most; what work is left goes into a wider region of each."""

NARROWEST = 48
"""Voxels along each side of the region at least, where the volume has them."""

EDGE = 8
"""Voxels along a cut edge that are predicted but not scored, for networks guess what lies beyond it."""


@dataclass(frozen=True)
class Region:
    """A box of acquired voxels: predicted is what the networks see, scored what is compared, in voxels along x, y, z.

    Along the through-plane axis both hold the same odd number of slices; the second, fourth, ... are predicted.
    """

    predicted: tuple[slice, slice, slice]
    scored: tuple[slice, slice, slice]
    whole: bool


@dataclass(frozen=True)
class SelfCheck:
    """What came of it, in scanner values and dB.

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


def why_not(volume: Volume, axis: int) -> str | None:
    """The reason for which a volume cannot be checked, in words, or None."""
    acquired = volume.shape[axis]
    if acquired < FEWEST_SLICES:
        return f"only {acquired} slices were acquired; at least {FEWEST_SLICES} are needed to leave some out"
    return None


def check(
    restoration: pipeline.Restoration,
    compute: Compute,
    centre: tuple[int, int, int],
    report: Report = silent,
) -> SelfCheck:
    """Predict acquired slices of a restored volume around ``centre`` (voxel x, y, z) by the networks that restored it.

    The user's choices hold but for ``match_noise`` and ``regenerate``, which do not make a prediction better.
    """
    began = time.perf_counter()
    axis, measured = restoration.grid.axis, restoration.measured
    region = plan_region(restoration.grid, measured.shape, centre)
    trusted = _cut(measured, region.predicted, axis)
    sparse = degrade.decimate(trusted, axis, FACTOR)
    grid = geometry.grid_by_factor(sparse.shape[axis], axis, FACTOR)
    choices = replace(restoration.choices, match_noise=False, regenerate=False)
    predicted = _predict(sparse, restoration.model, grid, compute, choices, report)
    cubic = interpolate.cubic(np.moveaxis(sparse.voxels, axis, 2), grid)
    return _compared(trusted, np.moveaxis(predicted, 2, axis), np.moveaxis(cubic, 2, axis), region, restoration, began)


def plan_region(grid: SliceGrid, shape: tuple[int, ...], centre: tuple[int, ...]) -> Region:
    """The box to check: the whole volume where that is cheap, else slices and plane cut around ``centre``.

    The work of a job is that of its acquired slices (AMI's features) or of its synthesised ones (RFN), whichever weighs
    more; the box takes ``SHARE`` of it.
    """
    axis, acquired = grid.axis, grid.acquired
    plane = math.prod(shape) // shape[axis]
    predicted = (acquired - 1) // 2
    if plane * predicted > SMALL_VOXELS:
        predicted = min(predicted, MOST_PREDICTED)
    synthesised = max(1, grid.count - acquired)
    share = SHARE / max((predicted + 1) / acquired, predicted / synthesised)
    if plane * (acquired - 1) // 2 <= SMALL_VOXELS:
        share = 1.0
    seen, scored = [], []
    for i, size in enumerate(shape):
        if i == axis:
            length = 2 * predicted + 1
            box = _around(centre[i], length, size)
            seen.append(box)
            scored.append(box)
            continue
        length = size if share >= 1 else min(size, max(NARROWEST, round(size * math.sqrt(share))))
        box = _around(centre[i], length, size)
        seen.append(box)
        scored.append(slice(box.start + EDGE * (box.start > 0), box.stop - EDGE * (box.stop < size)))
    whole = all(s.stop - s.start == n for i, (s, n) in enumerate(zip(scored, shape, strict=True)) if i != axis)
    return Region(
        (seen[0], seen[1], seen[2]), (scored[0], scored[1], scored[2]), whole and predicted * 2 + 2 > acquired
    )


def _around(centre: int, length: int, size: int) -> slice:
    start = min(max(0, centre - length // 2), size - length)
    return slice(start, start + length)


def _cut(volume: Volume, box: tuple[slice, slice, slice], axis: int) -> Volume:
    """The voxels of a box, all finite, as a volume of the same kind of values."""
    kind = "CT" if intensity.is_ct(volume) else volume.header.modality or "MR"
    inside = np.moveaxis(volume.voxels[box], axis, 2)
    return Volume(np.moveaxis(padding.finite(inside), 2, axis), volume.affine_lps, Header(kind))


def _predict(
    sparse: Volume, model: SaintModel, grid: SliceGrid, compute: Compute, choices: Choices, report: Report
) -> np.ndarray:
    """[X, Y, slices] as the networks restore them."""

    passes = list[str]()

    def told(stage: str, done: int, total: int) -> None:
        if stage not in passes:
            passes.append(stage)
        steps = STEPS * passes.index(stage) + (STEPS * done // total if total else 0)
        report(STAGE, steps, STEPS * (choices.directions + 1))

    return pipeline.restore(sparse, model, grid, compute, choices, told).stage("fused")


def _compared(
    trusted: Volume,
    predicted: np.ndarray,
    cubic: np.ndarray,
    region: Region,
    restoration: pipeline.Restoration,
    began: float,
) -> SelfCheck:
    """The figures over the scored part of the predicted box."""
    axis = restoration.grid.axis
    inner = tuple(
        slice(s.start - p.start, s.stop - p.start) for s, p in zip(region.scored, region.predicted, strict=True)
    )
    truth, ours, cubes = trusted.voxels[inner], predicted[inner], cubic[inner]
    protocol = protocol_for(restoration.measured)
    left_out = np.arange(1, truth.shape[axis], FACTOR)
    shown = int(left_out[len(left_out) // 2])
    errors = [_mean_error(truth, result, left_out, axis) for result in (ours, cubes)]
    return SelfCheck(
        region=region,
        slices=len(left_out),
        acquired=restoration.grid.acquired,
        psnr_db=psnr_by_protocol(truth, ours, axis, FACTOR, protocol),
        cubic_db=psnr_by_protocol(truth, cubes, axis, FACTOR, protocol),
        mean_error=errors[0],
        cubic_error=errors[1],
        data_range=protocol.data_range,
        truth=truth.take([shown], axis),
        predicted=ours.take([shown], axis),
        cubic=cubes.take([shown], axis),
        index=region.scored[axis].start + shown,
        seconds=time.perf_counter() - began,
    )


def protocol_for(volume: Volume) -> Protocol:
    """The paper's range for CT; for other modalities that between the percentiles that the networks were given."""
    if intensity.is_ct(volume):
        return replace(PAPER, crop=None)
    values = intensity.map_for(volume)
    span = values.scale * intensity.MR_UPPER_UNITS
    return Protocol("percentiles", values.low, span, synthesised_only=True, crop=None, pooled=False)


def _mean_error(truth: np.ndarray, result: np.ndarray, left_out: np.ndarray, axis: int) -> float:
    difference = truth.take(left_out, axis).astype(np.float32) - result.take(left_out, axis)
    return float(np.abs(difference).mean(dtype=np.float64))
