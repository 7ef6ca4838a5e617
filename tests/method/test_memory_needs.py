import platform
import subprocess
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from nets import tiny
from nets.tiny import CPU

from saint_cli.errors import UsageError
from saint_cli.geometry import SlabProfile, SliceGrid, grid_by_factor, grid_of_slabs
from saint_cli.method import memory_needs, slab_assembly, slab_consistency
from saint_cli.method.directions import make_tiling
from saint_cli.method.network_input import prepare_input
from saint_cli.models.weights import load_model
from saint_cli.runtime.device_selection import Compute
from saint_cli.volume import Volume

MB = 1_000_000

AT_WORK = """
import sys, torch
from saint_cli.runtime import memory
from saint_cli.models.weights import load_model
memory.keep_freed_memory()
torch.set_num_threads(1)
name, planes, depth, *lengths = sys.argv[1], *map(int, sys.argv[2:])
model = load_model(name)
with torch.inference_mode():
    for length in lengths:
        model.ami.features(torch.rand(planes, 3, length, depth))
print(next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""


@pytest.mark.skipif(platform.system() != "Linux", reason="peak memory is read from /proc")
@pytest.mark.parametrize(
    ("name", "depth", "batch"),
    [
        *(("fast", 50, None), ("fast", 200, None), ("fast", 50, 8)),
        *(("medium", 50, None), ("medium", 200, None), ("medium", 50, 8)),
        *(("base", 50, None), ("base", 400, None)),
    ],
)
def test_the_networks_take_no_more_memory_than_is_counted_for_them(name: str, depth: int, batch: int | None) -> None:
    model, compute = load_model(name), replace(CPU, batch_size=batch)
    counted = memory_needs.estimate_work_bytes(model, compute, (512, 512), depth)
    size = model.ami.features.size
    rows = min(512, make_tiling(CPU, depth, size.reach, size.fold).max_input_rows)
    lengths = (3 * rows // 4, rows, rows - 20) if name != "base" else (rows,)  # planes cut to the body differ in length
    words = (name, batch or 1, depth, *lengths)
    peak = int(subprocess.check_output([sys.executable, "-c", AT_WORK, *map(str, words)]))
    assert counted / 3 < peak < counted


def test_larger_batches_are_counted_and_a_gpus_activations_are_not() -> None:
    model, plane = load_model("base"), (512, 512)
    one, four = (memory_needs.estimate_work_bytes(model, replace(CPU, batch_size=n), plane, 50) for n in (1, 4))
    assert four - one > 500 * MB
    assert memory_needs.estimate_work_bytes(model, Compute(torch.device("cuda"), torch.float32), plane, 50) < one


def test_diagonal_planes_of_a_large_batch_are_counted() -> None:
    counted = memory_needs.estimate_work_bytes(load_model("base"), replace(CPU, batch_size=1000), (512, 64), 10)
    assert counted > memory_needs.estimate_bytes_per_pixel(load_model("base").ami.features.size) * 575 * 512 * 10


def test_no_more_rows_are_counted_than_are_computed_at_once() -> None:
    sizes = [
        memory_needs.estimate_work_bytes(load_model("base"), CPU, (side, side), 500) for side in (64, 128, 700, 2000)
    ]
    assert sizes[0] < sizes[1] < sizes[2] == sizes[3]


def test_what_is_left_is_for_the_residuals() -> None:
    volume = tiny.volume()
    grid, model = grid_by_factor(volume.shape[2], 2, 4), tiny.model()
    left = [memory_needs.with_memory_budget(volume, model, grid, CPU, n * MB).residual_bytes for n in (1000, 1100)]
    assert left[1] - left[0] == 100 * MB
    beside = memory_needs.with_memory_budget(volume, model, grid, CPU, 1000 * MB, 4).residual_bytes
    assert left[0] - beside == 4 * 20 * 18 * 17
    with pytest.raises(UsageError, match="`max_memory=300 MB` is too little"):
        memory_needs.with_memory_budget(volume, model, grid, CPU, 300 * MB)


@pytest.mark.parametrize(
    ("shape", "dtype", "thickness", "has_hole"),
    [
        ((100, 90, 24), "int16", 1.0, False),
        ((60, 60, 24), "float64", 1.5, False),
        ((60, 60, 24), "int16", 1.5, True),
        ((8, 600, 30), "uint16", 2.0, False),  # of which a single row of voxels takes most
    ],
)
def test_thin_slices_of_slabs_take_no_more_memory_than_is_counted_for_them(
    shape: tuple[int, int, int], dtype: str, thickness: float, has_hole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("scipy.linalg")  # whose import would be counted
    monkeypatch.setattr(slab_assembly, "PART_BYTES", 4_000_000)
    voxels = np.random.default_rng(0).integers(0, 40, shape).astype(dtype)  # many columns leave what can be stored
    volume, grid = replace(tiny.volume(shape), voxels=voxels), grid_by_factor(shape[2], 2, 5)
    grid = grid_of_slabs(grid, SlabProfile(thickness))
    network_input = prepare_input(volume, grid, skip_air=False)
    residual = torch.randn(grid.count, *shape[:2]).half()
    holes = np.zeros(shape, bool) if has_hole else None
    if holes is not None:
        holes[..., 5] = True
    tracemalloc.start()
    thin = slab_assembly.assemble_slabs(voxels, grid, network_input, residual, holes=holes)
    slab_consistency.measure_deviation(thin, voxels, grid, volume.header)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    counted = slab_assembly.estimate_bytes(grid, shape, voxels.dtype)
    assert counted / 4 < peak - thin.nbytes < counted


def test_repeated_slices_and_the_assembly_of_slabs_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    volume, model = tiny.volume((400, 300, 5)), tiny.model()
    plain = grid_by_factor(5, 2, 5)
    slabs = grid_of_slabs(plain, SlabProfile(1.0))

    def count_left(grid: SliceGrid) -> int:
        return memory_needs.with_memory_budget(volume, model, grid, CPU, 3000 * MB).residual_bytes

    pixels = 400 * 300
    of_output, of_input = 4 * pixels * volume.voxels.itemsize, 2 * pixels * 4  # 25 slices and not 21; 2 repeated ones
    assert count_left(plain) - count_left(slabs) >= of_output + of_input
    before = count_left(slabs)
    monkeypatch.setattr(slab_assembly, "estimate_bytes", lambda *_: 1000 * MB)
    assert count_left(slabs) < before


def count_needed(volume: Volume, grid: SliceGrid, device: str = "cpu") -> int:
    """Bytes that a job is expected to need besides residuals in memory."""
    compute = Compute(torch.device(device), torch.float32)
    allowed = 3000 * MB
    return allowed - memory_needs.with_memory_budget(volume, tiny.model(), grid, compute, allowed).residual_bytes


def test_the_copies_in_which_padding_and_what_is_not_finite_are_filled_are_counted() -> None:
    plain, grid = tiny.volume(dtype="float32"), grid_by_factor(5, 2, 4)
    voxels = plain.voxels.copy()
    voxels[3, 4, 2] = np.nan
    holed = replace(plain, voxels=voxels)
    both = replace(holed, header=replace(plain.header, padding=((-3024.0, -3024.0),)))
    needed = [count_needed(volume, grid) for volume in (plain, holed, both)]
    assert np.diff(needed).tolist() == [voxels.nbytes] * 2


@pytest.mark.parametrize(("device", "copies"), [("cuda", 1), ("mps", 2)])
def test_residuals_that_come_from_a_gpu_are_counted(device: str, copies: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_needs, "estimate_work_bytes", lambda *_: 0)
    volume, grid = tiny.volume(), grid_by_factor(5, 2, 4)
    more = count_needed(volume, grid, device) - count_needed(volume, grid)
    assert more == copies * 3 * 2 * 20 * 18 * grid.count  # of half precision
