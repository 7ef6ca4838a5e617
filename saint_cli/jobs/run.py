"""One job, from file to file."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from saint_cli import io
from saint_cli.jobs import announcements, preflight, stages
from saint_cli.jobs.announcements import MessageCallback
from saint_cli.jobs.job import Job, JobResult, LoadedJob, LocalJob
from saint_cli.jobs.location import format_location
from saint_cli.jobs.remote_staging import stage_files
from saint_cli.options.job import page_options
from saint_cli.options.model import ModelConfig
from saint_cli.progress import JobProgress, ProgressCallback, ProgressStage, as_job_progress
from saint_cli.volume import Volume

if TYPE_CHECKING:
    from saint_cli.method.pipeline import Restoration
    from saint_cli.models.weights import SaintModel
    from saint_cli.report.quality_control import JobFacts
    from saint_cli.runtime.device_selection import Compute

ERROR_BYTES, MAP_BYTES = 4, 16
"""Of each voxel of the expected error, float32; and with the copies that a DICOM Parametric Map is made of."""


UNCALIBRATED_WARNING = (
    "the expected error is not calibrated on this scan, whose self-check has too little to measure, but by the weights"
)


def run_job(
    job: Job, on_progress: ProgressCallback, on_message: MessageCallback = announcements.ignore_message
) -> JobResult:
    """Read, upsample, write; everything that can be refused is refused before any voxel is computed.

    on_message: called with sentences on model and device, and on the time of a job of more than a minute.

    Raises:
        SaintError: of the kind that fits; the target is then as it was before.
    """
    began, on_progress = time.perf_counter(), as_job_progress(on_progress)
    is_fetched, is_uploaded = not isinstance(job.source, Path), not isinstance(job.target, Path)
    if isinstance(job.source, Path) and isinstance(job.target, Path):
        return _run_local(job.with_local_files(job.source, job.target), on_progress, on_message)
    on_progress.expect(*stages.list_first_stages(fetches=is_fetched), more=True)
    if is_fetched:
        on_progress(stages.FETCHING, 0, 1)
    with stage_files(job) as local_job:
        upload = ProgressStage(stages.UPLOADING, stages.UPLOAD_S if is_uploaded else 0.0)
        result = _run_local(local_job, on_progress, on_message, upload)
        on_progress(stages.UPLOADING, 0, 1)
    on_progress(stages.UPLOADING, 1, 1)
    source, target = format_location(job.source), format_location(job.target)
    return replace(result, source=source, target=target, seconds=_seconds_since(began))


def _run_local(
    job: LocalJob, on_progress: JobProgress, on_message: MessageCallback, *later: ProgressStage
) -> JobResult:
    """Run a job whose files lie on this machine; ``later``: what the caller does afterwards."""
    began = time.perf_counter()
    preflight.check_job(job)
    disks = preflight.DiskCheck(job)
    on_progress.expect(*stages.list_first_stages(), more=True)
    loaded = _load(job, on_progress)
    from saint_cli.method import pipeline

    with_time = on_message is not announcements.ignore_message  # else no time is spent on a forecast
    for sentence in announcements.describe_start(loaded, with_time=with_time):
        on_message(sentence)
    on_progress(stages.LOADING, 1, 1)
    on_progress.expect(*stages.list_remaining_stages(loaded), *later)
    volume = preflight.add_warnings(loaded)
    restoration = pipeline.restore(
        volume, loaded.model, loaded.grid, loaded.compute, job.settings.method_options, on_progress
    )
    on_progress(stages.SLICES, 0, 1)
    restored = restoration.result()
    on_progress(stages.SLICES, 1, 1)
    result = _make_result(loaded, restored, _seconds_since(began))
    disks.check()
    result = _write(loaded, result, restoration, restored, on_progress)
    return replace(result, seconds=_seconds_since(began), peak_memory_mb=_peak_memory_mb())


def _load(job: LocalJob, on_progress: JobProgress) -> LoadedJob:
    """Read the scan, load the networks, and refuse what cannot be computed of them.

    Raises:
        SaintError: of the kind that fits.
    """
    settings = job.settings
    on_progress(stages.READING, 0, 1)
    wait_for_networks = _start_networks(settings.model_config)
    volume = io.read_volume(job.source, job.read_options)
    on_progress(stages.READING, 1, 1)
    if settings.refuse_labels:
        io.check_intensities(volume, str(job.source))
    grid = settings.grid.make_grid(volume)
    preflight.check_scan(job, volume, grid)
    on_progress(stages.LOADING, 0, 1)
    model, compute = wait_for_networks()
    from saint_cli.method import memory_needs
    from saint_cli.runtime import device_selection

    extra = 0
    if job.uncertainty is not None:
        extra = MAP_BYTES if io.is_map_target(job.uncertainty) else ERROR_BYTES
    compute = memory_needs.with_memory_budget(volume, model, grid, compute, settings.model_config.max_memory, extra)
    loaded = LoadedJob(job, volume, grid, model, compute)
    preflight.check_calibration(loaded)
    device_selection.set_threads(compute.threads)  # once more, for OpenMP counts them per thread
    return loaded


def _start_networks(config: ModelConfig) -> "Callable[[], tuple[SaintModel, Compute]]":
    """Load the networks in a thread meanwhile; the function that is returned waits for it, and raises its error."""
    future: Future[tuple[SaintModel, Compute]] = Future()

    def start() -> None:
        try:
            future.set_result(config.start())
        except BaseException as error:  # raised where the result is waited for
            future.set_exception(error)

    threading.Thread(target=start, name="saint-start").start()  # no daemon: Python cannot end amid an import of torch
    return future.result


def _write(
    loaded: LoadedJob, result: JobResult, restoration: "Restoration", restored: Volume, on_progress: ProgressCallback
) -> JobResult:
    """Write all files that are wanted; they appear when all are complete, the result last.

    Returns the result with a warning where the expected error is not calibrated on the scan.
    """
    job, check = loaded.job, None
    if job.has_self_check:
        from saint_cli.evaluation import scan_calibration, selfcheck

        check = selfcheck.try_self_check(restoration, loaded.compute, on_progress)
        restoration = scan_calibration.calibrate_on_scan(restoration, check)
        if job.uncertainty is not None and not restoration.is_calibrated_on_scan:
            result = replace(result, warnings=(*result.warnings, UNCALIBRATED_WARNING))
    with io.commit_together():
        if job.has_pictures:
            from saint_cli.report import quality_control

            files = quality_control.ReportFiles(job.page, job.preview, job.thumbnail)
            facts = _make_facts(loaded, result)
            quality_control.write_report(files, facts, restoration, restored, check, on_progress)
        on_progress(stages.WRITING, 0, 1)
        how = {"overwrite": job.overwrite, "keep_slice_thickness": job.settings.keep_slice_thickness}
        if job.uncertainty is not None:
            io.write_error_map(restoration.error(), restored, job.uncertainty, **how)
        io.write_volume(restored, job.target, **how)
        on_progress(stages.WRITING, 1, 1)
        io.check_complete(restored)
    return result


def _make_result(loaded: LoadedJob, restored: Volume, seconds: float) -> JobResult:
    """The result of a job, but for memory, which is known when all is written."""
    job, volume, grid, model, compute = loaded.job, loaded.volume, loaded.grid, loaded.model, loaded.compute
    return JobResult(
        source=str(job.source),
        target=str(job.target),
        shape_before=volume.shape,
        shape_after=restored.shape,
        spacing_before_mm=volume.spacing_mm,
        spacing_after_mm=restored.spacing_mm,
        axis="xyz"[grid.axis],
        acquired_kept=int((grid.locate()[1] == 0).sum()) if job.settings.method_options.keeps_acquired else 0,
        noise=job.settings.method_options.noise,
        model=model.name,
        weights_sha256=model.sha256,
        device=",".join(map(str, compute.devices)),
        precision=str(compute.precision).removeprefix("torch."),
        seconds=seconds,
        peak_memory_mb=None,
        warnings=restored.header.warnings,
        uncertainty=None if job.uncertainty is None else str(job.uncertainty),
        page=None if job.page is None else str(job.page),
        preview=None if job.preview is None else str(job.preview),
        threads=compute.threads,
    )


def _make_facts(loaded: LoadedJob, result: JobResult) -> "JobFacts":
    """What the page says of the job; of paths the names alone, and no UID."""
    from saint_cli.report.quality_control import JobFacts

    return JobFacts(
        source=Path(result.source).absolute().name,
        target=Path(result.target).absolute().name,
        model=result.model,
        weights_sha256=result.weights_sha256,
        device=result.device,
        precision=result.precision,
        seconds=result.seconds,
        acquired_kept=result.acquired_kept,
        options=page_options(loaded.resolved_settings),
        warnings=result.warnings,
    )


def _seconds_since(began: float) -> float:
    return round(time.perf_counter() - began, 2)


def _peak_memory_mb() -> float | None:
    """Peak resident memory of this process so far, where the system says."""
    with contextlib.suppress(OSError, StopIteration):  # Linux; what getrusage says there may be a parent's
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return round(int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024 / 1e6, 1)
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)  # bytes on macOS, kilobytes elsewhere
