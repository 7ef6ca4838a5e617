"""What the result must not depend on: batches, tiles, devices, threads, files, and hardly on the precision."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from nets import tiny
from nets.tiny import CPU, assert_same_estimates, estimates

from saint_cli import compute, pipeline, read_volume
from saint_cli.choices import Choices
from saint_cli.compute import Compute
from saint_cli.geometry import grid_by_factor, grid_by_spacing
from saint_cli.pipeline import upsample
from saint_cli.plan import SlicePlan
from saint_cli.scene import prepare
from saint_cli.volume import Volume
from saint_cli.weights import load_model

EXAMPLE = Path(__file__).parents[1] / "examples" / "chest_dense.nii.gz"
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
        monkeypatch.setattr(compute, "FUSION_PIXELS", {"cpu": 11})  # one row: as narrow as strips may be
        strips = estimates(volume, grid)
        monkeypatch.undo()
        assert_same_estimates(whole, strips)


@pytest.mark.parametrize("choices", [Choices(), Choices(directions=4, tta=True)], ids=str)
def test_several_devices_give_what_one_gives(choices: Choices) -> None:
    volume, grid = tiny.volume((40, 9, 4)), grid_by_factor(4, 2, 3)
    scene, plan = prepare(volume, grid), SlicePlan.of(grid)
    together = replace(CPU, batch_size=3, others=(CPU.device, CPU.device))
    one, three = (
        pipeline.estimate(scene, tiny.model(), plan, machine, choices)
        for machine in (replace(CPU, batch_size=3), together)
    )
    for name in ("sagittal", "coronal", "fused"):
        assert torch.equal(getattr(one, name), getattr(three, name))


def test_planes_in_overlapping_parts_give_what_whole_planes_give(monkeypatch: pytest.MonkeyPatch) -> None:
    volume, grid = tiny.volume((70, 66, 3)), grid_by_factor(3, 2, 3)
    whole = estimates(volume, grid, directions=4)
    monkeypatch.setattr(compute, "MOST_PIXELS", {"cpu": 3 * 17})
    assert_same_estimates(whole, estimates(volume, grid, directions=4))


def test_residuals_in_temporary_files_change_nothing() -> None:
    volume = tiny.volume()
    for grid in (grid_by_factor(5, 2, 3), grid_by_spacing(5, 2, 5.0, 0.7)):
        held = upsample(volume, tiny.model(), grid, CPU).voxels
        np.testing.assert_array_equal(upsample(volume, tiny.model(), grid, replace(CPU, residual_bytes=0)).voxels, held)


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


@pytest.mark.parametrize("model", ["base", "fast"])
def test_bf16_of_the_shipped_weights_costs_a_third_of_a_hu_and_a_fiftieth_of_a_db_at_most(
    model: str, chest: tuple[Volume, np.ndarray]
) -> None:
    sparse, dense = chest
    grid, networks = grid_by_factor(sparse.shape[2], 2, FACTOR), load_model(model)
    exact, rough = (
        upsample(sparse, networks, grid, replace(CPU, precision=precision)).voxels
        for precision in (torch.float32, torch.bfloat16)
    )
    between = np.arange(dense.shape[2]) % FACTOR != 0
    assert 0 < np.abs(exact - rough)[..., between].mean() <= 0.3
    lost, left = (np.square(made - dense)[..., between].mean() for made in (rough, exact))
    assert 10 * np.log10(lost / left) <= 0.02


@pytest.mark.parametrize("model", ["base", "fast"])
def test_the_number_of_threads_changes_no_voxel_by_half_a_hu(model: str, chest: tuple[Volume, np.ndarray]) -> None:
    sparse, _ = chest
    grid, networks = grid_by_factor(sparse.shape[2], 2, FACTOR), load_model(model)
    before, made = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            made.append(upsample(sparse, networks, grid, CPU).voxels)
    finally:
        torch.set_num_threads(before)
    assert max(np.abs(other - made[0]).max() for other in made[1:]) <= 0.5
