import numpy as np
import pytest

from saint_cli.errors import WeightsError
from saint_cli.models.calibration import (
    HU,
    PERCENT,
    RELIABILITY_EDGES,
    Calibration,
    ReliabilityBin,
    compute_reliability,
    pool_reliability,
)

SIMPLE = Calibration((1.0, 11.0, 101.0), (5.0, 10.0, 40.0))


def samples(count: int = 60_000) -> tuple[np.ndarray, np.ndarray]:
    """Differences, and errors whose mean is 4 HU and half the difference."""
    rng = np.random.default_rng(0)
    difference = rng.exponential(20, count)
    return difference, rng.exponential(4 + difference / 2)


def test_fit_finds_the_mean_error_at_every_difference() -> None:
    calibration = Calibration.fit(*samples())
    wanted = np.linspace(1, 100, 30)
    np.testing.assert_allclose(calibration.expected_error(wanted), 4 + wanted / 2, rtol=0.1)
    assert len(calibration.difference_hu) <= 16


def test_what_was_fitted_predicts_the_mean_error_of_what_it_was_fitted_to() -> None:
    difference, error = samples()
    expected = Calibration.fit(difference, error).expected_error(difference)
    assert expected.mean() == pytest.approx(error.mean(), rel=0.01)


@pytest.mark.parametrize("seed", range(40))
def test_expected_error_never_falls_whatever_was_measured(seed: int) -> None:
    rng = np.random.default_rng(seed)
    difference, error = rng.integers(0, 60, (2, rng.integers(1, 60))).astype(float)
    expected = Calibration.fit(difference, error).expected_error(np.arange(80.0))
    assert (np.diff(expected) >= 0).all()
    assert error.min() - 0.01 <= expected[0]
    assert expected[-1] <= error.max() + 0.01


def test_errors_that_fall_are_pooled_to_their_mean() -> None:
    difference = np.repeat([1.0, 10.0], [3000, 1000])
    calibration = Calibration.fit(difference, np.where(difference == 1, 8.0, 4.0))
    np.testing.assert_allclose(calibration.expected_error(np.array([1.0, 10.0])), 7, atol=0.01)


def test_the_map_is_linear_between_knots_and_flat_beyond() -> None:
    found = SIMPLE.expected_error(np.array([[0, 1, 6], [56, 101, 5000]]))
    np.testing.assert_allclose(found, [[5, 5, 7.5], [25, 40, 40]])
    assert found.dtype == np.float32


def test_json_round_trip() -> None:
    fitted = Calibration.fit(*samples())
    assert Calibration.from_json(fitted.to_json()) == fitted
    assert len(fitted.to_json()) < 400
    assert "\n" not in fitted.to_json()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "{broken",
        '{"difference_hu":[1,2],"error_hu":[1]}',
        '{"difference_hu":[],"error_hu":[]}',
        '{"difference_hu":[2,1],"error_hu":[1,2]}',
        '{"difference_hu":[1,2],"error_hu":[2,1]}',
        '{"difference_hu":[1,2],"error_hu":[-1,2]}',
        '{"difference_hu":[1,2],"error_hu":[1,NaN]}',
        '{"difference_hu":["a"],"error_hu":[1]}',
        '{"difference_hu":4,"error_hu":5}',
        '{"difference_hu":[1,2],"error_hu":[1,2],"unit":"mm"}',
    ],
)
def test_anything_but_a_calibration_is_refused(text: str) -> None:
    with pytest.raises(WeightsError, match="calibration"):
        Calibration.from_json(text)


def test_reliability_compares_means_within_each_bin() -> None:
    difference, error = np.array([1.0, 1.5, 30.0, 500.0]), np.array([2.0, 4.0, 9.0, 100.0])
    low, middle, high = compute_reliability(difference, error, SIMPLE)
    assert (low.low_hu, low.high_hu, low.voxels, low.observed_hu) == (0, 2, 2, 3)
    assert low.predicted_hu == pytest.approx((5 + 5.25) / 2)
    assert (middle.low_hu, middle.voxels, middle.observed_hu) == (20, 1, 9)
    assert (high.high_hu, high.observed_hu, high.predicted_hu) == (float("inf"), 100, 40)
    assert compute_reliability(difference, error, None)[0].predicted_hu is None


def test_every_voxel_falls_in_one_bin() -> None:
    difference, error = samples(5000)
    assert sum(b.voxels for b in compute_reliability(difference, error, None)) == 5000
    assert {len(edges) for edges in RELIABILITY_EDGES.values()} == {9}


def test_pooling_weights_by_voxels_and_equals_one_table_of_everything() -> None:
    difference, error = samples(9000)
    parts = [compute_reliability(difference[part], error[part], SIMPLE) for part in (slice(0, 500), slice(500, None))]
    for one, whole in zip(pool_reliability(parts), compute_reliability(difference, error, SIMPLE), strict=True):
        assert (one.voxels, one.observed_hu) == (whole.voxels, pytest.approx(whole.observed_hu))
        assert one.predicted_hu == pytest.approx(whole.predicted_hu, rel=1e-5)


def test_a_bin_without_prediction_makes_the_pooled_one_unknown() -> None:
    known, unknown = ReliabilityBin(0.0, 2.0, 3, 1.0, 1.0), ReliabilityBin(0.0, 2.0, 1, 5.0, None)
    assert pool_reliability([[known], [unknown]]) == [ReliabilityBin(0.0, 2.0, 4, 2.0, None)]


def test_differences_of_hundredths_of_a_hu_can_be_fitted() -> None:
    random = np.random.default_rng(0)
    difference = np.abs(random.normal(0, 0.02, 5000))
    calibration = Calibration.fit(difference, 2 * difference)
    assert Calibration.from_json(calibration.to_json()) == calibration


def test_the_unit_is_written_where_it_is_not_hu() -> None:
    percent = Calibration((0.0, 2.0), (0.5, 1.5), unit=PERCENT)
    assert Calibration.from_json(percent.to_json()) == percent
    assert "unit" not in SIMPLE.to_json()
    assert Calibration.from_json(SIMPLE.to_json()).unit == HU
    assert percent.scale(2) == Calibration((0.0, 2.0), (1.0, 3.0), unit=PERCENT)


def test_percent_become_scanner_values_of_a_range() -> None:
    percent = Calibration((0.0, 2.0), (0.5, 1.5), unit=PERCENT)
    in_values = percent.to_scanner_values(400)
    difference = np.linspace(0, 20, 9)
    np.testing.assert_allclose(
        in_values.expected_error(difference), 4 * percent.expected_error(difference / 4), rtol=1e-6
    )


def test_errors_in_percent_are_neither_predicted_from_hu_nor_pooled_with_them() -> None:
    difference, error = samples(500)
    in_percent = compute_reliability(difference / 10, error / 10, SIMPLE, PERCENT)
    assert {one.predicted_hu for one in in_percent} == {None}
    in_hu = compute_reliability(difference, error, SIMPLE)
    assert pool_reliability([in_percent, in_hu]) == in_hu + in_percent
