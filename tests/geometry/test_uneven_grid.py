import numpy as np
import pytest

from saint_cli.errors import GeometryError, UsageError
from saint_cli.geometry import (
    SliceGrid,
    grid_by_averaging,
    grid_by_factor,
    grid_of_uneven,
    same_grid,
    stack_slices,
    stack_uneven_slices,
)

AXIAL = np.array([1.0, 0, 0, 0, 1, 0])
AFFINE = np.array([[0.5, 0, 0, -10], [0, 0.75, 0, 20], [0, 0, 3.0, 30], [0, 0, 0, 1.0]])


def places(*along: float, tilt: float = 0.0) -> np.ndarray:
    return np.array([[-10.0, 20 + tilt * z, 30 + z] for z in along])


def make(positions: tuple[float, ...], target: float) -> SliceGrid:
    return grid_of_uneven(positions, 2, AFFINE, target)


def test_places_of_a_stack_with_missing_slices_are_whole_multiples_of_the_commonest_gap() -> None:
    stack = stack_uneven_slices(places(0, 5, 9.99, 20.01, 25)[[3, 0, 4, 2, 1]], AXIAL, (1.0, 1.0))
    assert stack.slice_positions == (0, 1, 2, 4, 5)
    np.testing.assert_allclose(stack.affine_lps[:3, 2], (0, 0, 5))
    assert stack.order.tolist() == [1, 4, 3, 0, 2]


def test_places_of_uneven_slices_are_in_units_of_the_commonest_gap_along_the_tilted_step() -> None:
    stack = stack_uneven_slices(places(0, 4, 8, 12, 19, 26, tilt=0.3), AXIAL, (1.0, 1.0))
    np.testing.assert_allclose(stack.slice_positions, (0, 1, 2, 3, 4.75, 6.5))
    np.testing.assert_allclose(stack.affine_lps[:3, 2], (0, 1.2, 4))
    assert stack.tilt_degrees == pytest.approx(np.degrees(np.arctan(0.3)))


def test_an_even_stack_is_the_same_stack() -> None:
    even, same = (make(places(0, 5, 10, 15), AXIAL, (1.0, 1.0)) for make in (stack_slices, stack_uneven_slices))
    assert even.slice_positions == same.slice_positions == ()
    np.testing.assert_array_equal(even.affine_lps, same.affine_lps)


@pytest.mark.parametrize(
    ("along", "words"), [((0, 5, 5, 20), "duplicated slices at 35"), ((0,), "nothing to interpolate")]
)
def test_uneven_slices_that_are_no_stack_are_refused(along: tuple[float, ...], words: str) -> None:
    with pytest.raises(GeometryError, match=words):
        stack_uneven_slices(places(*along), AXIAL, (1.0, 1.0))


def test_a_slice_beside_the_line_is_refused() -> None:
    positions = places(0, 5, 15, 20)
    positions[1, 0] += 3
    with pytest.raises(GeometryError, match="beside the line"):
        stack_uneven_slices(positions, AXIAL, (1.0, 1.0))


def test_the_grid_by_factor_meets_every_slice_of_a_stack_with_missing_slices() -> None:
    grid = make((0.0, 1.0, 3.0, 4.0), 1.0)
    assert (grid.step, grid.count, grid.origin) == (pytest.approx(1 / 3), 13, 0.0)
    window, offset = grid.locate()
    assert window.tolist() == [0] * 3 + [1] * 6 + [2] * 3 + [3]
    np.testing.assert_allclose(offset[3:9], np.arange(6) / 6)
    assert grid.kept.sum() == 4


def test_the_phase_is_that_which_meets_the_most_slices() -> None:
    grid = make((0.0, 1.25, 2.25, 3.25, 4.25, 6.25), 3.0)
    assert grid.origin == pytest.approx(0.25)
    assert grid.count == 7
    assert np.flatnonzero(grid.kept).tolist() == [1, 2, 3, 4, 6]
    np.testing.assert_allclose(grid.refine(AFFINE)[:3, 3], (-10, 20, 30.75))


def test_of_phases_that_meet_as_many_slices_the_least_counts() -> None:
    grid = make((0.0, 1.0, 2.3, 3.3), 1.5)
    assert (grid.origin, np.flatnonzero(grid.kept).tolist()) == (0.0, [0, 2])


