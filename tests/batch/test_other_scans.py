"""Results of one output folder that are of other scans: they stay, and so does what is known of them."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import fabricate
import nibabel as nib
import numpy as np
import pytest

from saint_cli.batch.cluster import WorkerSlot
from saint_cli.batch.find import find_scans
from saint_cli.batch.inputs import expand_inputs
from saint_cli.batch.job_records import JobRecord, JobStatus
from saint_cli.batch.manifest import ManifestState, open_manifest
from saint_cli.batch.output_names import name_outputs
from saint_cli.batch.plan import OutputStore, Plan, RerunPolicy, plan_jobs
from saint_cli.batch.search import SearchRules
from saint_cli.batch.workflow import BatchPart, BatchRequest, discover, run_parts
from saint_cli.cli.job_options import merge_row
from saint_cli.io import write_volume
from saint_cli.options.job import make_settings

DEFAULT_POLICY = RerunPolicy()


def plan_of(out: Path, source: Path, state: ManifestState, policy: RerunPolicy = DEFAULT_POLICY, **more: str) -> Plan:
    """The plan of a file, folder or table; ``more``: options of the command line."""
    typed = {"factor": 2, "axis": "z", "model": "fast", **more}
    rules = SearchRules(lambda row: make_settings(merge_row(typed, row)), out)
    found = find_scans(expand_inputs([source]), rules, lambda count: None)
    return plan_jobs(OutputStore(out), found, name_outputs(found.scans, "{path}", "mha"), state, policy)


def table_of(folder: Path, source: str, column: str, value: str) -> Path:
    """A table that takes one series or volume of a scan."""
    table = folder / f"{column}-{value}.csv"
    table.write_text(f"source,{column}\n{source},{value}\n")
    return table


def finish(plan: Plan) -> ManifestState:
    """The manifest once the only job of a plan is done; its result is there."""
    (task,) = plan.tasks
    for file in (task.job.target, task.job.page):
        assert isinstance(file, Path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    state = ManifestState()
    state.add(JobRecord.from_line(replace(task.record, status=JobStatus.DONE).to_line()))
    return state


def test_the_result_of_another_series_of_a_folder_is_not_replaced_unless_asked(tmp_path: Path) -> None:
    for made in (fabricate.slices(6), fabricate.slices(4, modality="MR")):
        fabricate.save(made, tmp_path / "study")
    first, second = (table_of(tmp_path, "study", "series", number) for number in ("1", "2"))
    state = finish(plan_of(tmp_path / "out", first, ManifestState()))
    refused = plan_of(tmp_path / "out", second, state)
    assert not refused.tasks
    (record,) = refused.refused_records
    assert f"study.mha: is the result of another series of {tmp_path / 'study'}; if that was exported" in record.reason
    state.add(record)  # as a batch records it
    assert len(plan_of(tmp_path / "out", first, state).kept_records) == 1
    assert len(plan_of(tmp_path / "out", second, state, RerunPolicy(overwrite=True)).tasks) == 1


def test_a_folder_exported_anew_with_new_uids_is_refused_with_what_happened_and_what_to_type(tmp_path: Path) -> None:
    study, series = tmp_path / "study", fabricate.slices(6)
    state = finish(plan_of(tmp_path / "out", fabricate.save(series, study), ManifestState()))
    for number, one in enumerate(series):
        one.SeriesInstanceUID, one.SOPInstanceUID = "1.2.3.4", f"1.2.3.4.{number}"
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
    shutil.rmtree(study)
    fabricate.save(series, study)
    (record,) = plan_of(tmp_path / "out", study, state).refused_records
    happened = f"the result of another series of {study}; if that was exported anew, with new series UIDs, pass"
    assert happened in record.reason
    assert "pass --overwrite to replace the outdated result; if it holds both series, name results" in record.reason
    assert "1.2.3.4" not in record.reason
    assert len(plan_of(tmp_path / "out", study, state, RerunPolicy(overwrite=True)).tasks) == 1


@pytest.mark.parametrize(("first", "second"), [("1", "2"), ("all", "2"), ("2", "all")])
def test_the_result_of_another_volume_of_a_file_is_not_replaced_unless_asked(
    tmp_path: Path, first: str, second: str
) -> None:
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 4, 3), np.int16), np.diag([1, 1, 5, 1])), tmp_path / "dynamic.nii")
    earlier, later = (table_of(tmp_path, "dynamic.nii", "volume", which) for which in (first, second))
    state = finish(plan_of(tmp_path / "out", earlier, ManifestState()))
    (record,) = plan_of(tmp_path / "out", later, state).refused_records
    assert f"is the result of another volume of {tmp_path / 'dynamic.nii'}; name results apart" in record.reason
    assert len(plan_of(tmp_path / "out", earlier, state).kept_records) == 1
    assert len(plan_of(tmp_path / "out", later, state, RerunPolicy(overwrite=True)).tasks) == 1


def test_a_scan_that_got_volumes_in_its_place_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii"
    write_volume(fabricate.volume(), path)
    state = finish(plan_of(tmp_path / "out", path, ManifestState(), volume="all"))
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 4, 3), np.int16), np.diag([1, 1, 5, 1])), path)
    os.utime(path, (1, 1))
    assert len(plan_of(tmp_path / "out", path, state, volume="all").tasks) == 1


def test_a_file_that_came_since_the_plan_is_not_replaced_by_this_run_nor_the_next(tmp_path: Path) -> None:
    from saint_cli.batch import worker  # with torch's version

    write_volume(fabricate.volume(), tmp_path / "scan.nii")
    (task,) = plan_of(tmp_path / "out", tmp_path / "scan.nii", ManifestState()).tasks
    target = tmp_path / "out" / "scan.mha"
    with open_manifest(tmp_path / "out"):
        target.write_text("of another run")
        record = worker.run_task(task, WorkerSlot(1))
    assert f"{target}: exists already" in record.reason
    assert target.read_text() == "of another run"
    state = ManifestState()
    state.add(JobRecord.from_line(record.to_line()))
    (refused,) = plan_of(tmp_path / "out", tmp_path / "scan.nii", state).refused_records
    assert "no job of this batch wrote it" in refused.reason
    (task,) = plan_of(tmp_path / "out", tmp_path / "scan.nii", state, RerunPolicy(overwrite=True)).tasks
    assert task.job.overwrite


def test_a_refusal_is_recorded_once_beside_the_result_that_stays_and_shows_nothing_of_its_scan(tmp_path: Path) -> None:
    out, sources = tmp_path / "out", [tmp_path / patient / "ct.nii" for patient in ("SECRET", "p2")]
    for time, source in enumerate(sources):
        write_volume(fabricate.volume(), source)
        os.utime(source, (7, time))
    (done,) = finish(plan_of(out, sources[0], ManifestState())).latest.values()
    with open_manifest(out) as opened:
        opened.append(replace(done, page=str(out / "report" / "ct.html")))
    settings = make_settings({"factor": 2, "model": "fast"})
    rules = SearchRules(lambda row: settings, out)
    request = BatchRequest((sources[1],), rules, RerunPolicy(), settings.model_config, "mha")
    for _ in range(2):
        parts = [BatchPart(request, discover(request, lambda count: None))]
        summary = run_parts(parts, lambda *given: None, lambda text: None)
        (failed,) = summary.with_status(JobStatus.FAILED)
        assert f"is the result of {sources[0]}, another scan; name results apart with --name-template" in failed.reason
        assert summary.index is not None
        page = summary.index.read_text()
        assert "is the result of ct.nii, another scan" in page
        assert "./ct.html" in page
        assert "SECRET" not in page
    statuses = [JobRecord.from_line(line).status for line in (out / "manifest.jsonl").read_bytes().splitlines()]
    assert statuses == [JobStatus.DONE, JobStatus.FAILED]
