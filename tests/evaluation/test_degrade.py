import numpy as np
import pytest
from nets import tiny

from saint_cli.errors import GeometryError
from saint_cli.evaluation.degrade import average_slabs, decimate
from saint_cli.geometry import ProfileShape
from saint_cli.volume import Volume

AFFINE = np.array([[0.64, -0.288, 0.6, 11.0], [0.48, 0.384, -0.8, -7.5], [0.0, 0.64, 0.75, 3.25], [0, 0, 0, 1.0]])


def dense(count: int = 13, axis: int = 2, seed: int = 4) -> Volume:
    voxels = np.random.default_rng(seed).integers(-900, 900, (4, 3, count)).astype(np.int16)
    return Volume(np.moveaxis(voxels, 2, axis), AFFINE)


@pytest.mark.parametrize("degrade", [decimate, average_slabs])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("count", "factor", "left"), [(13, 4, 4), (13, 3, 5), (12, 4, 3), (5, 4, 2), (6, 2, 3)])
def test_every_factor_th_slice_is_left_and_the_first_does_not_move(  # type: ignore[no-untyped-def]
    degrade, axis: int, count: int, factor: int, left: int
) -> None:
    volume = dense(count, axis)
    sparse = degrade(volume, axis, factor)
    assert sparse.shape[axis] == left
    np.testing.assert_allclose(sparse.affine_lps[:3, axis], AFFINE[:3, axis] * factor)
    others = [i for i in range(4) if i != axis]
    np.testing.assert_array_equal(sparse.affine_lps[:, others], AFFINE[:, others])
    np.testing.assert_array_equal(volume.affine_lps, AFFINE)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_decimation_keeps_voxels_bit_for_bit(axis: int) -> None:
    volume = dense(13, axis)
    sparse = decimate(volume, axis, 4)
    assert sparse.voxels.dtype == np.int16
    for k in range(4):
        np.testing.assert_array_equal(sparse.voxels.take(k, axis), volume.voxels.take(4 * k, axis))


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
def test_average_of_a_linear_ramp_is_the_value_at_the_centres(factor: int) -> None:
    ramp = np.broadcast_to(3.0 * np.arange(21), (2, 3, 21)).astype(np.int16)
    slabs = average_slabs(Volume(ramp, np.eye(4)), 2, factor).voxels
    assert slabs.dtype == np.float32
    np.testing.assert_allclose(slabs[..., 1:-1], ramp[..., ::factor][..., 1:-1], rtol=1e-6)


@pytest.mark.parametrize("shape", list(ProfileShape))
@pytest.mark.parametrize("factor", [2, 3, 4, 5])
def test_average_leaves_a_constant_constant_to_the_ends(factor: int, shape: ProfileShape) -> None:
    slabs = average_slabs(Volume(np.full((2, 3, 21), -1000, np.int16), np.eye(4)), 2, factor, shape).voxels
    np.testing.assert_allclose(slabs, -1000, rtol=1e-6)


def test_average_of_an_odd_factor_is_the_plain_mean_of_its_slab() -> None:
    volume = dense(13)
    slabs = average_slabs(volume, 2, 3).voxels
    np.testing.assert_allclose(slabs[..., 2], volume.voxels[..., 5:8].mean(2), rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(slabs[..., 0], volume.voxels[..., 0:2].mean(2), rtol=1e-5, atol=1e-3)


def test_average_of_an_even_factor_takes_half_of_both_outermost_slices() -> None:
    volume = dense(13)
    v = volume.voxels.astype(float)
    wanted = (v[..., 2] / 2 + v[..., 3:6].sum(2) + v[..., 6] / 2) / 4
    np.testing.assert_allclose(average_slabs(volume, 2, 4).voxels[..., 1], wanted, rtol=1e-5, atol=1e-3)


def test_a_gaussian_average_is_smoother_than_a_box_between_slices() -> None:
    """It takes from the neighbouring slabs too: an edge is wider."""
    edge = np.where(np.arange(61) < 30, 0, 1000).astype(np.int16)
    volume = Volume(np.broadcast_to(edge, (2, 3, 61)).copy(), np.eye(4))
    box, gaussian = (average_slabs(volume, 2, 5, shape).voxels[0, 0] for shape in ProfileShape)
    inside = [((v > 1) & (v < 999)).sum() for v in (box, gaussian)]
    assert inside[0] < inside[1] <= 3


@pytest.mark.parametrize("degrade", [decimate, average_slabs])
def test_fewer_than_two_slices_left_is_refused(degrade) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(GeometryError, match="4 slices decimated by 4"):
        degrade(dense(4), 2, 4)


def test_the_input_is_not_modified() -> None:
    volume = tiny.volume((6, 5, 9))
    before = volume.voxels.copy()
    average_slabs(volume, 2, 4)
    decimate(volume, 2, 4)
    np.testing.assert_array_equal(volume.voxels, before)
