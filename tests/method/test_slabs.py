"""Thin slices of slabs: consistent with what was measured, at the right places, in values that can be stored."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from nets import tiny
from nets.tiny import CPU

from saint_cli.errors import UsageError
from saint_cli.geometry import ProfileShape, SlabProfile, SliceGrid, grid_by_factor, grid_by_spacing, grid_of_slabs
from saint_cli.method.network_input import prepare_input
from saint_cli.method.padding import find_holes
from saint_cli.method.slab_assembly import assemble_slabs
from saint_cli.method.slab_ends import count_ends, index_repeated
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.models.weights import SaintModel
from saint_cli.nets.slab_network import make_slab_network
from saint_cli.options.method import MethodOptions, NoiseHandling
from saint_cli.volume import Header, Volume
from saint_cli.volume.stored_values import Coding


def slab_model(seed: int = 0) -> SaintModel:
    """A model for slabs that sees their thickness."""
    model = tiny.model(seed)
    ami = make_slab_network(model.ami).eval()
    torch.manual_seed(seed)
    torch.nn.init.normal_(ami.filters.layers[0].weight, 0, 0.3)
    return replace(model, ami=ami)


def linear_slab_model() -> SaintModel:
    model = tiny.linear_model()
    return replace(model, ami=make_slab_network(model.ami).eval())


def grids(volume: Volume, axis: int) -> dict[str, SliceGrid]:
    count, spacing = volume.shape[axis], volume.spacing_mm[axis]
    return {
        "touching": grid_of_slabs(grid_by_factor(count, axis, 3), SlabProfile(1.0)),
        "even factor": grid_of_slabs(grid_by_factor(count, axis, 4), SlabProfile(1.0)),
        "gaps": grid_of_slabs(grid_by_factor(count, axis, 5), SlabProfile(0.6)),
        "overlap": grid_of_slabs(grid_by_factor(count, axis, 4), SlabProfile(1.5)),
        "a spacing": grid_of_slabs(grid_by_spacing(count, axis, spacing, 1.7), SlabProfile(1.0)),
        "Gaussian": grid_of_slabs(grid_by_factor(count, axis, 4), SlabProfile(1.0, ProfileShape.GAUSSIAN)),
    }


@pytest.mark.parametrize("kind", ["touching", "even factor", "gaps", "overlap", "a spacing", "Gaussian"])
@pytest.mark.parametrize("axis", [0, 2])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_means_over_the_slabs_are_the_acquired_slices(dtype: str, axis: int, kind: str) -> None:
    volume = tiny.volume((20, 18, 5) if axis == 2 else (5, 20, 18), axis, dtype)
    grid = grids(volume, axis)[kind]
    thin = tiny.upsample(volume, slab_model(), grid, CPU)
    assert thin.voxels.dtype == volume.voxels.dtype
    assert thin.shape[axis] == grid.count
    means = np.moveaxis(thin.voxels, axis, 2).astype(np.float64) @ grid.slab_weights.T
    tolerance = 0.5 if dtype == "int16" else 0.01
    assert np.abs(means - np.moveaxis(volume.voxels, axis, 2)).max() <= tolerance


def test_values_that_cannot_be_stored_do_not_break_the_means() -> None:
    coding = Coding(1, -1024, 0, 4095)
    random = np.random.default_rng(3)
    voxels = np.where(random.random((20, 18, 5)) < 0.5, -1024, random.integers(-1024, 500, (20, 18, 5)))
    volume = replace(tiny.volume(), voxels=voxels.astype(np.int16), header=Header("CT", codings=(coding,)))
    grid = grids(volume, 2)["touching"]
    thin = tiny.upsample(volume, slab_model(), grid, CPU).voxels
    assert thin.min() == -1024
    assert np.abs(thin.astype(float) @ grid.slab_weights.T - voxels).max() <= 0.6


def test_all_thin_slices_lie_between_two_slices() -> None:
    random = np.random.default_rng(0)
    for _ in range(3000):
        count, step, thickness = (
            int(random.integers(2, 9)),
            float(random.uniform(1 / 16, 0.9)),
            random.uniform(0.3, 2.2),
        )
        grid = grid_of_slabs(SliceGrid(2, count, step, 2), SlabProfile(float(thickness)))
        plan = SlicePlan.from_grid(grid)
        assert plan.window.min() >= 0
        assert plan.above.max() <= count - 1 + 2 * count_ends(grid)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int32", "float64"])
def test_means_hold_for_every_dtype(dtype: str) -> None:
    volume = tiny.volume(dtype=dtype, modality=None)
    if np.dtype(dtype).itemsize >= 4:
        volume = replace(volume, voxels=(volume.voxels * 1000).astype(dtype))
    grid = grids(volume, 2)["touching"]
    thin = tiny.upsample(volume, slab_model(), grid, CPU).voxels
    assert np.abs(thin.astype(float) @ grid.slab_weights.T - volume.voxels.astype(float)).max() <= 0.5


def test_slices_of_other_slopes_keep_their_own_range() -> None:
    codings = tuple(Coding(slope, 0, 0, 4095) for slope in (0.1, 0.5, 0.1, 0.1, 0.3))
    tops = np.array([c.slope * c.high for c in codings])
    voxels = (np.random.default_rng(2).uniform(0.2, 0.8, (20, 18, 5)) * tops).astype(np.float32)
    volume = replace(tiny.volume(dtype="float32"), voxels=voxels, header=Header("MR", codings=codings))
    grid = grids(volume, 2)["touching"]
    thin = tiny.upsample(volume, linear_slab_model(), grid, CPU).voxels
    means = thin.astype(float) @ grid.slab_weights.T
    assert np.abs(means - voxels).max() <= 0.5 * 0.5  # half of the coarsest step


def test_thin_slices_differ_from_those_without_slabs() -> None:
    volume = tiny.volume()
    grid = grids(volume, 2)["touching"]
    thin = tiny.upsample(volume, slab_model(), grid, CPU).voxels
    acquired = thin[..., np.isclose(grid.places, np.round(grid.places))]
    assert np.abs(acquired.astype(float) - volume.voxels).mean() > 10


def test_a_ramp_of_slabs_becomes_the_ramp_between_their_middles() -> None:
    ramp = 40.0 * np.arange(6)
    voxels = np.broadcast_to(ramp, (20, 18, 6)).astype(np.float32)
    volume = replace(tiny.volume((20, 18, 6), dtype="float32"), voxels=voxels)
    grid = grid_of_slabs(grid_by_factor(6, 2, 3), SlabProfile(1.0))
    thin = tiny.upsample(volume, linear_slab_model(), grid, CPU).voxels
    inside = (grid.places >= 0) & (grid.places <= 5)
    # the outer slices are repeated beyond the ends, which bends the line there
    middle = (grid.places >= 1) & (grid.places <= 4)
    np.testing.assert_allclose(thin[..., middle], np.broadcast_to(40 * grid.places, thin.shape)[..., middle], atol=1e-3)
    assert np.all(np.diff(thin[..., inside], axis=2) > 0)


def test_thickness_changes_the_result() -> None:
    volume, base = tiny.volume(), grid_by_factor(5, 2, 3)
    one, other = (
        tiny.upsample(volume, slab_model(), replace(grid_of_slabs(base, SlabProfile(1.0)), slab=SlabProfile(t)), CPU)
        for t in (1.0, 0.7)
    )
    assert np.abs(one.voxels.astype(float) - other.voxels).mean() > 1


def test_padding_comes_back() -> None:
    volume = tiny.volume()
    voxels = volume.voxels.copy()
    voxels[:4] = -2000
    volume = replace(volume, voxels=voxels, header=Header("CT", padding=((-2000, -2000),)))
    grid = grids(volume, 2)["even factor"]
    thin = tiny.upsample(volume, slab_model(), grid, CPU).voxels
    assert (thin[:4] == -2000).all()
    assert (thin[4:] > -2000).all()


def test_voxels_that_are_not_finite_stay_where_they_are() -> None:
    volume = tiny.volume(dtype="float32")
    voxels = volume.voxels.copy()
    voxels[3, 4, 2] = np.nan
    grid = grids(volume, 2)["touching"]
    thin = tiny.upsample(replace(volume, voxels=voxels), slab_model(), grid, CPU).voxels
    assert np.flatnonzero(np.isnan(thin[3, 4])).tolist() == [6, 7, 8]
    assert np.isnan(thin).sum() == 3


@pytest.mark.parametrize(("dtype", "hole"), [("int16", -2000), ("float32", np.nan)])
@pytest.mark.parametrize("kind", ["touching", "even factor"])
def test_beside_a_hole_no_slab_further_away_counts(kind: str, dtype: str, hole: float) -> None:
    volume = tiny.volume(dtype=dtype)
    volume.voxels[3, 4] = -800, -800, hole, 40, 40
    volume = replace(volume, header=Header("CT", padding=((-2000, -2000),) if dtype == "int16" else ()))
    grid = grids(volume, 2)[kind]
    thin = tiny.upsample(volume, linear_slab_model(), grid, CPU).voxels[3, 4]
    each = grid.count // 5
    np.testing.assert_allclose(thin, np.repeat([-800, -800, hole, 40, 40], each), atol=1e-3)


@pytest.mark.parametrize(("dtype", "hole"), [("int16", -2000), ("float32", np.nan)])
@pytest.mark.parametrize("kind", ["overlap", "a spacing", "Gaussian"])
def test_what_a_hole_was_filled_with_bends_no_thin_slice_that_it_shares(kind: str, dtype: str, hole: float) -> None:
    """The mean over the hole's slab is unknown: with any other value beyond the hole the slices beside it are equal."""
    found = []
    for beyond in (-800, 900):
        volume = tiny.volume((12, 10, 6), dtype=dtype)
        volume.voxels[:] = 40
        volume.voxels[3, 4] = beyond, beyond, hole, 40, 300, 40
        volume = replace(volume, header=Header("CT", padding=((-2000, -2000),) if dtype == "int16" else ()))
        grid = grids(volume, 2)[kind]
        found.append(tiny.upsample(volume, linear_slab_model(), grid, CPU).voxels[3, 4])
    is_after = grid.places > 2.5
    np.testing.assert_array_equal(found[0][is_after], found[1][is_after])
    after = [k for k, row in enumerate(grid.slab_weights) if not row[~is_after].any()]
    means = found[0][is_after] @ grid.slab_weights[after][:, is_after].T
    assert np.abs(means - np.array([40, 40, 40, 40, 300, 40])[after]).max() <= 0.5


