import numpy as np
import pytest
from fabricate import AXIAL, OBLIQUE, OBLIQUE_LPS, SHEARED_LPS

from saint_cli import geometry
from saint_cli.errors import GeometryError, UsageError

STEPS = {"axial": (AXIAL, (0.0, 0.0, 5.0)), "oblique": (OBLIQUE, (2.4, -3.2, 3.0)), "tilted": (AXIAL, (0.0, 1.5, 4.75))}


def positions(step: tuple[float, ...], count: int = 8) -> np.ndarray:
    return np.array([3.0, -40.0, 100.0]) + np.arange(count)[:, None] * np.array(step)


def stack(orientation: tuple[float, ...], places: np.ndarray) -> geometry.SliceStack:
    return geometry.stack_slices(places, np.array(orientation), (0.75, 0.5))


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("order", ["as acquired", "reversed", "shuffled"])
def test_spacing_of_shuffled_reversed_oblique_positions_is_the_same(name: str, order: str) -> None:
    orientation, step = STEPS[name]
    places = positions(step)
    index = np.arange(len(places))
    index = (
        index[::-1]
        if order == "reversed"
        else np.random.default_rng(1).permutation(index)
        if order[0] == "s"
        else index
    )
    found = stack(orientation, places[index])
    np.testing.assert_allclose(found.affine_lps[:3, 2], step, atol=1e-12)
    np.testing.assert_allclose(found.affine_lps[:3, 3], places[0], atol=1e-12)
    np.testing.assert_array_equal(index[found.order], np.arange(len(places)))
    np.testing.assert_allclose(geometry.spacing_mm(found.affine_lps)[:2], (0.5, 0.75))


def test_pixel_spacing_is_between_rows_then_between_columns() -> None:
    affine = stack(AXIAL, positions((0.0, 0.0, 5.0))).affine_lps
    np.testing.assert_allclose(affine[:3, :2], [(0.5, 0), (0, 0.75), (0, 0)])


def test_slices_stacked_against_their_normal_ascend_along_it() -> None:
    found = stack((-1.0, 0, 0, 0, 1.0, 0), positions((0.0, 0.0, 5.0)))
    np.testing.assert_allclose(found.affine_lps[:3, 2], (0, 0, -5))
    assert np.linalg.det(found.affine_lps[:3, :3]) > 0


def test_tilt_is_measured_and_rounding_is_not_tilt() -> None:
    assert stack(AXIAL, positions((0.0, 1.5, 4.75))).tilt_degrees == pytest.approx(17.526, abs=1e-3)
    assert stack(AXIAL, positions((0.0, 0.01, 5.0))).tilt_degrees == 0


def test_a_missing_slice_raises_and_names_the_position() -> None:
    places = np.delete(positions((0.0, 0.0, 5.0)), 3, axis=0)
    with pytest.raises(GeometryError, match=r"10 mm between 110 and 120, expected 5 mm"):
        stack(AXIAL, places)


def test_a_duplicated_slice_raises_and_names_the_position() -> None:
    places = positions((0.0, 0.0, 5.0))
    with pytest.raises(GeometryError, match=r"duplicated slices at 110 mm"):
        stack(AXIAL, np.concatenate([places, places[2:3]]))


def test_positions_rounded_to_a_tenth_are_regular() -> None:
    found = stack(AXIAL, positions((0.0, -0.94, 6.94)).round(1))
    assert found.affine_lps[2, 2] == pytest.approx(6.94, abs=0.02)


def test_a_change_of_spacing_raises() -> None:
    places = np.concatenate([positions((0.0, 0.0, 4.0)), positions((0.0, 0.0, 7.0))[1:] + np.array([0, 0, 28])])
    with pytest.raises(GeometryError, match="unevenly spaced"):
        stack(AXIAL, places)


