import os
import shutil
from dataclasses import replace
from pathlib import Path

import fabricate
import pytest
from make_jobs import make_record

from saint_cli.batch.cluster import WorkerSlot
from saint_cli.batch.find import find_scans
from saint_cli.batch.inputs import expand_inputs
from saint_cli.batch.job_keys import make_key
from saint_cli.batch.job_records import JobFailure, JobRecord, JobStatus
from saint_cli.batch.manifest import ManifestState
from saint_cli.batch.output_names import name_outputs
from saint_cli.batch.plan import OutputStore, Plan, RerunPolicy, plan_jobs
from saint_cli.batch.report_pages import write_page_index
from saint_cli.batch.search import SearchRules
from saint_cli.io import write_volume
from saint_cli.jobs import GridRequest, ModelConfig
from saint_cli.models import shipped
from saint_cli.options.job import JobSettings
from saint_cli.options.method import MethodOptions

FAST = JobSettings(grid=GridRequest(factor=2), model_config=ModelConfig("fast"))


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "a.nii"
    write_volume(fabricate.volume(), path)
    return path


DEFAULT_POLICY = RerunPolicy()


def planned(
    scan: Path,
    state: ManifestState,
    settings: JobSettings = FAST,
    rerun_policy: RerunPolicy = DEFAULT_POLICY,
    form: str = "mha",
) -> Plan:
    state_dir = scan.parent.parent / "out"
    found = find_scans(expand_inputs([scan.parent]), SearchRules(lambda row: settings, state_dir), lambda count: None)
    return plan_jobs(OutputStore(state_dir), found, name_outputs(found.scans, "{path}", form), state, rerun_policy)


def state_after(plan: Plan, status: str, error_class: str | None = None) -> ManifestState:
    """The manifest as it is when the plan's only job has ended; its result exists if it is done."""
    (task,) = plan.tasks
    error = None if error_class is None else JobFailure(error_class, "", 3)
    state = ManifestState()
    state.add(JobRecord.from_line(replace(task.record, status=JobStatus(status), error=error).to_line()))
    if status == "done":
        for file in (task.job.target, task.job.page):
            assert file is not None
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    return state


def test_what_is_done_and_unchanged_is_kept(scan: Path) -> None:
    state = state_after(planned(scan, ManifestState()), "done")
    plan = planned(scan, state)
    assert (len(plan.tasks), len(plan.kept_records)) == (0, 1)


@pytest.mark.parametrize(
    "settings",
    [
        replace(FAST, grid=GridRequest(factor=3)),
        replace(FAST, model_config=ModelConfig("base")),
        replace(FAST, method_options=MethodOptions(tta=True)),
        replace(FAST, modality="MR"),
        replace(FAST, outside_data=True),
    ],
    ids=["grid", "weights", "method", "modality", "data files"],
)
def test_other_options_or_weights_are_a_reason_to_run_again(scan: Path, settings: JobSettings) -> None:
    state = state_after(planned(scan, ManifestState()), "done")
    assert len(planned(scan, state, settings).tasks) == 1


def test_other_devices_and_threads_are_not(scan: Path) -> None:
    state = state_after(planned(scan, ManifestState()), "done")
    assert not planned(scan, state, replace(FAST, model_config=ModelConfig("fast", "cpu", "auto", 3, 7))).tasks


def test_a_touched_input_or_a_result_that_is_gone_is_a_reason_to_run_again(scan: Path) -> None:
    state = state_after(planned(scan, ManifestState()), "done")
    os.utime(scan, (1, 1))
    assert len(planned(scan, state).tasks) == 1
    state = ManifestState()
    shutil.rmtree(scan.parent.parent / "out")
    state = state_after(planned(scan, ManifestState()), "done")
    (scan.parent.parent / "out" / "a.mha").unlink()
    assert len(planned(scan, state).tasks) == 1


def test_a_page_that_is_gone_is_a_reason_to_run_again_where_pages_are_wanted(scan: Path) -> None:
    state = state_after(planned(scan, ManifestState()), "done")
    (page,) = (scan.parent.parent / "out" / "report").rglob("*.html")
    page.unlink()
    assert len(planned(scan, state).tasks) == 1
    assert not planned(scan, state, rerun_policy=RerunPolicy(pages=False)).tasks


