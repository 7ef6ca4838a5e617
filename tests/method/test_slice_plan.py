import numpy as np
import pytest

from saint_cli.geometry import SliceGrid, grid_by_factor, grid_by_spacing
from saint_cli.method.slice_plan import TRAINED_OFFSETS, SlicePlan

GRIDS = [
    grid_by_factor(5, 2, 2),
    grid_by_factor(4, 2, 3, extrapolate=True),
    grid_by_factor(3, 2, 16),
    grid_by_spacing(6, 2, 5.0, 2.0),
    grid_by_spacing(6, 2, 5.0, 2.0, extrapolate=True),
    grid_by_spacing(7, 2, 3.0, 0.7),
    grid_by_spacing(4, 2, 4.0, 3.0),
]


@pytest.mark.parametrize("regenerate", [False, True])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_every_output_slice_is_copied_or_synthesised(grid: SliceGrid, regenerate: bool) -> None:
    plan = SlicePlan.from_grid(grid, regenerate=regenerate)
    assert sorted([*plan.copied, *plan.synthesised]) == list(range(grid.count))


@pytest.mark.parametrize("regenerate", [False, True])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_a_synthesised_slice_lies_its_offset_above_its_window(grid: SliceGrid, regenerate: bool) -> None:
    plan = SlicePlan.from_grid(grid, regenerate=regenerate)
    np.testing.assert_allclose(plan.window + plan.offset, plan.synthesised * grid.step, atol=1e-4)
    assert (plan.offset < 1).all()
    assert ((plan.offset >= 0) if regenerate else (plan.offset > 0)).all()
    np.testing.assert_array_equal(plan.above, np.minimum(plan.window + 1, grid.acquired - 1))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_a_copied_slice_is_the_acquired_one_at_its_place_or_the_last(grid: SliceGrid) -> None:
    plan = SlicePlan.from_grid(grid)
    wanted = np.minimum(np.floor(plan.copied * grid.step + 1e-4), grid.acquired - 1)
    np.testing.assert_array_equal(plan.source, wanted)
    beyond = plan.copied * grid.step > grid.acquired - 1 + 1e-4
    np.testing.assert_allclose((plan.copied * grid.step)[~beyond], wanted[~beyond], atol=1e-4)


def test_extrapolated_slices_repeat_the_last_acquired_one_even_when_regenerating() -> None:
    for regenerate in (False, True):
        plan = SlicePlan.from_grid(grid_by_factor(4, 2, 3, extrapolate=True), regenerate=regenerate)
        assert plan.copied[-2:].tolist() == [10, 11]
        assert plan.source[-2:].tolist() == [3, 3]


def test_regenerate_synthesises_the_acquired_slices() -> None:
    plan = SlicePlan.from_grid(grid_by_factor(4, 2, 3), regenerate=True)
    assert len(plan.copied) == 0
    assert plan.synthesised[plan.offset == 0].tolist() == [0, 3, 6, 9]


@pytest.mark.parametrize("factor", [2, 3, 7, 16])
def test_an_integer_factor_needs_one_group_of_filters(factor: int) -> None:
    (group,) = SlicePlan.from_grid(grid_by_factor(9, 2, factor)).groups()
    np.testing.assert_allclose(group.offsets, np.clip(np.arange(1, factor) / factor, *TRAINED_OFFSETS), rtol=1e-6)
    assert group.windows.tolist() == list(range(8))


@pytest.mark.parametrize("regenerate", [False, True])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_groups_hold_every_synthesised_slice_once_at_its_window_and_offset(grid: SliceGrid, regenerate: bool) -> None:
    plan, rows = SlicePlan.from_grid(grid, regenerate=regenerate), []
    for group in plan.groups():
        assert group.rows.shape == (len(group.offsets), len(group.windows))
        for t, offset in enumerate(group.offsets):
            for g, window in enumerate(group.windows):
                row = group.rows[t, g]
                rows.append(row)
                assert plan.window[row] == window
                assert plan.network_offset[row] == pytest.approx(offset, abs=1e-6)
    assert sorted(rows) == list(range(len(plan.synthesised)))


def test_the_residual_fades_to_zero_between_the_nearest_trained_offset_and_the_acquired_slice() -> None:
    grid = SliceGrid(2, 2, 1 / 32, 33)
    plan = SlicePlan.from_grid(grid, regenerate=True)
    offset = np.concatenate([np.arange(32) / 32, [0.0]])
    np.testing.assert_allclose(plan.offset, offset)
    np.testing.assert_allclose(plan.network_offset, np.clip(offset, *TRAINED_OFFSETS))
    np.testing.assert_allclose(plan.residual_weight, [0, 0.5, *[1] * 29, 0.5, 0])


@pytest.mark.parametrize("regenerate", [False, True])
def test_rfn_is_used_where_enough_slices_lie_between_two_acquired_ones(regenerate: bool) -> None:
    plan = SlicePlan.from_grid(grid_by_factor(5, 2, 3), regenerate=regenerate)
    last = plan.window == 4  # the last acquired slice, with regenerate
    assert (plan.uses_rfn(2) == ~last).all()
    assert not plan.uses_rfn(3).any()
