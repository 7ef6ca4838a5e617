"""Slice profiles, and the grids of thin slices in slabs."""

import numpy as np
import pytest

from saint_cli.geometry import ProfileShape, SlabProfile, grid_by_factor, grid_by_spacing, grid_of_slabs


@pytest.mark.parametrize("shape", list(ProfileShape))
@pytest.mark.parametrize("thickness", [0.3, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("factor", [2, 3, 7])
def test_weights_sum_to_one_and_are_symmetric(shape: ProfileShape, thickness: float, factor: int) -> None:
    grid = grid_of_slabs(grid_by_factor(5, 2, factor), SlabProfile(thickness, shape))
    weights = SlabProfile(thickness, shape).weigh(np.arange(5) - grid.places[0], grid.step, grid.count)
    np.testing.assert_allclose(weights.sum(1), 1)
    np.testing.assert_allclose(weights, weights[::-1, ::-1], atol=1e-12)
    assert (weights >= 0).all()


def test_a_box_weighs_what_lies_in_it_by_length() -> None:
    weights = SlabProfile(3.0).weigh(np.array([2.0, 2.5]), 1.0, 6)
    np.testing.assert_allclose(weights * 3, [[0, 1, 1, 1, 0, 0], [0, 0.5, 1, 1, 0.5, 0]])


def test_a_gaussian_is_half_as_high_half_its_thickness_away() -> None:
    weights = SlabProfile(20.0, ProfileShape.GAUSSIAN).weigh(np.array([40.0]), 1.0, 81)[0]
    assert weights[30] / weights[40] == pytest.approx(0.5, rel=0.01)
    assert weights[50] == pytest.approx(weights[30])


def test_a_gaussian_that_is_cut_off_by_an_end_weighs_the_rest_as_elsewhere() -> None:
    weights = SlabProfile(6.0, ProfileShape.GAUSSIAN).weigh(np.array([0.0, 10.0]), 1.0, 21)
    np.testing.assert_allclose(weights[0, :7] / weights[0, 0], weights[1, 10:17] / weights[1, 10])


def test_the_thickness_in_mm_is_that_across_tilted_slices() -> None:
    affine = np.diag([1.0, 1.0, 4.0, 1.0])
    affine[1, 2] = 3
    assert grid_of_slabs(grid_by_factor(6, 2, 4), SlabProfile(1.5)).slab_thickness_mm(affine) == pytest.approx(6)


@pytest.mark.parametrize("factor", [2, 3, 4, 5, 16])
def test_touching_slabs_are_divided_into_as_many_thin_slices_as_the_factor(factor: int) -> None:
    grid = grid_of_slabs(grid_by_factor(4, 2, factor), SlabProfile(1.0))
    assert grid.count == 4 * factor
    weights = SlabProfile(1.0).weigh(np.arange(4) - grid.places[0], grid.step, grid.count)
    np.testing.assert_allclose(weights * factor, np.kron(np.eye(4), np.ones(factor)), atol=1e-6)


@pytest.mark.parametrize(("thickness", "spacing"), [(0.4, 1.3), (1.0, 1.7), (1.5, 1.0), (2.0, 0.9)])
def test_thin_slices_lie_within_the_outer_faces(thickness: float, spacing: float) -> None:
    grid = grid_of_slabs(grid_by_spacing(6, 2, 5.0, spacing), SlabProfile(thickness))
    faces = np.array([grid.places[0] - grid.step / 2, grid.places[-1] + grid.step / 2])
    left_out = np.array([faces[0] + thickness / 2, 5 + thickness / 2 - faces[1]])
    assert (left_out > -1e-4).all()
    assert (left_out < grid.step / 2 + 1e-4).all()
    assert grid.step * 5.0 == pytest.approx(spacing)
    assert not grid.kept.any()
    assert not grid.extrapolated.any()


@pytest.mark.parametrize("thickness", [0.3, 0.4, 0.5])
def test_slabs_thinner_than_thin_slices_begin_and_end_at_middles(thickness: float) -> None:
    grid = grid_of_slabs(grid_by_factor(4, 2, 2), SlabProfile(thickness))
    np.testing.assert_allclose(grid.places, np.arange(7) / 2, atol=1e-6)


@pytest.mark.parametrize("length", [4.999, 5.001])
def test_lengths_that_headers_round_lose_no_thin_slice(length: float) -> None:
    grid = grid_of_slabs(grid_by_factor(5, 2, 5), SlabProfile(length - 4))
    assert grid.count == 25


def test_the_affine_begins_at_the_outer_face() -> None:
    grid = grid_of_slabs(grid_by_factor(3, 2, 4), SlabProfile(1.0))
    affine = grid.refine(np.diag([1.0, 1.0, 8.0, 1.0]))
    assert affine[2, 2] == 2
    assert affine[2, 3] == -3  # its face at -4 mm, half of 8 mm below the first middle
