import copy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from nets import tiny
from nets.tiny import CPU, HALF, assert_same_estimates, estimates

from saint_cli import read_volume
from saint_cli.errors import UsageError
from saint_cli.evaluation import baselines
from saint_cli.geometry import SliceGrid, grid_by_factor, grid_by_spacing
from saint_cli.method import assembly, pipeline
from saint_cli.method.intensity import IntensityMap
from saint_cli.method.network_input import BODY_MARGIN, BOX_STEP, prepare_input
from saint_cli.method.pipeline import Estimates, estimate_residuals
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.models.weights import SaintModel, load_model
from saint_cli.nets.blocks import TrunkSize
from saint_cli.options.method import MethodOptions
from saint_cli.runtime import device_selection
from saint_cli.volume import Header, Volume

EXAMPLE = Path(__file__).parents[2] / "examples" / "chest_thick.nii.gz"


def grids(volume: Volume, axis: int) -> dict[str, SliceGrid]:
    count, spacing = volume.shape[axis], volume.spacing_mm[axis]
    return {
        "factor": grid_by_factor(count, axis, 3),
        "factor and beyond": grid_by_factor(count, axis, 4, extrapolate=True),
        "spacing": grid_by_spacing(count, axis, spacing, 2.0),
        "spacing and beyond": grid_by_spacing(count, axis, spacing, 1.7, extrapolate=True),
    }


def extremes(dtype: str, axis: int) -> Volume:
    """Random values over the whole range of a dtype, its limits among them."""
    scan = tiny.volume(axis=axis, shape=tuple(np.insert([11, 9], axis, 5)), dtype=dtype)
    random = np.random.default_rng(1)
    if dtype == "float32":
        return replace(scan, voxels=random.normal(0, 3000, scan.shape).astype(np.float32))
    limits = np.iinfo(dtype)
    voxels = random.integers(limits.min, limits.max, scan.shape, dtype, endpoint=True)
    voxels.ravel()[:4] = limits.min, limits.max, limits.max, limits.min
    return replace(scan, voxels=voxels)


@pytest.mark.parametrize("kind", ["factor", "factor and beyond", "spacing", "spacing and beyond"])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_acquired_slices_are_bit_equal(dtype: str, axis: int, kind: str) -> None:
    volume = extremes(dtype, axis)
    grid = grids(volume, axis)[kind]
    dense = tiny.upsample(volume, tiny.model(), grid, CPU)
    assert dense.voxels.dtype == volume.voxels.dtype
    compared = 0
    for k in range(volume.shape[axis]):
        j = round(k / grid.step)
        if j < grid.count and abs(j * grid.step - k) < 1e-6:
            acquired, output = volume.voxels.take(k, axis), dense.voxels.take(j, axis)
            assert acquired.tobytes() == output.tobytes()
            compared += 1
    assert compared == {"factor": 5, "factor and beyond": 5, "spacing": 3, "spacing and beyond": 1}[kind]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("factor", [2, 5, 16])
def test_a_factor_gives_n_minus_1_times_r_plus_1_slices_or_n_times_r(factor: int, axis: int) -> None:
    volume = tiny.volume(tuple(np.insert([7, 6], axis, 4)), axis)
    shape = list(volume.shape)
    for beyond, count in ((False, 3 * factor + 1), (True, 4 * factor)):
        grid = grid_by_factor(4, axis, factor, extrapolate=beyond)
        shape[axis] = count
        assert tiny.upsample(volume, tiny.model(), grid, CPU).shape == tuple(shape)


def test_slices_beyond_the_last_acquired_one_repeat_it() -> None:
    volume = tiny.volume()
    for regenerate in (False, True):
        grid = grid_by_factor(5, 2, 4, extrapolate=True)
        dense = tiny.upsample(volume, tiny.model(), grid, CPU, MethodOptions(regenerate=regenerate))
        for j in (17, 18, 19):
            np.testing.assert_array_equal(dense.voxels[..., j], volume.voxels[..., 4])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_origin_and_directions_stay_and_the_spacing_is_divided(axis: int) -> None:
    volume = tiny.volume((6, 5, 4), axis)
    oblique = np.array([[0.64, -0.288, 2.4, 11], [0.48, 0.384, -3.2, -7.5], [0.1, 0.64, 3, 3.25], [0, 0, 0, 1.0]])
    dense = tiny.upsample(
        replace(volume, affine_lps=oblique), tiny.model(), grid_by_factor(volume.shape[axis], axis, 4), CPU
    )
    wanted = oblique.copy()
    wanted[:3, axis] /= 4
    np.testing.assert_allclose(dense.affine_lps, wanted, atol=1e-12)
    assert dense.header.derivation is not None
    assert replace(dense.header, derivation=None) == volume.header


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_result_does_not_depend_on_which_axis_is_through_plane(axis: int) -> None:
    upright = tiny.volume()
    laid = replace(tiny.volume(tuple(np.insert([20, 18], axis, 5)), axis), voxels=np.moveaxis(upright.voxels, 2, axis))
    wanted = tiny.upsample(upright, tiny.model(), grid_by_factor(5, 2, 3), CPU).voxels
    found = tiny.upsample(laid, tiny.model(), grid_by_factor(5, axis, 3), CPU).voxels
    np.testing.assert_array_equal(np.moveaxis(found, axis, 2), wanted)


