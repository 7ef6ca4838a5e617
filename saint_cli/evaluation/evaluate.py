"""How well a model restores slices that were really acquired: degrade, upsample, compare by a named protocol."""

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from saint_cli.errors import UsageError
from saint_cli.evaluation import degrade, interpolators
from saint_cli.evaluation.inputs import EvaluationInputs, find_warnings, name_files, read_dense_volume
from saint_cli.evaluation.metrics import PAPER, Factor, Protocol
from saint_cli.evaluation.result_measures import TRUTH, Measurer, ResultMeasures
from saint_cli.evaluation.scan_calibration import CalibratedError, derive_calibration
from saint_cli.evaluation.scores import DegradedScan, Score, Scorer, crop_in_plane, factor_as_number
from saint_cli.evaluation.selfcheck import try_self_check
from saint_cli.evaluation.workload import estimate_baseline_stage, estimate_network_stages
from saint_cli.geometry import grid_by_factor
from saint_cli.method import intensity
from saint_cli.method.baseline_networks import require_factor, require_no_options, restore_by_baseline
from saint_cli.method.pipeline import Restoration, ResultStage, restore
from saint_cli.models.baseline_weights import BaselineModel, load_any_model
from saint_cli.models.calibration import ReliabilityBin, compute_reliability
from saint_cli.models.shipped import CT_MODALITY, resolve_name
from saint_cli.models.weights import SaintModel
from saint_cli.options.method import MethodOptions
from saint_cli.progress import ProgressCallback, ProgressStage, as_job_progress, silent
from saint_cli.runtime.device_selection import Compute
from saint_cli.volume import Volume

INTERPOLATION_STAGE, SCORING_STAGE = "interpolators", "scoring"
"""What progress calls the stages that are not the networks'."""

AnyModel = SaintModel | BaselineModel

BASELINE_METHODS = {2: "sagittal", 3: "volume"}
"""What tables call the result of a baseline, by its dimensions."""

SCORE_S = 2e-7
"""Seconds per voxel that scoring a result is assumed to take, until it was measured."""


@dataclass(frozen=True)
class EvaluationOptions:
    """How to score: interpolators to compare with, protocol, degradation, what else to measure (of
    ``result_measures.MEASURES``), whether errors are also predicted by each scan's self-check, options of the method,
    whether names of models stand for those for slabs."""

    interpolators: Sequence[str] = tuple(interpolators.INTERPOLATORS)
    protocol: Protocol = PAPER
    degradation: str = degrade.DECIMATE
    measures: Sequence[str] = ()
    checks_calibration: bool = False
    method_options: MethodOptions = field(default_factory=MethodOptions)
    slabs: bool = False


