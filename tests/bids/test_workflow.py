"""``saint bids`` from the command line: a derivative data set that the validator accepts, and many runs of one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import fabricate
import fabricate_bids
import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from saint_cli.batch.manifest import open_manifest
from saint_cli.cli.app import app
from saint_cli.jobs import ModelConfig

VALIDATOR = shutil.which("bids-validator-deno", path=str(Path(sys.executable).parent)) or shutil.which(
    "bids-validator-deno"
)

IMAGES = (
    "sub-01/ses-a/anat/sub-01_ses-a_run-1_T2w.nii.gz",
    "sub-01/ses-b/anat/sub-01_ses-b_FLAIR.nii",
    "sub-02/anat/sub-02_T2w.nii.gz",
)

RESULTS = (
    "sub-01/ses-a/anat/sub-01_ses-a_run-1_res-iso_desc-saint_T2w.nii.gz",
    "sub-01/ses-b/anat/sub-01_ses-b_res-iso_desc-saint_FLAIR.nii.gz",
    "sub-02/anat/sub-02_res-iso_desc-saint_T2w.nii.gz",
)


def run(root: Path, out: Path, config: ModelConfig, *arguments: object) -> Result:
    """Run ``saint bids`` in this process, on one worker, without pages."""
    options = ("-m", config.model, "--threads", "1", "--n-procs", "1", "--no-pages", *arguments)
    return CliRunner().invoke(app, ["bids", str(root), str(out), "participant", *map(str, options)])


def states(out: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of change of every file, but for locks."""
    files = sorted(p for p in out.rglob("*") if p.is_file() and p.name != "lock")
    return {str(p.relative_to(out)): (p.stat().st_ino, p.stat().st_mtime_ns) for p in files}


def validate(out: Path) -> list[dict[str, Any]]:
    """What the BIDS validator says, but for the recommendation to name authors."""
    assert VALIDATOR is not None
    done = subprocess.run([VALIDATOR, str(out), "--format", "json"], capture_output=True, text=True, check=False)
    issues: list[dict[str, Any]] = json.loads(done.stdout)["issues"]["issues"]
    return [issue for issue in issues if issue["code"] != "TOO_FEW_AUTHORS"]


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory, model_config: ModelConfig) -> tuple[Path, Path, Result]:
    """Two participants, three thick images, one isotropic and one missing; and a first run over them."""
    root = fabricate_bids.save_dataset(tmp_path_factory.mktemp("trial") / "raw", *IMAGES)
    fabricate_bids.save_json(root / "T2w.json", EchoTime=0.1, RepetitionTime=4.0, SliceTiming=[0, 1, 2, 3, 4])
    fabricate_bids.save_image(root / "sub-02/anat/sub-02_T1w.nii.gz", fabricate_bids.ISOTROPIC, (9, 9, 9))
    (root / "sub-02/anat/sub-02_PDw.nii.gz").symlink_to("../../.git/annex/objects/MD5E-s9--a.nii.gz")
    out = root / "derivatives" / "saint"
    return root, out, run(root, out, model_config)


def test_every_thick_image_has_a_result_with_a_sidecar(trial: tuple[Path, Path, Result]) -> None:
    root, out, result = trial
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*.nii.gz")) == sorted(RESULTS)
    for source, target in zip(IMAGES, RESULTS, strict=True):
        raw, made = nib.load(root / source), nib.load(out / target)
        np.testing.assert_allclose(made.header.get_zooms(), (0.8, 0.8, 0.8), rtol=1e-6)
        np.testing.assert_array_equal(np.asarray(made.dataobj)[..., 0], np.asarray(raw.dataobj)[..., 0])
        sidecar = fabricate_bids.read_json(out / target.replace(".nii.gz", ".json"))
        assert sidecar["Sources"] == [f"bids:raw:{source}"]
        assert sidecar["Saint"]["ShapeAfter"] == list(made.shape)
        assert ("EchoTime" in sidecar) is ("T2w" in source)
    assert "skipped sub-02/anat/sub-02_T1w.nii.gz: spacing 1 x 1 x 1 mm is nearly isotropic" in result.stderr


def test_progress_and_plan_name_images_of_the_data_set(
    trial: tuple[Path, Path, Result], tmp_path: Path, model_config: ModelConfig
) -> None:
    planned = run(trial[0], tmp_path / "out", model_config, "--dry-run")
    for source in IMAGES:
        assert f"] {source} " in trial[2].stderr
        assert source in planned.stdout


