"""``saint train`` from the command line: two tiny stages end in weights that ``saint upsample`` takes."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from saint_cli.cli import app
from saint_cli.training import dataset, run

EXAMPLE = Path(__file__).parents[2] / "examples" / "chest_dense.nii.gz"


def saint(*arguments: object) -> Result:
    """Run saint in this process."""
    return CliRunner().invoke(app, [str(a) for a in arguments])


def held_back(scans: Path) -> Path:
    """The validation folder beside the training folder."""
    return scans.parent / "held_back"


@pytest.fixture
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one real crop, networks of a few channels, and factors that fit it."""
    monkeypatch.setitem(run.AMI_SIZES, "fast", (8, 4, 2, 1))
    monkeypatch.setitem(run.RFN_SIZES, "fast", (4, 4, 2, 1))
    monkeypatch.setattr(dataset, "FACTORS", (2, 3))
    folder = tmp_path / "scans"
    folder.mkdir()
    nib.save(nib.load(EXAMPLE).slicer[100:196, 60:156, :37], folder / "chest.nii.gz")
    shutil.copytree(folder, tmp_path / "held_back")
    return folder


def test_both_stages_end_in_weights_that_upsample_takes(scans: Path, tmp_path: Path) -> None:
    words = [
        "train",
        scans,
        "--val",
        held_back(scans),
        "--out",
        tmp_path / "run",
        "--size",
        "fast",
        "--validate-every",
        2,
    ]
    ami = saint(*words, "--steps", 2, "--batch", 2)
    assert ami.exit_code == 0, ami.output
    assert "over cubic" in ami.output
    again = saint(*words, "--steps", 2)
    assert (again.exit_code, "--resume" in again.output) == (2, True)
    rfn = saint(*words, "--stage", "rfn", "--steps", 2, "--blocks", 2)
    assert rfn.exit_code == 0, rfn.output
    weights = tmp_path / "run" / run.MODEL
    thin = tmp_path / "thin.nii"
    done = saint("upsample", scans / "chest.nii.gz", "--axis", "z", "-f", 2, "-m", weights, "-o", thin)
    assert done.exit_code == 0, done.output
    assert nib.load(thin).shape == (96, 96, 73)
    assert np.isfinite(nib.load(thin).get_fdata()).all()


@pytest.mark.parametrize("words", ["--batch 0", "--steps 0", "--validate-every 0", "--seed -1", "--lr nan", "--lr 0"])
def test_numbers_that_train_nothing_are_refused(words: str, scans: Path, tmp_path: Path) -> None:
    result = saint("train", scans, "--val", held_back(scans), "--out", tmp_path / "run", *words.split())
    assert result.exit_code == 2
    assert result.output.startswith(f"saint: {words.split()[0]}")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "words",
    [["--stage", "both"], ["--size", "huge"], ["--rfn-dims", "4"], ["--optimiser", "sgd"], ["--resume"]],
)
def test_words_that_do_not_fit_are_refused(words: list[str], scans: Path, tmp_path: Path) -> None:
    result = saint("train", scans, "--val", held_back(scans), "--out", tmp_path / "run", *words)
    assert result.exit_code == 2
    assert result.output.startswith("saint: ")


def test_the_rfn_stage_needs_an_ami(scans: Path, tmp_path: Path) -> None:
    result = saint(
        "train", scans, "--val", held_back(scans), "--out", tmp_path / "run", "--size", "fast", "--stage", "rfn"
    )
    assert result.exit_code == 3
    assert "AMI" in result.output


def test_validation_on_the_training_folder_is_refused(scans: Path, tmp_path: Path) -> None:
    result = saint("train", scans, "--val", scans, "--out", tmp_path / "run", "--size", "fast")
    assert result.exit_code == 2
    assert "validate on volumes that are not" in result.output
