"""``saint slicer``, called as Slicer calls it: files, progress, failures, the launcher."""

import os
import subprocess
import sys
from pathlib import Path

import fabricate
import numpy as np
import pytest
import SimpleITK as sitk
import slicer_standin
from typer.testing import CliRunner, Result

from saint_cli.cli.app import app
from saint_cli.errors import OutputError
from saint_cli.io import read_volume, write_volume
from saint_cli.jobs import ModelConfig
from saint_cli.method import pipeline

SETTINGS = {"device": "cpu", "precision": "fp32", "threads": "1"}


def run(*arguments: object) -> Result:
    """Run saint in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def xml() -> str:
    """The description that Slicer reads."""
    result = run("slicer", "--xml")
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A turned CT, int16, as Slicer writes it."""
    path = tmp_path / "ABCD_vtkMRMLScalarVolumeNodeB.nrrd"
    write_volume(fabricate.volume((24, 20, 5), affine_lps=fabricate.OBLIQUE_LPS), path)
    return path


def run_form(xml: str, model_config: ModelConfig, source: Path, **values: object) -> Result:
    """Run the module as Slicer would with these values in its form."""
    texts = {name: str(value) for name, value in values.items()}
    texts = {"inputVolume": str(source), "weights": model_config.model, **SETTINGS, **texts}
    return run("slicer", *slicer_standin.make_arguments(xml, texts))


def test_the_result_lies_where_the_scan_does_and_keeps_its_type_and_slices(
    xml: str, scan: Path, model_config: ModelConfig, tmp_path: Path
) -> None:
    out = tmp_path / "out.nrrd"
    result = run_form(xml, model_config, scan, outputVolume=out, factor=4)
    assert result.exit_code == 0, result.stderr
    before, after = sitk.ReadImage(str(scan)), sitk.ReadImage(str(out))
    assert after.GetPixelID() == before.GetPixelID() == sitk.sitkInt16
    assert after.GetSize() == (24, 20, 17)
    np.testing.assert_allclose(after.GetOrigin(), before.GetOrigin(), atol=1e-6)
    np.testing.assert_allclose(after.GetDirection(), before.GetDirection(), atol=1e-9)
    np.testing.assert_allclose(after.GetSpacing(), np.divide(before.GetSpacing(), (1, 1, 4)), rtol=1e-9)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(after)[::4], sitk.GetArrayFromImage(before))


def test_the_result_is_that_of_upsample(xml: str, scan: Path, model_config: ModelConfig, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "upsample.nrrd", tmp_path / "slicer.nrrd"
    flags = ("--device", "cpu", "--precision", "fp32", "--threads", 1, "-m", model_config.model)
    assert run("upsample", scan, "-o", ours, "--spacing", 2, *flags).exit_code == 0
    assert run_form(xml, model_config, scan, outputVolume=theirs, spacing=2.0).exit_code == 0
    first, second = read_volume(ours), read_volume(theirs)
    np.testing.assert_array_equal(first.voxels, second.voxels)
    np.testing.assert_array_equal(first.affine_lps, second.affine_lps)


def test_warnings_come_once_and_before_the_networks_run(
    xml: str, scan: Path, model_config: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_volume(fabricate.volume((24, 20, 5), affine_lps=fabricate.SHEARED_LPS), scan, overwrite=True)
    whole = run_form(xml, model_config, scan, outputVolume=tmp_path / "out.nrrd", factor=2)
    tilted, shear = whole.stderr.splitlines()
    assert "tilted" in tilted
    assert "Shear" in shear

    def fail(*_: object) -> None:
        raise OutputError("the disk is full")

    monkeypatch.setattr(pipeline, "restore", fail)
    failed = run_form(xml, model_config, scan, outputVolume=tmp_path / "out.nrrd", factor=2)
    assert failed.stderr == f"{whole.stderr}saint: the disk is full\n"


def test_stdout_is_progress_and_nothing_else(xml: str, scan: Path, model_config: ModelConfig, tmp_path: Path) -> None:
    result = run_form(xml, model_config, scan, outputVolume=tmp_path / "out.nrrd", report=tmp_path / "page.html")
    output = slicer_standin.read_output(result.stdout)
    assert output.text == ""
    assert (output.fractions[0], output.fractions[-1]) == (0, 1)
    assert output.fractions == sorted(output.fractions)
    assert {"reading", "sagittal slices", "writing"} <= set(output.messages)
    assert output.messages[-1].startswith("24x20x5 at ")
    assert (tmp_path / "page.html").exists()


def test_lines_leave_the_program_while_it_runs(xml: str, scan: Path, model_config: ModelConfig, tmp_path: Path) -> None:
    values = {"inputVolume": str(scan), "outputVolume": str(tmp_path / "o.nrrd"), "weights": model_config.model}
    arguments = slicer_standin.make_arguments(xml, values | SETTINGS | {"factor": "2"})
    program = [sys.executable, "-m", "saint_cli", "slicer", *arguments]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert process.poll() is None, "the first line came with the last"
        assert not (tmp_path / "o.nrrd").exists()
        rest = process.stdout.read()
    assert first == "<filter-start><filter-name>reading</filter-name></filter-start>\n"
    assert process.returncode == 0
    assert slicer_standin.read_output(rest).fractions[-1] == 1


def test_labels_and_expected_errors_come_along(xml: str, scan: Path, model_config: ModelConfig, tmp_path: Path) -> None:
    volume = read_volume(scan)
    image = sitk.ReadImage(str(scan))
    labels = sitk.GetImageFromArray((np.asarray(volume.voxels).transpose() > -500).astype(np.uint8))
    labels.CopyInformation(image)
    sitk.WriteImage(labels, str(tmp_path / "seg.nrrd"))
    files = {"labels": tmp_path / "seg.nrrd", "labels_out": tmp_path / "seg_out.nrrd"}
    result = run_form(xml, model_config, scan, outputVolume=tmp_path / "out.nrrd", factor=2, **files)
    assert result.exit_code == 0, result.stderr
    after = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "seg_out.nrrd")))
    np.testing.assert_array_equal(after[::2], sitk.GetArrayFromImage(labels))
    assert slicer_standin.read_output(result.stdout).text == ""