def test_a_refusal_beside_the_result_of_another_copy_of_the_data_set_advises_what_this_command_has(
    trial: tuple[Path, Path, Result], tmp_path: Path, model_config: ModelConfig
) -> None:
    root = Path(shutil.copytree(trial[0], tmp_path / "raw", symlinks=True))
    os.utime(root / IMAGES[2], (1, 1))
    planned = run(root, root / "derivatives" / "saint", model_config, "--dry-run", "--json", "--suffix", "t2w")
    (message,) = [one["message"] for one in json.loads(planned.stdout)["failed"]]
    assert f"is the result of {trial[0] / IMAGES[2]}, another scan; choose another OUTPUT_DIR, or pass" in message


def test_a_file_that_is_not_downloaded_fails_alone_and_is_named(trial: tuple[Path, Path, Result]) -> None:
    result = trial[2]
    assert result.exit_code == 8
    (line,) = [line for line in result.stderr.splitlines() if "git-annex" in line]
    assert line.startswith("saint: sub-02/anat/sub-02_PDw.nii.gz: ")
    assert "sub-02_PDw.nii.gz: not downloaded (git-annex); datalad get" in line


@pytest.mark.skipif(VALIDATOR is None, reason="bids-validator-deno is not installed")
def test_the_validator_has_nothing_to_say(trial: tuple[Path, Path, Result]) -> None:
    assert validate(trial[1]) == []


@pytest.mark.skipif(VALIDATOR is None, reason="bids-validator-deno is not installed")
def test_the_validator_would_find_what_is_wrong(trial: tuple[Path, Path, Result], tmp_path: Path) -> None:
    out = Path(shutil.copytree(trial[1], tmp_path / "out"))
    (out / ".bidsignore").unlink()
    (out / RESULTS[2].replace(".nii.gz", ".json")).unlink()
    assert {issue["code"] for issue in validate(out) if issue["severity"] == "error"} >= {
        "NOT_INCLUDED",
        "SIDECAR_KEY_REQUIRED",
    }


def test_a_rerun_does_nothing(trial: tuple[Path, Path, Result], model_config: ModelConfig) -> None:
    root, out, _ = trial
    before = states(out)
    again = run(root, out, model_config, "--skip_bids_validation")
    assert again.exit_code == 8  # one is still not downloaded
    assert "nothing to do: 3 already done, 1 failed" in again.stderr
    assert states(out) == before