@dataclass(frozen=True)
class EvaluationResult:
    """The scores of one volume at one factor.

    scores: interpolators first, then each model's stages; reliability: by model, observed against predicted error;
    degraded, pictures: what a figure shows, by label, [X, Y, slices] of cubic interpolation and of final results;
    calibration: by model, the error that was observed and predicted for this scan, where asked for;
    measures: of the truth, the interpolators and each model's fused result, where asked for;
    warnings: what limits the scores' meaning.
    """

    volume: str
    factor: float
    scores: list[Score]
    reliability: dict[str, list[ReliabilityBin]]
    degraded: DegradedScan | None
    pictures: dict[str, np.ndarray]
    measures: tuple[ResultMeasures, ...] = ()
    calibration: tuple[CalibratedError, ...] = ()
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
        SaintError: a factor or option that a baseline does not have; a file that cannot be read, holds NaN, has
            too few slices for a factor, or is not CT where measures are; all are checked before anything is computed.
    """
    networks, results = _NetworksByModality(models, slabs=options.slabs), list[EvaluationResult]()
    _require_of_baselines(networks[CT_MODALITY], inputs.factors, options.method_options)
    on_progress, names = as_job_progress(on_progress), name_files(inputs.files)
    shapes, warnings = dict[str, tuple[tuple[int, ...], int, Mapping[str, AnyModel]]](), dict[str, tuple[str, ...]]()
    for i, (file, name) in enumerate(names.items()):
        on_progress("reading", i, len(names))
        volume, axis, data_range = read_dense_volume(file, inputs)
        warnings[name] = find_warnings(volume, axis, inputs.factors, name)
        for sentence in warnings[name]:
            on_warning(sentence)
        _require_measures(volume, options, file)
        volume = crop_in_plane(volume, axis, options.protocol.crop)
        shapes[name] = volume.shape, axis, networks[intensity.find_modality(volume)]
    on_progress.expect(*estimate_stages(shapes, inputs.factors, options, compute))
    for file, name in names.items():
        if len(names) > 1:
            volume, axis, data_range = read_dense_volume(file, inputs)
            volume = crop_in_plane(volume, axis, options.protocol.crop)
        for factor in inputs.factors:
            degraded = DegradedScan.from_dense(volume, axis, factor, options.degradation, name, data_range)
            of_case = _name_stages(on_progress, _case_name(name, factor))
            result = replace(evaluate(degraded, shapes[name][2], options, compute, of_case), warnings=warnings[name])
            results.append(replace(result, degraded=None, pictures={}) if results else result)
    return results


def evaluate(
    degraded: DegradedScan,
    networks: Mapping[str, AnyModel],
    options: EvaluationOptions,
    compute: Compute,
    on_progress: ProgressCallback = silent,
) -> EvaluationResult:
    """Score every interpolator and every stage of every model on one degraded scan."""
    scoring = _Scoring(degraded, options)
    on_progress(INTERPOLATION_STAGE, 0, len(options.interpolators))
    for i, name in enumerate(options.interpolators):
        began = time.perf_counter()
        restored = interpolators.INTERPOLATORS[name](degraded.acquired, degraded.grid)
        scoring.add(name, restored, seconds=time.perf_counter() - began)
        on_progress(INTERPOLATION_STAGE, i + 1, len(options.interpolators))
    pictures = {"cubic": interpolators.interpolate_cubic(degraded.acquired, degraded.grid)}
    for label, model in networks.items():
        of_model = _name_stages(on_progress, label)
        if isinstance(model, BaselineModel):
            pictures[label] = scoring.add_baseline(label, model, compute, of_model)
        else:
            pictures[f"{label} fused"] = scoring.add_model(label, model, compute, of_model)
    return EvaluationResult(
        volume=degraded.volume,
        factor=factor_as_number(degraded.factor),
        scores=scoring.scores,
        reliability=scoring.reliability,
        degraded=degraded,
        pictures=pictures,
        measures=tuple(scoring.measures),
        calibration=tuple(scoring.calibration),
    )


class _NetworksByModality(dict[str, Mapping[str, AnyModel]]):
    """The networks that names stand for on scans of a modality, loaded when they are asked for."""

    def __init__(self, names_or_paths: Sequence[str], *, slabs: bool) -> None:
        self._names, self._slabs = names_or_paths, slabs

    def __missing__(self, modality: str) -> Mapping[str, AnyModel]:
        names = (resolve_name(name, modality, slabs=self._slabs) for name in self._names)
        return self.setdefault(modality, load_models(list(dict.fromkeys(names))))


def _require_measures(volume: Volume, options: EvaluationOptions, file: Path) -> None:
    """Refuse measures that are about HU on a volume that is not CT."""
    if options.measures and not intensity.is_ct(volume):
        raise UsageError(f"{file}: not CT; leave out --measure {','.join(options.measures)}, which is about HU")


class _Scoring:
    """Everything that is found of one degraded scan, method by method."""

    def __init__(self, degraded: DegradedScan, options: EvaluationOptions) -> None:
        self.scores, self.measures, self.calibration = list[Score](), list[ResultMeasures](), list[CalibratedError]()
        self.reliability = dict[str, list[ReliabilityBin]]()
        self._degraded, self._options, self._scorer = degraded, options, Scorer(degraded, options.protocol)
        self._measurer = Measurer(degraded, options.protocol, options.measures) if options.measures else None
        self._measure(TRUTH, degraded.truth)

    def add(self, method: str, restored: np.ndarray, *, model: str | None = None, seconds: float) -> None:
        """Score and measure a result [X, Y, slices]; model: None of an interpolator."""
        self.scores.append(self._scorer.score(method, restored, model=model, seconds=seconds))
        self._measure(self.scores[-1].label, restored)

    def add_baseline(
        self, label: str, model: BaselineModel, compute: Compute, on_progress: ProgressCallback
    ) -> np.ndarray:
        """Restore by a baseline, score and measure its result, [X, Y, slices], which is returned."""
        began, degraded = time.perf_counter(), self._degraded
        restored = restore_by_baseline(degraded.sparse, model, degraded.grid, compute, on_progress=on_progress)
        method = BASELINE_METHODS[model.architecture.dims]
        self.add(method, restored, model=label, seconds=time.perf_counter() - began)
        return restored

    def add_model(self, label: str, model: SaintModel, compute: Compute, on_progress: ProgressCallback) -> np.ndarray:
        """Restore by a model, score all stages, and measure the fused one, [X, Y, slices], which is returned."""
        began, degraded, options = time.perf_counter(), self._degraded, self._options.method_options
        grid = degraded.slab_grid if model.ami.slabs else degraded.grid
        restoration = restore(degraded.sparse, model, grid, compute, options, on_progress)
        fused = restoration.stage(ResultStage.FUSED)
        seconds = time.perf_counter() - began
        for i, stage in enumerate(ResultStage):
            restored, took = (fused, seconds) if stage is ResultStage.FUSED else (restoration.stage(stage), None)
            self.scores.append(self._scorer.score(stage, restored, model=label, seconds=took))
            on_progress(SCORING_STAGE, i + 1, len(ResultStage))
        self._measure(f"{label} {ResultStage.FUSED}", fused)
        if model.ami.slabs:  # no acquired slice is kept, between which errors would be expected
            return fused
        errors = self._scorer.collect_errors(fused, restoration.difference())
        calibration = model.calibration if options.is_calibrated else None
        self.reliability[label] = compute_reliability(*errors, calibration, self._scorer.protocol.unit)
        if self._options.checks_calibration:
            self.calibration.append(self._compare_calibrations(label, restoration, compute, errors))
        return fused

    def _compare_calibrations(
        self, label: str, restoration: Restoration, compute: Compute, errors: tuple[np.ndarray, np.ndarray]
    ) -> CalibratedError:
        """The error that was observed, beside those that the weights and the scan's self-check predict."""
        difference, error = errors  # of ``Scorer.collect_errors``
        check = try_self_check(restoration, compute)
        on_scan = None if isinstance(check, str) else derive_calibration(restoration, check)
        by_weights = restoration.calibration if restoration.options.is_calibrated else None
        protocol = self._scorer.protocol
        unit = 1.0 if protocol.is_ct else protocol.data_range / 100  # scanner values
        predicted = [None if c is None else c.mean_error(difference * unit) / unit for c in (by_weights, on_scan)]
        return CalibratedError(
            volume=self._degraded.volume,
            factor=factor_as_number(self._degraded.factor),
            model=label,
            observed_hu=float(error.mean(dtype=np.float64)),
            by_weights_hu=predicted[0],
            by_scan_hu=predicted[1],
            unit=protocol.unit,
        )

    def _measure(self, method: str, restored: np.ndarray) -> None:
        if self._measurer is not None:
            self.measures.append(self._measurer.measure(method, restored))


