import platform
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from nets import tiny

from saint_cli import footprint, planes
from saint_cli.compute import Compute
from saint_cli.errors import UsageError
from saint_cli.geometry import grid_by_factor
from saint_cli.weights import load_model

CPU = Compute(torch.device("cpu"), torch.float32)
MB = 1_000_000

AT_WORK = """
import sys, torch
from saint_cli import compute, footprint, memory
from saint_cli.compute import Compute
from saint_cli.weights import load_model
memory.keep_freed()
torch.set_num_threads(1)
name, planes, rows, depth = sys.argv[1], *map(int, sys.argv[2:])
model = load_model(name)
with torch.inference_mode():
    for seen in (3 * rows // 4, rows, rows - 20):  # planes cut to the patient differ in length
        model.ami.features(torch.rand(planes, 3, seen, depth))
print(next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""


@pytest.mark.skipif(platform.system() != "Linux", reason="peak memory is read from /proc")
@pytest.mark.parametrize(
    ("name", "depth", "batch"),
    [("fast", 50, None), ("fast", 200, None), ("fast", 50, 8), ("base", 50, None), ("base", 400, None)],
)
def test_the_networks_take_no_more_memory_than_is_counted_for_them(name: str, depth: int, batch: int | None) -> None:
    model, machine = load_model(name), replace(CPU, batch_size=batch)
    counted = footprint.work_bytes(model, machine, (512, 512), depth)
    rows = min(512, planes.most_seen(CPU.most_pixels // depth, model.ami.reach))
    words = (name, batch or 1, rows, depth)
    peak = int(subprocess.check_output([sys.executable, "-c", AT_WORK, *map(str, words)]))
    assert counted / 3 < peak < counted


def test_larger_batches_are_counted_and_a_gpus_activations_are_not() -> None:
    model, plane = load_model("base"), (512, 512)
    one, four = (footprint.work_bytes(model, replace(CPU, batch_size=n), plane, 50) for n in (1, 4))
    assert four - one > 500 * MB
    assert footprint.work_bytes(model, Compute(torch.device("cuda"), torch.float32), plane, 50) < one


def test_diagonal_planes_of_a_large_batch_are_counted() -> None:
    counted = footprint.work_bytes(load_model("base"), replace(CPU, batch_size=1000), (512, 64), 10)
    assert counted > footprint.bytes_per_pixel(load_model("base").ami.features.size) * 575 * 512 * 10


def test_no_more_rows_are_counted_than_are_seen_at_once() -> None:
    sizes = [footprint.work_bytes(load_model("base"), CPU, (side, side), 500) for side in (64, 128, 700, 2000)]
    assert sizes[0] < sizes[1] < sizes[2] == sizes[3]


def test_what_is_left_is_for_the_residuals() -> None:
    volume = tiny.volume()
    grid, model = grid_by_factor(volume.shape[2], 2, 4), tiny.model()
    left = [footprint.fitted(CPU, model, volume, grid, n * MB).residual_bytes for n in (1000, 1100)]
    assert left[1] - left[0] == 100 * MB
    beside = footprint.fitted(CPU, model, volume, grid, 1000 * MB, 4).residual_bytes
    assert left[0] - beside == 4 * 20 * 18 * 17
    with pytest.raises(UsageError, match="--max-memory 300 MB is too little"):
        footprint.fitted(CPU, model, volume, grid, 300 * MB)