def test_failures_that_lie_in_the_input_are_only_tried_again_on_demand_and_others_always(scan: Path) -> None:
    for error, again in (
        ("UnreadableError", 0),
        ("GeometryError", 0),
        ("WorkerKilledError", 0),
        ("OutputError", 1),
        ("ClusterError", 1),
    ):
        state = state_after(planned(scan, ManifestState()), "failed", error)
        assert len(planned(scan, state).tasks) == again
        assert len(planned(scan, state, rerun_policy=RerunPolicy(retry_failed=True)).tasks) == 1
    earlier = replace(state.latest["a.mha"], error=JobFailure("UnreadableError", "", 3))
    state.latest["a.mha"] = earlier
    assert not planned(scan, state).tasks
    state.latest["a.mha"] = replace(earlier, versions={"saint": "0.0.1"})
    assert len(planned(scan, state).tasks) == 1


def test_files_that_no_batch_wrote_are_not_replaced_unless_asked(scan: Path) -> None:
    target = scan.parent.parent / "out" / "a.mha"
    target.parent.mkdir()
    target.touch()
    assert planned(scan, ManifestState()).refused_records[0].error.error_class == "UsageError"
    assert len(planned(scan, ManifestState(), rerun_policy=RerunPolicy(overwrite=True)).tasks) == 1
    begun = ManifestState()
    begun.add(make_record("a.mha"))
    assert len(planned(scan, begun).tasks) == 1


def test_the_result_of_another_scan_that_is_still_there_is_not_replaced_unless_asked(scan: Path) -> None:
    for patient in ("p1", "p2"):
        write_volume(fabricate.volume(), scan.parents[1] / patient / "in" / "a.nii")
        os.utime(scan.parents[1] / patient / "in" / "a.nii", (7, int(patient[1])))
    first, second = (scan.parents[1] / patient / "in" / "a.nii" for patient in ("p1", "p2"))

    def plan(path: Path, state: ManifestState, rerun_policy: RerunPolicy = DEFAULT_POLICY) -> Plan:
        found = find_scans(
            expand_inputs([path]), SearchRules(lambda row: FAST, scan.parents[1] / "out"), lambda count: None
        )
        store = OutputStore(scan.parents[1] / "out")
        return plan_jobs(store, found, name_outputs(found.scans, "{path}", "mha"), state, rerun_policy)

    state = state_after(plan(first, ManifestState()), "done")
    refused = plan(second, state)
    assert not refused.tasks
    (record,) = refused.refused_records
    assert f"a.mha: is the result of {first}, another scan" in record.reason
    state.add(record)  # as a batch records it
    assert len(plan(second, state).refused_records) == 1
    assert len(plan(first, state).kept_records) == 1
    assert len(plan(second, state, RerunPolicy(overwrite=True)).tasks) == 1
    shutil.copy2(first, second)  # the same scan in another place
    assert len(plan(second, state).kept_records) == 1
    os.utime(second, (9, 9))
    first.unlink()
    assert len(plan(second, state).tasks) == 1