def test_the_transposed_volume_gives_the_transposed_result() -> None:
    model = SaintModel(tiny.ami(), tiny.linear_model().rfn, "mean", "")  # an RFN that treats x and y alike
    volume, grid = tiny.volume(), grid_by_factor(5, 2, 3)
    plain, turned = (
        estimates(volume, grid, networks=model),
        estimates(tiny.transposed(volume), grid, networks=model),
    )
    swapped = Estimates(*(e.transpose(1, 2) for e in (turned.coronal, turned.sagittal, turned.fused)))
    assert_same_estimates(plain, swapped)
    assert float((plain.sagittal - plain.coronal).abs().max()) > 0.05


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
    line = baselines.interpolate_linear(volume.voxels.astype(np.float64), grid)
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
    dense = assembly.assemble(sparse, SlicePlan.from_grid(grid), network_input, residual)[..., 1]
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
    line = baselines.interpolate_linear(volume.voxels.astype(np.float64), grid)
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


def test_four_directions_add_both_diagonals() -> None:
    volume, grid = tiny.volume(), grid_by_factor(5, 2, 3)
    two, four = estimates(volume, grid), estimates(volume, grid, directions=4)
    for name in ("sagittal", "coronal"):
        difference = (getattr(two, name) - getattr(four, name)).abs().float()
        assert float(difference.mean()) > 1e-3
        assert torch.isfinite(difference).all()


def test_the_result_names_the_choices_that_made_it() -> None:
    chosen = MethodOptions(directions=4, tta=True)
    dense = tiny.upsample(tiny.volume(), tiny.model(), grid_by_factor(5, 2, 2, extrapolate=True), CPU, chosen)
    assert dense.header.derivation is not None
    assert dense.header.derivation.option_names == ("tta", "directions=4", "extrapolate")


def test_every_direction_reports_all_its_pixels() -> None:
    reports: dict[str, list[tuple[int, int]]] = {}
    grid = grid_by_factor(5, 2, 3)
    compute = replace(CPU, batch_size=7)
    tiny.upsample(
        tiny.volume(),
        tiny.model(),
        grid,
        compute,
        MethodOptions(directions=4),
        lambda *a: reports.setdefault(a[0], []).append(a[1:]),
    )
    assert list(reports) == ["sagittal slices", "coronal slices", "rising diagonals", "falling diagonals", "fusion"]
    pixels = 20 * 18, 20 * 18, 37 * 20, 37 * 20, 8
    assert [steps[-1] for steps in reports.values()] == [(n, n) for n in pixels]
    assert all(steps[0][0] == 0 for steps in reports.values())
    assert all(a[0] <= b[0] for steps in reports.values() for a, b in pairwise(steps))


@pytest.mark.parametrize("factor", [2, 3, 4, 7])
def test_a_factor_and_the_spacing_it_gives_have_the_same_result(factor: int) -> None:
    volume = tiny.volume((11, 9, 6))
    one = tiny.upsample(volume, tiny.model(), grid_by_factor(6, 2, factor), CPU)
    other = tiny.upsample(volume, tiny.model(), grid_by_spacing(6, 2, 5.0, 5.0 / factor), CPU)
    np.testing.assert_allclose(one.voxels.astype(int), other.voxels, atol=1)
    np.testing.assert_allclose(one.affine_lps, other.affine_lps)


def test_a_synthesised_slice_depends_on_its_offset_and_not_on_the_other_slices_made_with_it() -> None:
    volume = tiny.volume((11, 9, 6))
    by_4, by_2 = (tiny.upsample(volume, tiny.model(), grid_by_factor(6, 2, r), CPU).voxels.astype(int) for r in (4, 2))
    np.testing.assert_allclose(by_4[..., 2::4], by_2[..., 1::2], atol=1)


