from dataclasses import replace

import numpy as np
import pytest

from saint_cli.geometry import PlaneGrid, grid_by_averaging, make_plane_grid, same_grid
from saint_cli.io.voxel_checks import check_values
from saint_cli.method.resampling import average_slices, resample_planes
from saint_cli.method.resampling_warnings import CONSTANT_WARNING, add_resampling_warnings
from saint_cli.volume import Header, Volume
from saint_cli.volume.stored_values import Coding

AFFINE = np.array([[0.5, 0, 0, -10], [0, 0.5, 0, 20], [0, 0, 1.0, 30], [0, 0, 0, 1.0]])

MEANS_SAID = "1 of 1080 voxels is NaN or infinite: left out of the means"


def noisy(shape: tuple[int, int, int] = (12, 10, 9), dtype: str = "int16", header: Header = Header("CT")) -> Volume:  # noqa: B008
    voxels = np.random.default_rng(4).normal(0, 300, shape)
    return Volume(voxels.round().astype(dtype), AFFINE.copy(), header)


def plane_of(volume: Volume, *, untilt: bool = False, pixel_mm: float | None = None) -> PlaneGrid:
    plane = make_plane_grid(volume.affine_lps, volume.shape, 2, untilt=untilt, pixel_mm=pixel_mm)
    assert plane is not None
    return plane


@pytest.mark.parametrize("ratio", [2, 3, 4])
def test_a_whole_ratio_gives_the_means_of_so_many_slices_in_the_middle_of_their_slab(ratio: int) -> None:
    volume = noisy()
    result = average_slices(volume, grid_by_averaging(9, 2, 1.0, float(ratio)))
    slabs = 9 // ratio
    means = volume.voxels[..., : slabs * ratio].reshape(12, 10, slabs, ratio).mean(3)
    np.testing.assert_array_equal(result.voxels, np.rint(means))
    np.testing.assert_allclose(result.affine_lps[:3, 3], (-10, 20, 30 + (ratio - 1) / 2))
    assert result.spacing_mm == (0.5, 0.5, ratio)


def test_a_fractional_ratio_weighs_slices_by_their_overlap_with_the_slab() -> None:
    volume = noisy(dtype="float32")
    result = average_slices(volume, grid_by_averaging(9, 2, 1.0, 2.5))
    v = volume.voxels.astype(float)
    np.testing.assert_allclose(result.voxels[..., 0], (v[..., 0] + v[..., 1] + 0.5 * v[..., 2]) / 2.5, atol=1e-3)
    np.testing.assert_allclose(result.voxels[..., 1], (0.5 * v[..., 2] + v[..., 3] + v[..., 4]) / 2.5, atol=1e-3)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_averaging_runs_along_any_axis(axis: int) -> None:
    volume = noisy((8, 8, 8))
    turned = replace(volume, voxels=np.moveaxis(volume.voxels, 2, axis))
    result = average_slices(turned, grid_by_averaging(8, axis, 1.0, 2.0))
    wanted = average_slices(volume, grid_by_averaging(8, 2, 1.0, 2.0))
    np.testing.assert_array_equal(np.moveaxis(result.voxels, axis, 2), wanted.voxels)


def test_padding_does_not_count_in_a_mean_and_stays_where_it_is_most_of_a_slab() -> None:
    volume = noisy(header=Header("CT", padding=((-3024.0, -3024.0),)))
    volume.voxels[0, 0, 0] = volume.voxels[1, 1, 0:2] = -3024
    volume.voxels[2, 2, 0:3] = -3024
    result = average_slices(volume, grid_by_averaging(9, 2, 1.0, 3.0)).voxels
    assert result[0, 0, 0] == np.rint(volume.voxels[0, 0, 1:3].mean())
    assert result[1, 1, 0] == result[2, 2, 0] == -3024


def test_the_mean_of_a_slab_without_a_finite_value_is_not_finite_and_others_are() -> None:
    volume = noisy(dtype="float32")
    volume.voxels[0, 0, :2], volume.voxels[1, 1, 0] = np.nan, np.inf
    result = average_slices(volume, grid_by_averaging(9, 2, 1.0, 2.0)).voxels
    assert np.isnan(result[0, 0, 0])
    assert result[1, 1, 0] == volume.voxels[1, 1, 1]
    assert np.isfinite(result).sum() == result.size - 1


