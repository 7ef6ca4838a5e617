import numpy as np
import pytest

from saint_cli.evaluation import tissues
from saint_cli.volume import Header


def chest() -> np.ndarray:
    """A body of soft tissue with two lungs, on a table, in air: (64, 64, 3) HU with some noise."""
    x, y = np.meshgrid(np.arange(64), np.arange(64), indexing="ij")
    plane = np.full((64, 64), -1000.0)
    plane[(x - 32) ** 2 + (y - 30) ** 2 < 24**2] = 40
    for centre in (22, 42):
        plane[(x - centre) ** 2 + (y - 30) ** 2 < 7**2] = -850
    plane[10:54, 59:61] = 100
    return plane[..., None] + np.random.default_rng(0).normal(0, 15, (64, 64, 3))


def test_the_body_holds_its_lungs_and_not_the_table() -> None:
    body = tissues.find_body(chest())
    assert body[22, 30].all()
    assert body[32, 10].all()
    assert not body[30, 59:61].any()
    assert not body[2, 2].any()


def test_a_plane_inside_a_body_is_body_as_a_whole_even_if_it_is_lung_up_to_its_edge() -> None:
    assert tissues.find_body(np.full((20, 20, 2), -850.0)).all()
    assert tissues.find_body(chest()[16:48, 16:44]).all()


def test_air_has_no_body() -> None:
    assert not tissues.find_body(np.full((20, 20, 2), -1000.0)).any()


def test_tissues_are_found_inside_the_body_alone() -> None:
    scan = chest()
    body = tissues.find_body(scan)
    lung = tissues.LUNG.find(scan, body)
    assert 0.8 < lung.sum() / (3 * 2 * np.pi * 49) < 1.2
    assert not lung[2, 2].any()


def test_the_middle_is_that_of_the_bright_voxels_that_are_no_padding() -> None:
    voxels = np.full((20, 20, 20), -1000)
    voxels[12:17, 3:6, 9:12] = 40
    assert tissues.find_middle(voxels, -300) == (14, 4, 10)
    voxels[0:6] = 3000
    assert tissues.find_middle(voxels, -300, Header("CT", padding=((3000.0, 3000.0),))) == (14, 4, 10)
    assert tissues.find_middle(np.full((9, 9, 3), np.nan), 0) == (4, 4, 1)


def test_the_middle_of_a_large_volume_is_found_on_a_coarser_grid() -> None:
    voxels = np.full((520, 4, 3), -1000, np.int16)
    voxels[400:441, 2] = 40
    assert tissues.find_middle(voxels, -300) == pytest.approx((420, 2, 1), abs=4)
