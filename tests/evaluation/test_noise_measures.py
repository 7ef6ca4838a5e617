import numpy as np
import pytest
from scipy import ndimage

from saint_cli.evaluation import noise_measures
from saint_cli.evaluation.noise_measures import NoisePatches, find_noise_patches, make_guide, measure_noise
from saint_cli.evaluation.tissues import LUNG
from saint_cli.method import noise_patches

SHAPE = (96, 96, 13)
OFFSET = np.arange(13) % 4 / 4


def tissue(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Soft tissue that changes slowly in all directions, HU."""
    x, y, z = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    return 50 + 20 * np.sin(x / 30) * np.cos(y / 25) + z


def noise(deviation: float, shape: tuple[int, int, int] = SHAPE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, deviation, shape)


def everywhere(shape: tuple[int, int, int] = SHAPE) -> NoisePatches:
    return find_noise_patches(tissue(shape))


def test_the_deviation_at_every_offset_is_that_of_the_noise_and_not_of_the_anatomy() -> None:
    strength = np.where(OFFSET == 0, 12.0, np.where(OFFSET == 0.5, 4.0, 6.0))
    found = measure_noise(tissue() + noise(1.0) * strength, OFFSET, everywhere())
    assert found.offset == (0.0, 0.25, 0.5, 0.75)
    assert found.deviation_hu == pytest.approx((12, 6, 4, 6), rel=0.04)
    assert found.deviation_ratio == pytest.approx((1, 0.5, 1 / 3, 0.5), rel=0.06)


def test_ratios_are_of_the_acquired_slices_and_nan_where_those_have_no_noise_or_there_are_none() -> None:
    strength = np.where(OFFSET == 0, 0.0, 6.0)
    flat = np.full(SHAPE, 50.0)
    for values, offset in (
        (flat + noise(1.0) * strength, OFFSET),
        (flat, OFFSET),
        (flat + noise(6), OFFSET + 0.125),
    ):
        assert np.isnan(measure_noise(values, offset, everywhere()).deviation_ratio).all()


def test_kurtosis_is_zero_for_a_normal_distribution_and_three_for_laplace() -> None:
    synthesised = np.flatnonzero(OFFSET > 0).tolist()
    laplace = np.random.default_rng(1).laplace(0, 10, SHAPE)
    for values, wanted in ((noise(10), 0), (laplace, 3)):
        assert noise_measures.measure_kurtosis(tissue() + values, everywhere(), synthesised) == pytest.approx(
            wanted, abs=0.3
        )


def test_the_spectrum_of_white_noise_is_flat_and_its_variance() -> None:
    spectrum = noise_measures.measure_spectrum(tissue() + noise(10), everywhere(), range(13))
    np.testing.assert_allclose(spectrum[2:], 100, rtol=0.06)


def test_blurred_noise_has_a_spectrum_that_is_far_from_that_of_white_noise_of_the_same_strength() -> None:
    blurred = ndimage.gaussian_filter(noise(10), (1, 1, 0))
    blurred *= 10 / blurred.std()
    white, other, smooth = (
        noise_measures.measure_spectrum(tissue() + values, everywhere(), range(13))
        for values in (noise(10), noise(10, seed=5), blurred)
    )
    assert noise_measures.compute_spectrum_distance(other, white) < 0.1
    assert noise_measures.compute_spectrum_distance(smooth, white) > 0.8


def test_neighbouring_slices_are_correlated_by_what_they_share() -> None:
    own = noise(10, (96, 96, 14))
    shared = (own[..., 1:] + own[..., :-1]) / 2
    for values, wanted in ((own[..., 1:], 0), (shared, 0.5)):
        found = noise_measures.measure_slice_correlation(tissue() + values, everywhere())
        assert found == pytest.approx(wanted, abs=0.03)


def test_the_slice_noise_index_is_zero_for_even_noise_and_the_relative_spread_else() -> None:
    assert noise_measures.compute_slice_noise_index(np.full(9, 7.0)) == 0
    assert noise_measures.compute_slice_noise_index(np.array([5.0, 15.0, np.nan])) == pytest.approx(0.5)
    assert np.isnan(noise_measures.compute_slice_noise_index(np.array([np.nan, 3.0])))


def test_patches_avoid_edges_and_other_tissues() -> None:
    scan = tissue()
    scan[:40], scan[60:64] = -900, 900
    chosen = find_noise_patches(scan).chosen
    corners = np.argwhere(chosen.any(2))[:, 0] * noise_patches.STRIDE
    assert len(corners)
    assert all(corner >= 64 for corner in corners)
    lungs = np.argwhere(find_noise_patches(scan, LUNG).chosen.any(2))[:, 0] * noise_patches.STRIDE
    assert len(lungs)
    assert lungs.max() + noise_patches.PATCH <= 40


@pytest.mark.parametrize("shape", [(8, 40, 5), (40, 40, 1), (20, 20, 2)])
def test_volumes_too_small_for_patches_give_no_figures_and_no_error(shape: tuple[int, int, int]) -> None:
    air = np.full(shape, -1000.0)
    found = measure_noise(air, np.zeros(shape[2]), find_noise_patches(make_guide(air)))
    assert np.isnan([found.deviation_hu[0], found.kurtosis, found.slice_correlation, found.slice_noise_index]).all()
    assert np.isnan(noise_measures.measure_pooled_deviation(air, find_noise_patches(air)))


def test_the_pooled_deviation_is_not_moved_by_patches_with_a_structure() -> None:
    scan = tissue() + noise(10)
    scan[:48, :, ::2] += 60 * (np.arange(48) % 12 > 6)[:, None, None]
    assert noise_measures.measure_pooled_deviation(scan, everywhere()) == pytest.approx(10, rel=0.12)


def test_a_guide_holds_the_noise_of_the_neighbours_and_not_that_of_the_slice_itself() -> None:
    scan = np.arange(4.0)[None, None] ** 2
    np.testing.assert_array_equal(make_guide(scan)[0, 0], [1, 2, 5, 4])
    np.testing.assert_array_equal(make_guide(scan[..., :1])[0, 0], [0])
