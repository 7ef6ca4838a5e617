"""``saint train`` from the command line: two tiny stages end in weights that ``saint upsample`` takes."""

import itertools
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from cli.runs import run as saint

from saint_cli.models import shipped
from saint_cli.models.weights import load_model
from saint_cli.training import patch_source, run, settings
from saint_cli.training.journal import LOG

EXAMPLE = Path(__file__).parents[2] / "examples" / "chest_dense.nii.gz"


def held_back(scans: Path) -> Path:
    """The validation folder beside the training folder."""
    return scans.parent / "held_back"


@pytest.fixture
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one real crop, networks of a few channels, and factors that fit it."""
    monkeypatch.setitem(settings.AMI_SIZES, "fast", (8, 4, 2, 1))
    monkeypatch.setitem(settings.RFN_SIZES, "fast", (4, 4, 2, 1))
    monkeypatch.setattr(patch_source, "FACTORS", (2, 3))
    folder = tmp_path / "scans"
    folder.mkdir()
    nib.save(nib.load(EXAMPLE).slicer[100:196, 60:156, :37], folder / "chest.nii.gz")
    (tmp_path / "held_back").mkdir()
    nib.save(nib.load(EXAMPLE).slicer[110:206, 60:156, :37], tmp_path / "held_back" / "chest.nii.gz")
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


@pytest.mark.parametrize(
    "words", ["--batch 0", "--steps 0", "--validate-every 0", "--seed -1", "--lr nan", "--lr 0", "--minutes 0"]
)
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


def test_a_copy_of_a_training_volume_is_refused_for_validation(scans: Path, tmp_path: Path) -> None:
    shutil.copy(scans / "chest.nii.gz", held_back(scans) / "another_name.nii.gz")
    result = saint("train", scans, "--val", held_back(scans), "--out", tmp_path / "run", "--size", "fast", "--steps", 1)
    assert result.exit_code == 2
    assert "another_name.nii.gz is to be validated on" in result.output


def begun(scans: Path, out: Path) -> tuple[list[object], Path]:
    """A run of two steps at a rate of its own: the command that began it without its schedule, and its folder."""
    words: list[object] = ["train", scans, "--val", held_back(scans), "--out", out, "--size", "fast", "--batch", 2]
    result = saint(*words, "--steps", 2, "--lr", 3e-4, "--validate-every", 2)
    assert result.exit_code == 0, result.output
    return words, out / "ami"


def schedule_of(folder: Path) -> dict[str, object]:
    schedule: dict[str, object] = json.loads((folder / settings.SETTINGS).read_text())["schedule"]
    return schedule


def test_a_resumed_run_keeps_its_schedule_but_for_what_is_given(scans: Path, tmp_path: Path) -> None:
    words, folder = begun(scans, tmp_path / "run")
    result = saint(*words, "--steps", 3, "--resume")
    assert result.exit_code == 0, result.output
    assert "steps: 2 so far, 3 from here on" in result.output
    assert "learning rate" not in result.output
    kept = schedule_of(folder)
    assert (kept["steps"], kept["learning_rate"], kept["validate_every"]) == (3, 3e-4, 2)


def test_minutes_and_steps_exclude_each_other(scans: Path, tmp_path: Path) -> None:
    words = ["train", scans, "--val", held_back(scans), "--out", tmp_path / "run", "--minutes", 1, "--steps", 5]
    result = saint(*words)
    assert (result.exit_code, "--minutes" in result.output, "--steps" in result.output) == (2, True, True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("length", [[], ["--steps", 5]])
def test_a_clock_is_refused_where_no_minutes_are_counted(length: list[object], scans: Path, tmp_path: Path) -> None:
    words = ["train", scans, "--val", held_back(scans), "--out", tmp_path / "run", "--clock", "processor", *length]
    result = saint(*words)
    assert (result.exit_code, "is how --minutes are counted" in result.output) == (2, True)
    assert not (tmp_path / "run").exists()


def test_a_run_of_minutes_ends_in_time_and_steps_can_follow(scans: Path, tmp_path: Path) -> None:
    words = ["train", scans, "--val", held_back(scans), "--out", tmp_path / "run", "--size", "fast", "--batch", 2]
    result = saint(*words, "--minutes", 0.02)
    assert result.exit_code == 0, result.output
    kept = schedule_of(tmp_path / "run" / "ami")
    assert (kept["steps"], kept["minutes"]) == (None, 0.02)
    log = (tmp_path / "run" / "ami" / LOG).read_text()
    finished = saint(*words, "--resume")
    assert finished.exit_code == 0, finished.output
    assert (tmp_path / "run" / "ami" / LOG).read_text() == log
    taken = json.loads(log.splitlines()[-1])["step"]
    longer = saint(*words, "--steps", taken + 1, "--resume")
    assert longer.exit_code == 0, longer.output
    assert f"steps: none so far, {taken + 1} from here on" in longer.output
    kept = schedule_of(tmp_path / "run" / "ami")
    assert (kept["steps"], kept["minutes"]) == (taken + 1, None)


def test_a_refused_resume_changes_nothing_in_the_run_folder(scans: Path, tmp_path: Path) -> None:
    words, folder = begun(scans, tmp_path / "run")
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    fewer = saint(*words, "--steps", 1, "--resume")
    assert (fewer.exit_code, "2 steps already" in fewer.output) == (2, True)
    nib.save(nib.load(EXAMPLE).slicer[:96, 60:156, :30], scans / "chest.nii.gz")
    other = saint(*words, "--steps", 5, "--resume")
    assert (other.exit_code, "other train volumes" in other.output) == (2, True)
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_what_the_first_weights_are_worth_is_reported_before_they_change(scans: Path, tmp_path: Path) -> None:
    begun(scans, tmp_path / "run")
    words = ["train", scans, "--val", held_back(scans), "--out", tmp_path / "tuned", "--size", "fast", "--steps", 1]
    result = saint(*words, "--init", tmp_path / "run" / run.MODEL)
    assert result.exit_code == 0, result.output
    assert "step 0, 0 s, before training: " in result.output


def test_the_first_weights_are_never_those_that_are_written(scans: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    own = tmp_path / "run" / run.MODEL
    shutil.copy(shipped.shipped_folder() / "saint-fast.safetensors", own)
    before, link = own.read_bytes(), tmp_path / "link.safetensors"
    link.symlink_to(own)
    words = ["train", scans, "--val", held_back(scans), "--out", tmp_path / "run", "--size", "fast", "--steps", 1]
    for option, named in itertools.product(("--init", "--teacher"), (link, own.parent)):
        result = saint(*words, option, named)
        assert (result.exit_code, f"is what {option} names" in result.output) == (2, True)
    assert own.read_bytes() == before


def test_rfn_goes_on_from_where_its_first_weights_are_used(scans: Path, tmp_path: Path) -> None:
    words, _ = begun(scans, tmp_path / "run")
    rfn = ["--stage", "rfn", "--steps", 1, "--blocks", 1]
    first = saint(*words, *rfn, "--rfn-fewest", 2)
    assert first.exit_code == 0, first.output
    start = tmp_path / "start.safetensors"
    shutil.copy(tmp_path / "run" / run.MODEL, start)
    shutil.rmtree(tmp_path / "run" / "rfn")
    again = saint(*words, *rfn, "--init", start)
    assert again.exit_code == 0, again.output
    assert int(load_model(str(tmp_path / "run" / run.MODEL)).rfn.fewest) == 2


def test_a_file_in_place_of_a_folder_is_refused_with_what_is_expected(scans: Path, tmp_path: Path) -> None:
    result = saint("train", scans / "chest.nii.gz", "--val", held_back(scans), "--out", tmp_path / "run")
    assert (result.exit_code, "give a folder of volumes, or a .txt list" in result.output) == (2, True)