def test_a_scan_is_the_same_by_whatever_path_it_is_named(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(scan.parents[1])
    state = state_after(planned(Path("in/a.nii"), ManifestState()), "done")
    (scan.parents[1] / "link").symlink_to("in")
    os.utime(scan, (1, 1))
    for same in (scan, scan.parents[1] / "link" / "a.nii"):
        assert len(planned(same, state).tasks) == 1
    write_volume(fabricate.volume(), scan.parents[1] / "other" / "in" / "a.nii")
    os.utime(scan.parents[1] / "other" / "in" / "a.nii", (2, 2))
    monkeypatch.chdir(scan.parents[1] / "other")
    (scan.parents[1] / "other" / "out").symlink_to("../out")
    (refused,) = planned(Path("in/a.nii"), state).refused_records
    assert f"is the result of {scan}" in refused.reason


def test_a_failed_job_that_had_begun_may_have_written_its_result(scan: Path) -> None:
    (task,) = planned(scan, ManifestState()).tasks
    task.job.target.parent.mkdir()
    task.job.target.touch()
    never, late = (JobFailure(name, "", code) for name, code in (("UsageError", 2), ("SourceChangedError", 3)))
    killed = JobFailure("WorkerKilledError", "", 6)
    for error, seconds, again in ((never, None, 0), (late, 3.0, 1), (killed, None, 1)):
        state = ManifestState()
        state.add(replace(task.record, status=JobStatus.FAILED, error=error, seconds=seconds))
        plan = planned(scan, state, rerun_policy=RerunPolicy(retry_failed=True))
        assert (len(plan.tasks), len(plan.refused_records)) == (again, 1 - again)


def test_dicom_of_what_is_not_dicom_is_a_failure_before_anything_runs(scan: Path) -> None:
    plan = planned(scan, ManifestState(), form="dicom")
    assert not plan.tasks
    assert "DICOM" in plan.refused_records[0].reason


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


def test_two_results_never_lead_to_one_file_by_links_in_the_output_folder(scan: Path) -> None:
    state_dir = scan.parents[1] / "out"
    for name in ("p", "q"):
        write_volume(fabricate.volume(), scan.parent / name / "ct.nii")
    (state_dir / "p").mkdir(parents=True)
    (state_dir / "q").symlink_to("p")
    plan = planned(scan, ManifestState())
    assert {task.target for task in plan.tasks} == {"a.mha", "p/ct.mha"}
    (refused_records,) = plan.refused_records
    assert "q/ct.mha: leads to the result p/ct.mha" in refused_records.reason
    assert refused_records.error.error_class == "UsageError"


def test_a_result_never_replaces_a_scan_that_a_link_in_the_output_folder_leads_to(scan: Path) -> None:
    """The page of the batch says so without the folders of that scan, which may be of another patient."""
    state_dir, other = scan.parents[1] / "out", scan.parent / "SECRET" / "ct.mha"
    write_volume(fabricate.volume(), other)
    write_volume(fabricate.volume(), scan.parent / "p" / "ct.nii")
    state_dir.mkdir()
    (state_dir / "p").symlink_to(other.parent)
    plan = planned(scan, ManifestState(), rerun_policy=RerunPolicy(overwrite=True))
    assert {task.target for task in plan.tasks} == {"a.mha", "SECRET/ct.mha"}
    (refused,) = plan.refused_records
    assert f"leads to the input {other}" in refused.reason
    page = write_page_index(state_dir, [JobRecord.from_line(refused.to_line())]).read_text()
    assert "leads to the input ct.mha; remove the link" in page
    assert "SECRET" not in page


def test_results_that_were_made_hard_links_of_each_other_are_results_still(scan: Path) -> None:
    shutil.copy(scan, scan.with_name("b.nii"))
    state_dir, state = scan.parents[1] / "out", ManifestState()
    for task in planned(scan, state).tasks:
        state.add(replace(task.record, status=JobStatus.DONE))
    state_dir.mkdir()
    (state_dir / "a.mha").write_text("result")
    os.link(state_dir / "a.mha", state_dir / "b.mha")
    plan = planned(scan, state, rerun_policy=RerunPolicy(pages=False))
    assert (len(plan.kept_records), plan.refused_records) == (2, [])


def test_a_scan_that_changed_since_it_was_planned_is_not_computed_and_tried_again_by_the_next_run(scan: Path) -> None:
    from saint_cli.batch import worker  # with torch's version

    (task,) = planned(scan, ManifestState()).tasks
    write_volume(fabricate.volume((24, 20, 7)), scan, overwrite=True)
    record = worker._run(task, WorkerSlot(1))
    assert record.error.error_class == "SourceChangedError"
    assert record.reason == f"{scan}: changed since it was found; run the same command again"
    assert not task.job.target.exists()
    state = ManifestState()
    state.add(record)
    assert len(planned(scan, state).tasks) == 1
