"""How well a model restores slices that were really acquired: degrade, upsample, compare by a named protocol."""

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from saint_cli.evaluation import baselines
from saint_cli.evaluation.inputs import EvaluationInputs, check_slice_thickness, name_files, read_dense_volume
from saint_cli.evaluation.metrics import PAPER, Factor, Protocol
from saint_cli.evaluation.scores import DegradedScan, Score, Scorer, crop_in_plane, factor_as_number
from saint_cli.evaluation.workload import estimate_network_stages
from saint_cli.geometry import grid_by_factor
from saint_cli.method.pipeline import ResultStage, restore
from saint_cli.models.calibration import ReliabilityBin, compute_reliability
from saint_cli.models.weights import SaintModel, load_model
from saint_cli.options.method import MethodOptions
from saint_cli.progress import ProgressCallback, ProgressStage, as_job_progress, silent
from saint_cli.runtime.device_selection import Compute

INTERPOLATION_STAGE, SCORING_STAGE = "interpolators", "scoring"
"""What progress calls the stages that are not the networks'."""

SCORE_S = 2e-7
"""Seconds per voxel that scoring a result is assumed to take, until it was measured."""


@dataclass(frozen=True)
class EvaluationOptions:
    """How to score: interpolators to compare with, protocol, degradation, and options of the method."""

    interpolators: Sequence[str] = tuple(baselines.INTERPOLATORS)
    protocol: Protocol = PAPER
    degradation: str = "decimate"
    method_options: MethodOptions = field(default_factory=MethodOptions)


@dataclass(frozen=True)
class EvaluationResult:
    """The scores of one volume at one factor.

    scores: interpolators first, then each model's stages; reliability: by model, observed against predicted error;
    degraded, pictures: what a figure shows, by label, [X, Y, slices] of cubic interpolation and of fused results;
    warnings: what limits the scores' meaning.
    """

    volume: str
    factor: float
    scores: list[Score]
    reliability: dict[str, list[ReliabilityBin]]
    degraded: DegradedScan | None
    pictures: dict[str, np.ndarray]
    warnings: tuple[str, ...] = ()


def evaluate_all(
    inputs: EvaluationInputs,
    models: list[str],
    options: EvaluationOptions,
    compute: Compute,
    on_progress: ProgressCallback = silent,
    on_warning: Callable[[str], None] = lambda sentence: None,
) -> list[EvaluationResult]:
    """``evaluate`` for every file and factor; only the first result keeps its pictures, for they are large.

    on_warning: called, before anything is computed, with what limits the meaning of a file's scores.

    Raises:
        SaintError: a file cannot be read, is not CT, holds NaN, or has too few slices for a factor; with several
            files all are checked before anything is computed.
    """
    networks, results = load_models(models), list[EvaluationResult]()
    on_progress = as_job_progress(on_progress)
    names, shapes = name_files(inputs.files), dict[str, tuple[tuple[int, ...], int]]()
    warnings = dict[str, tuple[str, ...]]()
    for i, (file, name) in enumerate(names.items()):
        on_progress("reading", i, len(names))
        volume, axis = read_dense_volume(file, inputs)
        warnings[name] = check_slice_thickness(volume, axis, inputs.factors, name)
        for sentence in warnings[name]:
            on_warning(sentence)
        volume = crop_in_plane(volume, axis, options.protocol.crop)
        shapes[name] = volume.shape, axis
    on_progress.expect(*estimate_stages(shapes, inputs.factors, networks, options, compute))
    for file, name in names.items():
        if len(names) > 1:
            volume, axis = read_dense_volume(file, inputs)
            volume = crop_in_plane(volume, axis, options.protocol.crop)
        for factor in inputs.factors:
            degraded = DegradedScan.from_dense(volume, axis, factor, options.degradation, name)
            of_case = _name_stages(on_progress, _case_name(name, factor))
            result = replace(evaluate(degraded, networks, options, compute, of_case), warnings=warnings[name])
            results.append(replace(result, degraded=None, pictures={}) if results else result)
    return results


