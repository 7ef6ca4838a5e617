import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import nibabel
import numpy as np
import pytest
from evaluation.scans import smooth
from nets import tiny, tiny_baselines
from nets.tiny import CPU

from saint_cli import write_volume
from saint_cli.errors import GeometryError, UnreadableError, UsageError
from saint_cli.evaluation import degrade, interpolators
from saint_cli.evaluation.evaluate import EvaluationOptions, EvaluationResult, evaluate, evaluate_all, load_models
from saint_cli.evaluation.inputs import EvaluationInputs
from saint_cli.evaluation.metrics import ALL, Factor, Protocol, psnr_by_protocol
from saint_cli.evaluation.scores import DegradedScan, Score
from saint_cli.geometry import grid_by_factor
from saint_cli.method.baseline_networks import restore_by_baseline
from saint_cli.method.pipeline import ResultStage
from saint_cli.models import weights
from saint_cli.models.baseline_weights import load_any_model, save_baseline
from saint_cli.models.calibration import Calibration
from saint_cli.models.weights import SaintModel
from saint_cli.options.method import MethodOptions, NoiseHandling
from saint_cli.progress import ProgressStage
from saint_cli.volume import Volume


def evaluate_trial(
    volume: Volume,
    axis: int,
    factor: Factor,
    model: SaintModel | None = None,
    options: EvaluationOptions = EvaluationOptions(),  # noqa: B008  (frozen)
) -> EvaluationResult:
    degraded = DegradedScan.from_dense(volume, axis, factor, options.degradation, "scan")
    return evaluate(degraded, {} if model is None else {"m": model}, options, CPU)


