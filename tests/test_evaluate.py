import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from nets import tiny

from saint_cli import degrade, interpolate, pipeline, weights, write_volume
from saint_cli.compute import Compute
from saint_cli.errors import GeometryError, UnreadableError, UsageError
from saint_cli.evaluate import (
    Cases,
    Criteria,
    Outcome,
    central_slices,
    dense,
    evaluate,
    evaluate_all,
    load_models,
    names,
)
from saint_cli.geometry import grid_by_factor
from saint_cli.metrics import ALL, Factor, Protocol, psnr_by_protocol
from saint_cli.pipeline import STAGES
from saint_cli.progress import Stage
from saint_cli.scores import Score, Trial
from saint_cli.uncertainty import Calibration
from saint_cli.volume import Volume
from saint_cli.weights import SaintModel

CPU = Compute(torch.device("cpu"), torch.float32)


def smooth(shape: tuple[int, int, int] = (14, 12, 11), axis: int = 2) -> Volume:
    """Waves in every direction, HU, which cubic restores better than linear."""
    x, y, z = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    through = (x, y, z)[axis]
    voxels = 300 * np.sin(through / 3) + 40 * np.cos(x / 3) * np.sin(y / 4 + z / 5) + 50
    scan = tiny.volume(shape, axis)
    return replace(scan, voxels=voxels.astype(np.float32))


def outcome_of(
    volume: Volume,
    axis: int,
    factor: Factor,
    model: SaintModel | None = None,
    criteria: Criteria = Criteria(),  # noqa: B008  (frozen)
) -> Outcome:
    trial = Trial.of(volume, axis, factor, criteria.degradation, "scan")
    return evaluate(trial, {} if model is None else {"m": model}, criteria, CPU)