def test_a_slice_beside_the_line_raises_and_names_the_position() -> None:
    places = positions((0.0, 0.0, 5.0))
    places[2, 0] += 3
    with pytest.raises(GeometryError, match="110 mm lies 3 mm beside"):
        stack(AXIAL, places)


@pytest.mark.parametrize("orientation", [(1.0, 0, 0, 0.1, 1.0, 0), (0.0, 0, 0, 0, 1.0, 0)])
def test_directions_that_span_no_plane_raise(orientation: tuple[float, ...]) -> None:
    with pytest.raises(GeometryError):
        stack(orientation, positions((0.0, 0.0, 5.0)))


@pytest.mark.parametrize("cosine", [-0.0173, 0.004, 0.0173])
def test_directions_that_digits_made_oblique_are_both_turned_by_half_of_that(cosine: float) -> None:
    given = np.array([[1.0, 0.0, 0.0], [cosine, np.sqrt(1 - cosine**2), 0.0]])
    turned = np.stack(geometry.slice_directions(given.ravel()))
    np.testing.assert_allclose(turned @ turned.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(turned - given, axis=1), abs(cosine) / 2, rtol=1e-3)


def test_one_slice_is_nothing_to_interpolate() -> None:
    with pytest.raises(GeometryError, match="nothing to interpolate"):
        stack(AXIAL, positions((0.0, 0.0, 5.0), count=1))


@pytest.mark.parametrize(
    "broken", [np.diag([1.0, 1, 0, 1]), np.diag([1.0, 1, np.nan, 1]), np.ones((4, 4)), np.diag([1.0, 1, 5, 0])]
)
def test_an_affine_that_places_nothing_raises(broken: np.ndarray) -> None:
    with pytest.raises(GeometryError):
        geometry.check_affine(broken)


def test_an_affine_for_row_vectors_is_named_as_such() -> None:
    with pytest.raises(GeometryError, match=r"the last row of the affine is 11 -7.5 3.25 1, not 0 0 0 1; transpose it"):
        geometry.check_affine(OBLIQUE_LPS.T)


