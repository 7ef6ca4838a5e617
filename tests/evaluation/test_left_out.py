import numpy as np
import pytest

from saint_cli.evaluation.left_out import measure_change, measure_left_out


def scan(deviation: float, shape: tuple[int, int, int] = (80, 80, 9), seed: int = 0) -> np.ndarray:
    return 50 + np.random.default_rng(seed).normal(0, deviation, shape)


def test_noise_alone_makes_a_mean_absolute_error_of_four_fifths_of_its_deviation() -> None:
    found = measure_left_out(scan(15), None)
    assert found.body.all()
    assert found.mean_error == pytest.approx(0.8 * 15, rel=0.1)
    assert found.correlation == pytest.approx(0, abs=0.05)


def test_other_modalities_have_their_own_foreground() -> None:
    slices = scan(15) + 1000
    slices[:30] = 3
    found = measure_left_out(slices, 300.0)
    assert not found.body[:30].any()
    assert found.mean_error == pytest.approx(0.8 * 15, rel=0.1)


def test_air_alone_has_neither_body_nor_noise() -> None:
    found = measure_left_out(np.full((40, 40, 5), -1000.0), None)
    assert not found.body.any()
    assert (found.mean_error, found.correlation) == (None, 0.0)


def test_change_is_half_for_a_ramp_and_one_for_noise_alone() -> None:
    ramp = np.arange(9.0) * np.ones((4, 4, 1))
    assert measure_change(ramp) == pytest.approx(0.5)
    assert measure_change(scan(15)) == pytest.approx(1, abs=0.02)
    assert measure_change(np.zeros((4, 4, 5))) == 1
