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

from saint_cli import io, shipped
from saint_cli.choices import Choices
from saint_cli.geometry import SliceGrid
from saint_cli.io import urls
from saint_cli.jobs import announcements, checks, stages
from saint_cli.jobs.announcements import Say
from saint_cli.jobs.job import Done, Engine, Job
from saint_cli.jobs.staged import staged
from saint_cli.progress import JobProgress, ProgressCallback, Stage, as_job_progress
from saint_cli.volume import Volume

if TYPE_CHECKING:
    from saint_cli import compute, pipeline, weights
    from saint_cli.quality import About

ERROR_BYTES = 4
"""Of each voxel of the expected error, float32."""


def run_job(job: Job, report: ProgressCallback, say: Say = announcements.nothing) -> Done:
    """Read, upsample, write; everything that can be refused is refused before any voxel is computed.

    say: called with a sentence about model and machine, and one about the time of a job of more than a minute.

    Raises:
        SaintError: of the kind that fits; the target is then as it was before.
    """
    if job.origin is None and job.destination is None:
        return _run_here(job, as_job_progress(report), say)
    began, report = time.perf_counter(), as_job_progress(report)
    report.expect(*stages.before_reading(fetches=job.origin is not None), more=True)
    if job.origin is not None:
        report(stages.FETCHING, 0, 1)
    with staged(job) as here:
        upload = Stage(stages.UPLOADING, 0.0 if job.destination is None else stages.UPLOAD_S)
        done = _run_here(here, report, say, upload)
        report(stages.UPLOADING, 0, 1)
    report(stages.UPLOADING, 1, 1)
    source = done.source if job.origin is None else job.origin.shown
    target = done.target if job.destination is None else urls.shown(job.destination)
    return replace(done, source=source, target=target, seconds=round(time.perf_counter() - began, 2))


def _run_here(job: Job, report: JobProgress, say: Say, *then: Stage) -> Done:
    """The same of files that lie on this machine; ``then``: what the caller does afterwards."""
    began = time.perf_counter()
    checks.refuse_words(job)
    disks = checks.DiskCheck(job)
    report.expect(*stages.before_reading(fetches=False), more=True)
    report(stages.READING, 0, 1)
    started = _starting(job.engine)
    volume = io.read_volume(
        job.source,
        series=job.series,
        volume=job.volume,
        split_runs=job.split_runs,
        merge=job.merge,
        modality=job.modality,
        outside_data=job.outside_data,
        max_memory=job.engine.max_memory,
    )
    report(stages.READING, 1, 1)
    if job.refuse_labels:
        io.check_intensities(volume, str(job.source))
    grid = job.grid.on(volume)
    checks.refuse_scan(job, volume, grid)
    report(stages.LOADING, 0, 1)
    model, engine = started()
    from saint_cli import compute, footprint, pipeline

    asked = job.engine
    job = replace(job, engine=replace(job.engine, model=shipped.resolve(job.engine.model, engine.device.type)))
    error = 0 if job.uncertainty is None else ERROR_BYTES
    engine = footprint.fitted(engine, model, volume, grid, job.engine.max_memory, error)
    checks.refuse_uncalibrated(job, volume, model)
    noted = checks.with_notes(volume, grid, job.engine.model)
    compute.set_threads(engine.threads)  # once more, for OpenMP counts them per thread
    heard = say is not announcements.nothing  # else no time is spent on a forecast
    for sentence in announcements.before(asked, job, (volume, grid), model, engine, with_time=heard):
        say(sentence)
    report(stages.LOADING, 1, 1)
    report.expect(*stages.after_loading(job, volume, grid, model, engine), *then)
    restoration = pipeline.restore(noted, model, grid, engine, job.choices, report)
    report(stages.SLICES, 0, 1)
    result = restoration.result()
    report(stages.SLICES, 1, 1)
    done = _done(job, (volume, result), grid, model, engine)
    done = replace(done, seconds=round(time.perf_counter() - began, 2))
    disks.check()
    _write(job, done, restoration, result, engine, report)
    return replace(done, seconds=round(time.perf_counter() - began, 2), peak_memory_mb=_peak_memory_mb())


