"""How well a model restores slices that were really acquired: degrade, upsample, compare by a named protocol."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from saint_cli import degrade, intensity, interpolate, pipeline
from saint_cli.compute import Compute
from saint_cli.errors import UsageError
from saint_cli.geometry import grid_by_factor, through_plane_axis
from saint_cli.io import read_volume
from saint_cli.metrics import PAPER, psnr_by_protocol
from saint_cli.pipeline import Choices, Report, silent
from saint_cli.plan import SlicePlan
from saint_cli.volume import Volume
from saint_cli.weights import SaintModel, load_model

CONTEXT = 32
"""In-plane voxels kept around the scored crop, more than the networks' residuals are seen to reach."""


@dataclass(frozen=True)
class Score:
    """PSNR in dB of one volume at one factor: the interpolators, and SAINT's stages."""

    volume: str
    factor: int
    slices: int
    linear: float
    cubic: float
    sagittal: float
    coronal: float
    mean: float
    fused: float


def score(
    volume: Volume, axis: int, factor: int, model: SaintModel, compute: Compute, report: Report = silent
) -> Score:
    """Decimate a dense volume (Eq. 1), restore it, and compare with what was there, by protocol ``paper``.

    axis: its through-plane voxel axis. Trailing slices that decimation cannot reach are left out.
    """
    dense = central(volume, axis, PAPER.crop)
    sparse = degrade.decimate(dense, axis, factor)
    grid = grid_by_factor(sparse.shape[axis], axis, factor)
    truth = np.moveaxis(dense.voxels, axis, 2)[..., : grid.count]
    plan, scene = SlicePlan.of(grid), pipeline.prepare(sparse, grid)
    estimates = pipeline.estimate(scene, model, plan, compute, Choices(), report)
    acquired = np.moveaxis(sparse.voxels, axis, 2)
    mean = (estimates.sagittal + estimates.coronal) / 2
    results = {
        "linear": interpolate.linear(acquired, grid),
        "cubic": interpolate.cubic(acquired, grid),
        "sagittal": pipeline.assemble(acquired, plan, scene, estimates.sagittal),
        "coronal": pipeline.assemble(acquired, plan, scene, estimates.coronal),
        "mean": pipeline.assemble(acquired, plan, scene, mean),
        "fused": pipeline.assemble(acquired, plan, scene, estimates.fused),
    }
    figures = {name: round(psnr_by_protocol(truth, result, 2, factor), 3) for name, result in results.items()}
    return Score("", factor, grid.count, **figures)


def central(volume: Volume, axis: int, crop: int | None) -> Volume:
    """The volume cut in-plane to the crop that a protocol scores, with ``CONTEXT`` voxels around it."""
    if crop is None:
        return volume
    cut = [slice(None)] * 3
    for i, size in enumerate(volume.shape):
        if i != axis:
            low = max(0, (size - crop) // 2 - CONTEXT)
            cut[i] = slice(low, size - low)  # symmetric, so that the central crop stays the same
    return replace(volume, voxels=volume.voxels[tuple(cut)])


@dataclass(frozen=True)
class Cases:
    """What to score: files at factors; axis None for the one with the largest spacing; central slices, None for all."""

    files: list[Path]
    factors: list[int]
    axis: int | None = None
    slices: int | None = None


def score_files(cases: Cases, model: str, compute: Compute, report: Report = silent) -> list[Score]:
    """``score`` for every file and factor.

    Raises:
        SaintError: a file cannot be read, is not CT, or has too few slices for a factor.
    """
    networks, scores = load_model(model), []
    for file in cases.files:
        volume = read_volume(file)
        if not intensity.is_ct(volume):
            raise UsageError(f"{file}: not CT; the protocol compares HU from -1024 to 2976")
        volume = replace(volume, header=replace(volume.header, modality="CT"))
        axis = cases.axis
        if axis is None:
            axis = through_plane_axis(volume.spacing_mm, allow_isotropic=True)
        volume = central_slices(volume, axis, cases.slices)
        for factor in cases.factors:
            named = _named(report, f"{file.name} x{factor}")
            scores.append(replace(score(volume, axis, factor, networks, compute, named), volume=file.name))
    return scores


def central_slices(volume: Volume, axis: int, count: int | None) -> Volume:
    """The ``count`` slices in the middle of a volume, or all of it."""
    size = volume.shape[axis]
    if count is None or count >= size:
        return volume
    keep = [slice(None)] * 3
    keep[axis] = slice((size - count) // 2, (size - count) // 2 + count)
    return replace(volume, voxels=volume.voxels[tuple(keep)])


def _named(report: Report, prefix: str) -> Report:
    return lambda stage, done, total: report(f"{prefix} {stage}", done, total)
