"""What ``saint upsample`` refuses, each with its exit code, and what it leaves as it was."""

import gzip
from pathlib import Path

import fabricate
import nibabel as nib
import numpy as np
import pytest
from cli.runs import run
from cli.thick_chest import EXAMPLE, save, save_thick_chest

from saint_cli.options.job import make_settings


@pytest.fixture
def thick(tmp_path: Path) -> Path:
    return save_thick_chest(tmp_path / "thick.nii.gz")


def _broken_gz(path: Path) -> Path:
    data = bytearray(gzip.compress(nib.Nifti1Image(np.zeros((9, 9, 9), np.int16), np.diag([1, 1, 5, 1])).to_bytes()))
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    return path


REFUSALS = {
    "missing file": (lambda d: d / "none.nii", [], 3),
    "no DICOM in the folder": (lambda d: d, [], 2),
    "flipped byte": (lambda d: _broken_gz(d / "a.nii.gz"), [], 3),
    "2-D": (lambda d: save(np.zeros((9, 9, 1), np.int16), d / "a.nii"), [], 4),
    "4-D": (lambda d: save(np.zeros((9, 9, 5, 3), np.int16), d / "a.nii"), [], 4),
    "complex": (lambda d: save(np.zeros((9, 9, 5), np.complex64), d / "a.nii"), [], 3),
    "near-isotropic": (lambda d: save(np.zeros((9, 9, 9), np.int16), d / "a.nii", (1, 1, 1.1)), [], 4),
    "factor too large": (lambda d: save(np.zeros((9, 9, 9), np.int16), d / "a.nii"), ["-f", "17"], 2),
    "spacing as acquired": (lambda d: save(np.zeros((9, 9, 9), np.int16), d / "a.nii"), ["--spacing", "5"], 2),
    "two grids": (lambda d: save(np.zeros((9, 9, 9), np.int16), d / "a.nii"), ["-f", "2", "--spacing", "1"], 2),
    "unknown axis": (lambda d: save(np.zeros((9, 9, 9), np.int16), d / "a.nii"), ["--axis", "w"], 2),
    "unknown model": (lambda d: save(np.zeros((9, 9, 9), np.int16), d / "a.nii"), ["-m", "huge"], 3),
    "not weights": (lambda d: save(np.zeros((9, 9, 9), np.int16), d / "a.nii"), ["-m", EXAMPLE], 3),
    "no CUDA": (lambda d: save(np.zeros((9, 9, 9), np.int16), d / "a.nii"), ["--device", "cuda:97"], 2),
    "no GPU of that number": (lambda d: save(np.zeros((9, 9, 9), np.int16), d / "a.nii"), ["--device", "gpu:97"], 2),
    "three directions": (lambda d: save(np.zeros((9, 9, 9), np.int16), d / "a.nii"), ["--directions", "3"], 2),
    "no threads": (lambda d: save(np.zeros((9, 9, 9), np.int16), d / "a.nii"), ["--threads", "0"], 2),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_bad_input_gets_one_line_and_its_exit_code_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    make, words, code = REFUSALS[name]
    source, out = make(tmp_path), tmp_path / "new" / "out.nii.gz"
    result = run("upsample", source, *words, *([] if "-m" in words else ["-m", "fast"]), "-o", out)
    assert result.exit_code == code, result.output
    assert result.output.startswith("saint: ")
    assert result.output.count("\n") == 1
    assert not out.exists()
    assert not list(tmp_path.rglob("*.partial*"))


def test_an_existing_output_is_kept_unless_overwrite_is_given(thick: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.nii"
    out.write_text("precious")
    refused = run("upsample", thick, "-f", 2, "-m", "fast", "-o", out)
    assert (refused.exit_code, out.read_text()) == (5, "precious")
    assert "--overwrite" in refused.output
    assert run("upsample", thick, "-f", 2, "-m", "fast", "-o", out, "--overwrite").exit_code == 0
    assert nib.load(out).shape == (40, 36, 9)


def test_the_input_itself_is_no_output_and_overwrite_is_not_advised(thick: Path, tmp_path: Path) -> None:
    folder = fabricate.save(fabricate.slices(), tmp_path / "study")
    for source, target in ((thick, thick), (folder, folder), (folder / "0000.dcm", folder)):
        result = run("upsample", source, "-f", 2, "-m", "fast", "-o", target)
        assert result.exit_code == 2
        assert "input" in result.stderr
        assert "--overwrite" not in result.stderr


def test_an_unknown_ending_is_refused_before_the_input_is_read(tmp_path: Path) -> None:
    result = run("upsample", tmp_path / "none.nii", "-o", tmp_path / "out.jpg")
    assert result.exit_code in (2, 5)
    assert ".nii.gz" in result.output


def test_slice_thickness_is_a_word(tmp_path: Path) -> None:
    assert make_settings({}).keep_slice_thickness
    assert make_settings({"slice_thickness": "acquired"}).keep_slice_thickness
    assert not make_settings({"slice_thickness": "spacing"}).keep_slice_thickness
    for words in (["--slice-thickness", "thin"], ["--slice-thickness", "5"]):
        result = run("upsample", "study", "-f", 2, *words, "-o", tmp_path / "out")
        assert result.exit_code == 2
        assert "must be one of acquired, spacing" in result.output


def test_dicom_of_another_format_is_refused_before_anything_is_computed(thick: Path, tmp_path: Path) -> None:
    (tmp_path / "no-weights").write_bytes(b"never loaded")
    result = run("upsample", thick, "-f", 2, "-m", tmp_path / "no-weights", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "only DICOM input" in result.output


def test_too_little_memory_is_refused_before_anything_is_computed(thick: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.nii"
    result = run("upsample", thick, "--factor", 2, "--max-memory", "100MB", "--device", "cpu", "-o", out)
    assert result.exit_code == 2
    assert "--max-memory 100 MB is too little for this scan, which needs about " in result.stderr
    assert "networks at work" in result.stderr
    assert not out.exists()
