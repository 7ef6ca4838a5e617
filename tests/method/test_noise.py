import math

import numpy as np
import pytest

from saint_cli.method.noise import compute_ratio, estimate_deviation, find_smooth_body


def body(size: int = 96, sigma: float = 0.0) -> np.ndarray:
    """A disc of tissue with a gentle gradient, two organs and a lung, in air; HU."""
    y, x = np.mgrid[:size, :size] - size / 2
    plane = np.where(np.hypot(x, y) < 0.45 * size, 40.0 + x / 4, -1000.0)
    plane[np.hypot(x - 15, y) < 10] = 300
    plane[np.hypot(x + 15, y) < 12] = -800
    return (plane + np.random.default_rng(1).normal(0, sigma, plane.shape)).astype(np.float32)


@pytest.mark.parametrize("sigma", [5.0, 20.0, 60.0])
def test_white_noise_of_a_body_is_measured_to_a_tenth(sigma: float) -> None:
    plane = body(sigma=sigma)
    assert estimate_deviation(plane, find_smooth_body(plane)) == pytest.approx(sigma, rel=0.1)


def test_anatomy_without_noise_counts_as_none() -> None:
    assert estimate_deviation(body(), find_smooth_body(body())) == pytest.approx(0, abs=0.01)


def test_what_is_measured_is_body_and_holds_no_edge() -> None:
    plane = body(sigma=10)
    mask = find_smooth_body(plane)
    assert mask.sum() > 1000
    assert plane[mask].min() > -100
    assert plane[mask].max() < 360
    edges = np.abs(np.hypot(*(np.mgrid[:96, :96] - 48 - np.array([[[0]], [[15]]]))) - 10) < 2
    assert not (mask & edges).any()


def test_air_and_lung_alone_have_no_measure() -> None:
    plane = np.full((64, 64), -800.0)
    assert math.isnan(estimate_deviation(plane, find_smooth_body(plane)))


@pytest.mark.parametrize(
    ("synthesised", "acquired", "wanted"),
    [([5.0, 6.0, 70.0], [12.0, 12.0], 0.5), ([4.0, math.nan], [8.0, math.nan], 0.5), ([3.0], [3.0], 1.0)],
)
def test_ratio_is_that_of_the_medians_of_known_slices(
    synthesised: list[float], acquired: list[float], wanted: float
) -> None:
    assert compute_ratio(synthesised, acquired) == wanted


@pytest.mark.parametrize(("synthesised", "acquired"), [([], [1.0]), ([1.0], []), ([1.0], [0.0]), ([math.nan], [1.0])])
def test_ratio_to_nothing_is_not_defined(synthesised: list[float], acquired: list[float]) -> None:
    assert math.isnan(compute_ratio(synthesised, acquired))
