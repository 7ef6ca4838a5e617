"""What a batch says before it begins: model, workers, time, and the time with the other model."""

from dataclasses import replace
from pathlib import Path

import pytest

from saint_cli.batch.estimate import Clock
from saint_cli.batch.find import Rules
from saint_cli.batch.finish import Summary
from saint_cli.batch.plan import Task, Wishes
from saint_cli.batch.whole import Order, _announced, look
from saint_cli.engine import Crew
from saint_cli.errors import UsageError
from saint_cli.jobs import Engine, Job


def task(millions: float, model: str = "fast") -> Task:
    """A job of so many million output voxels."""
    voxels = int(millions * 1e6)
    entry = {"model": model, "options": {"tta": False, "directions": 2}, "voxels_after": voxels}
    return Task(Path(), "t", Job(Path(), Path()), entry, voxels)


@pytest.mark.parametrize(
    ("crew", "model", "told"),
    [
        (Crew(2, 1), "auto", "1 job with model fast, 2 workers with 1 thread each, about"),
        (Crew(1, 4, 1, device="cuda"), "auto", "1 job with model base, 1 worker with a GPU each, about"),
        (Crew(1, 2, device="mps"), "auto", "1 job with model base, 1 worker with 2 threads each, about"),
        (Crew(1, 1), "/models/own.safetensors", "1 job with model own.safetensors, 1 worker with"),
        (Crew(scheduler="tcp://h:1"), "auto", "1 job with model auto for the cluster at tcp://h:1"),
    ],
    ids=["CPU", "GPU", "Apple GPU", "own weights", "cluster"],
)
def test_the_model_is_named(crew: Crew, model: str, told: str) -> None:
    assert _announced(crew, [task(1, model)], Clock(crew)).startswith(told)


def test_a_long_batch_tells_the_time_of_the_other_model() -> None:
    assert "; base would take about" in _announced(Crew(1, 1), [task(500, "auto")], Clock(Crew(1, 1)))
    assert "; fast would take about" in _announced(Crew(1, 1), [task(500, "base")], Clock(Crew(1, 1)))
    assert "would take" not in _announced(Crew(1, 1), [task(1, "auto")], Clock(Crew(1, 1)))
    assert "would take" not in _announced(Crew(1, 1), [task(500, "base"), task(5, "fast")], Clock(Crew(1, 1)))


def test_cores_that_are_not_used_are_told() -> None:
    crew = replace(Crew(1, 1), note="1 of 2 cores is busy; --workers 2 would use all")
    assert _announced(crew, [task(1)], Clock(crew)).endswith("; 1 of 2 cores is busy; --workers 2 would use all")


def test_results_of_several_models_are_told(tmp_path: Path) -> None:
    def summary(*models: str) -> Summary:
        records = tuple({"status": "done", "model": model} for model in models)
        return Summary(tmp_path, records, 0, 0, (), {}, 0.0)

    assert summary("fast", "fast").mixture is None
    assert summary().mixture is None
    mixed = summary("fast", "base", "fast")
    assert mixed.models == {"fast": 2, "base": 1}
    assert mixed.mixture == "results of several models: 1 by base, 2 by fast; -m MODEL makes all others anew with one"


def test_the_manifest_of_the_output_folder_is_no_table_of_scans(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text("")
    (tmp_path / "link.jsonl").symlink_to("manifest.jsonl")
    rules = Rules(lambda row: Job(Path(), Path()), tmp_path)
    order = Order((tmp_path / "link.jsonl",), rules, Wishes(), Engine())
    with pytest.raises(UsageError, match=r"manifest\.jsonl is the manifest of the output folder"):
        look(order, lambda count: None)
