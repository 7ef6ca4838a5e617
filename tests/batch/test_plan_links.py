import os
import shutil
from dataclasses import replace
from pathlib import Path

import fabricate
from batch.planned_scans import planned

from saint_cli.batch.job_records import JobRecord, JobStatus
from saint_cli.batch.manifest import ManifestState
from saint_cli.batch.plan import RerunPolicy
from saint_cli.batch.report_pages import write_page_index
from saint_cli.io import write_volume


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
