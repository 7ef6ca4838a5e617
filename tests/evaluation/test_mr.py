"""Volumes that are not CT: the range of PSNR, bias and expected errors, and the models that are scored."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation.scans import smooth
from mr_models import MR_CALIBRATION, ship_models
from nets import tiny

from saint_cli import write_volume
from saint_cli.errors import UsageError
from saint_cli.evaluation.evaluate import EvaluationOptions, evaluate_all
from saint_cli.evaluation.inputs import EvaluationInputs, read_dense_volume
from saint_cli.evaluation.metrics import ALL, PAPER, Protocol, psnr
from saint_cli.evaluation.scan_calibration import calibrate_on_scan
from saint_cli.evaluation.scores import DegradedScan, Scorer
from saint_cli.geometry import grid_by_factor
from saint_cli.method.intensity import find_data_range
from saint_cli.method.pipeline import restore
from saint_cli.models.calibration import HU, PERCENT, Calibration
from saint_cli.models.shipped import DEFAULT_MODEL
from saint_cli.volume import Header, Volume


def mr(scale: float = 1.0) -> Volume:
    """Positive values, some of them far brighter than the rest."""
    voxels = (smooth((24, 22, 13)).voxels + 2000) * 0.5
    voxels[3, 3, 3:7] = 9000
    return Volume((scale * voxels).astype(np.float32), smooth((24, 22, 13)).affine_lps, Header("MR"))


def blurred(truth: np.ndarray) -> np.ndarray:
    return truth + np.float32(0.01) * np.sin(np.arange(truth.shape[2], dtype=np.float32)) * truth


@pytest.mark.parametrize("protocol", [PAPER, ALL], ids=lambda p: p.name)
def test_psnr_of_mr_is_relative_to_its_percentile_span(protocol: Protocol) -> None:
    volume = mr()
    degraded = DegradedScan.from_dense(volume, 2, 3)
    low, high = find_data_range(volume)
    assert degraded.data_range == (low, high)
    result = blurred(degraded.truth)
    found = Scorer(degraded, protocol).score("x", result, seconds=None)
    assert (found.data_range, found.bias_hu) == (high - low, None)
    scored = [j for j in range(13) if j % 3 or protocol is ALL]
    inside = [np.clip(v[..., scored], low, high) for v in (degraded.truth, result)]
    if protocol is ALL:
        assert found.psnr_db == pytest.approx(psnr(*inside, high - low), abs=2e-3)
    else:
        slices = [psnr(inside[0][..., k], inside[1][..., k], high - low) for k in range(len(scored))]
        assert found.psnr_db == pytest.approx(np.mean(slices), abs=2e-3)
    assert found.bias_percent is not None


@pytest.mark.parametrize(("side", "slices"), [(24, 5), (400, None)], ids=["slices", "crop"])
def test_the_data_range_is_of_the_whole_file_not_of_the_part_that_is_scored(
    side: int, slices: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship_models(tmp_path, monkeypatch)
    voxels = np.random.default_rng(0).integers(100, 900, (side, 8, 11)).astype(np.uint16)
    voxels[: side // 20 + 1, :, :2] *= 10  # neither in the central slices nor near the central crop
    volume, file = Volume(voxels, np.diag([1.0, 1, 3, 1])), tmp_path / "mr.nii"
    write_volume(volume, file)
    inputs, (low, high) = EvaluationInputs([file], [2], slices=slices), find_data_range(volume)
    assert high > 5000
    assert read_dense_volume(file, inputs).data_range == (low, high)
    (result,) = evaluate_all(inputs, [], EvaluationOptions(("cubic",)), tiny.CPU)
    assert result.scores[0].data_range == high - low


def test_figures_of_mr_do_not_depend_on_the_unit_of_its_values() -> None:
    found = []
    for scale in (1.0, 0.02):
        degraded = DegradedScan.from_dense(mr(scale), 2, 3)
        scorer = Scorer(degraded, PAPER)
        score = scorer.score("x", blurred(degraded.truth), seconds=None)
        difference = np.abs(blurred(degraded.truth) - degraded.truth)[..., scorer.synthesised]
        errors = [float(part.mean()) for part in scorer.collect_errors(blurred(degraded.truth), difference)]
        found.append([score.psnr_db, score.ssim, score.bias_percent, score.noise_ratio or 0, *errors])
    np.testing.assert_allclose(found[0], found[1], rtol=2e-3)


@pytest.mark.parametrize("lowest", [0.0, 3000.0])
def test_noise_of_mr_is_measured_in_the_body_wherever_its_values_begin(lowest: float) -> None:
    voxels = np.full((80, 80, 13), lowest, np.float32)
    inside = np.hypot(*np.mgrid[-40:40, -40:40]) < 16
    voxels[inside] += np.random.default_rng(1).normal(500, 20, voxels[inside].shape).astype(np.float32)
    degraded = DegradedScan.from_dense(Volume(voxels, smooth().affine_lps, Header("MR")), 2, 3)
    score = Scorer(degraded, PAPER).score("x", degraded.truth, seconds=None)
    assert score.noise_ratio == pytest.approx(1, rel=0.05)


def test_ct_keeps_its_range() -> None:
    degraded = DegradedScan.from_dense(smooth(), 2, 3)
    scorer = Scorer(degraded, PAPER)
    assert (degraded.data_range, scorer.protocol, scorer.protocol.unit) == (None, PAPER, HU)
    assert scorer.score("x", degraded.truth, seconds=None).data_range == 4000


def test_each_volume_is_scored_with_the_models_of_its_modality(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ship_models(tmp_path, monkeypatch)
    files = [tmp_path / "ct.nii", tmp_path / "mr.nii"]
    write_volume(smooth((24, 22, 13)), files[0])
    write_volume(mr(), files[1])
    results = evaluate_all(EvaluationInputs(files, [3]), ["auto"], EvaluationOptions(("cubic",)), tiny.CPU)
    models = [{score.model for score in result.scores} - {None} for result in results]
    assert models == [{DEFAULT_MODEL}, {f"mr-{DEFAULT_MODEL}"}]
    assert [result.scores[0].bias_hu is None for result in results] == [False, True]
    units = [{one.unit for bins in result.reliability.values() for one in bins} for result in results]
    assert units == [{HU}, {PERCENT}]
    assert all(one.predicted_hu is not None for bins in results[1].reliability.values() for one in bins)


def test_measures_of_tissues_are_refused_before_anything_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship_models(tmp_path, monkeypatch)
    write_volume(mr(), tmp_path / "mr.nii")
    options = EvaluationOptions(("cubic",), measures=("noise",))
    with pytest.raises(UsageError, match=r"mr\.nii: not CT; leave out --measure noise, which"):
        evaluate_all(EvaluationInputs([tmp_path / "mr.nii"], [3]), ["auto"], options, tiny.CPU)


def restored(volume: Volume, calibration: Calibration) -> tuple[np.ndarray, np.ndarray]:
    """The expected error, and |I_sag - I_cor|, between acquired slices."""
    model = replace(tiny.model(), calibration=calibration)
    restoration = restore(volume, model, grid_by_factor(volume.shape[2], 2, 2), tiny.CPU)
    assert restoration.has_known_error
    return restoration.error().voxels[..., 1::2], restoration.difference()


def test_expected_errors_of_mr_are_percent_of_its_range_in_scanner_values() -> None:
    volume = mr()
    low, high = find_data_range(volume)
    error, difference = restored(volume, MR_CALIBRATION)
    percent = (high - low) / 100
    np.testing.assert_allclose(error, percent * MR_CALIBRATION.expected_error(difference / percent), rtol=1e-4)
    assert error.min() > 0


@pytest.mark.parametrize(
    ("volume", "calibration"), [(mr(), Calibration((0.0, 9.0), (1.0, 4.0))), (smooth(), MR_CALIBRATION)]
)
def test_a_calibration_of_another_modality_is_none(volume: Volume, calibration: Calibration) -> None:
    model = replace(tiny.model(), calibration=calibration)
    restoration = restore(volume, model, grid_by_factor(volume.shape[2], 2, 2), tiny.CPU)
    assert restoration.calibration is None
    assert not restoration.has_known_error
    assert calibrate_on_scan(restoration, "no check") is restoration