def test_files_of_a_run_before_are_replaced(xml: str, scan: Path, model_config: ModelConfig, tmp_path: Path) -> None:
    out = tmp_path / "out.nrrd"
    for factor, slices in ((2, 9), (3, 13)):
        assert run_form(xml, model_config, scan, outputVolume=out, factor=factor).exit_code == 0
        assert sitk.ReadImage(str(out)).GetSize()[2] == slices


@pytest.mark.parametrize(
    ("values", "code", "sentence"),
    [
        ({"factor": 40}, 2, "saint: --factor 40 is outside 2...16\n"),
        (
            {"factor": 4, "spacing": 1.0},
            2,
            "saint: --factor and --spacing both say how fine to interpolate; give one\n",
        ),
        ({"labels_out": "x.nrrd"}, 2, "saint: --labels-out needs a label map; name it with --labels\n"),
    ],
)
def test_a_failure_is_one_line_on_stderr_and_no_file(
    xml: str, scan: Path, model_config: ModelConfig, tmp_path: Path, values: dict[str, object], code: int, sentence: str
) -> None:
    result = run_form(xml, model_config, scan, outputVolume=tmp_path / "out.nrrd", **values)
    assert (result.exit_code, result.stderr) == (code, sentence)
    assert "</filter-progress>" not in result.stdout
    assert not (tmp_path / "out.nrrd").exists()


def test_a_damaged_volume_fails_after_the_first_stage_begins(
    xml: str, scan: Path, model_config: ModelConfig, tmp_path: Path
) -> None:
    scan.write_bytes(scan.read_bytes()[:-500])
    result = run_form(xml, model_config, scan, outputVolume=tmp_path / "out.nrrd", factor=2)
    assert result.exit_code != 0
    assert result.stderr.count("\n") == 1
    assert 1 not in slicer_standin.read_output(result.stdout).fractions


def test_the_launcher_is_a_module_that_answers_and_ignores_slicers_own_python(xml: str, tmp_path: Path) -> None:
    launcher = tmp_path / "a folder" / "SAINT"
    launcher.parent.mkdir()
    assert run("slicer", "--launcher", launcher).exit_code == 0
    poisoned = {"PYTHONHOME": "/nowhere", "PYTHONPATH": "/nowhere", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([launcher, "--xml"], env=poisoned, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", xml)


def test_a_launcher_that_slicer_would_not_find_is_refused(tmp_path: Path) -> None:
    result = run("slicer", "--launcher", tmp_path / "saint.sh")
    assert result.exit_code == 2
    assert "without an ending" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_launcher_takes_the_place_of_no_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "SAINT")
    result = run("slicer", "--launcher", tmp_path / "SAINT")
    assert (result.exit_code, result.stderr.count("\n")) == (OutputError.exit_code, 1)
    assert f"{tmp_path / 'SAINT'}: no file of this name can be written" in result.stderr
    assert (tmp_path / "SAINT").is_fifo()
