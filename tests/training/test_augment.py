import numpy as np
import pytest

from saint_cli.training.augment import (
    BRIGHTEST_UNITS,
    KERNEL_RANGE,
    PROFILE_PROBABILITIES,
    ZOOM_RANGE,
    Augmentation,
    interpolate_along,
)


def random(shape: tuple[int, ...] = (3, 9, 12), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.2, 2, shape).astype(np.float32)


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_no_variation_changes_nothing() -> None:
    np.testing.assert_array_equal(Augmentation().apply(random(), rng()), random())
    np.testing.assert_array_equal(Augmentation().decimate(random(), 3), random()[..., ::3])


def test_whole_positions_are_copied_and_others_interpolated() -> None:
    values = random()
    np.testing.assert_array_equal(interpolate_along(values, np.array([4.0, 0.0, 8.0]), 1), values[:, [4, 0, 8]])
    between = interpolate_along(values, np.array([2.25]), 2)[..., 0]
    np.testing.assert_allclose(between, 0.75 * values[..., 2] + 0.25 * values[..., 3], rtol=1e-6)
    np.testing.assert_array_equal(interpolate_along(values, np.array([8 + 1e-9]), 1)[:, 0], values[:, 8])


@pytest.mark.parametrize(("profile", "step", "averaged"), [(0, 3, 1), (1, 3, 3), (2, 3, 6), (1, 1, 1), (2, 1, 2)])
def test_a_profile_averages_as_many_slices_as_it_is_thick(profile: int, step: int, averaged: int) -> None:
    impulse = np.zeros((1, 1, 31), np.float32)
    impulse[..., 15] = 1
    assert Augmentation(profile=profile).count_averaged_slices(step) == averaged
    dense = Augmentation(profile=profile).decimate(impulse, 1 if step == 1 else step)[0, 0]
    assert dense.max() == pytest.approx(1 / averaged)
    assert np.count_nonzero(dense > 1e-6) == max(1, averaged // step)


@pytest.mark.parametrize("kernel", KERNEL_RANGE)
def test_a_kernel_keeps_plane_values_and_acts_in_plane_alone(kernel: float) -> None:
    flat = np.ones((3, 9, 12), np.float32)
    np.testing.assert_allclose(Augmentation(kernel=kernel).apply(flat, rng()), 1, rtol=1e-6)
    flat[1, 4, 6] = 1.5
    changed = Augmentation(kernel=kernel).apply(flat, rng()) - flat
    assert np.argwhere(np.abs(changed) > 1e-6).tolist() == [[1, 3, 6], [1, 4, 6], [1, 5, 6]]
    assert changed.sum() == pytest.approx(0, abs=1e-6)


def test_contrast_turns_about_water_and_stays_in_the_window() -> None:
    values = np.array([0.0, 0.9, 1.0, 1.1, 4.0], np.float32).reshape(1, 5, 1)
    varied = Augmentation(contrast=1.3).apply(values, rng()).ravel()
    np.testing.assert_allclose(varied, [0, 0.87, 1, 1.13, BRIGHTEST_UNITS], rtol=1e-5)


def test_noise_has_its_standard_deviation_and_no_bias() -> None:
    flat = np.ones((3, 60, 80), np.float32)
    noisy = Augmentation(noise=0.02).apply(flat, rng())
    assert noisy.std() == pytest.approx(0.02, rel=0.05)
    assert noisy.mean() == pytest.approx(1, abs=1e-3)


def test_variations_are_reproducible_and_of_every_kind() -> None:
    generator, again = rng(), rng()
    drawn = [Augmentation.draw(generator) for _ in range(400)]
    assert drawn == [Augmentation.draw(again) for _ in range(400)]
    assert {v.profile for v in drawn} == set(range(len(PROFILE_PROBABILITIES)))
    assert min(v.zoom for v in drawn) < ZOOM_RANGE[0] + 0.1
    assert max(v.zoom for v in drawn) > ZOOM_RANGE[1] - 0.1
    for name, plain in (("zoom", 1), ("kernel", 0), ("contrast", 1)):
        assert 0.4 < np.mean([getattr(v, name) == plain for v in drawn]) < 0.6
    assert 0.65 < np.mean([v.noise == 0 for v in drawn]) < 0.85