def by_method(outcome: Outcome) -> dict[str, Score]:
    return {score.method: score for score in outcome.scores}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_interpolators_are_scored_against_the_slices_that_were_there(axis: int) -> None:
    volume = smooth(axis=axis)
    found = by_method(outcome_of(volume, axis, 3))
    count = (volume.shape[axis] - 1) // 3 * 3 + 1
    truth = np.moveaxis(volume.voxels, axis, 2)[..., :count]
    for name, method in interpolate.METHODS.items():
        result = method(truth[..., ::3], grid_by_factor((count - 1) // 3 + 1, 2, 3))
        assert found[name].psnr_db == pytest.approx(psnr_by_protocol(truth, result, 2, 3), abs=2e-3)
        assert found[name].slices == count
        assert found[name].scored == (count - 1) // 3 * 2
    assert found["cubic"].psnr_db > found["linear"].psnr_db + 3
    assert found["cubic"].ssim > found["linear"].ssim
    assert found["bicubic-misaligned"].psnr_db < found["linear"].psnr_db


def test_a_model_that_adds_nothing_scores_as_linear_interpolation() -> None:
    found = by_method(outcome_of(smooth(), 2, 3, tiny.linear_model()))
    for name in STAGES:
        assert found[name].psnr_db == pytest.approx(found["linear"].psnr_db, abs=2e-3)
        assert found[name].bias_hu == pytest.approx(found["linear"].bias_hu, abs=2e-3)


@pytest.mark.parametrize("protocol", [Criteria().protocol, ALL], ids=lambda p: p.name)
def test_the_fused_score_is_that_of_the_upsampled_volume(protocol: Protocol) -> None:
    volume = smooth()
    sparse = degrade.decimate(volume, 2, 5)
    restored = pipeline.upsample(sparse, tiny.model(), grid_by_factor(3, 2, 5), CPU)
    found = by_method(outcome_of(volume, 2, 5, tiny.model(), Criteria(protocol=protocol)))
    wanted = psnr_by_protocol(volume.voxels, restored.voxels, 2, 5, protocol)
    assert found["fused"].psnr_db == pytest.approx(wanted, abs=2e-3)
    assert len({found[name].psnr_db for name in (*STAGES, "linear")}) == 5


def test_a_fractional_factor_is_that_of_its_own_grid() -> None:
    volume = smooth()
    sparse = degrade.decimate(volume, 2, 5)
    truth = volume.voxels[..., ::2]
    outcome = outcome_of(volume, 2, Fraction(5, 2), tiny.model())
    grid = outcome.trial.grid
    restored = pipeline.upsample(sparse, tiny.model(), grid, CPU)
    wanted = psnr_by_protocol(truth, restored.voxels, 2, Fraction(5, 2))
    found = by_method(outcome)["fused"]
    assert found.psnr_db == pytest.approx(wanted, abs=2e-3)
    assert (found.factor, found.slices, found.scored) == (2.5, 6, 4)


def test_averaged_slabs_are_harder_and_their_truth_stays_the_dense_slices() -> None:
    volume = smooth((14, 12, 21))
    scores = [by_method(outcome_of(volume, 2, 4, None, Criteria(degradation=d))) for d in ("decimate", "average")]
    assert scores[0]["cubic"].psnr_db > scores[1]["cubic"].psnr_db + 2
    averaged = outcome_of(volume, 2, 4, None, Criteria(degradation="average")).trial
    np.testing.assert_array_equal(averaged.truth, volume.voxels)
    assert np.abs(averaged.acquired - volume.voxels[..., ::4]).max() > 1


def test_a_ramp_is_restored_without_error() -> None:
    ramp = np.broadcast_to(np.arange(9, dtype=np.int16) * 6, (7, 6, 9))
    volume = replace(tiny.volume((7, 6, 9)), voxels=np.ascontiguousarray(ramp))
    found = by_method(outcome_of(volume, 2, 4))["linear"]
    assert (found.psnr_db, found.ssim, found.bias_hu) == (math.inf, None, 0)  # 6 pixels are too few for SSIM


def test_seconds_are_told_for_whole_methods_only() -> None:
    scores = outcome_of(smooth(), 2, 3, tiny.model()).scores
    assert {s.label for s in scores if s.seconds is None} == {"m sagittal", "m coronal", "m mean"}


def test_interpolators_are_those_that_were_asked_for_in_that_order() -> None:
    scores = outcome_of(smooth(), 2, 3, None, Criteria(("lanczos", "linear"))).scores
    assert [s.method for s in scores] == ["lanczos", "linear"]


@pytest.mark.parametrize("calibration", [None, Calibration((0.0, 50.0), (7.0, 7.0))])
def test_reliability_counts_every_synthesised_voxel_and_predicts_if_calibrated(calibration: Calibration | None) -> None:
    model = replace(tiny.model(), calibration=calibration)
    bins = outcome_of(smooth(), 2, 5, model).reliability["m"]
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


class Heard:
    """What was expected, and the stages that were told of."""

    def __init__(self) -> None:
        self.expected, self.stages = list[Stage](), list[str]()

    def expect(self, *stages: Stage, more: bool = False) -> None:
        """Keep them."""
        self.expected += stages

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Keep its name."""
        self.stages.append(stage)


def linear_psnr(outcome: Outcome) -> float:
    return by_method(outcome)["linear"].psnr_db


def test_every_file_is_scored_at_every_factor_along_its_own_axis(files: list[Path], model: str) -> None:
    outcomes = evaluate_all(Cases(files, [2, 4]), [model], Criteria(), CPU)
    assert [(o.volume, o.factor) for o in outcomes] == [
        ("axial.nii.gz", 2),
        ("axial.nii.gz", 4),
        ("sagittal.nii.gz", 2),
        ("sagittal.nii.gz", 4),
    ]
    assert linear_psnr(outcomes[0]) > linear_psnr(outcomes[1]) + 3
    assert linear_psnr(outcomes[2]) > linear_psnr(outcomes[3]) + 3


def test_every_stage_that_is_told_of_was_expected_in_its_order(files: list[Path], model: str) -> None:
    heard = Heard()
    evaluate_all(Cases(files, [2, Fraction(5, 2)]), [model], Criteria(), CPU, heard)
    told = list(dict.fromkeys(heard.stages))
    assert told == ["reading", *(stage.name for stage in heard.expected)]
    assert "coronal slices, m, axial.nii.gz x2.5" in told
    assert all(stage.seconds > 0 for stage in heard.expected)


def test_only_the_first_outcome_keeps_its_volumes(files: list[Path], model: str) -> None:
    first, second = evaluate_all(Cases(files, [4]), [model], Criteria(), CPU)
    assert list(first.pictures) == ["cubic", "m fused"]
    assert first.trial is not None
    assert (second.pictures, second.trial) == ({}, None)


def test_an_axis_may_be_named_and_the_slices_limited(files: list[Path], model: str) -> None:
    (named,) = evaluate_all(Cases(files[:1], [2], axis=1), [model], Criteria(), CPU)
    assert named.scores[0].slices == 11  # of 12 along y
    (few,) = evaluate_all(Cases(files[:1], [2], slices=5), [model], Criteria(), CPU)
    assert few.scores[0].slices == 5


def test_models_of_one_name_are_told_apart_by_their_paths(model: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = str(tmp_path / "other" / "m.safetensors")
    weights.save_model(tiny.ami(1), tiny.rfn(1), Path(other))
    assert list(load_models([model])) == ["m"]
    assert list(load_models([model, other])) == [model, other]


def test_a_factor_beyond_the_slices_is_refused_before_anything_is_scored(files: list[Path], model: str) -> None:
    heard = Heard()
    with pytest.raises(GeometryError, match="of 13 slices that leaves one; at least 14"):
        evaluate_all(Cases(files, [2, 13]), [model], Criteria(), CPU, heard)
    assert set(heard.stages) == {"reading"}


def test_what_is_not_ct_is_refused(tmp_path: Path, model: str) -> None:
    path = tmp_path / "mr.nii"
    nibabel.save(nibabel.Nifti1Image(np.full((9, 9, 9), 400, np.int16), np.eye(4)), path)
    with pytest.raises(UsageError, match=r"mr\.nii: not CT"):
        evaluate_all(Cases([path], [2]), [model], Criteria(), CPU)


@pytest.mark.parametrize(("count", "kept"), [(None, range(11)), (5, range(3, 8)), (4, range(3, 7)), (50, range(11))])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_central_slices_are_those_in_the_middle(axis: int, count: int | None, kept: range) -> None:
    volume = smooth(tuple(np.insert([4, 3], axis, 11)), axis)
    found = central_slices(volume, axis, count).voxels
    np.testing.assert_array_equal(found, volume.voxels.take(kept, axis))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, model: str) -> None:
    with pytest.raises(UnreadableError, match=r"gone\.nii"):
        evaluate_all(Cases([tmp_path / "gone.nii"], [2]), [model], Criteria(), CPU)


def test_files_of_one_name_are_told_apart_by_their_folders() -> None:
    files = [Path("kits/case_1/imaging.nii.gz"), Path("kits/case_2/imaging.nii.gz"), Path("other/a.nii")]
    assert list(names(files).values()) == ["case_1/imaging.nii.gz", "case_2/imaging.nii.gz", "a.nii"]
    assert list(names([Path("a/x/v.nii"), Path("b/x/v.nii")]).values()) == ["a/x/v.nii", "b/x/v.nii"]
    assert names([Path("v.nii")]) == {Path("v.nii"): "v.nii"}


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
    monkeypatch.setattr("saint_cli.evaluate.evaluate", lambda trial, *_: scored.append(trial.volume))
    with pytest.raises(UsageError, match=r"broken\.nii: 1 voxel is NaN or infinite"):
        evaluate_all(Cases(paths, [2]), [model], Criteria(), CPU)
    assert not scored


@pytest.mark.parametrize("fill", [-32768.0, 1e20])
def test_fill_is_neither_compared_nor_given_to_interpolators(fill: float, tmp_path: Path) -> None:
    scan = smooth((40, 36, 9))
    air = scan.voxels + np.random.default_rng(0).normal(0, 5, scan.shape).astype(np.float32) - 200
    filled = air.copy()
    filled[:8] = fill
    write_volume(replace(scan, voxels=filled), tmp_path / "filled.nii")
    volume, axis = dense(tmp_path / "filled.nii", Cases([tmp_path / "filled.nii"], [2]))
    assert axis == 2
    assert np.abs(volume.voxels).max() < 2000
    np.testing.assert_array_equal(volume.voxels[8:], filled[8:])


def test_values_beyond_any_hu_are_clipped_before_they_are_compared(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).normal(0, 300, (16, 16, 7))
    voxels[:2], voxels[8, 8, 3] = -1000, 1e300
    write_volume(Volume(voxels, np.eye(4)), tmp_path / "a.nrrd")
    found, _ = dense(tmp_path / "a.nrrd", Cases([tmp_path / "a.nrrd"], [2], 2))
    assert found.voxels.dtype == np.float32
    assert found.voxels.max() <= 1e9


def test_a_spacing_that_no_scan_has_is_refused_with_its_file(tmp_path: Path) -> None:
    write_volume(Volume(np.zeros((4, 4, 5), np.int16), np.diag([700.0, 700, 5000, 1])), tmp_path / "a.nrrd")
    with pytest.raises(GeometryError, match=r"a\.nrrd: spacing 700 x 700 x 5000 mm"):
        dense(tmp_path / "a.nrrd", Cases([tmp_path / "a.nrrd"], [2], 2))
