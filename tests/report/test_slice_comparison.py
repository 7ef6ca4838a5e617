import numpy as np
import pytest

from saint_cli.geometry import RAS_FROM_LPS, SliceGrid, grid_by_factor, grid_by_spacing
from saint_cli.report.slice_comparison import choose_slice, compare_slice
from saint_cli.volume import Header, Volume


def scan(axis: int, *, noise: float = 0.0, ras: bool = False, size: int = 1) -> Volume:
    """A body of 40 HU in air, 0 to 40 HU brighter from the first to the last of five slices."""
    values = np.full((60 * size, 50 * size, 5), -1000.0)
    values[10 * size : 50 * size, 10 * size : 40 * size] = 40 + 10 * np.arange(5)
    values += np.random.default_rng(0).normal(0, noise, values.shape)
    spacing = np.insert([1.0, 1.0], axis, 4.0)
    affine = np.diag([*spacing, 1.0])
    voxels = np.moveaxis(np.round(values).astype(np.int16), 2, axis)
    return Volume(voxels, RAS_FROM_LPS @ affine if ras else affine, Header("CT"))


def on_grid(source: Volume, grid: SliceGrid, value: float) -> Volume:
    shape = list(source.shape)
    shape[grid.axis] = grid.count
    return Volume(np.full(shape, value, np.float32), grid.refine(source.affine_lps), source.header)


@pytest.mark.parametrize("ras", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_linear_synthesised_and_acquired_are_of_one_place(axis: int, ras: bool) -> None:
    source, grid = scan(axis, ras=ras), grid_by_factor(5, axis, 4)
    shown = compare_slice(source, on_grid(source, grid, 7.0), grid, 9, -300.0)
    assert shown is not None
    assert (shown.index, shown.between, shown.nearest, shown.axis) == (10, (2, 3), 2, "xyz"[axis])
    assert shown.linear.max() == pytest.approx(65)
    assert shown.acquired.max() == 60
    assert (shown.synthesised == 7).all()
    assert shown.linear.shape == shown.synthesised.shape == shown.acquired.shape


def test_the_air_around_the_body_is_cut_off() -> None:
    source, grid = scan(2), grid_by_factor(5, 2, 4)
    shown = compare_slice(source, on_grid(source, grid, 0.0), grid, 9, -300.0)
    assert shown is not None
    assert (shown.acquired > -300).mean() > 0.8
    whole = compare_slice(source, on_grid(source, grid, 0.0), grid, 9, 4000.0)
    assert whole is not None
    assert (whole.acquired > -300).mean() == pytest.approx(40 * 30 / (60 * 50), abs=0.01)


def test_noise_is_measured_in_ct_alone() -> None:
    source, grid = scan(2, noise=20.0, size=4), grid_by_factor(5, 2, 2)
    doubled = scan(2, size=4).voxels.repeat(2, 2)[..., : grid.count]
    quiet = Volume(doubled, grid.refine(source.affine_lps), source.header)
    shown = compare_slice(source, quiet, grid, 4, -300.0)
    assert shown is not None
    linear, synthesised, acquired = shown.noise_hu
    assert synthesised == pytest.approx(0, abs=1e-3)
    assert acquired == pytest.approx(20, rel=0.25)
    assert linear == pytest.approx(20 / np.sqrt(2), rel=0.25)
    other = Volume(source.voxels, source.affine_lps, Header("MR"))
    shown = compare_slice(other, quiet, grid, 4, -300.0)
    assert shown is not None
    assert np.isnan(shown.noise_hu).all()


def test_the_slice_is_the_nearest_of_those_farthest_from_acquired_ones() -> None:
    assert choose_slice(grid_by_factor(5, 2, 4), 9) == 10
    assert choose_slice(grid_by_factor(5, 2, 2), 0) == 1
    assert choose_slice(grid_by_factor(5, 2, 3), 6) in (5, 7)
    assert choose_slice(grid_by_factor(5, 2, 4, extrapolate=True), 19) == 14
    uneven = grid_by_spacing(13, 2, 4.0, 0.76)
    index = choose_slice(uneven, 32)
    assert index is not None
    assert abs(index - 32) <= 6
    assert 0.45 <= uneven.locate()[1][index] <= 0.55


def test_without_synthesised_slices_there_is_nothing_to_compare() -> None:
    assert choose_slice(SliceGrid(2, 5, 1.0, 5), 2) is None