def _write(
    job: Job,
    done: Done,
    restoration: "pipeline.Restoration",
    result: Volume,
    engine: "compute.Compute",
    report: ProgressCallback,
) -> None:
    """Write all that is wanted; it appears when all of it is complete, the result last."""
    with io.together():
        if any((job.page, job.preview, job.thumbnail)):
            from saint_cli import quality

            wanted = quality.Wanted(job.page, job.preview, job.thumbnail)
            quality.write(wanted, _about(job, done), restoration, result, engine, report)
        report(stages.WRITING, 0, 1)
        if job.uncertainty is not None:
            io.write_volume(restoration.error(), job.uncertainty, overwrite=job.overwrite)
        io.write_volume(result, job.target, overwrite=job.overwrite, keep_slice_thickness=job.keep_slice_thickness)
        report(stages.WRITING, 1, 1)
        io.check_complete(result)


def _starting(engine: Engine) -> "Callable[[], tuple[weights.SaintModel, compute.Compute]]":
    """Start the engine beside what the caller does meanwhile; the result waits for it, and raises what it raised."""
    future: Future[tuple[weights.SaintModel, compute.Compute]] = Future()

    def start() -> None:
        try:
            future.set_result(engine.start())
        except BaseException as error:  # told by the one who waits
            future.set_exception(error)

    threading.Thread(target=start, name="saint-start").start()  # no daemon: Python cannot end amid an import of torch
    return future.result


def _done(
    job: Job, volumes: tuple[Volume, Volume], grid: SliceGrid, model: "weights.SaintModel", engine: "compute.Compute"
) -> Done:
    """What came of it, but for time and memory, which the caller knows when all is written."""
    before, after = volumes
    return Done(
        source=str(job.source),
        target=str(job.target),
        shape_before=before.shape,
        shape_after=after.shape,
        spacing_before_mm=before.spacing_mm,
        spacing_after_mm=after.spacing_mm,
        axis="xyz"[grid.axis],
        acquired_kept=0 if job.choices.regenerate else int((grid.locate()[1] == 0).sum()),
        model=model.name,
        weights_sha256=model.sha256,
        device=",".join(map(str, engine.devices)),
        precision=str(engine.precision).removeprefix("torch."),
        seconds=0.0,
        peak_memory_mb=None,
        warnings=after.header.warnings,
        uncertainty=None if job.uncertainty is None else str(job.uncertainty),
        page=None if job.page is None else str(job.page),
        preview=None if job.preview is None else str(job.preview),
        threads=engine.threads,
    )


def _about(job: Job, done: Done) -> "About":
    """What the page says of the job; of paths the names alone, and no UID."""
    from saint_cli.quality import About

    grid, choices = job.grid, job.choices
    options = {
        "-m": Path(job.engine.model).name,
        "--factor": grid.factor,
        "--spacing": grid.spacing_mm,
        "--isotropic": grid.factor is None and grid.spacing_mm is None,
        "--axis": None if grid.axis is None else "xyz"[grid.axis],
        "--extrapolate": grid.extrapolate,
        "--modality": job.modality,
        "--volume": job.volume,
        "--series": job.series if job.series is not None and job.series.isdigit() else None,
        "--directions": None if choices.directions == Choices.directions else choices.directions,
        "--tta": choices.tta,
        "--match-noise": choices.match_noise,
        "--regenerate": choices.regenerate,
        "--no-skip-air": not choices.skip_air,
        "--split-runs": job.split_runs,
        "--merge": job.merge,
        "--allow-labels": not job.refuse_labels,
        "--outside-data": job.outside_data,
        "--slice-thickness": None if job.keep_slice_thickness else "spacing",
    }
    told = {name: getattr(done, name) for name in ("model", "weights_sha256", "device", "precision", "seconds")}
    return About(
        source=Path(done.source).absolute().name,
        target=Path(done.target).absolute().name,
        acquired_kept=done.acquired_kept,
        options=options,
        warnings=done.warnings,
        **told,
    )


def _peak_memory_mb() -> float | None:
    """Peak resident memory of this process so far, where the system tells."""
    with contextlib.suppress(OSError, StopIteration):  # Linux; what getrusage tells there may be a parent's
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return round(int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024 / 1e6, 1)
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)  # bytes on macOS, kilobytes elsewhere
