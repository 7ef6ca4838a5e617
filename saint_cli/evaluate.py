"""How well a model restores slices that were really acquired: degrade, upsample, compare by a named protocol."""

import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from saint_cli import intensity, interpolate, padding
from saint_cli.choices import Choices
from saint_cli.compute import Compute
from saint_cli.errors import GeometryError, UsageError
from saint_cli.geometry import grid_by_factor, through_plane_axis
from saint_cli.io import read_volume
from saint_cli.metrics import PAPER, Factor, Protocol
from saint_cli.pipeline import STAGES, restore
from saint_cli.progress import ProgressCallback, Stage, as_job_progress, silent
from saint_cli.scores import Judge, Score, Trial, central, number, require_slices
from saint_cli.spacings import check_spacing
from saint_cli.uncertainty import Bin, reliability
from saint_cli.volume import Volume
from saint_cli.weights import SaintModel, load_model
from saint_cli.workload import network_stages

INTERPOLATORS, SCORING = "interpolators", "scoring"
"""What progress calls the stages that are not the networks'."""

SCORE_S = 2e-7
"""Seconds that a result is assumed to take to be scored, for each voxel; measured as soon as one was."""

DENSE_MM, DENSE_PIXELS = 2.5, 5.0
"""Slices farther apart than this, or than so many pixels, are themselves what saint is asked to interpolate."""


@dataclass(frozen=True)
class Cases:
    """What to score: files at factors; axis None for the one with the largest spacing; central slices, None for all."""

    files: list[Path]
    factors: list[Factor]
    axis: int | None = None
    slices: int | None = None


@dataclass(frozen=True)
class Criteria:
    """How to score: interpolators to compare with, protocol, degradation, and the method's own choices."""

    against: Sequence[str] = tuple(interpolate.METHODS)
    protocol: Protocol = PAPER
    degradation: str = "decimate"
    choices: Choices = field(default_factory=Choices)


@dataclass(frozen=True)
class Outcome:
    """What came of one volume at one factor.

    scores: interpolators first, then each model's stages; reliability: by model, observed against predicted error;
    trial, pictures: what a figure shows, by label, [X, Y, slices] of cubic interpolation and each model's fused result;
    warnings: what the figures do not say.
    """

    volume: str
    factor: float
    scores: list[Score]
    reliability: dict[str, list[Bin]]
    trial: Trial | None
    pictures: dict[str, np.ndarray]
    warnings: tuple[str, ...] = ()


def evaluate_all(
    cases: Cases,
    models: list[str],
    criteria: Criteria,
    compute: Compute,
    report: ProgressCallback = silent,
    warn: Callable[[str], None] = lambda sentence: None,
) -> list[Outcome]:
    """``evaluate`` for every file and factor; only the first outcome keeps its pictures, for they are large.

    warn: called with what makes the figures of a file mean less, before they are computed.

    Raises:
        SaintError: a file cannot be read, is not CT, holds NaN, or has too few slices for a factor; with several
            files all are asked before anything is computed.
    """
    networks, outcomes = load_models(models), list[Outcome]()
    report = as_job_progress(report)
    named, shapes = names(cases.files), dict[str, tuple[tuple[int, ...], int]]()
    warnings = dict[str, tuple[str, ...]]()
    for i, (file, name) in enumerate(named.items()):
        report("reading", i, len(named))
        volume, axis = dense(file, cases)
        warnings[name] = thick_slices(volume, axis, cases.factors, name)
        for sentence in warnings[name]:
            warn(sentence)
        volume = central(volume, axis, criteria.protocol.crop)
        shapes[name] = volume.shape, axis
    report.expect(*expected_stages(shapes, cases.factors, networks, criteria, compute))
    for file, name in named.items():
        if len(named) > 1:
            volume, axis = dense(file, cases)
            volume = central(volume, axis, criteria.protocol.crop)
        for factor in cases.factors:
            trial = Trial.of(volume, axis, factor, criteria.degradation, name)
            named_report = _named(report, _case(name, factor))
            outcome = replace(evaluate(trial, networks, criteria, compute, named_report), warnings=warnings[name])
            outcomes.append(replace(outcome, trial=None, pictures={}) if outcomes else outcome)
    return outcomes


def evaluate(
    trial: Trial,
    networks: dict[str, SaintModel],
    criteria: Criteria,
    compute: Compute,
    report: ProgressCallback = silent,
) -> Outcome:
    """Score every interpolator and every stage of every model on one trial."""
    judge = Judge(trial, criteria.protocol)
    outcome = Outcome(trial.volume, number(trial.factor), [], {}, trial, {})
    report(INTERPOLATORS, 0, len(criteria.against))
    for i, name in enumerate(criteria.against):
        began = time.perf_counter()
        result = interpolate.METHODS[name](trial.acquired, trial.grid)
        outcome.scores.append(judge.score(name, result, seconds=time.perf_counter() - began))
        report(INTERPOLATORS, i + 1, len(criteria.against))
    outcome.pictures["cubic"] = interpolate.cubic(trial.acquired, trial.grid)
    for label, model in networks.items():
        _evaluate_model(label, model, (judge, outcome), criteria, compute, _named(report, label))
    return outcome


