"""How ``saint batch --dry-run`` shows what a run would do."""

from typing import Any

from saint_cli.batch.job_records import JobStatus
from saint_cli.batch.manifest import ManifestState, describe_damaged
from saint_cli.batch.plan import Plan
from saint_cli.batch.summary import Summary, count_done, forecast
from saint_cli.batch.workflow import BatchRequest, size_cluster
from saint_cli.cli import console
from saint_cli.cli.batch_view import NameScan, name_by_result, show_failures, show_skipped, show_whether_empty
from saint_cli.errors.plain_text import format_count
from saint_cli.geometry import format_shape
from saint_cli.progress import format_duration


def show_plan(
    request: BatchRequest,
    plan: Plan,
    state: ManifestState,
    *,
    quiet: bool,
    as_json: bool,
    name_scan: NameScan = name_by_result,
) -> int:
    """What would be run, with the time it would take, and what would not; with ``quiet`` the scans that fail alone.

    Returns the exit code of the run if all its jobs end well.
    """
    damaged, outcome = describe_damaged(state.damaged, "to be set aside"), forecast(plan)
    if damaged is not None:
        console.print_warning(damaged)
    if as_json:
        console.print_json(_make_document(request, outcome, state))
        return outcome.exit_code
    if plan.tasks and not quiet:
        _show_tasks(request, plan, state, name_scan)
    show_failures(outcome.with_status(JobStatus.FAILED), name_scan)
    if not quiet:
        show_skipped(plan.skipped, plan.ignored)
        console.print_message(_format_counts(plan))
    show_whether_empty(outcome, request)
    return outcome.exit_code


def _format_counts(plan: Plan) -> str:
    done = count_done(plan.kept_records)
    counts = [f"{len(plan.tasks):,} to do", f"{done:,} already done"]
    if not_done := len(plan.kept_records) - done:
        counts.append(f"{not_done:,} failed or skipped before")
    return ", ".join([*counts, f"{len(plan.refused_records):,} cannot be done"])


def _make_document(request: BatchRequest, outcome: Summary, state: ManifestState) -> dict[str, Any]:
    """The plan for scripts."""
    plan, jobs, total = outcome.plan, list[dict[str, Any]](), 0.0
    if plan.tasks:
        _, estimator = size_cluster(request, plan, state)
        total = estimator.seconds_left(plan.tasks)
        jobs = [
            {
                "name": task.record.name,
                "source": task.record.source,
                "target": task.record.target,
                "seconds": round(estimator.seconds(task), 1),
            }
            for task in plan.tasks
        ]
    return {
        "jobs": jobs,
        "kept": len(plan.kept_records),
        "failed": [{"name": record.name, **record.error_to_json()} for record in outcome.with_status(JobStatus.FAILED)],
        "skipped": [{"name": name, "reason": reason} for name, reason in plan.skipped],
        "seconds": round(total),
        "exit_code": outcome.exit_code,
    }


def _show_tasks(request: BatchRequest, plan: Plan, state: ManifestState, name_scan: NameScan) -> None:
    """A table of the jobs, and on which workers they take how long."""
    spec, estimator = size_cluster(request, plan, state)
    rows = []
    for task in plan.tasks:
        shape = task.record.shape_before
        voxels = "-" if shape is None else format_shape(shape)
        rows.append((name_scan(task.record), voxels, task.target, format_duration(estimator.seconds(task))))
    console.print_table("Plan", ("scan", "voxels", "result", "about"), rows)
    workers = (
        "on the cluster (if it had one worker)"
        if spec.scheduler
        else f"by {format_count(spec.workers, 'worker')} with {format_count(spec.threads, 'thread')} each"
    )
    jobs, total = format_count(len(plan.tasks), "job"), format_duration(estimator.seconds_left(plan.tasks))
    console.print_message(f"{jobs} {workers}, about {total}; nothing was written")
