from dataclasses import replace

import numpy as np
import pytest
from nets import tiny
from nets.tiny import CPU

from saint_cli.evaluation import check_region, scan_calibration, selfcheck
from saint_cli.evaluation.left_out import LeftOutErrors
from saint_cli.geometry import grid_by_factor
from saint_cli.method import pipeline
from saint_cli.method.pipeline import Restoration
from saint_cli.models.calibration import PERCENT, Calibration
from saint_cli.options.method import MethodOptions

BY_WEIGHTS = Calibration((0.0, 100.0), (3.0, 53.0))


def errors(mean: float, noise: float | None = None, correlation: float = 0.0, change: float = 0.7) -> LeftOutErrors:
    """Errors that rise with the disagreement, with this mean."""
    difference = np.random.default_rng(0).exponential(20, 20_000)
    error = 5 + difference / 2
    return LeftOutErrors(difference, error * mean / error.mean(), noise, correlation, change)


def restored(**options: object) -> Restoration:
    model = replace(tiny.model(), calibration=BY_WEIGHTS)
    grid = grid_by_factor(9, 2, 4)
    return pipeline.restore(tiny.volume((40, 36, 9)), model, grid, CPU, replace(MethodOptions(), **options))


def test_errors_that_are_noise_stay_and_others_shrink_with_the_gap() -> None:
    estimate = scan_calibration.estimate_mean_error
    assert estimate(errors(30)) == pytest.approx(30 * scan_calibration.SHRINKAGE)
    noisy = estimate(errors(30, noise=25))
    assert 25 < noisy < 30
    assert estimate(errors(30, noise=1000)) < 30
    assert estimate(errors(30, noise=25, correlation=0.4)) < noisy - 5  # overlapping slices share their noise
    assert estimate(errors(30, change=0.6)) < estimate(errors(30)) < estimate(errors(30, change=0.95))
    assert estimate(errors(30, change=3)) == pytest.approx(30 * scan_calibration.MOST_SHRINKAGE)


def test_the_mean_over_the_checked_region_is_the_estimate_and_elsewhere_follows_the_weights() -> None:
    region = np.random.default_rng(1).exponential(10, 30_000)
    found = scan_calibration.fit_on_scan(BY_WEIGHTS, errors(40), region, region)
    assert found is not None
    assert found.mean_error(region) == pytest.approx(scan_calibration.estimate_mean_error(errors(40)), rel=1e-6)
    calm = region / 3
    elsewhere = scan_calibration.fit_on_scan(BY_WEIGHTS, errors(40), region, calm)
    assert elsewhere is not None
    ratio = BY_WEIGHTS.mean_error(calm) / BY_WEIGHTS.mean_error(region)
    assert elsewhere.mean_error(calm) == pytest.approx(ratio * found.mean_error(region), rel=1e-6)


@pytest.mark.parametrize("data_range", [1e-3, 1.0, 30.0, 5e4])
def test_the_expected_error_in_percent_of_the_range_does_not_depend_on_the_scanners_unit(data_range: float) -> None:
    region, found = np.random.default_rng(1).exponential(0.5, 30_000), dict[float, np.ndarray]()
    in_percent = replace(errors(2), difference=errors(2).difference / 20)
    for span in (100.0, data_range):
        part = span / 100
        measured = replace(in_percent, difference=in_percent.difference * part, error=in_percent.error * part)
        by_weights = Calibration((0.0, 5.0), (0.1, 4.0), unit=PERCENT).to_scanner_values(span)
        fitted = scan_calibration.fit_on_scan(by_weights, measured, region * part, region / 2 * part, part)
        assert fitted is not None
        found[span] = fitted.expected_error(np.linspace(0, 5, 30) * part) / part
    np.testing.assert_allclose(found[data_range], found[100.0], rtol=1e-3)
    assert len(set(found[data_range].tolist())) > 10


def test_a_scan_that_is_not_ct_is_calibrated_alike_whatever_its_values_are_multiplied_by() -> None:
    by_weights, maps = Calibration((0.0, 5.0), (0.5, 4.0), unit=PERCENT), list[np.ndarray]()
    model = replace(tiny.model(), calibration=by_weights)
    for factor in (1.0, 1e-4):
        volume = tiny.volume((40, 36, 9), dtype="float32", modality="MR")
        volume = replace(volume, voxels=volume.voxels * np.float32(factor))
        restoration = pipeline.restore(volume, model, grid_by_factor(9, 2, 4), CPU)
        check = selfcheck.try_self_check(restoration, CPU)
        maps.append(scan_calibration.calibrate_on_scan(restoration, check).error().voxels / factor)
    np.testing.assert_allclose(maps[1], maps[0], rtol=0.02, atol=0.01 * maps[0].max())


def test_the_region_of_the_job_is_the_gaps_between_the_slices_that_were_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(check_region, "SMALL_VOXELS", 0)
    monkeypatch.setattr(check_region, "MOST_PREDICTED", 2)
    restoration = pipeline.restore(tiny.volume((20, 18, 15)), tiny.model(), grid_by_factor(15, 2, 4), CPU)
    check = selfcheck.run_self_check(restoration, CPU, (9, 9, 7))
    checked = check.region.scored_box[2]
    assert 0 < checked.start < checked.stop < 15
    found = scan_calibration._take_region(restoration, check)
    assert found.size == 20 * 18 * 3 * (checked.stop - checked.start - 1)


def test_too_few_or_perfect_predictions_calibrate_nothing() -> None:
    region = np.full(30_000, 5.0)
    few = replace(errors(40), difference=np.ones(100), error=np.ones(100))
    perfect = replace(errors(40), error=np.zeros(20_000))
    for one in (few, perfect):
        assert scan_calibration.fit_on_scan(BY_WEIGHTS, one, region, region) is None


def test_weights_that_expect_no_error_calibrate_nothing() -> None:
    region = np.full(30_000, 5.0)
    no_error, none_in_region = Calibration((0.0, 100.0), (0.0, 0.0)), Calibration((0.0, 10.0, 100.0), (0.0, 0.0, 53.0))
    assert scan_calibration.fit_on_scan(no_error, errors(40), region, region) is None
    assert scan_calibration.fit_on_scan(none_in_region, errors(40), region, region + 50) is None


def test_a_noisier_scan_has_a_larger_expected_error_and_acquired_slices_keep_none() -> None:
    restoration = restored()
    check = selfcheck.try_self_check(restoration, CPU)
    assert isinstance(check, selfcheck.SelfCheck)
    worse = replace(check, errors=replace(check.errors, error=3 * check.errors.error))
    maps = [scan_calibration.calibrate_on_scan(restoration, one).error().voxels for one in (check, worse)]
    assert maps[1].mean() > 2 * maps[0].mean() > 0
    for one in maps:
        assert (one[..., ::4] == 0).all()
    assert not np.array_equal(maps[0], restoration.error().voxels)


def test_without_a_check_or_a_known_error_nothing_changes() -> None:
    restoration = restored()
    assert scan_calibration.calibrate_on_scan(restoration, "too few slices") is restoration
    check = selfcheck.try_self_check(restoration, CPU)
    unknown = restored(tta=True)
    assert scan_calibration.calibrate_on_scan(unknown, check) is unknown
    bare = replace(restoration, model=tiny.model())
    assert isinstance(check, selfcheck.SelfCheck)
    assert scan_calibration.derive_calibration(bare, check) is None