def test_more_participants_than_may_be_open_at_once_are_taken_in_groups(
    trial: tuple[Path, Path, Result], model_config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out, _ = trial
    monkeypatch.setattr("saint_cli.batch.workflow.MAX_OPEN_PARTS", 1)
    summary = json.loads(run(root, out, model_config, "--json").stdout)
    assert (summary["kept"], summary["output"]) == (3, str(out))
    assert [one["name"] for one in summary["failed"]] == ["anat/sub-02_res-iso_desc-saint_PDw"]


def test_lost_and_changed_sidecars_are_written_without_computing(
    trial: tuple[Path, Path, Result], model_config: ModelConfig
) -> None:
    root, out, _ = trial
    before = states(out)
    lost, changed = (RESULTS[i].replace(".nii.gz", ".json") for i in (1, 2))
    (out / lost).unlink()
    fabricate_bids.save_json(root / "sub-02" / "sub-02_T2w.json", EchoTime=0.2)
    run(root, out, model_config)
    assert fabricate_bids.read_json(out / changed)["EchoTime"] == 0.2
    after = states(out)
    assert {name for name in after if after[name] != before.get(name)} == {lost, changed}


def test_a_changed_image_is_made_again_and_no_other(
    trial: tuple[Path, Path, Result], model_config: ModelConfig
) -> None:
    root, out, _ = trial
    before = states(out)
    fabricate_bids.save_image(root / IMAGES[2], shape=(16, 14, 6))
    assert run(root, out, model_config, "--participant-label", "02").exit_code == 8
    after = states(out)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {RESULTS[2], RESULTS[2].replace(".nii.gz", ".json"), "sub-02/manifest.jsonl"}
    assert nib.load(out / RESULTS[2]).shape == (16, 14, 32)


def test_a_participant_that_another_run_works_on_is_refused(
    trial: tuple[Path, Path, Result], model_config: ModelConfig
) -> None:
    root, out, _ = trial
    with open_manifest(out / "sub-02"):
        refused = run(root, out, model_config)
        alone = run(root, out, model_config, "--participant-label", "sub-01")
    assert refused.exit_code == 5
    assert f"{out / 'sub-02'}: another saint batch writes there" in refused.stderr
    assert alone.exit_code == 0


def test_a_dry_run_shows_the_plan_of_all_participants_and_writes_nothing(
    tmp_path: Path, model_config: ModelConfig
) -> None:
    root = fabricate_bids.save_dataset(tmp_path / "raw", *IMAGES)
    planned = run(root, tmp_path / "out", model_config, "--dry-run", "--json", "--factor", "2")
    targets = [job["target"] for job in json.loads(planned.stdout)["jobs"]]
    below = [name.partition("/")[2].replace("res-iso", "res-x2") for name in RESULTS]
    assert targets == below
    assert not (tmp_path / "out").exists()


def test_processes_side_by_side_make_one_data_set(tmp_path: Path, model_config: ModelConfig) -> None:
    root, out = fabricate_bids.save_dataset(tmp_path / "raw", *IMAGES), tmp_path / "out"
    options = ["-m", model_config.model, "--threads", "1", "--n-procs", "1", "--no-pages", "--json"]
    line = [sys.executable, "-m", "saint_cli", "bids", str(root), str(out), "participant", *options]
    started = [
        subprocess.Popen([*line, "--participant-label", label], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for label in ("01", "02")
    ]
    outputs = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0, 0], outputs
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*.nii.gz")) == sorted(RESULTS)
    whole = run(root, out, model_config)
    assert "nothing to do: 3 already done, 0 failed" in whole.stderr
    assert fabricate_bids.read_json(out / "dataset_description.json")["DatasetLinks"] == {"raw": "../raw"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("RAW", "OUT", "group"), "the level of analysis must be participant, not group"),
        (("RAW", "OUT"), "saint bids needs BIDS_DIR and OUTPUT_DIR and participant, in this order"),
        (("RAW", "OUT", "participant", "--suffix", "bold"), "--suffix must be one of T1w, T2w, PDw"),
        (
            ("--participant-label", "01", "RAW", "OUT", "participant"),
            "in this order; labels go last, --p",
        ),
        (
            ("RAW", "OUT", "participant", "--suffix", "FLAIR"),
            "has no such anatomical image, but T2w",
        ),
        (("RAW", "OUT", "participant", "--participant-label", "9"), "has no sub-9, but sub-01; sub-02"),
        (("RAW", "RAW", "participant"), "is the raw data set; name another folder"),
        (("RAW", "s3://b/out", "participant"), "name a file on this machine"),
        (("OUT", "OUT2", "participant"), "no such file or folder"),
    ],
    ids=[
        "group level",
        "no level",
        "bold",
        "labels first",
        "no such suffix",
        "no such label",
        "into the raw data",
        "a URL",
        "nothing there",
    ],
)
def test_a_wrong_command_line_is_one_sentence(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    root = fabricate_bids.save_dataset(tmp_path / "raw", "sub-01/anat/sub-01_T2w.nii", "sub-02/anat/sub-02_T2w.nii")
    places = {"RAW": str(root), "OUT": str(tmp_path / "out"), "OUT2": str(tmp_path / "out2")}
    result = CliRunner().invoke(app, ["bids", *(places.get(word, word) for word in arguments)])
    assert result.exit_code in (2, 3)
    (line,) = result.stderr.splitlines()
    assert message in line
    assert not (tmp_path / "out").exists()


def test_a_data_set_without_thick_images_ends_with_2(tmp_path: Path) -> None:
    root = fabricate_bids.save_dataset(tmp_path / "raw")
    fabricate_bids.save_image(root / "sub-1/anat/sub-1_T1w.nii", fabricate_bids.ISOTROPIC, (9, 9, 9))
    result = CliRunner().invoke(app, ["bids", str(root), str(tmp_path / "out"), "participant"])
    assert result.exit_code == 2
    assert f"no scan to upsample found in {root}" in result.stderr
    assert not (tmp_path / "out" / "sub-1").exists()


def test_images_that_cannot_be_taken_fail_with_the_reason_and_no_job(tmp_path: Path) -> None:
    root = fabricate_bids.save_dataset(tmp_path / "raw", f"sub-1/anat/sub-1_acq-{'a' * 210}_T1w.nii")
    folder = root / "sub-1" / "anat"
    (folder / "sub-1_T2w.nii").write_bytes(b"")
    image = fabricate.multiframe(fabricate.slices(modality="MR"))
    image.save_as(folder / "sub-1_FLAIR.nii", enforce_file_format=True)
    result = CliRunner().invoke(app, ["bids", str(root), str(tmp_path / "out"), "participant", "--json"])
    reasons = {one["source"].rpartition("_")[2]: one["message"] for one in json.loads(result.stdout)["failed"]}
    assert result.exit_code == 8
    assert sorted(reasons) == ["FLAIR.nii", "T1w.nii", "T2w.nii"]
    assert reasons["T1w.nii"].endswith("the name of its result is longer than file systems take")
    assert reasons["T2w.nii"].endswith("the file is empty; copy or export it again")
    assert reasons["FLAIR.nii"].endswith("holds DICOM, where BIDS has NIfTI; convert it")
    assert not list((tmp_path / "out").rglob("*.nii.gz"))