@pytest.mark.parametrize(
    ("grid", "nearest"),
    [
        (SliceGrid(2, 4, 0.5, 7, 0.25, (0.0, 1.0, 2.25, 3.25)), [0, 1, 1, 2, 2, 2, 3]),
        (SliceGrid(2, 4, 0.5, 8, -0.25), [0, 0, 1, 1, 2, 2, 3, 3]),
    ],
    ids=["uneven", "slabs"],
)
def test_the_nearest_acquired_slice_is_found_from_where_the_output_begins(grid: SliceGrid, nearest: list[int]) -> None:
    assert [grid.find_nearest(j) for j in range(grid.count)] == nearest
    assert [int(np.abs(np.array(grid.positions or range(4)) - place).argmin()) for place in grid.places] == nearest


def test_every_slice_lies_at_its_place_by_window_and_offset() -> None:
    grid = make((0.0, 1.0, 2.13, 4.0, 5.0, 7.5), 1.1)
    window, offset = grid.locate()
    acquired = np.array(grid.positions)
    np.testing.assert_allclose(acquired[window] + offset * np.append(grid.gaps, 1)[window], grid.places, atol=0.005)
    assert not grid.extrapolated.any()
    assert grid.places[-1] <= 7.505


def test_positions_0_1_2_give_the_grid_of_an_even_stack() -> None:
    uneven, even = SliceGrid(2, 4, 0.25, 13, positions=(0.0, 1.0, 2.0, 3.0)), grid_by_factor(4, 2, 4)
    for one, other in zip(uneven.locate(), even.locate(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_gaps_beyond_12_mm_are_refused_by_their_places() -> None:
    with pytest.raises(GeometryError, match=r"15 mm between 33 and 48 mm along the normal; .*`split_runs=True`"):
        make((0.0, 1.0, 6.0, 7.0), 1.0)
    assert make((0.0, 1.0, 5.0, 6.0), 1.0).count == 19  # 12 mm is served


def test_gaps_of_more_than_16_slices_are_refused_with_the_coarsest_spacing_that_fits() -> None:
    with pytest.raises(UsageError, match=r"9 mm between 33 and 42 mm .*`spacing_mm=0.563` or coarser"):
        make((0.0, 1.0, 4.0, 5.0), 0.5)
    assert make((0.0, 1.0, 4.0, 5.0), 0.5625).count == 27


def test_a_target_coarser_than_the_commonest_gap_is_refused_and_that_gap_is_served() -> None:
    with pytest.raises(UsageError, match="coarser than the commonest gap"):
        make((0.0, 1.0, 3.0, 4.0), 4.0)
    grid = make((0.0, 1.0, 3.0, 4.0), 3.0)
    assert grid.count == 5
    assert grid.needs_networks
    assert grid.kept.tolist() == [True, True, False, True, True]


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_slabs_of_a_whole_ratio_hold_so_many_slices_and_begin_at_the_outer_face(factor: int) -> None:
    grid = grid_by_averaging(30, 2, 1.0, float(factor))
    assert grid.count == 30 // factor
    assert [list(grid.find_slab(j)) for j in range(2)] == [
        list(range(factor)),
        list(range(factor, 2 * factor)),
    ]
    assert grid.origin == (factor - 1) / 2
    assert not grid.kept.any()
    assert not grid.needs_networks


def test_an_uneven_grid_ends_on_a_last_slice_that_digits_moved_before_its_place() -> None:
    grid = grid_of_uneven((0.0, 1.0, 3.0, 3.998), 2, AFFINE, 1.5)
    assert grid.count == 9
    assert grid.kept[-1]


def test_a_spacing_of_an_uneven_stack_snaps_only_where_that_moves_no_slice() -> None:
    steps = [grid_of_uneven((0.0, 1.0, 2.0, last), 2, AFFINE, 1.0011).step for last in (4.0, 5.0)]
    assert steps == [1 / 3, pytest.approx(0.3337)]


def test_slabs_are_whole_only_where_that_moves_none_of_them() -> None:
    steps = [grid_by_averaging(acquired, 2, 1.0, 3.001).step for acquired in (6, 300)]
    assert steps == [3, 3.001]


def test_a_header_that_rounds_the_spacing_makes_whole_slabs() -> None:
    assert grid_by_averaging(100, 2, 0.99999, 2.0).step == 2


def test_fewer_than_two_slabs_are_refused_with_the_coarsest_spacing() -> None:
    with pytest.raises(UsageError, match=r"10 slices 1 mm apart make 1 of 7 mm; the coarsest is `spacing_mm=5`"):
        grid_by_averaging(10, 2, 1.0, 7.0)


def test_the_grid_of_the_slices_themselves_keeps_all() -> None:
    grid = same_grid(5, 1)
    assert grid.is_same
    assert grid.kept.all()
    assert not grid.needs_networks
