"""What the result must not depend on: batches, tiles, devices, threads, files, and hardly on the precision."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from nets import tiny
from nets.tiny import CPU, assert_same_estimates, estimates

from saint_cli import read_volume
from saint_cli.geometry import grid_by_factor, grid_by_spacing
from saint_cli.method import pipeline
from saint_cli.method.network_input import prepare_input
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.models.weights import SaintModel, load_model
from saint_cli.options.method import MethodOptions
from saint_cli.runtime import device_selection
from saint_cli.runtime.device_selection import Compute
from saint_cli.volume import Volume

EXAMPLE = Path(__file__).parents[2] / "examples" / "chest_dense.nii.gz"
FACTOR = 4


@pytest.mark.parametrize("directions", [2, 4])
@pytest.mark.parametrize("batch", [3, 16, 100])
def test_batch_1_equals_any_other_batch(batch: int, directions: int) -> None:
    volume = tiny.volume()
    grid = grid_by_factor(5, 2, 4)
    one, many = (estimates(volume, grid, replace(CPU, batch_size=n), directions=directions) for n in (1, batch))
    assert_same_estimates(one, many)


def test_fusion_in_strips_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    volume = tiny.volume((70, 11, 3))
    for grid in (grid_by_factor(3, 2, 3), grid_by_spacing(3, 2, 5.0, 2.0)):
        whole = estimates(volume, grid)
        monkeypatch.setattr(device_selection, "FUSION_PIXELS", {"cpu": 11})  # one row: as narrow as strips may be
        strips = estimates(volume, grid)
        monkeypatch.undo()
        assert_same_estimates(whole, strips)


@pytest.mark.parametrize("options", [MethodOptions(), MethodOptions(directions=4, tta=True)], ids=str)
def test_several_devices_give_what_one_gives(options: MethodOptions) -> None:
    volume, grid = tiny.volume((40, 9, 4)), grid_by_factor(4, 2, 3)
    network_input, plan = prepare_input(volume, grid), SlicePlan.from_grid(grid)
    together = replace(CPU, batch_size=3, other_devices=(CPU.device, CPU.device))
    one, three = (
        pipeline.estimate_residuals(network_input, tiny.model(), plan, compute, options)
        for compute in (replace(CPU, batch_size=3), together)
    )
    for name in ("sagittal", "coronal", "fused"):
        assert torch.equal(getattr(one, name), getattr(three, name))


@pytest.mark.parametrize(("fold", "shape"), [(1, (70, 66, 3)), (2, (131, 86, 3)), (4, (203, 251, 3))])
def test_planes_in_overlapping_parts_give_what_whole_planes_give(
    fold: int, shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, grid, networks = tiny.volume(shape), grid_by_factor(3, 2, 3), tiny.model(fold=fold)
    whole = estimates(volume, grid, networks=networks, directions=4)
    monkeypatch.setattr(device_selection, "MAX_SLICE_PIXELS", {"cpu": 3 * 17})
    assert_same_estimates(whole, estimates(volume, grid, networks=networks, directions=4))


def test_residuals_in_temporary_files_change_nothing() -> None:
    volume = tiny.volume()
    for grid in (grid_by_factor(5, 2, 3), grid_by_spacing(5, 2, 5.0, 0.7)):
        held = tiny.upsample(volume, tiny.model(), grid, CPU).voxels
        np.testing.assert_array_equal(
            tiny.upsample(volume, tiny.model(), grid, replace(CPU, residual_bytes=0)).voxels, held
        )


def test_bf16_is_close_to_fp32() -> None:
    volume, grid = tiny.volume(), grid_by_factor(5, 2, 4)
    exact, fast = (
        estimates(volume, grid),
        estimates(volume, grid, Compute(torch.device("cpu"), torch.bfloat16)),
    )
    for name in ("sagittal", "coronal", "fused"):
        one, other = getattr(exact, name).float(), getattr(fast, name).float()
        assert float((one - other).abs().mean()) < 0.03 * float(one.abs().mean())
        assert not torch.equal(one, other)


@pytest.fixture(scope="module")
def chest() -> tuple[Volume, np.ndarray]:
    """A part of the example, float32 HU, every fourth slice; and all its slices [x, y, z]."""
    dense = read_volume(EXAMPLE)
    voxels = dense.voxels[40:88, 40:80, 16:33].astype(np.float32)
    affine = dense.affine_lps @ np.diag([1.0, 1.0, FACTOR, 1.0])
    return replace(dense, voxels=voxels[..., ::FACTOR], affine_lps=affine), voxels


@pytest.fixture(scope="module", params=["base", "medium", "fast"])
def single_thread(request: pytest.FixtureRequest, chest: tuple[Volume, np.ndarray]) -> tuple[SaintModel, np.ndarray]:
    """A shipped model, and its result by one thread in float32."""
    sparse, _ = chest
    networks, before = load_model(request.param), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return networks, tiny.upsample(sparse, networks, grid_by_factor(sparse.shape[2], 2, FACTOR), CPU).voxels
    finally:
        torch.set_num_threads(before)


def test_bf16_of_the_shipped_weights_costs_a_third_of_a_hu_and_a_fiftieth_of_a_db_at_most(
    single_thread: tuple[SaintModel, np.ndarray], chest: tuple[Volume, np.ndarray]
) -> None:
    (sparse, dense), (networks, exact) = chest, single_thread
    grid = grid_by_factor(sparse.shape[2], 2, FACTOR)
    rough = tiny.upsample(sparse, networks, grid, replace(CPU, precision=torch.bfloat16)).voxels
    between = np.arange(dense.shape[2]) % FACTOR != 0
    assert 0 < np.abs(exact - rough)[..., between].mean() <= 0.3
    lost, left = (np.square(made - dense)[..., between].mean() for made in (rough, exact))
    assert 10 * np.log10(lost / left) <= 0.02


@pytest.mark.parametrize("threads", [2, 3])
def test_the_number_of_threads_changes_no_voxel_by_half_a_hu(
    threads: int, single_thread: tuple[SaintModel, np.ndarray], chest: tuple[Volume, np.ndarray]
) -> None:
    (sparse, _), (networks, one) = chest, single_thread
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        several = tiny.upsample(sparse, networks, grid_by_factor(sparse.shape[2], 2, FACTOR), CPU).voxels
    finally:
        torch.set_num_threads(before)
    assert np.abs(several - one).max() <= 0.5
