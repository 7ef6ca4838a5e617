"""Which values a result has: its type, rounding, and voxels that are extreme, missing or not finite."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from nets import tiny
from nets.tiny import CPU, estimates

from saint_cli.evaluation import interpolators
from saint_cli.geometry import grid_by_factor
from saint_cli.method import assembly
from saint_cli.method.intensity import IntensityMap
from saint_cli.method.network_input import prepare_input
from saint_cli.method.pipeline import estimate_residuals
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.options.method import MethodOptions
from saint_cli.volume import Header, Volume
from saint_cli.volume.stored_values import Coding


@pytest.mark.parametrize("dtype", ["int16", "float32"])
@pytest.mark.parametrize("view", ["plain", "reversed", "fortran", "read-only"])
def test_the_input_is_not_modified_however_it_lies_in_memory(dtype: str, view: str) -> None:
    plain = tiny.volume(dtype=dtype)
    voxels = plain.voxels.copy()
    if view == "reversed":
        voxels = np.ascontiguousarray(voxels[::-1, :, ::-1])[::-1, :, ::-1]
    elif view == "fortran":
        voxels = np.asfortranarray(voxels)
    voxels.flags.writeable = view != "read-only"
    affine = plain.affine_lps.copy()
    grid = grid_by_factor(5, 2, 2)
    found = tiny.upsample(Volume(voxels, affine, plain.header), tiny.model(), grid, CPU).voxels
    np.testing.assert_array_equal(voxels, plain.voxels)
    np.testing.assert_array_equal(affine, plain.affine_lps)
    np.testing.assert_array_equal(found, tiny.upsample(plain, tiny.model(), grid, CPU).voxels)


@pytest.mark.parametrize(
    ("given", "returned"),
    [(d, d) for d in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")]
    + [("float16", "float32")],
)
def test_dtype_is_kept_and_synthesised_voxels_lie_near_the_line(given: str, returned: str) -> None:
    volume = tiny.volume(dtype=given)
    grid = grid_by_factor(5, 2, 3)
    dense = tiny.upsample(volume, tiny.linear_model(), grid, CPU).voxels
    assert dense.dtype == np.dtype(returned)
    line = interpolators.interpolate_linear(volume.voxels.astype(np.float64), grid)
    np.testing.assert_allclose(dense, line, atol=0.51 if np.dtype(given).kind in "iu" else 1e-3)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32"])
def test_values_beyond_a_dtype_are_clipped_and_never_wrap(dtype: str) -> None:
    limits = np.iinfo(dtype)
    sparse = np.zeros((4, 3, 2), dtype)
    sparse[:2], sparse[2:] = limits.min, limits.max
    volume = Volume(sparse, np.diag([1.0, 1.0, 5.0, 1.0]), Header("CT"))
    grid = grid_by_factor(2, 2, 2)
    wide = IntensityMap(-1e10, 1e10, 1e6)
    network_input = replace(prepare_input(volume, grid), box=(slice(None), slice(None)), intensity_map=wide)
    residual = torch.tensor([-9e3, 0, 9e3, -9e3])[None, :, None].expand(1, 4, 3).half()
    dense = assembly.assemble(sparse, SlicePlan.from_grid(grid), network_input, residual, sparse)[..., 1]
    assert (dense[:3] == np.array([limits.min, limits.min, limits.max], dtype)[:, None]).all()
    assert (dense[3] == limits.min).all()


@pytest.mark.parametrize("dtype", ["int32", "uint32"])
def test_large_integers_keep_every_digit(dtype: str) -> None:
    limits = np.iinfo(dtype)
    sparse = np.array(
        [[[limits.max, limits.max], [limits.max - 4, limits.max - 2], [limits.min, limits.min + 2]]], dtype
    )
    volume = Volume(sparse, np.diag([1.0, 1.0, 5.0, 1.0]), Header("CT"))
    dense = tiny.upsample(volume, tiny.linear_model(), grid_by_factor(2, 2, 2), CPU).voxels
    assert dense[0, :, 1].tolist() == [limits.max, limits.max - 3, limits.min + 1]


def test_synthesised_integers_are_rounded_to_the_nearest() -> None:
    sparse = np.zeros((1, 1, 2), np.int16)
    sparse[..., 1] = 10
    volume = Volume(sparse, np.diag([1.0, 1.0, 5.0, 1.0]), Header("CT"))
    dense = tiny.upsample(volume, tiny.linear_model(), grid_by_factor(2, 2, 3), CPU).voxels
    assert dense.ravel().tolist() == [0, 3, 7, 10]


def test_metal_of_20000_hu_passes_through_linearly() -> None:
    volume = tiny.volume(dtype="int32")
    volume.voxels[8:11, 8, 1:3] = 20_000, 18_000
    grid = grid_by_factor(5, 2, 4)
    line = interpolators.interpolate_linear(volume.voxels.astype(np.float64), grid)
    linear = tiny.upsample(volume, tiny.linear_model(), grid, CPU).voxels
    np.testing.assert_array_equal(linear[8:11, 8], np.rint(line[8:11, 8]))
    fused = estimates(volume, grid).fused.float().abs()
    assert float(fused.max()) < 5  # what the network adds is bounded by its window, not by the metal
    changed = tiny.upsample(volume, tiny.model(), grid, CPU).voxels
    assert np.abs(changed - line)[8:11, 8, 4:9].max() <= 1000 * float(fused.max()) + 1


def test_voxels_outside_the_window_do_not_change_the_residual() -> None:
    volume, grid = tiny.volume(), grid_by_factor(5, 2, 3)
    volume.voxels[5, 5, 2], volume.voxels[9, 9, 1] = 3071, -1024
    beyond = replace(volume, voxels=volume.voxels.copy())
    beyond.voxels[5, 5, 2], beyond.voxels[9, 9, 1] = 30_000, -3024
    assert torch.equal(estimates(volume, grid).fused, estimates(beyond, grid).fused)


def test_a_few_extreme_voxels_leave_a_volume_that_is_not_ct_finite() -> None:
    voxels = np.random.default_rng(1).uniform(0, 1, (20, 18, 5)).astype(np.float32)
    voxels[4, 4, 2] = 1e9  # a quantitative map where a fit diverged
    volume = Volume(voxels, np.diag([0.7, 0.7, 5.0, 1.0]), Header("MR"))
    dense = tiny.upsample(volume, tiny.model(), grid_by_factor(5, 2, 3), CPU).voxels
    assert np.isfinite(dense).all()
    assert np.abs(dense[12:]).max() < 100


@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("directions", [2, 4])
def test_voxels_that_are_not_finite_stay_in_their_place_and_in_the_nearest_slices(
    directions: int, modality: str
) -> None:
    volume = tiny.volume(dtype="float32", modality=modality)
    volume.voxels[3:6, 4, 2] = np.nan, np.inf, -np.inf
    volume.voxels[0, 0] = np.nan  # a corner outside the field of view
    before = volume.voxels.copy()
    dense = tiny.upsample(
        volume, tiny.model(), grid_by_factor(5, 2, 4), CPU, MethodOptions(directions=directions)
    ).voxels
    np.testing.assert_array_equal(volume.voxels, before)
    np.testing.assert_array_equal(dense[..., ::4], volume.voxels)
    spread = np.argwhere(~np.isfinite(dense[3:6, 4]))
    assert sorted(set(spread[:, 1])) == [6, 7, 8, 9]  # t >= 0.5 below, t < 0.5 above
    for j in (6, 7, 8, 9):
        np.testing.assert_array_equal(dense[3:6, 4, j], [np.nan, np.inf, -np.inf])
    assert np.isnan(dense[0, 0]).all()
    hidden = np.zeros(dense.shape[:2], bool)
    hidden[3:6, 4] = hidden[0, 0] = True
    assert np.isfinite(dense[~hidden]).all()


def test_a_volume_without_a_finite_voxel_comes_back_as_it_is() -> None:
    volume = Volume(np.full((6, 5, 3), np.nan, np.float32), np.diag([1.0, 1.0, 4.0, 1.0]))
    assert np.isnan(tiny.upsample(volume, tiny.model(), grid_by_factor(3, 2, 2), CPU).voxels).all()


@pytest.mark.parametrize("value", [0, -1024, 40])
def test_a_constant_volume_stays_constant_where_the_network_adds_nothing(value: int) -> None:
    for modality in ("CT", None):
        volume = Volume(np.full((9, 8, 3), value, np.int16), np.diag([1.0, 1.0, 4.0, 1.0]), Header(modality))
        assert (tiny.upsample(volume, tiny.linear_model(), grid_by_factor(3, 2, 3), CPU).voxels == value).all()


def test_regenerated_acquired_slices_are_predicted_with_no_residual() -> None:
    volume, grid = tiny.volume(), grid_by_factor(5, 2, 3)
    plan = SlicePlan.from_grid(grid, regenerate=True)
    found = estimate_residuals(prepare_input(volume, grid), tiny.model(), plan, CPU, MethodOptions())
    assert len(plan.copied) == 0
    acquired = plan.offset == 0
    for residual in (found.sagittal, found.coronal, found.fused):
        assert float(residual[acquired].abs().max()) == 0
        assert float(residual[~acquired].abs().mean()) > 1e-3
    dense = tiny.upsample(volume, tiny.model(), grid, CPU, MethodOptions(regenerate=True)).voxels
    np.testing.assert_array_equal(dense[..., ::3], volume.voxels)


@pytest.mark.parametrize("holes", [(1,), (0,), (4,), (1, 2)])
def test_a_constant_volume_stays_constant_beside_voxels_that_are_not_finite(holes: tuple[int, ...]) -> None:
    voxels = np.full((6, 5, 5), 250.0, np.float32)
    voxels[:2, :2, list(holes)] = np.nan
    voxels[5, 4, :] = -800.0
    dense = tiny.upsample(
        Volume(voxels, np.diag([1.0, 1, 4, 1])), tiny.linear_model(), grid_by_factor(5, 2, 4), CPU
    ).voxels
    beside = dense[:2, :2]
    assert np.isnan(beside).any()
    np.testing.assert_allclose(beside[np.isfinite(beside)], 250.0)


def test_a_slice_between_two_codings_has_what_either_can_store_and_one_at_a_slice_what_that_can() -> None:
    fine, coarse = Coding(0.5, 0.0, 0, 1000), Coding(4.0, 0.0, 0, 1000)
    grid = grid_by_factor(2, 2, 2)
    for codings in ((fine, coarse), (coarse, fine)):
        dense = np.full((1, 1, 3), 1901.0, np.float32)
        assembly.round_to_codings(dense, SlicePlan.from_grid(grid), codings)
        assert dense.ravel().tolist() == [1901, 1900, 1901]
    dense = np.full((1, 1, 3), 5.6, np.float32)
    assembly.round_to_codings(dense, SlicePlan.from_grid(grid, regenerate=True), (fine, coarse))
    assert dense.ravel().tolist() == [5.5, 4, 4]
