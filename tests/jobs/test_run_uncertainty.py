"""The expected error of each voxel beside a result."""

from dataclasses import replace
from pathlib import Path

import fabricate
import numpy as np
import pydicom
import pytest
from jobs.thick_files import ct, save
from make_jobs import change_job, make_job
from mr_models import ship_models
from nets import tiny

from saint_cli import io
from saint_cli.errors import OutputError, UsageError
from saint_cli.jobs import GridRequest, ModelConfig, run_job
from saint_cli.models import weights
from saint_cli.models.calibration import Calibration
from saint_cli.options.method import MethodOptions
from saint_cli.progress import silent


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory, model_config: ModelConfig) -> ModelConfig:
    path = tmp_path_factory.mktemp("calibrated") / "tiny.safetensors"
    weights.save_model(tiny.ami(), tiny.rfn(), path)
    weights.write_calibration(path, Calibration((0.0, 100.0), (3.0, 53.0)))
    return replace(model_config, model=str(path))


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_uncertainty_writes_a_second_volume_and_changes_nothing_in_the_first(
    ending: str, tmp_path: Path, calibrated: ModelConfig
) -> None:
    source = save(ct(), tmp_path / "in.nii")
    plain, beside, error = (tmp_path / f"{name}{ending}" for name in ("plain", "beside", "error"))
    run_job(make_job(source, plain, GridRequest(factor=4), calibrated), silent)
    done = run_job(make_job(source, beside, GridRequest(factor=4), calibrated, uncertainty=error), silent)
    assert beside.read_bytes() == plain.read_bytes()
    assert done.uncertainty == str(error)
    assert done.summary.endswith(f"{beside}, expected error in HU: {error}")
    result, written = io.read_volume(beside), io.read_volume(error)
    np.testing.assert_array_equal(written.affine_lps, result.affine_lps)
    assert written.voxels.dtype == np.float32
    assert (written.voxels[..., ::4] == 0).all()
    between = np.delete(written.voxels, np.s_[::4], axis=2)
    assert 3 <= between.min() < between.max() <= 53


def test_an_expected_error_that_is_not_calibrated_on_the_scan_comes_with_a_warning(
    tmp_path: Path, calibrated: ModelConfig
) -> None:
    warnings = {}
    for count in (4, 9):
        scan = np.random.default_rng(0).integers(-200, 200, (32, 30, count)).astype(np.int16)
        source = save(replace(ct(), voxels=scan), tmp_path / f"{count}.nii")
        target, error = tmp_path / f"out{count}.nii", tmp_path / f"error{count}.nii"
        done = run_job(make_job(source, target, GridRequest(factor=2), calibrated, uncertainty=error), silent)
        warnings[count] = [text for text in done.warnings if "not calibrated on this scan" in text]
    assert [len(warnings[count]) for count in (4, 9)] == [1, 0]


