"""Scores of every system on every volume and factor, by protocol ``paper``; cells that are there are taken over."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path

from paper_records import REFERENCE, Cell, append_line, hash_file, read_lines
from paper_runners import Runner, make_runner
from paper_systems import FACTORS, Regime, System

from saint_cli.evaluation import metrics
from saint_cli.evaluation.inputs import EvaluationInputs, read_dense_volume
from saint_cli.evaluation.metrics import PAPER
from saint_cli.evaluation.scores import DegradedScan, crop_in_plane
from saint_cli.runtime import device_selection


@dataclass(frozen=True)
class Scoring:
    """What to score: weights and cells lie in ``runs``, volumes by the name that cells give them; slices by factor."""

    runs: Path
    volumes: dict[str, Path]
    slices: dict[int, int]

    def read_degraded(self, volume: str, factor: int) -> DegradedScan:
        """A volume made sparse, its central slices cut to what the protocol compares and its surroundings."""
        inputs = EvaluationInputs([self.volumes[volume]], [factor], slices=self.slices[factor])
        dense, axis, data_range = read_dense_volume(self.volumes[volume], inputs)
        dense = crop_in_plane(dense, axis, PAPER.crop)
        return DegradedScan.from_dense(dense, axis, Fraction(factor), name=volume, data_range=data_range)


def find_lines(runs: Path, kind: str, system: System, regime: Regime) -> Path:
    """Where the cells or costs of a system are kept."""
    return runs / kind / (regime.value if system.networks else REFERENCE) / f"{system.name}.jsonl"


def score_all(scoring: Scoring, systems: list[System], regimes: list[Regime], processes: int) -> Iterator[str]:
    """Compute the cells that are missing, in several processes of one thread; yields a line for each."""
    tasks = [
        (scoring, system, regime)
        for system in systems
        for regime in (regimes if system.networks else regimes[:1])
        if list_missing(scoring, system, regime)
    ]
    if processes == 1 or len(tasks) < 2:
        device_selection.set_threads(1)
        for task in tasks:
            yield from score_system(*task)
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), device_selection.set_threads, (1,)) as pool:
        for lines in pool.map(_score_task, tasks):
            yield from lines


def _score_task(task: tuple[Scoring, System, Regime]) -> list[str]:
    return list(score_system(*task))


def list_missing(scoring: Scoring, system: System, regime: Regime) -> list[tuple[str, int]]:
    """Volumes and factors without a cell of the weights, voxels and slices as they are now."""
    found = {_get_key(c) for c in read_lines(Cell, find_lines(scoring.runs, "cells", system, regime))}
    missing = []
    for factor, (volume, path) in itertools.product(FACTORS, scoring.volumes.items()):
        if (runner := make_runner(scoring.runs, system, regime, factor)) is None:
            continue
        if (volume, factor, runner.weights_sha256, hash_file(path), scoring.slices[factor]) not in found:
            missing.append((volume, factor))
    return missing


def _get_key(cell: Cell) -> tuple[str, int, str, str, int]:
    return cell.volume, cell.factor, cell.weights_sha256, cell.voxels_sha256, cell.slices


def score_system(scoring: Scoring, system: System, regime: Regime) -> Iterator[str]:
    """Compute and keep the missing cells of a system; yields a line for each."""
    for volume, factor in list_missing(scoring, system, regime):
        degraded = scoring.read_degraded(volume, factor)
        runner = make_runner(scoring.runs, system, regime, factor)
        assert runner is not None
        cell = score(degraded, runner, system.name, scoring.slices[factor], hash_file(scoring.volumes[volume]))
        append_line(cell, find_lines(scoring.runs, "cells", system, regime))
        yield f"{regime} {system.name} {volume} x{factor}: {cell.psnr_db:.2f} dB {cell.ssim:.4f}"


def score(degraded: DegradedScan, runner: Runner, system: str, slices: int, voxels_sha256: str) -> Cell:
    """PSNR and SSIM of a restoration, means over the synthesised slices."""
    factor, restored = int(degraded.factor), runner.restore(degraded)
    similarity = metrics.ssim_by_protocol(degraded.truth, restored, factor, PAPER)
    psnr_db = metrics.psnr_by_protocol(degraded.truth, restored, factor, PAPER)
    return Cell(
        system=system,
        volume=degraded.volume,
        factor=factor,
        weights_sha256=runner.weights_sha256,
        voxels_sha256=voxels_sha256,
        slices=slices,
        psnr_db=round(psnr_db, 3),
        ssim=round(similarity, 4),
    )
