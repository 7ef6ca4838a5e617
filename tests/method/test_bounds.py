"""No synthesised voxel is darker or brighter than everything around it in both acquired neighbours."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from nets import tiny
from nets.tiny import CPU
from scipy import ndimage

from saint_cli.geometry import grid_by_factor, grid_by_spacing
from saint_cli.method import assembly, bounds
from saint_cli.method.network_input import prepare_input
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.options.method import MethodOptions
from saint_cli.volume import Volume

SQUARE = 2 * bounds.RADIUS + 1


def slanting(dtype: str = "int16") -> Volume:
    """Bone that moves by 8 voxels from slice to slice, in tissue, between slices 10 mm apart; all below 172 HU."""
    voxels = np.full((40, 30, 4), 40.0)
    for k in range(4):
        voxels[4 + 8 * k : 10 + 8 * k, 8:20, k] = 150
    voxels += np.random.default_rng(1).uniform(-20, 20, voxels.shape)
    voxels += 1000 if dtype.startswith("u") else 0
    return Volume(voxels.astype(dtype), np.diag([1.0, 1.0, 10.0, 1.0]), tiny.volume().header)


def eager() -> object:
    """Networks that add far more than they should."""
    model = tiny.model()
    with torch.no_grad():
        for parameter in model.rfn.parameters():
            parameter.mul_(8)
    return model


@pytest.mark.parametrize("pick", ["minimum", "maximum"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (29, 23)])
def test_the_extreme_around_each_pixel_is_that_of_a_square(shape: tuple[int, int], pick: str) -> None:
    plane = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    wanted = getattr(ndimage, f"{pick}_filter")(plane, SQUARE, mode="nearest")
    np.testing.assert_array_equal(bounds.filter_extremes(plane, getattr(np, pick)), wanted)


GRIDS = {
    "factor": grid_by_factor(4, 2, 4),
    "spacing": grid_by_spacing(4, 2, 10.0, 2.3),
    "beyond": grid_by_factor(4, 2, 3, extrapolate=True),
}

CHOICES = {
    "plain": MethodOptions(),
    "diagonals": MethodOptions(directions=4),
    "flips": MethodOptions(tta=True),
    "all": MethodOptions(regenerate=True),
}


@pytest.mark.parametrize(
    ("grid", "options", "dtype"),
    [
        ("factor", "plain", "int16"),
        ("factor", "diagonals", "uint16"),
        ("factor", "flips", "float32"),
        ("spacing", "all", "float32"),
        ("spacing", "diagonals", "int16"),
        ("beyond", "plain", "uint16"),
    ],
)
def test_every_synthesised_voxel_lies_between_the_extremes_around_it(grid: str, options: str, dtype: str) -> None:
    volume, wanted = slanting(dtype), GRIDS[grid]
    dense = tiny.upsample(volume, eager(), wanted, CPU, CHOICES[options]).voxels
    plan = SlicePlan.from_grid(wanted, regenerate=CHOICES[options].regenerate)
    reached = 0
    for s, j in enumerate(plan.synthesised):
        pair = volume.voxels[..., [plan.window[s], plan.above[s]]]
        low = ndimage.minimum_filter(pair, (SQUARE, SQUARE, 1), mode="nearest").min(2)
        high = ndimage.maximum_filter(pair, (SQUARE, SQUARE, 1), mode="nearest").max(2)
        assert (dense[..., j] >= low).all()
        assert (dense[..., j] <= high).all()
        reached += np.count_nonzero((dense[..., j] == low) | (dense[..., j] == high))
    assert reached > 100  # the networks wanted more


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_what_the_networks_add_within_the_surroundings_is_kept(axis: int) -> None:
    volume = tiny.volume(axis=axis)
    grid = grid_by_factor(volume.shape[axis], axis, 2)
    plan, network_input = SlicePlan.from_grid(grid), prepare_input(volume, grid, skip_air=False)
    sparse = np.moveaxis(volume.voxels, axis, 2)
    added = torch.full((len(plan.synthesised), *sparse.shape[:2]), 0.01).half()  # 10 HU
    line = assembly.assemble(sparse, plan, network_input, torch.zeros_like(added), sparse).astype(int)
    dense = assembly.assemble(sparse, plan, network_input, added, sparse).astype(int)
    inside = np.zeros(dense.shape, bool)
    for s, j in enumerate(plan.synthesised):
        _, high = bounds.Bounds(sparse, sparse).between(int(plan.window[s]), int(plan.above[s]))
        inside[..., j] = line[..., j] + 12 < high
    assert inside.mean() > 0.1
    np.testing.assert_allclose(dense[inside], line[inside] + 10, atol=1)


def test_surroundings_are_held_for_two_slices_alone() -> None:
    sparse = np.zeros((5, 4, 9), np.int16)
    known = bounds.Bounds(sparse, sparse)
    for k in range(8):
        known.between(k, k + 1)
        assert len(known._extremes) == 2


@pytest.mark.parametrize(("dtype", "hole"), [("int16", -3024), ("float32", np.nan)])
def test_what_a_hole_was_filled_with_is_no_extreme(dtype: str, hole: float) -> None:
    voxels = np.full((24, 20, 4), 40, dtype)
    voxels[8:12, 8:12] = np.array([900, hole, 40, -700], dtype)  # the hole is filled from the slice below
    voxels[20, 15, 1:3] = 60, 20
    volume = Volume(voxels, np.diag([1.0, 1.0, 10.0, 1.0]), replace(tiny.volume().header, padding=((-3024, -3024),)))
    grid = grid_by_factor(4, 2, 4)
    between = tiny.upsample(volume, eager(), grid, CPU).voxels[..., 5:8]
    beside = np.ones(between.shape[:2], bool)
    beside[8:12, 8:12] = False
    assert between[beside].min() >= 20
    assert between[beside].max() <= 60


def test_where_nothing_around_a_voxel_was_measured_its_filled_value_is_both_extremes() -> None:
    filled = np.arange(20.0 * 20).reshape(20, 20, 1)
    acquired = np.full_like(filled, np.nan)
    low, high = bounds.Bounds(filled, acquired).between(0, 0)
    np.testing.assert_array_equal(low, filled[..., 0])
    np.testing.assert_array_equal(high, filled[..., 0])
