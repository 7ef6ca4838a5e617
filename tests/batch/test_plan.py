import os
import shutil
from dataclasses import replace
from pathlib import Path

import fabricate
import pytest
from batch.planned_scans import DEFAULT_POLICY, FAST, planned, state_after
from label_scans import save_labels
from make_jobs import make_record

from saint_cli.batch.cluster import WorkerSlot
from saint_cli.batch.find import find_scans
from saint_cli.batch.inputs import expand_inputs
from saint_cli.batch.job_records import JobFailure, JobStatus
from saint_cli.batch.manifest import ManifestState
from saint_cli.batch.output_names import name_outputs
from saint_cli.batch.plan import OutputStore, Plan, RerunPolicy, plan_jobs
from saint_cli.batch.search import SearchRules
from saint_cli.io import write_volume
from saint_cli.jobs import GridRequest, ModelConfig
from saint_cli.options.job import JobSettings
from saint_cli.options.labels import LabelSettings
from saint_cli.options.method import MethodOptions


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


def with_labels(folder: Path) -> JobSettings:
    return replace(FAST, label_settings=LabelSettings(str(save_labels(folder / "labels.nii"))))


def test_labels_that_changed_since_they_were_planned_are_not_used(scan: Path, tmp_path: Path) -> None:
    from saint_cli.batch import worker  # with torch's version

    (task,) = planned(scan, ManifestState(), with_labels(tmp_path)).tasks
    os.utime(tmp_path / "labels.nii", (1, 1))
    record = worker._run(task, WorkerSlot(1))
    assert record.reason == f"{tmp_path / 'labels.nii'}: changed since it was found; run the same command again"
    assert not task.job.target.exists()


def test_labels_alone_that_a_killed_job_left_are_replaced(scan: Path, tmp_path: Path) -> None:
    settings, state = with_labels(tmp_path), ManifestState()
    (task,) = planned(scan, state, settings).tasks
    assert not task.job.overwrite
    task.job.labels_target.parent.mkdir()
    task.job.labels_target.touch()
    state.add(task.record)
    (again,) = planned(scan, state, settings).tasks
    assert again.job.overwrite
