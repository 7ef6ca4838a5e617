"""``saint upsample`` from the command line: results, summaries and warnings."""

import json
import shutil
from pathlib import Path

import fabricate
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from cli.runs import run
from cli.thick_chest import save, save_thick_chest

from saint_cli.errors import SaintError
from saint_cli.io import read_volume
from saint_cli.method import pipeline, residuals
from saint_cli.models import shipped, weights
from saint_cli.models.calibration import Calibration
from saint_cli.runtime import memory

THICK_MM = 4.0


@pytest.fixture
def thick(tmp_path: Path) -> Path:
    return save_thick_chest(tmp_path / "thick.nii.gz")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_acquired_slices_and_geometry_are_exact_in_every_format(thick: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"out{ending}"
    result = run("upsample", thick, "--factor", 3, "--model", "fast", "-o", out)
    assert result.exit_code == 0, result.output
    before, after = sitk.ReadImage(str(thick)), sitk.ReadImage(str(out))
    assert after.GetSize() == (40, 36, 13)
    assert after.GetPixelID() == before.GetPixelID() == sitk.sitkInt16
    np.testing.assert_allclose(after.GetSpacing(), np.divide(before.GetSpacing(), (1, 1, 3)), rtol=1e-6)
    np.testing.assert_allclose(after.GetOrigin(), before.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(after.GetDirection(), before.GetDirection(), atol=1e-6)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(after)[::3], sitk.GetArrayFromImage(before))


def test_isotropic_is_the_default_grid(thick: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / "default.nii", tmp_path / "isotropic.nii"]
    for out, words in zip(outputs, ([], ["--isotropic"]), strict=True):
        assert run("upsample", thick, *words, "-m", "fast", "-o", out).exit_code == 0
    default, isotropic = (nib.load(out) for out in outputs)
    np.testing.assert_allclose(default.header.get_zooms(), 0.7597656, atol=1e-5)
    np.testing.assert_array_equal(default.get_fdata(), isotropic.get_fdata())


def test_json_summary_has_shapes_spacings_and_weights(thick: Path, tmp_path: Path) -> None:
    result = run("upsample", thick, "-f", 2, "-m", "fast", "-o", tmp_path / "o.nii", "--json")
    summary = json.loads(result.stdout)
    assert summary["shape_before"] == [40, 36, 5]
    assert summary["shape_after"] == [40, 36, 9]
    assert summary["spacing_after_mm"][2] == pytest.approx(THICK_MM / 2)
    assert (summary["axis"], summary["model"], len(summary["weights_sha256"])) == ("z", "fast", 64)


def test_quiet_prints_nothing_and_otherwise_a_line_names_the_model_and_one_the_output(
    thick: Path, tmp_path: Path
) -> None:
    quiet = run("upsample", thick, "-f", 2, "-m", "fast", "-q", "-o", tmp_path / "q.nii")
    assert (quiet.exit_code, quiet.output) == (0, "")
    loud = run("upsample", thick, "-f", 2, "-m", "fast", "-o", tmp_path / "l.nii")
    before, after = loud.output.splitlines()
    assert before.startswith("model fast on ")
    assert "40x36x5" in after
    assert "40x36x9" in after
    assert str(tmp_path / "l.nii") in after


def test_metal_beyond_the_window_survives(tmp_path: Path) -> None:
    voxels = np.full((24, 24, 4), 40, np.int16)
    voxels[10:14, 10:14, :] = 20_000
    out = tmp_path / "metal.nii"
    assert run("upsample", save(voxels, tmp_path / "in.nii"), "-f", 2, "-m", "fast", "-o", out).exit_code == 0
    after = np.asarray(nib.load(out).dataobj)
    assert after[12, 12].min() > 19_000


def test_nan_and_infinity_are_counted_and_put_back(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).normal(0, 100, (20, 20, 4)).astype(np.float32)
    voxels[5, 5, 1], voxels[6, 6, 2] = np.nan, np.inf
    out = tmp_path / "out.nii"
    result = run("upsample", save(voxels, tmp_path / "in.nii"), "-f", 2, "-m", "fast", "-o", out)
    after = nib.load(out).get_fdata(dtype=np.float32)
    assert result.exit_code == 0
    assert "2 of 1600 voxels are NaN" in result.output
    np.testing.assert_array_equal(after[..., ::2], voxels)
    assert np.isfinite(after[:5]).all()


def test_what_is_mr_by_its_values_gets_the_weights_of_mr_and_the_summary_says_so(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(0, 900, (20, 20, 4)).astype(np.uint16)
    result = run("upsample", save(voxels, tmp_path / "mr.nii"), "-f", 2, "-m", "fast", "-o", tmp_path / "o.nii")
    assert result.exit_code == 0
    assert "read as MR by its values" in result.output
    assert "model mr-fast on cpu" in result.output
    assert "trained on CT only" not in result.output


@pytest.mark.parametrize("volumes", [1, 2])
def test_warnings_come_before_networks_run_and_once(
    volumes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voxels = np.random.default_rng(0).integers(0, 900, (20, 20, 4, volumes)).astype(np.uint16)
    source, words = save(voxels.squeeze(), tmp_path / "mr.nii"), ("--modality", "ct", "-f", 2, "-m", "mr-fast")
    result = run("upsample", source, *words, "--volume", "all", "-o", tmp_path / "out.nii")
    assert result.exit_code == 0, result.output
    warning = "saint: warning: the scan is CT; mr-fast was trained on MR only"
    assert result.stderr.splitlines().count(warning) == 1

    def fail(*_: object) -> None:
        raise SaintError("networks run")

    monkeypatch.setattr(pipeline, "restore", fail)
    result = run("upsample", source, *words, "--volume", "all", "-o", tmp_path / "other.nii")
    assert result.exit_code == 1
    assert warning in result.stderr.splitlines()


def test_uncertainty_writes_the_expected_error_beside_the_result(thick: Path, tmp_path: Path) -> None:
    model = tmp_path / "calibrated.safetensors"
    shutil.copy(shipped.shipped_folder() / "saint-fast.safetensors", model)
    weights.write_calibration(model, Calibration((0.0, 100.0), (5.0, 80.0)))
    out, error = tmp_path / "out.nii.gz", tmp_path / "error.nii.gz"
    result = run("upsample", thick, "-f", 2, "-m", model, "-o", out, "--uncertainty", error, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["uncertainty"] == str(error)
    expected = nib.load(error)
    np.testing.assert_array_equal(expected.affine, nib.load(out).affine)
    assert (expected.get_fdata()[..., ::2] == 0).all()
    synthesised = expected.get_fdata()[..., 1::2]
    assert 0 < synthesised.min() < synthesised.max()


def test_report_and_preview_are_written_beside_the_result_and_named(thick: Path, tmp_path: Path) -> None:
    page, preview = tmp_path / "p.html", tmp_path / "p.png"
    words = ["-f", 2, "-m", "fast", "--report", page, "--preview", preview]
    result = run("upsample", thick, *words, "-o", tmp_path / "o.nii")
    assert result.exit_code == 0, result.output
    assert f"page: {page}" in result.output
    assert "2 of 5 slices" in page.read_text(encoding="utf-8")
    assert preview.read_bytes().startswith(b"\x89PNG")
    again = run("upsample", thick, *words, "-o", tmp_path / "again.nii")
    assert (again.exit_code, "--overwrite" in again.output) == (5, True)


def test_a_dicom_folder_becomes_a_dicom_folder(tmp_path: Path) -> None:
    source = fabricate.save(fabricate.slices(), tmp_path / "study")
    result = run("upsample", source, "-f", 2, "-m", "fast", "-o", f"{tmp_path}/out/")
    assert result.exit_code == 0, result.output
    assert "SECRET" not in result.output
    before, after = read_volume(source), read_volume(tmp_path / "out")
    assert after.shape == (16, 12, 11)
    np.testing.assert_array_equal(after.voxels[..., ::2], before.voxels)
    assert {float(d.SliceThickness) for d in fabricate.saved_series(tmp_path / "out")} == {5}


def test_one_volume_of_a_4d_file_is_upsampled(tmp_path: Path) -> None:
    scan = save(np.random.default_rng(0).integers(0, 900, (20, 20, 4, 2)).astype(np.int16), tmp_path / "a.nii")
    assert run("upsample", scan, "--volume", 2, "-f", 2, "-m", "fast", "-o", tmp_path / "o.nii").exit_code == 0
    np.testing.assert_array_equal(
        nib.load(tmp_path / "o.nii").get_fdata()[..., ::2], nib.load(scan).get_fdata()[..., 1]
    )
    assert run("upsample", scan, "--volume", 0, "-f", 2, "-o", tmp_path / "p.nii").exit_code == 2


def test_skipped_air_and_temporary_files_keep_the_result(
    thick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filed, scratch = [], memory.map_scratch_file
    monkeypatch.setattr(memory, "map_scratch_file", lambda size: filed.append(size) or scratch(size))
    made = []
    for name, options in (("plain", ()), ("whole", ("--no-skip-air",)), ("filed", ())):
        if name == "filed":
            monkeypatch.setattr(memory, "plan_residual_bytes", lambda *_: 0)
        result = run("upsample", thick, "-f", 2, "-m", "fast", *options, "-o", tmp_path / f"{name}.nii")
        assert result.exit_code == 0, result.output
        assert len(filed) == (residuals.RESIDUAL_VOLUMES if name == "filed" else 0)
        made.append(read_volume(tmp_path / f"{name}.nii").voxels.astype(int))
    np.testing.assert_array_equal(made[2], made[0])
    body = made[1] > -700
    assert np.abs(made[1] - made[0])[body].mean() < 0.5


def test_without_a_model_the_default_is_named_everywhere(thick: Path, tmp_path: Path) -> None:
    out, preview = tmp_path / "out.nii", tmp_path / "out.png"
    arguments = (thick, "--factor", "2", "--threads", "1", "--device", "cpu", "--preview", preview)
    result = run("upsample", *arguments, "-o", out)
    assert result.exit_code == 0, result.output
    lines = result.stderr.splitlines()
    assert lines[0] == "model medium on cpu with 1 thread"
    assert "model medium on cpu" in lines[-1]
    assert lines[-1].endswith(f": {out}, preview: {preview}")
    assert b"medium" in bytes(nib.load(out).header["descrip"])


def test_quiet_says_nothing_of_model_and_machine(thick: Path, tmp_path: Path) -> None:
    result = run("upsample", thick, "--factor", "2", "--threads", "1", "-q", "-o", tmp_path / "out.nii")
    assert (result.exit_code, result.output) == (0, "")


def test_more_threads_than_cores_are_reported_and_not_taken(thick: Path, tmp_path: Path) -> None:
    result = run("upsample", thick, "--factor", "2", "--threads", "100000", "-o", tmp_path / "out.nii")
    assert result.exit_code == 0, result.output
    assert "--threads 100000: " in result.stderr.splitlines()[0]
