from dataclasses import replace

import numpy as np
import pytest
import torch
from nets import tiny

from saint_cli.errors import UsageError
from saint_cli.geometry import SliceGrid, grid_by_factor, grid_of_uneven
from saint_cli.method import pipeline
from saint_cli.method.even_context import plan_second_pass
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.options.method import MethodOptions, NoiseHandling
from saint_cli.volume import Volume

PLACES = (0.0, 1.0, 3.0, 4.0, 5.5)


def uneven(places: tuple[float, ...] = PLACES) -> Volume:
    volume = tiny.volume()
    return replace(volume, header=replace(volume.header, slice_positions=places))


def make_grid(volume: Volume, target: float = 5 / 3) -> SliceGrid:
    return grid_of_uneven(volume.header.slice_positions, 2, volume.affine_lps, target)


@pytest.mark.parametrize("options", [MethodOptions(), MethodOptions(tta=True, directions=4)])
def test_slices_that_the_grid_meets_are_kept_bit_for_bit(options: MethodOptions) -> None:
    volume = uneven()
    grid = make_grid(volume)
    result = tiny.upsample(volume, tiny.model(), grid, tiny.CPU, options)
    window, _ = grid.locate()
    assert grid.kept.sum() == 4
    np.testing.assert_array_equal(result.voxels[..., grid.kept], volume.voxels[..., window[grid.kept]])
    assert result.header.slice_positions == ()
    assert result.header.derivation is not None
    assert "irregular" in result.header.derivation.option_names


def test_equal_gaps_give_the_result_of_the_even_stack() -> None:
    even = tiny.volume()
    grid = SliceGrid(2, 5, 0.25, 17, positions=(0.0, 1.0, 2.0, 3.0, 4.0))
    one, other = (tiny.upsample(even, tiny.model(), g, tiny.CPU).voxels for g in (grid, grid_by_factor(5, 2, 4)))
    assert np.abs(one.astype(int) - other).max() <= 1


def test_a_linear_model_interpolates_each_gap_by_its_own_distance() -> None:
    volume = uneven()
    volume.voxels[:] = np.rint(100 * np.array(PLACES)).astype("int16")
    result = tiny.upsample(volume, tiny.linear_model(), make_grid(volume), tiny.CPU)
    np.testing.assert_allclose(result.voxels[3, 4], 100 * make_grid(volume).places, atol=0.51)


def test_filters_are_of_the_width_of_their_own_gap() -> None:
    """A stack in which every gap is twice as wide is the even stack of twice the spacing."""
    wide = tiny.volume()
    wide.affine_lps[:3, 2] *= 2
    doubled = SliceGrid(2, 5, 0.5, 17, positions=(0.0, 2.0, 4.0, 6.0, 8.0))
    one = tiny.upsample(tiny.volume(), tiny.model(), doubled, tiny.CPU).voxels
    other = tiny.upsample(wide, tiny.model(), grid_by_factor(5, 2, 4), tiny.CPU).voxels
    assert np.abs(one.astype(int) - other).max() <= 1
    narrow = tiny.upsample(tiny.volume(), tiny.model(), grid_by_factor(5, 2, 4), tiny.CPU).voxels
    assert np.abs(one.astype(int) - narrow).max() > 5


def test_regenerated_slices_of_an_uneven_stack_are_the_acquired_ones_within_rounding() -> None:
    volume = uneven()
    grid = make_grid(volume)
    result = tiny.upsample(volume, tiny.model(), grid, tiny.CPU, MethodOptions(regenerate=True))
    window, _ = grid.locate()
    np.testing.assert_array_equal(result.voxels[..., grid.kept], volume.voxels[..., window[grid.kept]])


@pytest.mark.parametrize("noise", [NoiseHandling.MATCH, NoiseHandling.SMOOTH])
def test_noise_of_an_uneven_stack_is_not_changed(noise: NoiseHandling) -> None:
    volume = uneven()
    with pytest.raises(UsageError, match="needs evenly spaced slices"):
        pipeline.restore(volume, tiny.model(), make_grid(volume), tiny.CPU, MethodOptions(noise=noise))


def test_narrow_gaps_beside_wide_ones_are_interpolated_again_among_slices_that_fill_these() -> None:
    grid = SliceGrid(2, 6, 1 / 3, 19, positions=(0.0, 1.0, 3.0, 4.0, 5.0, 6.0))
    plan = SlicePlan.from_grid(grid)
    second = plan_second_pass(grid, plan)
    assert second is not None
    narrow = second.narrow_plan
    assert plan.synthesised[second.fills].tolist() == [6]  # the slice that is missing
    assert narrow.synthesised.tolist() == [1, 2, 10, 11, 13, 14]  # two gaps away from the wide one at most
    assert narrow.window.tolist() == [0, 0, 3, 3, 4, 4]
    assert narrow.above.tolist() == [1, 1, 4, 4, 5, 5]


@pytest.mark.parametrize("positions", [None, (0.0, 1.0, 2.0, 3.0), (0.0, 1.0, 2.1, 3.0), (0.0, 2.0, 4.0, 6.0)])
def test_a_stack_without_narrow_gaps_is_interpolated_once(positions: tuple[float, ...] | None) -> None:
    grid = SliceGrid(2, 4, 0.5, 7, positions=positions)
    assert plan_second_pass(grid, SlicePlan.from_grid(grid)) is None


@pytest.mark.parametrize(("origin", "fills"), [(0.0, [1, 2]), (0.5, None)])
def test_wide_gaps_are_filled_with_slices_that_divide_them_evenly_alone(origin: float, fills: list[int] | None) -> None:
    grid = SliceGrid(2, 6, 0.5 if fills else 1.0, 15 if fills else 7, origin, (0.0, 3.0, 4.0, 5.0, 6.0, 7.0))
    plan = SlicePlan.from_grid(grid)
    second = plan_second_pass(grid, plan)
    assert (None if second is None else grid.places[plan.synthesised[second.fills]].tolist()) == fills


def test_a_stack_that_a_linear_ramp_completes_gives_the_result_of_the_complete_one() -> None:
    """Where the slice that is missing is the mean of its neighbours, and the first pass is linear, nothing is lost."""
    even = tiny.volume((20, 18, 7))
    even.voxels[..., 2] = even.voxels[..., 1] // 2 + even.voxels[..., 3] // 2
    kept = [0, 1, 3, 4, 5, 6]
    header = replace(even.header, slice_positions=tuple(map(float, kept)))
    uneven = replace(even, voxels=even.voxels[..., kept], header=header)
    grid = grid_of_uneven(header.slice_positions, 2, uneven.affine_lps, 2.5)
    plan = SlicePlan.from_grid(grid)
    second = plan_second_pass(grid, plan)
    assert second is not None
    first = pipeline.prepare_input(uneven, grid)
    residuals = np.zeros((len(plan.synthesised), *first.voxels.shape[:2]), np.float32)
    filled = second.fill(first, torch.from_numpy(residuals))
    whole = pipeline.prepare_input(even, grid_by_factor(7, 2, 2))
    np.testing.assert_allclose(filled.voxels, whole.voxels, atol=1e-3)