def load_models(names_or_paths: list[str]) -> dict[str, AnyModel]:
    """Models by name, or as they were given where two share a name; baselines too.

    Raises:
        WeightsError: no such model, or a damaged one.
    """
    models = {given: load_any_model(given) for given in names_or_paths}
    names = [model.name for model in models.values()]
    return {model.name if names.count(model.name) == 1 else given: model for given, model in models.items()}


def estimate_stages(
    shapes: dict[str, tuple[tuple[int, ...], int, Mapping[str, AnyModel]]],
    factors: list[Factor],
    options: EvaluationOptions,
    compute: Compute,
) -> list[ProgressStage]:
    """The stages of ``evaluate_all``, in their order; shapes: of each volume, its through-plane axis, its networks."""
    stages = list[ProgressStage]()
    for (name, (shape, axis, networks)), factor in itertools.product(shapes.items(), factors):
        case, score_s = _case_name(name, factor), SCORE_S * math.prod(shape)
        stages.append(
            ProgressStage(f"{INTERPOLATION_STAGE}, {case}", score_s * len(options.interpolators), SCORING_STAGE)
        )
        acquired = 1 + (shape[axis] - 1) // Fraction(factor).numerator
        sparse = tuple(acquired if a == axis else size for a, size in enumerate(shape))
        grid = grid_by_factor(acquired, axis, math.ceil(factor))
        for label, model in networks.items():
            if isinstance(model, BaselineModel):
                baseline = estimate_baseline_stage(model, sparse, compute)
                stages.append(replace(baseline, name=f"{baseline.name}, {label}, {case}"))
                continue
            of_networks = estimate_network_stages(model, sparse, grid, compute, options.method_options)
            scoring = ProgressStage(SCORING_STAGE, score_s * len(ResultStage), SCORING_STAGE)
            stages += [replace(s, name=f"{s.name}, {label}, {case}") for s in (*of_networks, scoring)]
    return stages


def _require_of_baselines(networks: Mapping[str, AnyModel], factors: Sequence[Factor], options: MethodOptions) -> None:
    """Refuse factors and options that a baseline does not have, before anything is read."""
    for model, factor in itertools.product(networks.values(), factors):
        if isinstance(model, BaselineModel):
            require_factor(factor, model)
            require_no_options(options, model)


def _case_name(name: str, factor: Factor) -> str:
    return f"{name} x{factor_as_number(factor):g}"


def _name_stages(on_progress: ProgressCallback, of: str) -> ProgressCallback:
    return lambda stage, done, total: on_progress(f"{stage}, {of}", done, total)
