"""A name stands for the model of the scan's modality, on every way in and in everything that names the weights."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from make_jobs import make_job
from mr_models import MR_NAMES, ship_models
from nets import tiny
from typer.testing import CliRunner

from saint_cli import upsample, write_volume
from saint_cli.batch import job_keys
from saint_cli.batch.job_keys import is_same_job, make_key
from saint_cli.batch.job_records import JobRecord, JobStatus
from saint_cli.cli.app import app
from saint_cli.jobs import GridRequest, ModelConfig
from saint_cli.jobs.run import run_job
from saint_cli.models import shipped
from saint_cli.models.shipped import DEFAULT_MODEL
from saint_cli.progress import silent
from saint_cli.volume import Volume

FACTOR_2 = GridRequest(factor=2)


@pytest.fixture
def hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    folder = tmp_path / "weights"
    folder.mkdir()
    return ship_models(folder, monkeypatch)


def save(volume: Volume, path: Path) -> Path:
    write_volume(volume, path)
    return path


def mr_scan() -> Volume:
    return tiny.volume(dtype="uint16", modality=None)


@pytest.mark.parametrize(
    ("name", "modality", "model"),
    [
        ("auto", "CT", DEFAULT_MODEL),
        ("auto", "MR", f"mr-{DEFAULT_MODEL}"),
        ("auto", "PT", DEFAULT_MODEL),
        ("base", "MR", "base"),  # of this size there are no weights of MR here
        ("fast", "MR", "mr-fast"),
        ("fast", "PT", "fast"),
        ("mr-fast", "CT", "mr-fast"),
        ("mr-fast", "MR", "mr-fast"),
        ("fast.safetensors", "MR", "fast.safetensors"),
    ],
)
@pytest.mark.usefixtures("hashes")
def test_a_name_stands_for_the_model_of_the_modality(name: str, modality: str, model: str) -> None:
    assert shipped.resolve_name(name, modality) == model


def test_without_mr_weights_mr_gets_those_of_ct(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ship_models(tmp_path, monkeypatch, of_mr=())
    assert shipped.resolve_name("auto", "MR") == DEFAULT_MODEL


@pytest.mark.parametrize(
    ("scan", "modality", "model"),
    [(mr_scan(), None, "mr-fast"), (tiny.volume(), None, "fast"), (tiny.volume(), "MR", "mr-fast")],
    ids=["by values", "CT", "as the user says"],
)
def test_the_job_its_warnings_and_its_result_name_the_weights_that_were_used(
    scan: Volume, modality: str | None, model: str, tmp_path: Path, hashes: dict[str, str]
) -> None:
    config = ModelConfig("fast", "cpu", threads=1)
    source, target = save(scan, tmp_path / "in.nii"), tmp_path / "out.nii"
    done = run_job(make_job(source, target, FACTOR_2, config, modality=modality), silent)
    assert (done.model, done.weights_sha256) == (model, hashes[model])
    assert done.modality == ("MR" if model == "mr-fast" else "CT")
    assert not any("trained on" in warning for warning in done.warnings)


SPARSE_MR = ("mr-base", "mr-fast")
"""Weights of MR without the default's size."""


def warnings_of(scan: Volume, model: str, tmp_path: Path) -> list[str]:
    source = save(scan, tmp_path / "in.nii")
    job = make_job(source, tmp_path / "out.nii", FACTOR_2, ModelConfig(model, "cpu", threads=1))
    return [one for one in run_job(job, silent).warnings if "trained on" in one or "by its values" in one]


def test_a_size_that_mr_lacks_is_told_with_one_that_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ship_models(tmp_path, monkeypatch, SPARSE_MR)
    assert warnings_of(mr_scan(), DEFAULT_MODEL, tmp_path) == [
        f"read as MR by its values; `modality=ct` if it is HU; {DEFAULT_MODEL} was trained on CT only, "
        "and its size is not installed for MR: use `model=mr-base`"
    ]


@pytest.mark.usefixtures("hashes")
def test_a_scan_that_is_mr_by_its_values_only_is_told_with_weights_of_mr_too(tmp_path: Path) -> None:
    assert warnings_of(mr_scan(), "auto", tmp_path) == ["read as MR by its values; `modality=ct` if it is HU"]


def test_json_names_the_weights(tmp_path: Path, hashes: dict[str, str]) -> None:
    source = save(mr_scan(), tmp_path / "in.nii")
    result = CliRunner().invoke(app, ["upsample", str(source), "-o", str(tmp_path / "out.nii"), "-f", "2", "--json"])
    document = json.loads(result.stdout)
    name = f"mr-{DEFAULT_MODEL}"
    assert (document["model"], document["weights_sha256"]) == (name, hashes[name])


def test_weights_of_another_modality_are_warned_of(tmp_path: Path, hashes: dict[str, str]) -> None:
    config = ModelConfig("mr-fast", "cpu", threads=1)
    done = run_job(make_job(save(tiny.volume(), tmp_path / "in.nii"), tmp_path / "o.nii", FACTOR_2, config), silent)
    assert done.weights_sha256 == hashes["mr-fast"]
    assert "the scan is CT; mr-fast was trained on MR only" in done.warnings


def test_python_chooses_by_the_modality_too(hashes: dict[str, str]) -> None:
    made = [upsample(scan, 2, model="fast", device="cpu", threads=1) for scan in (mr_scan(), tiny.volume())]
    derivations = [one.header.derivation for one in made]
    assert [d.weights_sha256 for d in derivations if d] == [hashes["mr-fast"], hashes["fast"]]
    assert not np.array_equal(made[0].voxels, made[1].voxels)


def test_models_lists_what_names_mean_on_mr(hashes: dict[str, str]) -> None:
    result = CliRunner().invoke(app, ["models"])
    assert result.exit_code == 0
    assert f"mean {', '.join(MR_NAMES)}" in " ".join(result.output.split())


def done_record(planned: JobRecord, weights: str, modality: str | None) -> JobRecord:
    details = {} if modality is None else {"modality": modality}
    return replace(planned, status=JobStatus.DONE, key=make_key(planned, weights), details=details)


@pytest.mark.parametrize("name", ["auto", "fast"])
def test_a_batch_repeats_mr_but_not_ct_once_there_are_weights_for_mr(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_keys._hash_stand_in.cache_clear()
    before = ship_models(tmp_path, monkeypatch, of_mr=())
    planned = JobRecord("a.nii", "", JobStatus.BEGUN, "a", "a", name, {})
    planned = replace(planned, key=make_key(planned, job_keys.hash_weights(name)))
    model = DEFAULT_MODEL if name == "auto" else name
    old_mr, old_ct, old = (done_record(planned, before[model], kind) for kind in ("MR", "CT", None))
    assert all(is_same_job(record, planned) for record in (old_mr, old_ct, old))
    after = ship_models(tmp_path, monkeypatch)
    job_keys._hash_stand_in.cache_clear()
    assert [is_same_job(record, planned) for record in (old_mr, old_ct, old)] == [False, True, True]
    assert is_same_job(done_record(planned, after[f"mr-{model}"], "MR"), planned)
    job_keys._hash_stand_in.cache_clear()
