import numpy as np
import pytest
from fabricate import OBLIQUE_LPS

from saint_cli.report import anatomy
from saint_cli.report.anatomy import UprightVolume

SHAPE = (5, 6, 7)

ORDERS = [(0, 1, 2), (2, 0, 1), (1, 0, 2), (2, 1, 0)]

SIGNS = [(1, 1, 1), (-1, -1, 1), (1, -1, -1), (-1, 1, -1)]


def scan(order: tuple[int, ...], signs: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Voxels whose value encodes their place in the patient, stored along other axes: value = L + 100 P + 10,000 S."""
    left, posterior, superior = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    upright = left + 100 * posterior + 10_000 * superior
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    for axis, sign in enumerate(signs):
        if sign < 0:
            upright = np.flip(upright, axis)
            affine[:3, 3] += affine[:3, axis] * (SHAPE[axis] - 1)
            affine[:3, axis] *= -1
    return upright.transpose(order), affine[:, [*order, 3]]


@pytest.mark.parametrize("signs", SIGNS)
@pytest.mark.parametrize("order", ORDERS)
def test_axes_run_to_left_back_and_head_however_the_file_stores_them(
    order: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    voxels, affine = scan(order, signs)
    found = UprightVolume.from_voxels(voxels, affine)
    wanted, place = scan((0, 1, 2), (1, 1, 1))
    np.testing.assert_array_equal(found.voxels, wanted)
    np.testing.assert_allclose(found.affine_lps, place)
    for axis in range(3):
        assert found.axis_order[found.find_axis(axis)] == axis
        plane = voxels.take(found.find_source_index(axis, 1), found.axis_order[axis])
        assert set(plane.ravel()) == set(wanted.take(1, axis).ravel())


def test_head_is_up_and_the_patients_left_is_on_the_right() -> None:
    voxels = UprightVolume.from_voxels(*scan((2, 0, 1), (-1, -1, 1))).voxels
    coronal, sagittal, axial = (anatomy.orient_for_display(voxels.take(2, axis), axis) for axis in (1, 0, 2))
    assert coronal.shape == (7, 5)
    assert (coronal[0] // 10_000 == 6).all()
    assert (coronal[:, -1] % 100 == 4).all()
    assert (sagittal[0] // 10_000 == 6).all()
    assert (sagittal[:, -1] // 100 % 100 == 5).all()
    assert (axial[-1] // 100 % 100 == 5).all()
    assert (axial[:, -1] % 100 == 4).all()


def test_letters_stand_where_the_patient_is() -> None:
    assert anatomy.edge_letters(1) == ("R", "L", "S", "I")
    assert anatomy.edge_letters(0) == ("A", "P", "S", "I")
    assert anatomy.edge_letters(2) == ("R", "L", "A", "P")


def test_an_oblique_scan_shows_its_angle_and_an_upright_one_none() -> None:
    assert UprightVolume.from_voxels(*scan((1, 0, 2), (1, -1, 1))).oblique_degrees == pytest.approx(0, abs=1e-5)
    assert UprightVolume.from_voxels(np.zeros(SHAPE), OBLIQUE_LPS).oblique_degrees > 30