def _evaluate_model(
    label: str,
    model: SaintModel,
    into: tuple[Judge, Outcome],
    criteria: Criteria,
    compute: Compute,
    report: ProgressCallback,
) -> None:
    judge, outcome = into
    began = time.perf_counter()
    restoration = restore(judge.trial.sparse, model, judge.trial.grid, compute, criteria.choices, report)
    fused = restoration.stage("fused")
    seconds = time.perf_counter() - began
    for i, name in enumerate(STAGES):
        result = fused if name == "fused" else restoration.stage(name)
        took = seconds if name == "fused" else None
        outcome.scores.append(judge.score(name, result, model=label, seconds=took))
        report(SCORING, i + 1, len(STAGES))
    difference, error = judge.errors(fused, restoration.difference())
    calibrated = not (criteria.choices.tta or criteria.choices.match_noise)  # the calibration is of plain results
    outcome.reliability[label] = reliability(difference, error, model.calibration if calibrated else None)
    outcome.pictures[f"{label} fused"] = fused


def load_models(words: list[str]) -> dict[str, SaintModel]:
    """Models by name, or by the words that chose them where two share a name.

    Raises:
        WeightsError: no such model, or a damaged one.
    """
    loaded = {word: load_model(word) for word in words}
    names = [model.name for model in loaded.values()]
    return {model.name if names.count(model.name) == 1 else word: model for word, model in loaded.items()}


def names(files: list[Path]) -> dict[Path, str]:
    """What to call each file: its name, with as many folders before it as tell it from the others."""
    found = {file: file.name for file in files}
    for depth in range(2, max((len(file.parts) for file in files), default=0) + 1):
        shared = [name for name, times in Counter(found.values()).items() if times > 1]
        found = {f: "/".join(f.parts[-depth:]) if name in shared else name for f, name in found.items()}
    return found


def dense(file: Path, cases: Cases) -> tuple[Volume, int]:
    """A file's central slices as CT, and their through-plane axis.

    Raises:
        UsageError: it is not CT, or holds values that are not finite, which nothing can be compared with.
        GeometryError: too few slices for one of the factors, or a spacing that no scan has.
    """
    volume = read_volume(file)
    try:
        check_spacing(volume.affine_lps)
    except GeometryError as error:
        raise GeometryError(f"{file}: {error}") from None
    if not intensity.is_ct(volume):
        raise UsageError(f"{file}: not CT; the protocols compare HU")
    volume = replace(volume, header=replace(volume.header, modality="CT"))
    axis = cases.axis
    if axis is None:
        axis = through_plane_axis(volume.spacing_mm, allow_isotropic=True)
    volume = central_slices(volume, axis, cases.slices)
    volume = padding.hide(volume, axis)  # interpolators know nothing of padding, and no protocol is to compare it
    for factor in cases.factors:
        require_slices(volume.shape[axis], factor, file.name)
    if unknown := np.count_nonzero(~np.isfinite(volume.voxels)):
        are = "voxel is" if unknown == 1 else "voxels are"
        raise UsageError(f"{file}: {unknown} {are} NaN or infinite; nothing can be compared with them")
    most = intensity.LARGEST_HU
    if volume.voxels.dtype.kind == "f" and np.abs(volume.voxels).max() > most:
        volume = replace(volume, voxels=np.clip(volume.voxels, -most, most).astype(np.float32))
    return volume, axis


def thick_slices(volume: Volume, axis: int, factors: Sequence[Factor], name: str) -> tuple[str, ...]:
    """A warning where the slices lie too far apart to stand for the anatomy between thick ones, or nothing."""
    spacing = volume.spacing_mm
    between, pixels = spacing[axis], min(s for i, s in enumerate(spacing) if i != axis)
    if between <= DENSE_MM and between <= DENSE_PIXELS * pixels:
        return ()
    sparse = ", ".join(f"{between * Fraction(factor).numerator:.3g}" for factor in factors)
    return (
        f"{name}: slices {between:.3g} mm apart (pixels {pixels:.3g} mm) are thick; the figures tell how well they are "
        f"predicted from slices {sparse} mm apart, not how good new slices between them would be",
    )


def central_slices(volume: Volume, axis: int, count: int | None) -> Volume:
    """The ``count`` slices in the middle of a volume, or all of it."""
    size = volume.shape[axis]
    if count is None or count >= size:
        return volume
    keep = [slice(None)] * 3
    keep[axis] = slice((size - count) // 2, (size - count) // 2 + count)
    return replace(volume, voxels=volume.voxels[tuple(keep)])


def expected_stages(
    shapes: dict[str, tuple[tuple[int, ...], int]],
    factors: list[Factor],
    networks: dict[str, SaintModel],
    criteria: Criteria,
    compute: Compute,
) -> list[Stage]:
    """What ``evaluate_all`` will tell of, in its order; shapes: of each volume, with its through-plane axis."""
    stages = list[Stage]()
    for (name, (shape, axis)), factor in itertools.product(shapes.items(), factors):
        case, score_s = _case(name, factor), SCORE_S * math.prod(shape)
        stages.append(Stage(f"{INTERPOLATORS}, {case}", score_s * len(criteria.against), SCORING))
        acquired = 1 + (shape[axis] - 1) // Fraction(factor).numerator
        sparse = tuple(acquired if a == axis else size for a, size in enumerate(shape))
        grid = grid_by_factor(acquired, axis, math.ceil(factor))
        for label, model in networks.items():
            of_networks = network_stages(model, sparse, grid, compute, criteria.choices)
            scoring = Stage(SCORING, score_s * len(STAGES), SCORING)
            stages += [replace(s, name=f"{s.name}, {label}, {case}") for s in (*of_networks, scoring)]
    return stages


def _case(name: str, factor: Factor) -> str:
    return f"{name} x{number(factor):g}"


def _named(report: ProgressCallback, of: str) -> ProgressCallback:
    return lambda stage, done, total: report(f"{stage}, {of}", done, total)
