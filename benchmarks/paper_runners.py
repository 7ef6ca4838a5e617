"""Every system as one function from a sparse volume to the restored one."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from paper_records import MODEL, read_record
from paper_systems import INTERPOLATORS, Regime, System

from saint_cli.evaluation import interpolators
from saint_cli.evaluation.scores import DegradedScan
from saint_cli.method import pipeline
from saint_cli.method.baseline_networks import restore_by_baseline
from saint_cli.method.pipeline import ResultStage
from saint_cli.models.baseline_weights import BaselineModel, load_any_model
from saint_cli.models.weights import SaintModel
from saint_cli.options.method import MethodOptions
from saint_cli.runtime.device_selection import select_compute

DEVICE = "cpu"


@dataclass(frozen=True)
class Runner:
    """A system at one factor.

    restore: a degraded scan to [X, Y, slices] of scanner values; parameters: of all its networks;
    weights_sha256: of its weights, or the name of an interpolator.
    """

    restore: Callable[[DegradedScan], np.ndarray]
    parameters: int
    weights_sha256: str


def find_run(runs: Path, regime: Regime, network: str) -> Path:
    """The run folder of a network."""
    return runs / regime.value / network


def make_runner(runs: Path, system: System, regime: Regime, factor: int) -> Runner | None:
    """The system, or None where its network is not trained yet.

    Raises:
        WeightsError: the weights are damaged.
    """
    if system.name in INTERPOLATORS:
        interpolate = interpolators.INTERPOLATORS[system.name]
        return Runner(lambda degraded: interpolate(degraded.acquired, degraded.grid), 0, system.name)
    weights = find_weights(runs, system, regime, factor)
    if weights is None:
        return None
    model = load_any_model(weights)
    if isinstance(model, BaselineModel):
        return Runner(partial(_run_baseline, model), model.parameters, model.sha256)
    stage, options = ResultStage(system.stage or "fused"), MethodOptions(directions=system.directions)
    parameters = sum(model.parameters) if stage is ResultStage.FUSED else model.parameters[0]
    return Runner(partial(_run_saint, model, stage, options), parameters, model.sha256)


def find_weights(runs: Path, system: System, regime: Regime, factor: int) -> str | None:
    """The name or file of a system's weights, or None where they are not trained to the end."""
    if system.shipped is not None:
        return system.shipped
    assert system.networks is not None
    folder = find_run(runs, regime, system.networks[factor])
    return str(folder / MODEL) if read_record(folder) is not None else None


def _run_baseline(model: BaselineModel, degraded: DegradedScan) -> np.ndarray:
    return restore_by_baseline(degraded.sparse, model, degraded.grid, select_compute(DEVICE))


def _run_saint(model: SaintModel, stage: ResultStage, options: MethodOptions, degraded: DegradedScan) -> np.ndarray:
    restored = pipeline.restore(degraded.sparse, model, degraded.grid, select_compute(DEVICE), options)
    return restored.stage(stage)