def evaluate(
    degraded: DegradedScan,
    networks: dict[str, SaintModel],
    options: EvaluationOptions,
    compute: Compute,
    on_progress: ProgressCallback = silent,
) -> EvaluationResult:
    """Score every interpolator and every stage of every model on one degraded scan."""
    scorer = Scorer(degraded, options.protocol)
    scores, reliability = list[Score](), dict[str, list[ReliabilityBin]]()
    on_progress(INTERPOLATION_STAGE, 0, len(options.interpolators))
    for i, name in enumerate(options.interpolators):
        began = time.perf_counter()
        restored = baselines.INTERPOLATORS[name](degraded.acquired, degraded.grid)
        scores.append(scorer.score(name, restored, seconds=time.perf_counter() - began))
        on_progress(INTERPOLATION_STAGE, i + 1, len(options.interpolators))
    pictures = {"cubic": baselines.interpolate_cubic(degraded.acquired, degraded.grid)}
    for label, model in networks.items():
        of_model = _name_stages(on_progress, label)
        began = time.perf_counter()
        restoration = restore(degraded.sparse, model, degraded.grid, compute, options.method_options, of_model)
        fused = restoration.stage(ResultStage.FUSED)
        seconds = time.perf_counter() - began
        for i, stage in enumerate(ResultStage):
            is_fused = stage is ResultStage.FUSED
            restored = fused if is_fused else restoration.stage(stage)
            scores.append(scorer.score(stage, restored, model=label, seconds=seconds if is_fused else None))
            of_model(SCORING_STAGE, i + 1, len(ResultStage))
        difference, error = scorer.collect_errors(fused, restoration.difference())
        calibration = model.calibration if options.method_options.is_calibrated else None
        reliability[label] = compute_reliability(difference, error, calibration)
        pictures[f"{label} fused"] = fused
    return EvaluationResult(degraded.volume, factor_as_number(degraded.factor), scores, reliability, degraded, pictures)


def load_models(names_or_paths: list[str]) -> dict[str, SaintModel]:
    """Models by name, or as they were given where two share a name.

    Raises:
        WeightsError: no such model, or a damaged one.
    """
    models = {given: load_model(given) for given in names_or_paths}
    names = [model.name for model in models.values()]
    return {model.name if names.count(model.name) == 1 else given: model for given, model in models.items()}


def estimate_stages(
    shapes: dict[str, tuple[tuple[int, ...], int]],
    factors: list[Factor],
    networks: dict[str, SaintModel],
    options: EvaluationOptions,
    compute: Compute,
) -> list[ProgressStage]:
    """The stages of ``evaluate_all``, in their order; shapes: of each volume, with its through-plane axis."""
    stages = list[ProgressStage]()
    for (name, (shape, axis)), factor in itertools.product(shapes.items(), factors):
        case, score_s = _case_name(name, factor), SCORE_S * math.prod(shape)
        stages.append(
            ProgressStage(f"{INTERPOLATION_STAGE}, {case}", score_s * len(options.interpolators), SCORING_STAGE)
        )
        acquired = 1 + (shape[axis] - 1) // Fraction(factor).numerator
        sparse = tuple(acquired if a == axis else size for a, size in enumerate(shape))
        grid = grid_by_factor(acquired, axis, math.ceil(factor))
        for label, model in networks.items():
            of_networks = estimate_network_stages(model, sparse, grid, compute, options.method_options)
            scoring = ProgressStage(SCORING_STAGE, score_s * len(ResultStage), SCORING_STAGE)
            stages += [replace(s, name=f"{s.name}, {label}, {case}") for s in (*of_networks, scoring)]
    return stages


def _case_name(name: str, factor: Factor) -> str:
    return f"{name} x{factor_as_number(factor):g}"


def _name_stages(on_progress: ProgressCallback, of: str) -> ProgressCallback:
    return lambda stage, done, total: on_progress(f"{stage}, {of}", done, total)
