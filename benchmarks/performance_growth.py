"""How time and memory grow: with slices, pixels, factor and threads, for a long scan, and what a tiny one costs."""

import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE
from unittest import mock

import numpy as np
import torch
from performance_programs import NETWORKS, run

from saint_cli import Volume, compute, pipeline, write_volume
from saint_cli.directions import interpolate_directions
from saint_cli.geometry import grid_by_factor
from saint_cli.weights import SaintModel, load_model

TINY = (48, 48, 6)
LONG = 4
"""How often the scan is repeated along z, mirrored in turn, to make the long one: 50 slices become 200."""

FACTORS = (2, 4, 8)

ROUNDS = 4
"""Runs of each factor, the first of which is not counted."""


def least(work: Callable[[], object], repeats: int) -> float:
    """Least seconds of a few runs, after one that is not counted."""
    work()
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return min(found)


def _tissue(shape: tuple[int, int, int]) -> Volume:
    """A CT without air, 0.8 mm voxels in slices 4 mm apart."""
    voxels = np.random.default_rng(1).integers(-100, 200, shape, np.int16)
    scan = Volume(voxels, np.diag([0.8, 0.8, 4.0, 1.0]))
    return replace(scan, header=replace(scan.header, modality="CT"))


def once(model: SaintModel, side: int = 96, slices: int = 13, factor: int = 4) -> tuple[float, float]:
    """Seconds of the whole pipeline, and of AMI in it."""
    scan, grid, machine = _tissue((side, side, slices)), grid_by_factor(slices, 2, factor), compute.choose("cpu")
    ami: list[float] = []

    def timed(*given: object) -> object:
        start = time.perf_counter()
        made = interpolate_directions(*given)  # type: ignore[arg-type]
        ami.append(time.perf_counter() - start)
        return made

    began = time.perf_counter()
    with mock.patch.object(pipeline, "interpolate_directions", timed):
        pipeline.upsample(scan, model, grid, machine)
    return time.perf_counter() - began, sum(ami)


def seconds(model: SaintModel, side: int = 96, slices: int = 13) -> float:
    """The shorter of two runs after one that is not counted."""
    return min([once(model, side, slices)[0] for _ in range(3)][1:])


def scaling(threads: int) -> list[str]:
    """Seconds against slices, in-plane size and threads, tissue in every voxel."""
    model = load_model("fast")
    series = {
        "slices": {n: seconds(model, slices=n) for n in (9, 18, 36, 72)},
        "pixels": {n * n: seconds(model, side=n) for n in (64, 91, 128, 181)},
    }
    lines = ["| `fast` | seconds | exponent |", "|---|---|---|"]
    for what, found in series.items():
        (low, early), *_, (high, late) = found.items()
        exponent = math.log(late / early) / math.log(high / low)
        lines.append(f"| {what} | {', '.join(f'{n}: {s:.2f}' for n, s in found.items())} | {exponent:.2f} |")
    times = {}
    for count in sorted({1, threads}):
        torch.set_num_threads(count)
        times[count] = seconds(model)
    return [*lines, f"| threads | {', '.join(f'{n}: {s:.2f}' for n, s in times.items())} | |"]


def by_factor() -> list[str]:
    """Seconds and AMI's share of them against the factor."""
    shown = " | ".join(f"x{n}" for n in FACTORS)
    lines = [f"| model | seconds | {shown} | more at x{FACTORS[-1]} than at x{FACTORS[0]}, of AMI's time at x2 |"]
    lines.append("|---|---|" + "---|" * (len(FACTORS) + 1))
    for name in ("fast", "base"):
        model = load_model(name)
        rounds = [[once(model, factor=n) for n in FACTORS] for _ in range(ROUNDS)][1:]  # in turn: processors tire
        found = [tuple(map(min, zip(*runs, strict=True))) for runs in zip(*rounds, strict=True)]
        for what, part in (("all", 0), ("AMI", 1)):
            more = (found[-1][part] - found[0][part]) / found[0][1]
            lines.append(f"| `{name}` | {what} | {' | '.join(f'{f[part]:.2f}' for f in found)} | {100 * more:.0f} % |")
    return lines


def long_scan(scan: Volume, axis: int, factor: int, threads: int) -> list[str]:
    """Peak memory of ``fast`` for the scan repeated ``LONG`` times, beside its input and its output."""
    parts = [np.flip(scan.voxels, axis) if n % 2 else scan.voxels for n in range(LONG)]
    repeated = replace(scan, voxels=np.concatenate(parts, axis), header=replace(scan.header, origin=None))
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "thick.nii", Path(folder) / "made.nii"
        write_volume(repeated, source)
        told = run(NETWORKS, (source, target), factor, "fast", threads)
        held = [path.stat().st_size / 1e6 for path in (source, target)]
    count = (repeated.shape[axis] - 1) * factor + 1
    beyond = told["peak_memory_mb"] - sum(held)
    return [
        "| slices | seconds | input MB | output MB | peak MB | beyond input and output |",
        "|---|---|---|---|---|---|",
        f"| {repeated.shape[axis]} to {count} | {told['seconds']:.1f} | {held[0]:.0f} | {held[1]:.0f} | "
        f"{told['peak_memory_mb']:.0f} | {beyond:.0f} |",
    ]


def start_up() -> list[str]:
    """What a scan of a few voxels takes, nearly all of it Python, torch and the readers, beside torch alone."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "tiny.nii", Path(folder) / "made.nii"
        write_volume(_tissue(TINY), source)
        saint = ["-m", "saint_cli", "upsample", source, "-o", target, "--factor", 4, "-m", "fast", "--overwrite"]
        programs = {"`import torch`": ["-c", "import torch"], "`saint upsample` of 48 x 48 x 6": saint}
        found = {
            name: least(lambda words=words: subprocess.check_output([sys.executable, *map(str, words)], stderr=PIPE), 3)
            for name, words in programs.items()
        }
    return ["| | seconds |", "|---|---|", *(f"| {name} | {found:.1f} |" for name, found in found.items())]
