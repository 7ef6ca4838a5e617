"""How time and memory grow: with slices, pixels, factor and threads, for a long scan, and what a tiny one costs."""

import math
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE, check_output
from unittest import mock

import numpy as np
import torch
from performance_programs import NETWORKS, run_program
from timing import measure_least

from saint_cli import Volume, write_volume
from saint_cli.geometry import grid_by_factor
from saint_cli.method import pipeline
from saint_cli.method.directions import interpolate_directions
from saint_cli.models.weights import SaintModel, load_model
from saint_cli.runtime import device_selection

TINY = (48, 48, 6)
LONG = 4
"""How often the scan is repeated along z, mirrored in turn, to make the long one: 50 slices become 200."""

FACTORS = (2, 4, 8)

ROUNDS = 4
"""Runs of each factor, the first of which is not counted."""


def make_tissue(shape: tuple[int, int, int]) -> Volume:
    """A CT without air, 0.8 mm voxels in slices 4 mm apart."""
    voxels = np.random.default_rng(1).integers(-100, 200, shape, np.int16)
    scan = Volume(voxels, np.diag([0.8, 0.8, 4.0, 1.0]))
    return replace(scan, header=replace(scan.header, modality="CT"))


def time_pipeline(model: SaintModel, side: int = 96, slices: int = 13, factor: int = 4) -> tuple[float, float]:
    """Seconds of the whole pipeline, and of AMI in it."""
    scan, grid, machine = (
        make_tissue((side, side, slices)),
        grid_by_factor(slices, 2, factor),
        device_selection.select_compute("cpu"),
    )
    ami: list[float] = []

    def timed(*arguments: object) -> object:
        start = time.perf_counter()
        result = interpolate_directions(*arguments)  # type: ignore[arg-type]
        ami.append(time.perf_counter() - start)
        return result

    began = time.perf_counter()
    with mock.patch.object(pipeline, "interpolate_directions", timed):
        pipeline.restore(scan, model, grid, machine).result()
    return time.perf_counter() - began, sum(ami)


def measure_pipeline(model: SaintModel, side: int = 96, slices: int = 13) -> float:
    """The shorter of two runs after one that is not counted."""
    return min([time_pipeline(model, side, slices)[0] for _ in range(3)][1:])


def measure_scaling(threads: int) -> list[str]:
    """Seconds against slices, in-plane size and threads, tissue in every voxel."""
    model = load_model("fast")
    series = {
        "slices": {n: measure_pipeline(model, slices=n) for n in (9, 18, 36, 72)},
        "pixels": {n * n: measure_pipeline(model, side=n) for n in (64, 91, 128, 181)},
    }
    lines = ["| `fast` | seconds | exponent |", "|---|---|---|"]
    for what, seconds in series.items():
        (low, early), *_, (high, late) = seconds.items()
        exponent = math.log(late / early) / math.log(high / low)
        lines.append(f"| {what} | {', '.join(f'{n}: {s:.2f}' for n, s in seconds.items())} | {exponent:.2f} |")
    times = {}
    for count in sorted({1, threads}):
        torch.set_num_threads(count)
        times[count] = measure_pipeline(model)
    return [*lines, f"| threads | {', '.join(f'{n}: {s:.2f}' for n, s in times.items())} | |"]


def measure_factors() -> list[str]:
    """Seconds and AMI's share of them against the factor."""
    shown = " | ".join(f"x{n}" for n in FACTORS)
    lines = [f"| model | seconds | {shown} | more at x{FACTORS[-1]} than at x{FACTORS[0]}, of AMI's time at x2 |"]
    lines.append("|---|---|" + "---|" * (len(FACTORS) + 1))
    for name in ("fast", "medium", "base"):
        model = load_model(name)
        rounds = [[time_pipeline(model, factor=n) for n in FACTORS] for _ in range(ROUNDS)]  # processors slow down
        least = [tuple(map(min, zip(*runs, strict=True))) for runs in zip(*rounds[1:], strict=True)]
        for what, part in (("all", 0), ("AMI", 1)):
            more = (least[-1][part] - least[0][part]) / least[0][1]
            lines.append(f"| `{name}` | {what} | {' | '.join(f'{f[part]:.2f}' for f in least)} | {100 * more:.0f} % |")
    return lines


def measure_long_scan(scan: Volume, axis: int, factor: int, threads: int) -> list[str]:
    """Peak memory of ``fast`` for the scan repeated ``LONG`` times, beside its input and its output."""
    parts = [np.flip(scan.voxels, axis) if n % 2 else scan.voxels for n in range(LONG)]
    repeated = replace(scan, voxels=np.concatenate(parts, axis), header=replace(scan.header, dicom_source=None))
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "thick.nii", Path(folder) / "thin.nii"
        write_volume(repeated, source)
        measured = run_program(NETWORKS, (source, target), factor, "fast", threads)
        file_mb = [path.stat().st_size / 1e6 for path in (source, target)]
    count = (repeated.shape[axis] - 1) * factor + 1
    beyond = measured["peak_memory_mb"] - sum(file_mb)
    return [
        "| slices | seconds | input MB | output MB | peak MB | beyond input and output |",
        "|---|---|---|---|---|---|",
        f"| {repeated.shape[axis]} to {count} | {measured['seconds']:.1f} | {file_mb[0]:.0f} | {file_mb[1]:.0f} | "
        f"{measured['peak_memory_mb']:.0f} | {beyond:.0f} |",
    ]


def measure_start_up() -> list[str]:
    """What a scan of a few voxels takes, nearly all of it Python, torch and the readers, beside torch alone."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "tiny.nii", Path(folder) / "thin.nii"
        write_volume(make_tissue(TINY), source)
        saint = ["-m", "saint_cli", "upsample", source, "-o", target, "--factor", 4, "-m", "fast", "--overwrite"]
        programs = {"`import torch`": ["-c", "import torch"], "`saint upsample` of 48 x 48 x 6": saint}
        seconds = {}
        for name, words in programs.items():
            command = [sys.executable, *map(str, words)]
            seconds[name] = measure_least(lambda command=command: check_output(command, stderr=PIPE), 3)
    return ["| | seconds |", "|---|---|", *(f"| {name} | {s:.1f} |" for name, s in seconds.items())]