def test_uncertainty_of_a_dicom_result_can_be_a_parametric_map(tmp_path: Path, calibrated: ModelConfig) -> None:
    pytest.importorskip("highdicom", reason="highdicom is not installed (extra parametric-map)")
    fabricate.save(fabricate.slices(), tmp_path / "in")
    out, error = tmp_path / "out", tmp_path / "error.dcm"
    run_job(make_job(tmp_path / "in", out, GridRequest(factor=2), calibrated, uncertainty=error), silent)
    data, names = pydicom.dcmread(error), sorted(out.iterdir())
    assert data.SOPClassUID.name == "Parametric Map Storage"
    referenced = {one.ReferencedSOPInstanceUID for one in data.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert referenced == {pydicom.dcmread(name).SOPInstanceUID for name in names}
    with pytest.raises(OutputError, match="exists already"):
        run_job(make_job(tmp_path / "in", tmp_path / "o", GridRequest(factor=2), calibrated, uncertainty=error), silent)


def test_no_parametric_map_of_hu_is_made_of_what_is_not_ct(
    tmp_path: Path, model_config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("highdicom", reason="highdicom is not installed (extra parametric-map)")
    ship_models(tmp_path, monkeypatch)
    source = fabricate.save(fabricate.slices(modality="MR"), tmp_path / "in")
    model = replace(model_config, model="mr-fast")
    job = make_job(source, tmp_path / "out", GridRequest(factor=2), model, uncertainty=tmp_path / "error.dcm")
    with pytest.raises(UsageError, match=r"is not CT, and Parametric Maps are of HU; name a \.nii\.gz or \.nrrd"):
        run_job(job, silent)


def test_without_uncertainty_the_summary_is_silent_about_it(tmp_path: Path, calibrated: ModelConfig) -> None:
    done = run_job(
        make_job(save(ct(), tmp_path / "i.nii"), tmp_path / "o.nii", GridRequest(factor=2), calibrated), silent
    )
    assert done.uncertainty is None
    assert "error" not in done.summary


UNTOLD = {
    "the output": (
        lambda d, job: change_job(job, uncertainty=d / "sub" / ".." / "out.nii"),
        UsageError,
        "output itself",
    ),
    "the input": (lambda d, job: change_job(job, uncertainty=job.source, overwrite=True), UsageError, "input itself"),
    "there already": (
        lambda d, job: change_job(job, uncertainty=save(ct(), d / "x.nii")),
        OutputError,
        "exists already",
    ),
    "no format": (lambda d, job: change_job(job, uncertainty=d / "x.png"), UsageError, "--uncertainty .*must end in"),
    "a map beside NIfTI": (lambda d, job: change_job(job, uncertainty=d / "e.dcm"), UsageError, "refers to a DICOM"),
    "not CT": (lambda d, job: change_job(job, modality="MR"), UsageError, "not CT"),
    "four directions": (
        lambda d, job: change_job(job, method_options=MethodOptions(directions=4)),
        UsageError,
        "--directions 4",
    ),
    "flips": (lambda d, job: change_job(job, method_options=MethodOptions(tta=True)), UsageError, "--tta"),
    "noise": (
        lambda d, job: change_job(job, method_options=MethodOptions(match_noise=True)),
        UsageError,
        "--noise match",
    ),
    "in the output": (
        lambda d, job: change_job(job, target=d / "new", uncertainty=d / "new" / "e.nii"),
        UsageError,
        "inside the output folder",
    ),
    "a folder": (
        lambda d, job: change_job(job, uncertainty=d / "folder"),
        UsageError,
        "--uncertainty .*folder: the name must end in",
    ),
    "extrapolated": (
        lambda d, job: change_job(job, grid=GridRequest(factor=2, extrapolate=True)),
        UsageError,
        "--extrapolate",
    ),
}


@pytest.mark.parametrize("name", UNTOLD)
def test_uncertainty_that_was_never_measured_is_refused_before_anything_is_computed(
    name: str, tmp_path: Path, calibrated: ModelConfig
) -> None:
    change, kind, words = UNTOLD[name]
    (tmp_path / "sub").mkdir()
    source, heard = save(ct(), tmp_path / "in.nii"), set()
    before = source.read_bytes()
    job = make_job(source, tmp_path / "out.nii", GridRequest(factor=2), calibrated, uncertainty=tmp_path / "error.nii")
    with pytest.raises(kind, match=words):
        run_job(change(tmp_path, job), lambda stage, done, total: heard.add(stage))
    assert heard <= {"reading", "loading networks"}
    assert source.read_bytes() == before
    assert not (tmp_path / "out.nii").exists()
    assert not (tmp_path / "error.nii").exists()


def test_weights_without_calibration_cannot_estimate_uncertainty(tmp_path: Path, model_config: ModelConfig) -> None:
    job = make_job(save(ct(), tmp_path / "in.nii"), tmp_path / "out.nii", GridRequest(factor=2), model_config)
    with pytest.raises(UsageError, match="carry no calibration"):
        run_job(change_job(job, uncertainty=tmp_path / "error.nii"), silent)
    assert not list(tmp_path.glob("[eo]*.nii"))