def test_a_warning_of_voxels_that_are_not_finite_says_what_happens_to_them() -> None:
    volume = noisy(dtype="float32")
    volume.voxels[0, 0, 0] = np.nan
    known = check_values(volume)
    assert known.header.warnings == ("1 of 1080 voxels is NaN or infinite: kept there, hidden from the networks",)
    for grid, said in ((same_grid(9, 2), known.header.warnings[0]), (grid_by_averaging(9, 2, 1.0, 3.0), MEANS_SAID)):
        assert said in add_resampling_warnings(known, grid, None).header.warnings


@pytest.mark.parametrize(
    ("drift", "said"),
    [
        (1.0, "by whole pixels, so that all 9 acquired slices are kept bit for bit"),
        (0.5, "so that only 5 acquired slices are kept bit for bit"),
        (0.05 + 1 / 3, "so that only 1 acquired slice is kept bit for bit"),
    ],
)
def test_it_is_said_how_many_slices_stay_as_they_were_when_they_are_moved(drift: float, said: str) -> None:
    volume = noisy()
    volume.affine_lps[1, 2] = drift * 0.5
    plane = plane_of(volume, untilt=True)
    assert said in add_resampling_warnings(volume, same_grid(9, 2), plane).header.warnings[-1]


def test_a_volume_of_one_value_is_reported() -> None:
    volume, grid = noisy(), grid_by_averaging(9, 2, 1.0, 3.0)
    assert CONSTANT_WARNING not in add_resampling_warnings(volume, grid, None).header.warnings
    volume.voxels[:] = 7
    assert CONSTANT_WARNING in add_resampling_warnings(volume, grid, None).header.warnings
    volume.voxels[3, 4, 8] = 8
    assert CONSTANT_WARNING not in add_resampling_warnings(volume, grid, None).header.warnings


def test_means_have_values_that_the_source_can_store() -> None:
    volume = noisy(dtype="float32", header=Header("CT", codings=(Coding(0.5, -100.0, 0, 4095),)))
    result = average_slices(volume, grid_by_averaging(9, 2, 1.0, 2.0)).voxels
    np.testing.assert_array_equal(result * 2, np.rint(result * 2))


