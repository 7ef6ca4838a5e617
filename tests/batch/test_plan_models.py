from dataclasses import replace
from pathlib import Path

import pytest
from batch.planned_scans import FAST, planned, state_after

from saint_cli.batch.job_keys import make_key
from saint_cli.batch.manifest import ManifestState
from saint_cli.jobs import GridRequest, ModelConfig
from saint_cli.models import shipped


@pytest.mark.parametrize(("made_by", "is_kept"), [("medium", True), ("base", False), ("fast", False)])
def test_auto_keeps_what_the_default_model_made_alone(scan: Path, made_by: str, is_kept: bool) -> None:
    state = state_after(planned(scan, ManifestState(), replace(FAST, model_config=ModelConfig(made_by))), "done")
    assert bool(planned(scan, state, replace(FAST, model_config=ModelConfig("auto"))).tasks) != is_kept


@pytest.mark.parametrize("model", ["fast", "auto", "base"])
def test_what_no_networks_made_is_kept_for_every_model_and_without_a_page(scan: Path, model: str) -> None:
    plan = planned(scan, ManifestState())
    state = state_after(plan, "done")
    made = replace(state.latest["a.mha"], weights_sha256="", key=make_key(plan.tasks[0].record, ""))
    state.latest["a.mha"] = made  # as the worker records it
    plan.tasks[0].job.page.unlink()
    settings = replace(FAST, model_config=ModelConfig(model))
    assert len(planned(scan, state, settings).kept_records) == 1
    assert planned(scan, state, replace(settings, grid=GridRequest(factor=3))).tasks


def test_what_auto_made_is_kept_for_the_model_that_made_it_alone(scan: Path) -> None:
    (task,) = planned(scan, ManifestState(), replace(FAST, model_config=ModelConfig("auto"))).tasks
    assert task.job.settings.model_config.model == "auto"
    state = state_after(planned(scan, ManifestState(), replace(FAST, model_config=ModelConfig("auto"))), "done")
    key = make_key(task.record, shipped.weights_sha256("medium"))  # as the worker records it
    state.latest[task.target] = replace(state.latest[task.target], key=key)
    assert not planned(scan, state, replace(FAST, model_config=ModelConfig("auto"))).tasks
    assert not planned(scan, state, replace(FAST, model_config=ModelConfig("medium"))).tasks
    for other in ("base", "fast"):
        assert planned(scan, state, replace(FAST, model_config=ModelConfig(other))).tasks


def test_auto_keeps_nothing_that_other_weights_made(scan: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.safetensors"
    own.write_bytes(b"weights")
    state = state_after(planned(scan, ManifestState(), replace(FAST, model_config=ModelConfig(str(own)))), "done")
    assert planned(scan, state, replace(FAST, model_config=ModelConfig("auto"))).tasks


def test_a_model_of_a_row_that_does_not_exist_is_refused_before_anything_runs(scan: Path) -> None:
    plan = planned(scan, ManifestState(), replace(FAST, model_config=ModelConfig("fastest")))
    assert not plan.tasks
    assert "no model or weights file 'fastest'" in plan.refused_records[0].reason


def test_auto_does_not_take_the_failure_of_one_model_for_its_own(scan: Path) -> None:
    state = state_after(
        planned(scan, ManifestState(), replace(FAST, model_config=ModelConfig("base"))), "failed", "WorkerKilledError"
    )
    assert planned(scan, state, replace(FAST, model_config=ModelConfig("auto"))).tasks


def test_a_name_in_capitals_keeps_what_the_name_made_and_stays_a_name(scan: Path) -> None:
    (task,) = planned(scan, ManifestState(), replace(FAST, model_config=ModelConfig("MEDIUM"))).tasks
    assert task.record.model == task.job.settings.model_config.model == "medium"
    state = state_after(planned(scan, ManifestState(), replace(FAST, model_config=ModelConfig("medium"))), "done")
    for name in ("MEDIUM", "Auto"):
        assert not planned(scan, state, replace(FAST, model_config=ModelConfig(name))).tasks