def by_method(result: EvaluationResult) -> dict[str, Score]:
    return {score.method: score for score in result.scores}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_interpolators_are_scored_against_the_slices_that_were_there(axis: int) -> None:
    volume = smooth(axis=axis)
    found = by_method(evaluate_trial(volume, axis, 3))
    count = (volume.shape[axis] - 1) // 3 * 3 + 1
    truth = np.moveaxis(volume.voxels, axis, 2)[..., :count]
    for name, method in interpolators.INTERPOLATORS.items():
        result = method(truth[..., ::3], grid_by_factor((count - 1) // 3 + 1, 2, 3))
        assert found[name].psnr_db == pytest.approx(psnr_by_protocol(truth, result, 3), abs=2e-3)
        assert found[name].slices == count
        assert found[name].scored == (count - 1) // 3 * 2
    assert found["cubic"].psnr_db > found["linear"].psnr_db + 3
    assert found["cubic"].ssim > found["linear"].ssim
    assert found["bicubic-misaligned"].psnr_db < found["linear"].psnr_db


def test_a_model_that_adds_nothing_scores_as_linear_interpolation() -> None:
    found = by_method(evaluate_trial(smooth(), 2, 3, tiny.linear_model()))
    for name in ResultStage:
        assert found[name].psnr_db == pytest.approx(found["linear"].psnr_db, abs=2e-3)
        assert found[name].bias_hu == pytest.approx(found["linear"].bias_hu, abs=2e-3)


@pytest.mark.parametrize("protocol", [EvaluationOptions().protocol, ALL], ids=lambda p: p.name)
def test_the_fused_score_is_that_of_the_upsampled_volume(protocol: Protocol) -> None:
    volume = smooth()
    sparse = degrade.decimate(volume, 2, 5)
    restored = tiny.upsample(sparse, tiny.model(), grid_by_factor(3, 2, 5), CPU)
    found = by_method(evaluate_trial(volume, 2, 5, tiny.model(), EvaluationOptions(protocol=protocol)))
    wanted = psnr_by_protocol(volume.voxels, restored.voxels, 5, protocol)
    assert found["fused"].psnr_db == pytest.approx(wanted, abs=2e-3)
    assert len({found[name].psnr_db for name in (*ResultStage, "linear")}) == 5


def test_a_fractional_factor_is_that_of_its_own_grid() -> None:
    volume = smooth()
    sparse = degrade.decimate(volume, 2, 5)
    truth = volume.voxels[..., ::2]
    result = evaluate_trial(volume, 2, Fraction(5, 2), tiny.model())
    grid = result.degraded.grid
    restored = tiny.upsample(sparse, tiny.model(), grid, CPU)
    wanted = psnr_by_protocol(truth, restored.voxels, Fraction(5, 2))
    found = by_method(result)["fused"]
    assert found.psnr_db == pytest.approx(wanted, abs=2e-3)
    assert (found.factor, found.slices, found.scored) == (2.5, 6, 4)


def test_averaged_slabs_are_harder_and_their_truth_stays_the_dense_slices() -> None:
    volume = smooth((14, 12, 21))
    scores = [
        by_method(evaluate_trial(volume, 2, 4, None, EvaluationOptions(degradation=d))) for d in ("decimate", "average")
    ]
    assert scores[0]["cubic"].psnr_db > scores[1]["cubic"].psnr_db + 2
    averaged = evaluate_trial(volume, 2, 4, None, EvaluationOptions(degradation="average")).degraded
    np.testing.assert_array_equal(averaged.truth, volume.voxels)
    assert np.abs(averaged.acquired - volume.voxels[..., ::4]).max() > 1


def test_a_ramp_is_restored_without_error() -> None:
    ramp = np.broadcast_to(np.arange(9, dtype=np.int16) * 6, (7, 6, 9))
    volume = replace(tiny.volume((7, 6, 9)), voxels=np.ascontiguousarray(ramp))
    found = by_method(evaluate_trial(volume, 2, 4))["linear"]
    assert (found.psnr_db, found.ssim, found.bias_hu) == (math.inf, None, 0)  # 6 pixels are too few for SSIM


def test_seconds_are_stated_for_whole_methods_only() -> None:
    scores = evaluate_trial(smooth(), 2, 3, tiny.model()).scores
    assert {s.label for s in scores if s.seconds is None} == {"m sagittal", "m coronal", "m mean"}


def test_interpolators_are_those_that_were_asked_for_in_that_order() -> None:
    scores = evaluate_trial(smooth(), 2, 3, None, EvaluationOptions(("lanczos", "linear"))).scores
    assert [s.method for s in scores] == ["lanczos", "linear"]


@pytest.mark.parametrize("calibration", [None, Calibration((0.0, 50.0), (7.0, 7.0))])
def test_reliability_counts_every_synthesised_voxel_and_predicts_if_calibrated(calibration: Calibration | None) -> None:
    model = replace(tiny.model(), calibration=calibration)
    bins = evaluate_trial(smooth(), 2, 5, model).reliability["m"]
    assert sum(b.voxels for b in bins) == 14 * 12 * 8
    for b in bins:
        assert b.predicted_hu == (None if calibration is None else 7)
        assert b.observed_hu > 0


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two volumes, one with x through-plane."""
    paths = []
    for name, axis in (("axial", 2), ("sagittal", 0)):
        volume = smooth((13, 12, 13), axis)
        path = tmp_path / f"{name}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(np.rint(volume.voxels).astype(np.int16), volume.affine_lps), path)
        paths.append(path)
    return paths


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A weights file of the networks that add nothing."""
    nets = tiny.linear_model()
    weights.save_model(nets.ami, nets.rfn, tmp_path / "m.safetensors")
    return str(tmp_path / "m.safetensors")


class RecordedProgress:
    """The stages that were expected, and those that were reported."""

    def __init__(self) -> None:
        self.expected, self.stages = list[ProgressStage](), list[str]()

    def expect(self, *stages: ProgressStage, more: bool = False) -> None:
        """Keep them."""
        self.expected += stages

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Keep its name."""
        self.stages.append(stage)


def linear_psnr(result: EvaluationResult) -> float:
    return by_method(result)["linear"].psnr_db


def test_every_file_is_scored_at_every_factor_along_its_own_axis(files: list[Path], model: str) -> None:
    results = evaluate_all(EvaluationInputs(files, [2, 4]), [model], EvaluationOptions(), CPU)
    assert [(o.volume, o.factor) for o in results] == [
        ("axial.nii.gz", 2),
        ("axial.nii.gz", 4),
        ("sagittal.nii.gz", 2),
        ("sagittal.nii.gz", 4),
    ]
    assert linear_psnr(results[0]) > linear_psnr(results[1]) + 3
    assert linear_psnr(results[2]) > linear_psnr(results[3]) + 3


def test_every_reported_stage_was_expected_in_its_order(files: list[Path], model: str) -> None:
    progress = RecordedProgress()
    evaluate_all(EvaluationInputs(files, [2, Fraction(5, 2)]), [model], EvaluationOptions(), CPU, progress)
    reported = list(dict.fromkeys(progress.stages))
    assert reported == ["reading", *(stage.name for stage in progress.expected)]
    assert "coronal slices, m, axial.nii.gz x2.5" in reported
    assert all(stage.seconds > 0 for stage in progress.expected)


def test_only_the_first_result_keeps_its_volumes(files: list[Path], model: str) -> None:
    first, second = evaluate_all(EvaluationInputs(files, [4]), [model], EvaluationOptions(), CPU)
    assert list(first.pictures) == ["cubic", "m fused"]
    assert first.degraded is not None
    assert (second.pictures, second.degraded) == ({}, None)


def test_an_axis_may_be_named_and_the_slices_limited(files: list[Path], model: str) -> None:
    (named,) = evaluate_all(EvaluationInputs(files[:1], [2], axis=1), [model], EvaluationOptions(), CPU)
    assert named.scores[0].slices == 11  # of 12 along y
    (few,) = evaluate_all(EvaluationInputs(files[:1], [2], slices=5), [model], EvaluationOptions(), CPU)
    assert few.scores[0].slices == 5


def test_models_of_one_name_are_distinguished_by_their_paths(model: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = str(tmp_path / "other" / "m.safetensors")
    weights.save_model(tiny.ami(1), tiny.rfn(1), Path(other))
    assert list(load_models([model])) == ["m"]
    assert list(load_models([model, other])) == [model, other]


def test_a_factor_beyond_the_slices_is_refused_before_anything_is_scored(files: list[Path], model: str) -> None:
    progress = RecordedProgress()
    with pytest.raises(GeometryError, match="of 13 slices that leaves one; at least 14"):
        evaluate_all(EvaluationInputs(files, [2, 13]), [model], EvaluationOptions(), CPU, progress)
    assert set(progress.stages) == {"reading"}


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, model: str) -> None:
    with pytest.raises(UnreadableError, match=r"gone\.nii"):
        evaluate_all(EvaluationInputs([tmp_path / "gone.nii"], [2]), [model], EvaluationOptions(), CPU)


def test_values_that_are_not_finite_are_refused_before_any_file_is_scored(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = smooth()
    volume.voxels[:3] = -1000  # air, by which a NIfTI is known for CT
    broken = volume.voxels.copy()
    broken[3, 4, 5] = np.nan
    paths = [tmp_path / "whole.nii", tmp_path / "broken.nii"]
    for path, voxels in zip(paths, (volume.voxels, broken), strict=True):
        write_volume(replace(volume, voxels=voxels), path)
    scored: list[str] = []
    monkeypatch.setattr("saint_cli.evaluation.evaluate.evaluate", lambda degraded, *_: scored.append(degraded.volume))
    with pytest.raises(UsageError, match=r"broken\.nii: 1 voxel is NaN or infinite"):
        evaluate_all(EvaluationInputs(paths, [2]), [model], EvaluationOptions(), CPU)
    assert not scored


@pytest.mark.parametrize(("name", "method"), [("rdn", "sagittal"), ("rdn-3d", "volume")])
def test_a_baseline_is_scored_beside_saint_by_its_restored_volume(
    name: str, method: str, files: list[Path], model: str, tmp_path: Path
) -> None:
    baseline = tiny_baselines.model(name)
    path = tmp_path / f"{name}.safetensors"
    save_baseline(baseline.network, baseline.architecture, path)
    progress = RecordedProgress()
    (result,) = evaluate_all(EvaluationInputs(files[:1], [4]), [model, str(path)], EvaluationOptions(), CPU, progress)
    found = {score.label: score for score in result.scores}
    assert {"m sagittal", "m fused", "linear", f"{name} {method}"} <= set(found)
    degraded = result.degraded
    assert degraded is not None
    restored = restore_by_baseline(degraded.sparse, load_any_model(str(path)), degraded.grid, CPU)
    wanted = psnr_by_protocol(degraded.truth, restored, 4)
    assert found[f"{name} {method}"].psnr_db == pytest.approx(wanted, abs=2e-3)
    assert np.array_equal(result.pictures[name], restored)
    assert list(result.reliability) == ["m"]
    assert any(stage.startswith(f"baseline, {name}, ") for stage in progress.stages)


def test_a_factor_that_a_baseline_does_not_make_is_refused_before_anything_is_read(
    files: list[Path], tmp_path: Path
) -> None:
    baseline, path = tiny_baselines.model("rdn"), tmp_path / "rdn.safetensors"
    save_baseline(baseline.network, baseline.architecture, path)
    progress = RecordedProgress()
    with pytest.raises(UsageError, match="trained for factor 4 and makes divisors of that, not factor 3"):
        evaluate_all(EvaluationInputs(files, [4, 3]), [str(path)], EvaluationOptions(), CPU, progress)
    assert not progress.stages


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        (MethodOptions(tta=True), "--tta"),
        (MethodOptions(skip_air=False), "--no-skip-air"),
        (MethodOptions(noise=NoiseHandling.MATCH), "--noise match"),
    ],
)
def test_an_option_that_a_baseline_does_not_have_is_refused_before_anything_is_read(
    options: MethodOptions, flag: str, files: list[Path], model: str, tmp_path: Path
) -> None:
    baseline, path = tiny_baselines.model("rdn"), tmp_path / "rdn.safetensors"
    save_baseline(baseline.network, baseline.architecture, path)
    progress = RecordedProgress()
    with pytest.raises(UsageError, match=f"rdn .* has no {flag}; leave it out, or the model"):
        evaluate_all(
            EvaluationInputs(files, [4]), [model, str(path)], EvaluationOptions(method_options=options), CPU, progress
        )
    assert not progress.stages