@pytest.mark.parametrize("size", [TrunkSize(6, 4, 2, 2, 1, dims=3), TrunkSize(2, 8, 4, 2, 1)], ids=["3-D", "pair"])
def test_other_forms_of_rfn_run_in_the_pipeline(size: TrunkSize, monkeypatch: pytest.MonkeyPatch) -> None:
    model = SaintModel(tiny.ami(), tiny.rfn(size=size), "other", "")
    volume = tiny.volume((40, 9, 3))
    for grid in (grid_by_factor(3, 2, 4), grid_by_spacing(3, 2, 5.0, 2.0)):
        whole = estimates(volume, grid, networks=model)
        mean = (whole.sagittal.float() + whole.coronal.float()) / 2
        assert float((whole.fused.float() - mean).abs().mean()) > 1e-3
        monkeypatch.setattr(device_selection, "FUSION_PIXELS", {"cpu": 9})
        assert_same_estimates(whole, estimates(volume, grid, networks=model))
        monkeypatch.undo()


@pytest.mark.parametrize(("factor", "corrected"), [(2, False), (3, True)])
def test_rfn_corrects_the_average_only_where_enough_slices_lie_between_two_acquired_ones(
    factor: int, corrected: bool
) -> None:
    model = tiny.model()
    model = replace(model, rfn=copy.deepcopy(model.rfn))
    model.rfn.fewest.fill_(2)
    found = estimates(tiny.volume(), grid_by_factor(5, 2, factor), networks=model)
    mean = (found.sagittal.float() + found.coronal.float()) / 2
    off = float((found.fused.float() - mean).abs().max())
    assert off > 1e-2 if corrected else off < 2 * HALF * float(mean.abs().max())


