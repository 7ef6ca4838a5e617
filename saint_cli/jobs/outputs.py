"""What a job checks, draws and writes of a result, whichever way it was computed."""

from typing import TYPE_CHECKING

from saint_cli import io
from saint_cli.jobs.job import LoadedJob, LocalJob
from saint_cli.progress import ProgressCallback
from saint_cli.report.job_facts import JobFacts, LabelPair
from saint_cli.volume import Volume

if TYPE_CHECKING:
    from saint_cli.evaluation.selfcheck import SelfCheck
    from saint_cli.method.pipeline import Restoration


def check_scan(
    loaded: LoadedJob, restoration: "Restoration", on_progress: ProgressCallback
) -> "tuple[SelfCheck | str | None, Restoration]":
    """The self-check, or why there is none, None where none is wanted; and the restoration calibrated by it."""
    if not loaded.job.has_self_check:
        return None, restoration
    from saint_cli.evaluation import scan_calibration, selfcheck

    check = selfcheck.try_self_check(restoration, loaded.compute, on_progress)
    return check, scan_calibration.calibrate_on_scan(restoration, check)


def write_pictures(
    job: LocalJob,
    facts: JobFacts,
    restoration: "Restoration",
    restored: Volume,
    check: "SelfCheck | str | None",
    on_progress: ProgressCallback,
) -> None:
    """Write the page, the preview and the thumbnail that are wanted."""
    from saint_cli.report import quality_control

    files = quality_control.ReportFiles(job.page, job.preview, job.thumbnail, job.overwrite)
    quality_control.write_report(files, facts, restoration, restored, check, on_progress)


def write_result(job: LocalJob, result: Volume, labels: LabelPair | None) -> None:
    """Write a result after its labels, if there are any."""
    how = {"overwrite": job.overwrite, "keep_slice_thickness": job.settings.keep_slice_thickness}
    if labels is not None and job.labels_target is not None:
        io.write_labels(labels.after, job.labels_target, result=result, **how)
    io.write_volume(result, job.target, **how)
