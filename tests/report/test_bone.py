from dataclasses import replace

import numpy as np
import pytest
from report.scans import affine, pair

from saint_cli.report import bone, bone_planes
from saint_cli.report.anatomy import UprightVolume
from saint_cli.report.plane_cuts import ScanPair
from saint_cli.volume import Header


def test_a_ball_of_bone_is_drawn_where_it_lies_and_lit_from_above() -> None:
    rendered = bone.draw_surface(pair((40, 30, 17), 2))
    assert rendered is not None
    for picture in rendered:
        rows, columns = picture.shape
        assert picture[rows // 2, columns // 2] > 100
        assert picture[0].max() == picture[-1].max() == picture[:, 0].max() == 0
        assert picture[: rows // 2].mean() > picture[rows // 2 :].mean()


def test_after_is_smoother_than_before() -> None:
    """A tilted plate: linear interpolation between thick slices makes steps of it, the dense volume does not."""
    _, y, z = np.meshgrid(np.arange(40), np.arange(40), np.arange(33), indexing="ij")
    dense = np.where(y > 5 + z, 1000, -1000).astype(np.int16)
    before, after = (
        UprightVolume.from_voxels(v, affine((1.0, 1.0, s))) for v, s in ((dense[..., ::4], 4.0), (dense, 1.0))
    )
    rendered = bone.draw_surface(ScanPair(before, after, 2))
    assert rendered is not None
    steps = [np.abs(np.diff(picture[40:-40, 100].astype(float))).mean() for picture in rendered]
    assert steps[1] < 0.5 * steps[0]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_linear_before_equals_after_where_after_is_linear(axis: int) -> None:
    scan = pair((24, 24, 24), 1)
    order = {0: [2, 1, 0], 1: [0, 2, 1], 2: [0, 1, 2]}[axis]
    voxels = scan.after.voxels.transpose(order)
    spacing = [1.0, 1.0, 1.0]
    spacing[axis] = 2.0
    sparse = UprightVolume.from_voxels(voxels.take(range(0, 23, 2), axis), affine((spacing[0], spacing[1], spacing[2])))
    again = ScanPair(sparse, UprightVolume.from_voxels(voxels.take(range(0, 23, 2), axis), sparse.affine_lps), axis)
    rendered = bone.draw_surface(again)
    assert rendered is not None
    np.testing.assert_array_equal(*rendered)


def test_pixels_are_square_in_millimetres() -> None:
    scan = pair()
    stretched = replace(scan, after=replace(scan.after, affine_lps=affine((1.0, 1.0, 2.0))))
    rendered = bone.draw_surface(stretched)
    assert rendered is not None
    assert rendered[1].shape[0] / rendered[1].shape[1] == pytest.approx(66 / 40, rel=0.02)


def test_a_bright_organ_far_from_compact_bone_is_no_bone_and_cancellous_bone_near_it_is() -> None:
    """A rod of compact bone with a soft one of 300 HU around it, and a kidney of 300 HU beside."""
    voxels = np.full((60, 40, 21), -1000, np.int16)
    voxels[8:16, 10:22] = 300
    voxels[10:14, 14:18] = 900
    voxels[40:52, 10:22] = 300
    upright = UprightVolume.from_voxels(voxels, affine((1.0, 1.0, 1.0)))
    rendered = bone.draw_surface(ScanPair(upright, upright, 2))
    assert rendered is not None
    for picture in rendered:
        columns = picture.max(0).reshape(60, -1).max(1) if picture.shape[1] % 60 == 0 else picture.max(0)[::5]
        assert columns[8:16].min() > 0
        assert columns[38:].max() == 0


def test_noise_makes_no_compact_bone() -> None:
    voxels = np.full((60, 40, 21), 300, np.int16)
    voxels[::12, ::12, ::12] = 900
    upright = UprightVolume.from_voxels(voxels, affine((1.0, 1.0, 1.0)))
    assert bone.draw_surface(ScanPair(upright, upright, 2)) is None


def test_a_flat_stack_has_no_view_from_the_front() -> None:
    assert bone.is_too_flat(pair((40, 30, 2), 2))
    assert not bone.is_too_flat(pair((40, 30, 9), 2))


def test_without_bone_there_is_no_picture() -> None:
    scan = pair()
    air = np.full_like(scan.after.voxels, -1000)
    assert bone.draw_surface(ScanPair(scan.before, replace(scan.after, voxels=air), 2)) is None


@pytest.mark.parametrize("fill", [32767.0, 1e20, -3.4e38])
def test_padding_is_no_surface(fill: float) -> None:
    voxels = pair((24, 24, 9), 2).after.voxels.astype(np.float32)
    air = voxels.copy()
    air[:, :3], voxels[:, :3] = bone_planes.AIR_HU, fill
    plain = UprightVolume.from_voxels(air, affine((1.0, 1.0, 1.0)))
    filled = UprightVolume.from_voxels(voxels, affine((1.0, 1.0, 1.0)), Header(padding=((fill, fill),)))
    wanted, found = bone.draw_surface(ScanPair(plain, plain, 2)), bone.draw_surface(ScanPair(filled, filled, 2))
    assert wanted is not None
    assert found is not None
    np.testing.assert_array_equal(found[1], wanted[1])


def test_what_is_not_finite_is_no_surface() -> None:
    voxels = pair((24, 24, 9), 2).after.voxels.astype(np.float32)
    voxels[3, 3], voxels[12, 12, 4] = np.nan, -np.inf
    upright = UprightVolume.from_voxels(voxels, affine((1.0, 1.0, 1.0)))
    assert bone.draw_surface(ScanPair(upright, upright, 2)) is not None