def test_air_around_the_patient_is_interpolated_linearly_and_costs_nothing() -> None:
    inner, grid = tiny.volume((12, 11, 5)), grid_by_factor(5, 2, 3)
    voxels = np.random.default_rng(2).integers(-1010, -990, (60, 55, 5)).astype(np.int16)
    voxels[20:32, 25:36] = inner.voxels
    volume = replace(inner, voxels=voxels)
    network_input = prepare_input(volume, grid)
    margin, step = BODY_MARGIN, BOX_STEP
    assert network_input.box == (slice(20 - margin, 32 + margin), slice((25 - margin) // step * step, 36 + margin))
    assert network_input.voxels.shape == (12 + 2 * margin, 11 + 2 * margin + (25 - margin) % step, 5)
    assert (25 - margin) % step > 0
    dense = tiny.upsample(volume, tiny.model(), grid, CPU).voxels
    line = np.rint(baselines.interpolate_linear(voxels, grid))
    outside = np.ones(voxels.shape[:2], bool)
    outside[network_input.box] = False
    assert np.abs(dense - line)[outside].max() <= 1
    assert np.abs(dense - line)[20:32, 25:36].max() > 10


def test_prepare_states_spacings_in_the_order_of_the_moved_axes() -> None:
    for axis in (0, 1, 2):
        volume = tiny.volume(tuple(np.insert([7, 6], axis, 4)), axis)
        network_input = prepare_input(volume, grid_by_factor(4, axis, 2))
        assert network_input.spacing_mm == pytest.approx((0.7, 0.9, 5.0))
        assert network_input.voxels.shape == (7, 6, 4)


def test_outside_the_window_only_the_linear_part_counts_and_no_value_is_invented_beyond_it() -> None:
    voxels = np.full((8, 7, 3), -1020, np.int16)
    voxels[0], voxels[1] = -3024, 9000
    volume = Volume(voxels, np.diag([1.0, 1.0, 5.0, 1.0]), Header("CT"))
    grid = grid_by_factor(3, 2, 2)
    plan, network_input = SlicePlan.from_grid(grid), prepare_input(volume, grid)
    network_input = replace(network_input, box=(slice(None), slice(None)))
    for sign in (-1, 1):
        dense = assembly.assemble(voxels, plan, network_input, torch.full((2, 8, 7), sign * 9.0).half())[..., 1]
        assert (dense[0] == -3024).all()
        assert (dense[1] == 9000).all()
        assert (dense[2:5] == (-1024 if sign < 0 else 3071)).all()  # as far as both are surroundings


def body_in_air(shape: tuple[int, int, int] = (90, 80, 4)) -> Volume:
    """A noisy ellipse with a small round thing beside it, in noisy air."""
    x, y = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    body = ((x - 35) / 16) ** 2 + ((y - 40) / 9) ** 2 < 1
    body |= (x - 70) ** 2 + (y - 20) ** 2 < 9
    random = np.random.default_rng(4)
    voxels = np.where(body[..., None], random.uniform(-200, 300, shape), random.normal(-1000, 5, shape))
    return replace(tiny.volume(), voxels=voxels.astype(np.int16))


def test_lung_without_a_voxel_above_the_threshold_is_needed_and_the_air_around_the_patient_is_not() -> None:
    x, y = np.meshgrid(np.arange(150), np.arange(140), indexing="ij")
    radius = np.hypot(x - 70, y - 70)
    lung = radius < 40
    voxels = np.where(lung[..., None], -880, -1000) + np.zeros((1, 1, 3))
    voxels[(radius >= 40) & (radius < 45)] = 40
    for axis in (0, 2):
        volume = replace(tiny.volume(axis=axis), voxels=np.moveaxis(voxels, 2, axis).astype(np.int16))
        network_input = prepare_input(volume, grid_by_factor(3, axis, 2))
        needed = np.zeros(lung.shape, bool)
        needed[network_input.box] = network_input.needed.numpy()
        assert needed[radius < 45].all()
        assert not needed[radius > 45 + 2 * BODY_MARGIN].any()


@pytest.mark.parametrize("directions", [2, 4])
@pytest.mark.parametrize("batch", [None, 1, 7])
def test_skipped_air_changes_no_voxel_of_the_patient_and_is_linear(directions: int, batch: int | None) -> None:
    volume, compute = body_in_air(), replace(CPU, batch_size=batch)
    grid = grid_by_factor(4, 2, 3)
    model, options = tiny.model(), MethodOptions(directions=directions)
    skipped, whole = (
        tiny.upsample(volume, model, grid, compute, replace(options, skip_air=skip)).voxels.astype(int)
        for skip in (True, False)
    )
    network_input = prepare_input(volume, grid)
    assert 0.1 < float(network_input.needed.float().mean()) < 0.9
    body = (volume.voxels > -724).any(2)
    np.testing.assert_allclose(skipped[body], whole[body], atol=1)
    line, air = np.rint(baselines.interpolate_linear(volume.voxels, grid)).astype(int), np.ones(body.shape, bool)
    air[network_input.box] = ~network_input.needed.numpy()
    np.testing.assert_allclose(skipped[air], line[air], atol=1)
    assert np.abs(whole - line)[air].max() > 1


def test_every_stage_is_linear_in_the_air_around_the_patient_and_the_average_where_rfn_is_not_used() -> None:
    volume, grid = body_in_air(), grid_by_factor(4, 2, 2)
    model = tiny.model()
    model = replace(model, rfn=copy.deepcopy(model.rfn))
    model.rfn.fewest.fill_(2)
    network_input, found = prepare_input(volume, grid), estimates(volume, grid, networks=model)
    for stage in (found.sagittal, found.coronal, found.fused):
        assert not stage[:, ~network_input.needed].any()
    assert found.sagittal[:, network_input.needed].any()
    mean = (found.sagittal.float() + found.coronal.float()) / 2
    torch.testing.assert_close(found.fused.float(), mean, rtol=2 * HALF, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "first"), [("base", 20), ("medium", 20), ("medium", 21), ("medium", 23), ("fast", 20)]
)
def test_skipping_air_costs_the_patient_little_wherever_it_lies(model: str, first: int) -> None:
    scan = read_volume(EXAMPLE)
    voxels = scan.voxels[100:150, 60:110, 4:9:4].astype(np.float32)
    air = np.random.default_rng(0).normal(-1000, 10, (90, 90, 2)).astype(np.float32)
    patient = slice(first, first + 50), slice(first, first + 50)
    air[patient] = voxels
    scan, grid, networks = replace(scan, voxels=air), grid_by_factor(2, 2, 3), load_model(model)
    skipped, whole = (
        tiny.upsample(scan, networks, grid, CPU, MethodOptions(skip_air=skip)).voxels for skip in (True, False)
    )
    assert np.abs(skipped - whole)[patient].max() <= 0.8
    assert np.abs(skipped - whole).max() > 0.8


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 25279488 bytes"),
        RuntimeError("MPS backend out of memory (MPS allocated: 5 GB)"),
        RuntimeError("std::bad_alloc"),
        MemoryError(),
    ],
    ids=["cuda", "cpu", "mps", "c++", "numpy"],
)
def test_too_little_memory_is_reported_in_one_line(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(pipeline, "interpolate_directions", fail)
    with pytest.raises(UsageError, match="cpu has too little memory for this volume; try `batch_size=1`"):
        tiny.upsample(tiny.volume(), tiny.model(), grid_by_factor(5, 2, 2), CPU)


def test_other_failures_of_torch_are_not_called_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(pipeline, "interpolate_directions", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        tiny.upsample(tiny.volume(), tiny.model(), grid_by_factor(5, 2, 2), CPU)