@pytest.mark.parametrize("affine", [OBLIQUE_LPS, SHEARED_LPS], ids=["oblique", "sheared"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_refining_keeps_voxel_zero_and_every_acquired_centre(affine: np.ndarray, axis: int) -> None:
    refined = geometry.grid_by_factor(5, axis, 4).refine(affine)
    for index in range(5):
        coarse, fine = np.zeros(4), np.zeros(4)
        coarse[[axis, 3]], fine[[axis, 3]] = (index, 1), (4 * index, 1)
        np.testing.assert_allclose(refined @ fine, affine @ coarse, atol=1e-12)
    assert geometry.spacing_mm(refined)[axis] * 4 == pytest.approx(geometry.spacing_mm(affine)[axis])


def test_refining_by_one_is_identity_and_leaves_its_input_alone() -> None:
    before = OBLIQUE_LPS.copy()
    np.testing.assert_array_equal(geometry.refine_axis(OBLIQUE_LPS, 2, 1.0), OBLIQUE_LPS)
    geometry.refine_axis(OBLIQUE_LPS, 2, 0.25)
    np.testing.assert_array_equal(OBLIQUE_LPS, before)


@pytest.mark.parametrize("factor", range(2, 17))
def test_a_grid_by_factor_lands_on_every_acquired_slice(factor: int) -> None:
    grid = geometry.grid_by_factor(7, 2, factor)
    window, offset = grid.locate()
    assert grid.count == 6 * factor + 1 == len(window)
    np.testing.assert_array_equal(window[::factor], np.arange(7))
    np.testing.assert_array_equal(offset[::factor], 0.0)
    assert np.count_nonzero(offset == 0) == 7
    assert offset.max() < 1


def test_extrapolation_gives_the_papers_count_beyond_the_last_slice() -> None:
    window, offset = geometry.grid_by_factor(7, 2, 4, extrapolate=True).locate()
    assert len(window) == 28
    np.testing.assert_array_equal(window[-4:], 6)
    np.testing.assert_allclose(offset[-4:], (0, 0.25, 0.5, 0.75))


def test_a_grid_by_spacing_equals_the_grid_by_factor_where_they_meet() -> None:
    by_spacing, by_factor = geometry.grid_by_spacing(9, 2, 5.0, 1.25), geometry.grid_by_factor(9, 2, 4)
    assert by_spacing == by_factor
    by_spacing = geometry.grid_by_spacing(9, 2, 5.0, 1.25, extrapolate=True)
    assert by_spacing == geometry.grid_by_factor(9, 2, 4, extrapolate=True)


@pytest.mark.parametrize("target", [0.7, 1.0, 1.3, 4.4])
def test_a_grid_by_spacing_never_passes_the_last_slice(target: float) -> None:
    grid = geometry.grid_by_spacing(9, 2, 5.0, target)
    assert (grid.count - 1) * target <= 8 * 5.0 + 1e-3
    assert grid.count * target > 8 * 5.0
    assert geometry.spacing_mm(grid.refine(OBLIQUE_LPS))[2] == pytest.approx(target)


@pytest.mark.parametrize("target", [0.0, -1.0, float("nan"), 5.0, 4.9, 6.0, 0.2])
def test_a_target_spacing_that_gives_no_grid_raises(target: float) -> None:
    with pytest.raises(UsageError):
        geometry.grid_by_spacing(9, 2, 5.0, target)


@pytest.mark.parametrize("factor", [-1, 0, 1, 17])
def test_a_factor_outside_two_to_sixteen_raises(factor: int) -> None:
    with pytest.raises(UsageError):
        geometry.grid_by_factor(9, 2, factor)


def test_a_grid_needs_two_slices() -> None:
    with pytest.raises(GeometryError):
        geometry.grid_by_factor(1, 2, 4)


def test_the_through_plane_axis_has_the_largest_spacing() -> None:
    assert [geometry.through_plane_axis(s) for s in ((9, 1, 1), (1, 2, 1), (0.8, 0.8, 5.0))] == [0, 1, 2]
    with pytest.raises(GeometryError, match="nearly isotropic"):
        geometry.through_plane_axis((1.0, 1.0, 1.19))
    assert geometry.through_plane_axis((1.0, 1.0, 1.19), allow_isotropic=True) == 2


@pytest.mark.parametrize(
    ("spacing", "axis"), [((1.0, 1.0, 1.0), 2), ((1.0, 5.0, 5.0), 2), ((5.0, 5.0, 1.0), 1), ((1.0004, 1.0, 1.0), 2)]
)
def test_of_equal_spacings_that_of_the_last_axis_counts(spacing: tuple[float, float, float], axis: int) -> None:
    assert geometry.through_plane_axis(spacing, allow_isotropic=True) == axis


def test_slice_distance_of_sheared_axes_is_less_than_their_spacing() -> None:
    sheared = np.diag([0.5, 0.5, 4.0, 1.0])
    sheared[1, 2] = 3.0
    assert geometry.spacing_mm(sheared)[2] == pytest.approx(5)
    assert geometry.slice_distance_mm(sheared, 2) == pytest.approx(4)
    assert geometry.tilt_degrees(sheared, 2) == pytest.approx(np.degrees(np.arctan(0.75)))


@pytest.mark.parametrize(("axis", "expected"), [(0, (2, 3)), (1, (1, 3)), (2, (1, 2))])
def test_the_in_plane_values_are_those_of_the_other_two_axes_in_order(axis: int, expected: tuple[int, int]) -> None:
    assert geometry.in_plane((1, 2, 3), axis) == expected


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_output_shape_differs_along_the_through_plane_axis_alone(axis: int) -> None:
    shape = geometry.grid_by_factor(5, axis, 4).output_shape((5, 5, 5))
    assert shape[axis] == 17
    assert geometry.in_plane(shape, axis) == (5, 5)
