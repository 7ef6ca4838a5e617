import copy
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from nets import tiny
from nets.tiny import CPU, HALF, assert_same_estimates, estimates

from saint_cli.errors import UsageError
from saint_cli.geometry import SliceGrid, grid_by_factor, grid_by_spacing
from saint_cli.method import assembly, pipeline
from saint_cli.method.network_input import prepare_input
from saint_cli.method.pipeline import Estimates
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.models.weights import SaintModel
from saint_cli.nets.blocks import TrunkSize
from saint_cli.options.method import MethodOptions
from saint_cli.runtime import device_selection
from saint_cli.volume import Header, Volume


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
        residual = torch.full((2, 8, 7), sign * 9.0).half()
        dense = assembly.assemble(voxels, plan, network_input, residual, voxels)[..., 1]
        assert (dense[0] == -3024).all()
        assert (dense[1] == 9000).all()
        assert (dense[2:5] == (-1024 if sign < 0 else 3071)).all()  # as far as both are surroundings


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
