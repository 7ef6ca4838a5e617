"""Plans of a batch of one scan, and the manifest after its job."""

from dataclasses import replace
from pathlib import Path

from saint_cli.batch.find import find_scans
from saint_cli.batch.inputs import expand_inputs
from saint_cli.batch.job_records import JobFailure, JobRecord, JobStatus
from saint_cli.batch.manifest import ManifestState
from saint_cli.batch.output_names import name_outputs
from saint_cli.batch.plan import OutputStore, Plan, RerunPolicy, plan_jobs
from saint_cli.batch.search import SearchRules
from saint_cli.jobs import GridRequest, ModelConfig
from saint_cli.options.job import JobSettings

FAST = JobSettings(grid=GridRequest(factor=2), model_config=ModelConfig("fast"))


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
