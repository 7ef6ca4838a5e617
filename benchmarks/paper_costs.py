"""What a volume costs each system: processor time, peak memory, parameters, multiply-adds; one program each."""

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from unittest import mock

import numpy as np
from paper_records import Cost, append_line, read_lines
from paper_runners import make_runner
from paper_scoring import Scoring, find_lines
from paper_systems import FACTORS, SYSTEMS, Regime, System
from peak_memory import measure_work
from torch.utils.flop_counter import FlopCounterMode

from saint_cli.evaluation.scores import DegradedScan
from saint_cli.nets import winograd
from saint_cli.runtime import device_selection
from saint_cli.volume import Volume

COUNTED = (96, 96, 9)
"""Acquired voxels of the made-up tissue whose multiply-adds are counted; without air, which saint leaves out."""

TINY = (24, 24, 4)
"""What is run first, for libraries that are loaded on first use."""

REGIME = Regime.TIME
"""Of the networks that are measured; those trained for equal steps differ in their weights alone."""


def measure_costs(scoring: Scoring, systems: list[System], volume: str) -> Iterator[str]:
    """Measure what is missing, one system after the other; yields a line for each cost."""
    for system in systems:
        if not list_missing_costs(scoring, system, volume):
            continue
        words = [system.name, scoring.runs, volume, scoring.volumes[volume], *scoring.slices.values()]
        subprocess.run([sys.executable, __file__, *map(str, words)], check=True)
        for cost in read_lines(Cost, find_costs(scoring.runs, system))[-len(FACTORS) :]:
            yield f"{system.name} x{cost.factor}: {cost.seconds:.1f} s, {cost.memory_mb:.0f} MB"


def find_costs(runs: Path, system: System) -> Path:
    """Where the costs of a system are kept."""
    return find_lines(runs, "costs", system, REGIME)


def list_missing_costs(scoring: Scoring, system: System, volume: str) -> list[int]:
    """Factors without a cost of the weights as they are now, on that volume."""
    costs = read_lines(Cost, find_costs(scoring.runs, system))
    found = {(c.weights_sha256, c.volume, c.factor, c.slices) for c in costs}
    missing = []
    for factor in FACTORS:
        runner = make_runner(scoring.runs, system, REGIME, factor)
        if runner and (runner.weights_sha256, volume, factor, scoring.slices[factor]) not in found:
            missing.append(factor)
    return missing


def measure(scoring: Scoring, system: System, volume: str, factor: int) -> Cost:
    """In this program, on one thread."""
    device_selection.set_threads(1)
    runner = make_runner(scoring.runs, system, REGIME, factor)
    assert runner is not None
    degraded = scoring.read_degraded(volume, factor)
    runner.restore(make_tissue(TINY, factor))
    seconds, memory_mb = measure_work(lambda: runner.restore(degraded))
    return Cost(
        system=system.name,
        factor=factor,
        weights_sha256=runner.weights_sha256,
        volume=volume,
        slices=scoring.slices[factor],
        shape=list(degraded.acquired.shape),
        seconds=round(seconds, 3),
        memory_mb=round(memory_mb, 1),
        parameters=runner.parameters,
        multiply_adds=count_multiply_adds(runner.restore, factor),
    )


def count_multiply_adds(restore: Callable[[DegradedScan], np.ndarray], factor: int) -> float:
    """Per voxel of the result; convolutions are counted as direct ones, whichever algorithm computes them."""
    scan = make_tissue(COUNTED, factor)
    counter = FlopCounterMode(display=False)
    with mock.patch.object(winograd, "_is_faster", return_value=False), counter:
        restored = restore(scan)
    return round(counter.get_total_flops() / 2 / restored.size, 1)


def make_tissue(shape: tuple[int, int, int], factor: int) -> DegradedScan:
    """A degraded CT of noise like soft tissue, 0.8 mm voxels in dense slices 1 mm apart; shape: of the sparse one."""
    dense = (*shape[:2], (shape[2] - 1) * factor + 1)
    volume = Volume(np.random.default_rng(0).integers(-100, 200, dense, np.int16), np.diag([0.8, 0.8, 1.0, 1.0]))
    scan = replace(volume, header=replace(volume.header, modality="CT"))
    return DegradedScan.from_dense(scan, 2, Fraction(factor))


def main() -> None:
    """One system at all its factors, each added to its file."""
    parser = argparse.ArgumentParser()
    for name, kind in (("system", str), ("runs", Path), ("volume", str), ("file", Path)):
        parser.add_argument(name, type=kind)
    parser.add_argument("slices", type=int, nargs=len(FACTORS))
    words = parser.parse_args()
    scoring = Scoring(words.runs, {words.volume: words.file}, dict(zip(FACTORS, words.slices, strict=True)))
    system = next(one for one in SYSTEMS if one.name == words.system)
    for factor in list_missing_costs(scoring, system, words.volume):
        append_line(measure(scoring, system, words.volume, factor), find_costs(words.runs, system))


if __name__ == "__main__":
    main()