def test_beside_a_hole_no_residual_counts() -> None:
    volume = tiny.volume(dtype="float32")
    volume.voxels[:] = 40
    volume.voxels[3, 4, 2] = np.nan
    grid = grids(volume, 2)["touching"]
    network_input, window = prepare_input(volume, grid), SlicePlan.from_grid(grid).window
    below, above = (index_repeated(grid)[k] == 2 for k in (window, window + 1))
    residual = torch.zeros((grid.count, *network_input.voxels.shape[:2]))
    residual[torch.from_numpy(below ^ above)] = 0.5
    thin = assemble_slabs(volume.voxels, grid, network_input, residual, (), find_holes(volume.voxels, volume.header))
    assert np.ptp(thin[0, 0]) > 100
    np.testing.assert_allclose(thin[3, 4], np.repeat([40, 40, np.nan, 40, 40], 3))


def test_weights_and_grid_must_fit() -> None:
    volume = tiny.volume()
    plain, slabs = grid_by_factor(5, 2, 3), grids(volume, 2)["touching"]
    with pytest.raises(UsageError, match="know nothing of slabs"):
        tiny.upsample(volume, tiny.model(), slabs, CPU)
    with pytest.raises(UsageError, match="make thin slices of slabs"):
        tiny.upsample(volume, slab_model(), plain, CPU)
    with pytest.raises(UsageError, match="`noise=smooth` and `slab` exclude each other"):
        tiny.upsample(volume, slab_model(), slabs, CPU, MethodOptions(noise=NoiseHandling.SMOOTH))
