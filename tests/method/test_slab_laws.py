"""Laws of thin slices of slabs at the edges: overlap, mirrors, padding, headers, and slices that are no slabs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from method.test_slabs import linear_slab_model, slab_model
from nets import tiny
from nets.tiny import CPU

from saint_cli.geometry import ProfileShape, SlabProfile, SliceGrid, grid_by_factor, grid_of_slabs
from saint_cli.method import pipeline, slab_ends
from saint_cli.method.network_input import prepare_input
from saint_cli.method.pipeline import ResultStage
from saint_cli.options.grid import GridRequest
from saint_cli.options.method import MethodOptions
from saint_cli.volume import Header, Volume


def make_grid(thickness: float = 1.0, factor: int = 3, shape: ProfileShape = ProfileShape.BOX) -> SliceGrid:
    return grid_of_slabs(grid_by_factor(5, 2, factor), SlabProfile(thickness, shape))


def measure_worst(thin: Volume, volume: Volume, grid: SliceGrid) -> float:
    return float(np.abs(thin.voxels.astype(float) @ grid.slab_weights.T - volume.voxels).max())


@pytest.mark.parametrize("thickness", [1.75, 1.9, 2.0, 2.2])
def test_what_the_means_of_thick_slabs_are_off_is_said(thickness: float) -> None:
    """``tiny.volume`` is noise, which slabs that overlap by half could never have made."""
    volume, grid = tiny.volume(dtype="float32"), make_grid(thickness)
    thin = tiny.upsample(volume, slab_model(), grid, CPU)
    worst = measure_worst(thin, volume, grid)
    said = [text for text in thin.header.warnings if "over slabs are up to" in text]
    assert len(said) == (worst > 1)
    if said:
        assert f"up to {worst:.2g}"[:9] in said[0]


@pytest.mark.parametrize("thickness", [0.4, 1.0, 1.3, 1.6])
def test_means_that_are_exact_are_not_warned_of(thickness: float) -> None:
    volume, grid = tiny.volume(), make_grid(thickness)
    thin = tiny.upsample(volume, slab_model(), grid, CPU)
    assert not thin.header.warnings
    assert measure_worst(thin, volume, grid) <= 0.51


@pytest.mark.parametrize("shape", list(ProfileShape))
@pytest.mark.parametrize("factor", [3, 4])
def test_the_self_ensemble_of_a_reversed_stack_is_the_reversed_self_ensemble(factor: int, shape: ProfileShape) -> None:
    volume, grid, options = tiny.volume(dtype="float32"), make_grid(1.0, factor, shape), MethodOptions(tta=True)
    mirrored = replace(volume, voxels=volume.voxels[..., ::-1].copy())
    one, other = (
        pipeline.restore(v, slab_model(), grid, CPU, options).stage(ResultStage.MEAN) for v in (volume, mirrored)
    )
    np.testing.assert_allclose(one, other[..., ::-1], atol=2)  # residuals are kept in half precision
    assert np.abs(one - other).max() > 100


def test_padding_is_that_of_the_nearest_slab() -> None:
    """A column that leaves the field of view within the stack ends at the face of a slab."""
    volume = tiny.volume()
    voxels = volume.voxels.copy()
    voxels[:3, :, 3:] = -2000
    volume = replace(volume, voxels=voxels, header=Header("CT", padding=((-2000, -2000),)))
    thin = tiny.upsample(volume, slab_model(), make_grid(1.0, 4), CPU).voxels
    is_padding = thin == -2000
    assert is_padding[:3, :, 12:].all()
    assert is_padding.sum() == 3 * 18 * 8


@pytest.mark.parametrize(("distance", "thick"), [(3.0001, 3.0), (2.99995, 3.0), (5.0, 5.02)])
def test_headers_that_round_give_the_slabs_that_touch(distance: float, thick: float) -> None:
    volume = Volume(np.zeros((8, 8, 50), np.int16), np.diag([1.0, 1.0, distance, 1.0]))
    grid = GridRequest(factor=5, slab=thick).make_grid(volume)
    assert grid.slab == SlabProfile(1.0)
    assert grid.count == 250


def test_thickness_is_measured_across_tilted_slices() -> None:
    affine = np.eye(4)
    affine[:3, 2] = 0, 3, 4  # 5 mm apart along the stack, 4 mm across
    volume = Volume(np.zeros((8, 8, 6), np.int16), affine)
    assert GridRequest(factor=2, slab=4.0).make_grid(volume).slab == SlabProfile(1.0)
    wider = GridRequest(factor=2, slab=6.0).make_grid(volume).slab
    assert wider is not None
    assert wider.thickness == pytest.approx(1.5)


def test_networks_know_a_slab_in_parts_of_the_distance_that_they_know() -> None:
    affine = np.eye(4)
    affine[:3, 2] = 0, 3, 4
    volume = replace(tiny.volume(), affine_lps=affine)
    known = prepare_input(volume, make_grid(1.5))
    assert known.thickness_mm == pytest.approx(1.5 * known.spacing_mm[2])


def test_slices_that_are_no_slabs_get_no_ends_no_thickness_and_no_weights() -> None:
    volume, grid = tiny.volume(), grid_by_factor(5, 2, 3)
    known = prepare_input(volume, grid)
    assert slab_ends.count_ends(grid) == 0
    assert known.thickness_mm is None
    assert known.voxels.shape[2] == 5
    assert grid == replace(make_grid(), count=13, origin=0.0, slab=None)
    assert GridRequest(factor=3).make_grid(volume) == grid


def test_repeated_ends_are_the_outer_slices() -> None:
    volume, grid = tiny.volume(), make_grid(2.2, 16)
    plain = prepare_input(volume, grid_by_factor(5, 2, 3)).voxels
    ends = slab_ends.count_ends(grid)
    assert ends == 2
    expected = torch.cat([plain[..., :1].expand(-1, -1, 2), plain, plain[..., -1:].expand(-1, -1, 2)], 2)
    assert torch.equal(prepare_input(volume, grid).voxels, expected)


@pytest.mark.parametrize("part_bytes", [1, 1 << 14])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_the_result_does_not_depend_on_how_many_rows_are_computed_at_once(
    dtype: str, part_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, grid = tiny.volume(dtype=dtype), make_grid(1.4)
    whole = tiny.upsample(volume, slab_model(), grid, CPU).voxels
    monkeypatch.setattr("saint_cli.method.slab_assembly.PART_BYTES", part_bytes)
    np.testing.assert_array_equal(tiny.upsample(volume, slab_model(), grid, CPU).voxels, whole)


def test_a_gaussian_spreads_what_a_slab_misses_over_its_neighbours() -> None:
    """A single bright slice between dark ones: with a Gaussian profile, thin slices beside it are below zero."""
    voxels = np.zeros((20, 18, 5), np.float32)
    voxels[..., 2] = 100
    volume = replace(tiny.volume(dtype="float32"), voxels=voxels)
    box, gaussian = (
        tiny.upsample(volume, linear_slab_model(), make_grid(1.0, 5, shape), CPU).voxels for shape in ProfileShape
    )
    assert gaussian.max() > box.max() + 10
    assert gaussian.min() < box.min() - 5