@pytest.mark.parametrize("ratio", [1, 2])
def test_slices_have_values_that_one_of_their_own_sources_can_store_where_codings_differ(ratio: int) -> None:
    slopes = np.array([0.7, 0.7, 0.5, 0.3, 0.3, 0.3, 0.9, 0.9])
    codings = tuple(Coding(float(slope), 0.0, 0, 4095) for slope in slopes)
    stored = np.random.default_rng(4).integers(0, 4095, (12, 10, 8))
    volume = Volume((stored * slopes).astype(np.float32), AFFINE.copy(), Header("PT", codings=codings))
    grid = grid_by_averaging(8, 2, 1.0, 2.0) if ratio == 2 else same_grid(8, 2)
    coarse = average_slices(volume, grid)
    results = [coarse, resample_planes(coarse, plane_of(coarse, pixel_mm=0.8))]
    for result in results:
        for k in range(8 // ratio):
            rests = [result.voxels[..., k] / slopes[i] for i in range(k * ratio, (k + 1) * ratio)]
            assert min(float(np.abs(rest - np.rint(rest)).max()) for rest in rests) < 1e-3
    assert len(np.unique(results[1].voxels)) > 50


def test_the_grid_of_the_slices_themselves_gives_the_volume_back() -> None:
    volume = noisy()
    result = average_slices(volume, same_grid(9, 2))
    np.testing.assert_array_equal(result.voxels, volume.voxels)
    np.testing.assert_array_equal(result.affine_lps, volume.affine_lps)


def test_pixels_of_twice_the_size_are_the_means_of_four() -> None:
    volume = noisy()
    result = resample_planes(volume, plane_of(volume, pixel_mm=1.0))
    means = volume.voxels.reshape(6, 2, 5, 2, 9).mean((1, 3))
    np.testing.assert_array_equal(result.voxels, np.rint(means))


def test_finer_pixels_follow_a_plane_of_values_exactly_and_never_overshoot() -> None:
    x, y, z = np.meshgrid(*(np.arange(n, dtype=float) for n in (12, 10, 9)), indexing="ij")
    ramp = Volume((3 * x - 2 * y + z).astype("float32"), AFFINE.copy(), Header("CT"))
    plane = plane_of(ramp, pixel_mm=0.2)
    result = resample_planes(ramp, plane)
    at = [line.start + np.arange(line.count) * line.pixel for line in plane.lines]
    wanted = 3 * at[0][:, None] - 2 * at[1]
    np.testing.assert_allclose(result.voxels[5:-5, 5:-5, 0], wanted[5:-5, 5:-5], atol=1e-4)
    step = Volume(np.where(x < 6, -1000, 1000).astype("int16"), AFFINE.copy(), Header("CT"))
    finer = resample_planes(step, plane_of(step, pixel_mm=0.2)).voxels
    assert (finer.min(), finer.max()) == (-1000, 1000)


def test_an_object_of_a_tilted_stack_stands_straight_to_a_tenth_of_a_pixel() -> None:
    affine = AFFINE.copy()
    affine[1, 2] = 0.37
    x, y, z = np.meshgrid(*(np.arange(n, dtype=float) for n in (20, 24, 11)), indexing="ij")
    at = np.einsum("ij,j...->i...", affine[:3, :3], np.stack([x, y, z])) + affine[:3, 3].reshape(3, 1, 1, 1)
    distance = np.linalg.norm(at - np.array([-5, 27, 35]).reshape(3, 1, 1, 1), axis=0)
    ball = Volume((1000 * np.exp(-((distance / 2) ** 2))).astype("float32"), affine, Header("CT"))
    result = resample_planes(ball, plane_of(ball, untilt=True))
    weights = result.voxels.astype(float)
    indices = np.stack(np.meshgrid(*(np.arange(n) for n in result.shape), indexing="ij"))
    centre = (indices * weights).sum((1, 2, 3)) / weights.sum()
    found = result.affine_lps @ np.array([*centre, 1])
    np.testing.assert_allclose(found[:3], (-5, 27, 35), atol=0.05)


def test_what_lies_outside_the_field_of_view_is_padding() -> None:
    padding, coding = ((-2000.0, -2000.0),), Coding(1.0, -1024.0, 0, 4095)  # which cannot store that
    for header, outside in (
        (Header("CT", padding=padding), -2000),
        (Header("CT", padding=padding, codings=(coding,)), None),
        (Header("CT"), None),
    ):
        volume = noisy(header=header)
        volume.affine_lps[1, 2] = 0.5
        result = resample_planes(volume, plane_of(volume, untilt=True))
        assert result.shape == (12, 18, 9)
        value = int(volume.voxels.min()) if outside is None else outside
        assert (result.voxels[:, 10:, 0] == value).all()
        assert (result.voxels[:, :8, 8] == value).all()
        for k in range(9):  # a whole pixel a slice, so that all of them are as acquired
            np.testing.assert_array_equal(result.voxels[:, k : k + 10, k], volume.voxels[..., k])


def test_padding_is_not_mixed_with_tissue_by_resampling() -> None:
    volume = noisy(header=Header("CT", padding=((-3024.0, -3024.0),)))
    volume.voxels[:] = 50
    volume.voxels[:4] = -3024
    for pixel_mm in (0.2, 0.8):
        assert set(np.unique(resample_planes(volume, plane_of(volume, pixel_mm=pixel_mm)).voxels)) == {-3024, 50}


@pytest.mark.parametrize("codings", [(), (Coding(0.5, -100.0, 0, 4095),)])
def test_voxels_that_are_not_finite_stay_alone(codings: tuple[Coding, ...]) -> None:
    volume = noisy(dtype="float32", header=Header("CT", codings=codings))
    volume.voxels[5, 5, 0] = np.nan
    result = resample_planes(volume, plane_of(volume, pixel_mm=0.25)).voxels
    assert np.isnan(result[..., 0]).sum() == 4
    assert np.isfinite(result[..., 1:]).all()
