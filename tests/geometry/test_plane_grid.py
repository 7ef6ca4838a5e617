import numpy as np
import pytest

from saint_cli.errors import GeometryError
from saint_cli.geometry import PlaneGrid, box_weights, make_plane_grid, slice_distance_mm, spacing_mm
from saint_cli.geometry.sampling_weights import cubic_weights

TILTED = np.array([[0.5, 0, 0, -10], [0, 0.5, 1.0, 20], [0, 0, 4.0, 30], [0, 0, 0, 1.0]])
STRAIGHT = np.array([[0.5, 0, 0, -10], [0, 0.75, 0, 20], [0, 0, 4.0, 30], [0, 0, 0, 1.0]])


def make(affine: np.ndarray, shape: tuple[int, int, int], **how: object) -> PlaneGrid:
    plane = make_plane_grid(affine, shape, 2, **{"untilt": False, "pixel_mm": None, **how})  # type: ignore[arg-type]
    assert plane is not None
    return plane


def test_untilted_slices_stand_at_right_angles_and_the_first_does_not_move() -> None:
    plane = make(TILTED, (20, 30, 6), untilt=True)
    assert plane.output_shape((20, 30, 6)) == (20, 40, 6)  # 2 pixels a slice
    assert spacing_mm(plane.affine_lps) == pytest.approx((0.5, 0.5, 4.0))
    assert slice_distance_mm(plane.affine_lps, 2) == pytest.approx(4.0)
    np.testing.assert_allclose(plane.affine_lps[:3, 3], TILTED[:3, 3])
    assert plane.is_exact(0)


def test_rounding_across_the_tilt_moves_no_pixel() -> None:
    affine = TILTED.copy()
    affine[0, 2] = 1e-5  # 1e-4 pixels over the whole stack
    plane = make(affine, (20, 30, 6), untilt=True)
    assert plane.output_shape((20, 30, 6)) == (20, 40, 6)
    assert all(plane.is_exact(k) for k in range(6))


@pytest.mark.parametrize("shear", [(0.3, -0.7), (-0.11, 0.23), (0.0, 1.3)])
def test_every_pixel_of_a_tilted_slice_comes_from_its_place_in_the_patient(shear: tuple[float, float]) -> None:
    affine = TILTED.copy()
    affine[:2, 2] = shear
    plane = make(affine, (8, 9, 5), untilt=True)
    for k in range(5):
        first = [line.sample(k) for line in plane.lines]
        for i, j in ((0, 0), (plane.lines[0].count - 1, plane.lines[1].count - 1)):
            output = plane.affine_lps @ np.array([i, j, k, 1.0])
            places = [
                line.start + at * line.pixel - k * line.drift for line, at in zip(plane.lines, (i, j), strict=True)
            ]
            np.testing.assert_allclose(affine @ np.array([*places, k, 1.0]), output, atol=1e-9)
        for line, weights in zip(plane.lines, first, strict=True):  # the field of view holds every slice whole
            assert weights.is_inside.sum() >= line.size


def test_a_field_of_view_keeps_its_corner_when_pixels_change() -> None:
    plane = make(STRAIGHT, (20, 20, 4), pixel_mm=1.0)
    assert plane.output_shape((20, 20, 4)) == (10, 15, 4)
    assert spacing_mm(plane.affine_lps) == (1, 1, 4)
    corner = np.array([-0.5, -0.5, 0, 1])
    np.testing.assert_allclose(plane.affine_lps @ corner, STRAIGHT @ corner)


def test_what_needs_no_resampling_gets_none() -> None:
    for affine, how in ((STRAIGHT, {"untilt": True, "pixel_mm": None}), (TILTED, {"untilt": False, "pixel_mm": 0.5})):
        assert make_plane_grid(affine, (9, 9, 4), 2, **how) is None  # type: ignore[arg-type]


def test_rows_that_are_not_perpendicular_to_columns_are_not_untilted() -> None:
    affine = TILTED.copy()
    affine[1, 0] = 0.1
    with pytest.raises(GeometryError, match=r"axes x and y are not perpendicular.* leave `untilt` out"):
        make_plane_grid(affine, (9, 9, 4), 2, untilt=True, pixel_mm=None)


@pytest.mark.parametrize("pixel_mm", [None, 0.5])
def test_an_axis_across_which_nothing_becomes_rectangular_is_refused(pixel_mm: float | None) -> None:
    with pytest.raises(GeometryError, match=r"axes y and z are not perpendicular.* another `axis`"):
        make_plane_grid(TILTED, (9, 9, 4), 0, untilt=True, pixel_mm=pixel_mm)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_any_axis_is_through_plane(axis: int) -> None:
    order = [*(i for i in range(3) if i != axis), axis]
    affine, shape = np.eye(4), np.empty(3, int)
    affine[:3, order], affine[:3, 3] = TILTED[:3, :3], TILTED[:3, 3]
    shape[order] = 20, 30, 6
    plane = make_plane_grid(affine, tuple(shape.tolist()), axis, untilt=True, pixel_mm=None)
    assert plane is not None
    assert [plane.output_shape((1, 1, 1))[i] for i in order[:2]] == [20, 40]
    np.testing.assert_allclose(plane.affine_lps[:3, order], make(TILTED, (20, 30, 6), untilt=True).affine_lps[:3, :3])


def test_cubic_weights_sum_to_1_and_give_back_quadratic_functions_between_voxels() -> None:
    at = np.linspace(1.0, 6.0, 23)
    line = cubic_weights(at, 9)
    np.testing.assert_allclose(line.weights.sum(1), 1)
    values = 2 - 3 * np.arange(9.0) + 0.5 * np.arange(9.0) ** 2
    np.testing.assert_allclose((values[line.indices] * line.weights).sum(1), 2 - 3 * at + 0.5 * at**2)


def test_cubic_weights_at_a_voxel_are_that_voxel() -> None:
    line = cubic_weights(np.arange(5.0), 5)
    np.testing.assert_array_equal((line.indices * line.weights).sum(1), np.arange(5))


@pytest.mark.parametrize("width", [1.0, 1.5, 2.0, 3.7])
def test_box_weights_sum_to_1_and_give_every_voxel_its_share(width: float) -> None:
    count = 30
    slabs = int(count / width)
    line = box_weights((width - 1) / 2 + width * np.arange(slabs), width, count)
    np.testing.assert_allclose(line.weights.sum(1), 1)
    share = np.zeros(count)
    np.add.at(share, line.indices, line.weights)
    covered = int(slabs * width)
    np.testing.assert_allclose(share[:covered], 1 / width)
