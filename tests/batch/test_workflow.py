"""What a batch says before it begins: model, workers, time, and the time with another model."""

from dataclasses import replace
from pathlib import Path

import pytest
from make_jobs import make_record, make_task

from saint_cli.batch.dask_client import ClusterSpec
from saint_cli.batch.estimate import TimeEstimator
from saint_cli.batch.job_records import JobStatus
from saint_cli.batch.plan import Plan, RerunPolicy, Task
from saint_cli.batch.search import SearchRules
from saint_cli.batch.summary import Summary, summarize
from saint_cli.batch.workflow import BatchRequest, _describe_batch, discover
from saint_cli.errors import UsageError
from saint_cli.jobs import ModelConfig
from saint_cli.options.job import JobSettings


def task(millions: float, model: str = "fast") -> Task:
    """A job of so many million output voxels."""
    return make_task("t", millions, model)


@pytest.mark.parametrize(
    ("spec", "model", "expected"),
    [
        (ClusterSpec(2, 1), "auto", "1 job with model medium, 2 workers with 1 thread each, about"),
        (ClusterSpec(1, 4, 1), "auto", "1 job with model medium, 1 worker with a GPU each, about"),
        (ClusterSpec(1, 1), "/models/own.safetensors", "1 job with model own.safetensors, 1 worker with"),
        (ClusterSpec(scheduler="tcp://h:1"), "auto", "1 job with model medium for the cluster at tcp://h:1"),
    ],
    ids=["CPU", "GPU", "own weights", "cluster"],
)
def test_the_model_is_named(spec: ClusterSpec, model: str, expected: str) -> None:
    assert _describe_batch(spec, [task(1, model)], TimeEstimator(spec)).startswith(expected)


def test_a_long_batch_announces_the_time_of_another_model() -> None:
    for model, other in (("auto", "fast"), ("base", "medium"), ("fast", "medium")):
        assert f"; {other} would take about" in _describe_batch(
            ClusterSpec(1, 1), [task(500, model)], TimeEstimator(ClusterSpec(1, 1))
        )
    assert "would take" not in _describe_batch(ClusterSpec(1, 1), [task(1, "auto")], TimeEstimator(ClusterSpec(1, 1)))
    assert "would take" not in _describe_batch(
        ClusterSpec(1, 1), [task(500, "base"), task(5, "fast")], TimeEstimator(ClusterSpec(1, 1))
    )


def test_the_time_of_another_model_is_left_out_where_it_is_the_same() -> None:
    class EqualTimes(TimeEstimator):
        def seconds_left(self, *rest: object) -> float:
            return 400.0

    spec = ClusterSpec(1, 1)
    assert "would take" not in _describe_batch(spec, [task(500, "auto")], EqualTimes(spec))


def test_cores_that_are_not_used_are_announced() -> None:
    spec = replace(ClusterSpec(1, 1), note="1 of 2 cores is busy; --workers 2 would use all")
    assert _describe_batch(spec, [task(1)], TimeEstimator(spec)).endswith(
        "; 1 of 2 cores is busy; --workers 2 would use all"
    )


def test_results_of_several_models_are_reported(tmp_path: Path) -> None:
    def summary(*models: str) -> Summary:
        records = tuple(make_record(status=JobStatus.DONE, model=model) for model in models)
        return Summary(Plan(tmp_path), records, 0.0)

    assert summary("fast", "fast").mixture is None
    assert summary().mixture is None
    assert summary("fast", "mr-fast", "fast").mixture is None
    assert summary("medium", "slab-medium").mixture is None
    averaged = make_record(status=JobStatus.DONE, model="no networks", weights_sha256="")
    assert Summary(Plan(tmp_path), (averaged, *summary("fast").ran), 0.0).mixture is None
    mixed = summary("fast", "base", "fast")
    assert mixed.models == {"fast": 2, "base": 1}
    assert mixed.mixture == "results of several models: 1 by base, 2 by fast; -m MODEL makes all others anew with one"
    assert summary("base", "mr-fast").mixture is not None


def test_the_list_of_all_scans_keeps_results_of_earlier_runs_that_are_there(tmp_path: Path) -> None:
    here, gone, again, failed = (f"{name}.nii" for name in ("here", "gone", "again", "failed"))
    earlier = [*(make_record(name, JobStatus.DONE) for name in (here, gone, again)), make_record(failed)]
    for name in (here, again, failed):
        (tmp_path / name).touch()
    plan = Plan(tmp_path, kept_records=[make_record(again, JobStatus.DONE)])
    summary = summarize(plan, (), earlier=earlier, with_index=True)
    assert summary.to_json()["done"] == 1
    assert summary.index is not None
    text = summary.index.read_text()
    assert [text.count(f">{name}<") > 0 for name in (here, gone, again, failed)] == [True, False, True, False]


def test_the_manifest_of_the_output_folder_is_no_table_of_scans(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text("")
    (tmp_path / "link.jsonl").symlink_to("manifest.jsonl")
    rules = SearchRules(lambda row: JobSettings(), tmp_path)
    request = BatchRequest((tmp_path / "link.jsonl",), rules, RerunPolicy(), ModelConfig())
    with pytest.raises(UsageError, match=r"manifest\.jsonl is the manifest of the output folder"):
        discover(request, lambda count: None)
