"""One job, from file to file."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from saint_cli import io
from saint_cli.jobs import all_volumes, announcements, labels, networks, outputs, preflight, resampling, results, stages
from saint_cli.jobs.announcements import Announcer
from saint_cli.jobs.job import Job, JobResult, LoadedJob, LocalJob, PlannedJob
from saint_cli.jobs.location import format_location
from saint_cli.jobs.remote_staging import stage_files
from saint_cli.method.intensity import find_modality
from saint_cli.options.values import ALL_VOLUMES
from saint_cli.progress import JobProgress, ProgressCallback, ProgressStage, as_job_progress
from saint_cli.report.job_facts import LabelPair
from saint_cli.volume import Volume

if TYPE_CHECKING:
    from saint_cli.method.pipeline import Restoration

ERROR_BYTES, MAP_BYTES = 4, 16
"""Of each voxel of the expected error, float32; and with the copies that a DICOM Parametric Map is made of."""


UNCALIBRATED_WARNING = (
    "the expected error is not calibrated on this scan, whose self-check has too little to measure, but by the weights"
)


def run_job(job: Job, on_progress: ProgressCallback, announcer: Announcer | None = None) -> JobResult:
    """Read, upsample, write; everything that can be refused is refused before any voxel is computed.

    announcer: is given warnings, model and device, and the time of a job of more than a minute before it computes.

    Raises:
        SaintError: of the kind that fits; the target is then as it was before.
    """
    began, on_progress = time.perf_counter(), as_job_progress(on_progress)
    is_fetched, is_uploaded = not isinstance(job.source, Path), not isinstance(job.target, Path)
    if isinstance(job.source, Path) and isinstance(job.target, Path):
        return _run_local(job.with_local_files(job.source, job.target), on_progress, announcer)
    on_progress.expect(*stages.list_first_stages(fetches=is_fetched), more=True)
    if is_fetched:
        on_progress(stages.FETCHING, 0, 1)
    with stage_files(job) as local_job:
        upload = ProgressStage(stages.UPLOADING, stages.UPLOAD_S if is_uploaded else 0.0)
        result = _run_local(local_job, on_progress, announcer, upload)
        on_progress(stages.UPLOADING, 0, 1)
    on_progress(stages.UPLOADING, 1, 1)
    source, target = format_location(job.source), format_location(job.target)
    return replace(result, source=source, target=target, seconds=results.seconds_since(began))


def _run_local(
    job: LocalJob, on_progress: JobProgress, announcer: Announcer | None, *later: ProgressStage
) -> JobResult:
    """Run a job whose files lie on this machine; ``later``: what the caller does afterwards."""
    began = time.perf_counter()
    preflight.check_job(job)
    on_progress.expect(*stages.list_first_stages(), more=True)
    if job.settings.volume == ALL_VOLUMES:
        on_progress(stages.READING, 0, 1)
        series = io.list_volumes(job.source, job.read_options)
        if series.count > 1:
            return all_volumes.run_series(job, series, on_progress, announcer, *later)
        job = replace(job, settings=replace(job.settings, volume=None))
    disks = preflight.DiskCheck(job)
    wait_for_networks = networks.start_networks(job.settings.model_config, slabs=bool(job.settings.grid.slab))
    planned = _read(job, on_progress)
    on_progress(stages.LOADING, 0, 1)
    if not planned.grid.needs_networks:
        result = resampling.run_without_networks(planned, began, disks.check, on_progress, *later)
        return replace(result, peak_memory_mb=results.peak_memory_mb())
    loaded = _load(planned, wait_for_networks)
    result = _run_networks(loaded, began, disks, on_progress, announcer, *later)
    return replace(result, seconds=results.seconds_since(began), peak_memory_mb=results.peak_memory_mb())


def _run_networks(
    loaded: LoadedJob,
    began: float,
    disks: preflight.DiskCheck,
    on_progress: JobProgress,
    announcer: Announcer | None,
    *later: ProgressStage,
) -> JobResult:
    """Compute all that is wanted of a job whose scan and networks are in memory, and write it."""
    from saint_cli.method import pipeline

    volume, options = preflight.add_warnings(loaded), loaded.job.settings.method_options
    warnings = (*volume.header.warnings, *labels.list_warnings(loaded.labels))
    announcements.announce_start(announcer, loaded, warnings)
    on_progress(stages.LOADING, 1, 1)
    on_progress.expect(*stages.list_remaining_stages(loaded), *later)
    restoration = pipeline.restore(volume, loaded.model, loaded.grid, loaded.compute, options, on_progress)
    on_progress(stages.SLICES, 0, 1)
    restored = restoration.result()
    final = resampling.resample_result(restored, loaded)
    on_progress(stages.SLICES, 1, 1)
    refined = labels.refine(loaded, restored, on_progress)
    final_labels = labels.resample(refined, loaded.plane)
    result = results.make_result(loaded, final, results.seconds_since(began), final_labels)
    disks.check()
    return _write(loaded, result, Outcome(restoration, restored, final, refined, final_labels), on_progress)


def _read(job: LocalJob, on_progress: JobProgress) -> PlannedJob:
    """Read the scan, and refuse what cannot be made of it.

    Raises:
        SaintError: of the kind that fits.
    """
    settings = job.settings
    on_progress(stages.READING, 0, 1)
    volume = io.read_volume(job.source, job.read_options)
    on_progress(stages.READING, 1, 1)
    if settings.refuse_labels:
        io.check_intensities(volume, str(job.source))
    grid = settings.grid.make_grid(volume)
    planned = PlannedJob(job, volume, grid, settings.grid.make_plane_grid(volume, grid))
    preflight.check_scan(planned)
    resampling.check_resampling(planned)
    return planned


def _load(planned: PlannedJob, wait_for_networks: "networks.NetworksCallback") -> LoadedJob:
    """Read the labels and load the networks, and refuse what cannot be computed with them.

    Raises:
        SaintError: of the kind that fits.
    """
    job, volume = planned.job, planned.volume
    label_map = labels.load_labels(planned)
    more_bytes = 0 if label_map is None else label_map.labels.itemsize
    if job.uncertainty is not None:
        more_bytes += MAP_BYTES if io.is_object_target(job.uncertainty) else ERROR_BYTES
    model, compute = networks.finish_networks(wait_for_networks, planned, find_modality(volume), more_bytes)
    loaded = LoadedJob(job, volume, planned.grid, planned.plane, model, compute, label_map)
    preflight.check_calibration(loaded)
    return loaded


@dataclass(frozen=True)
class Outcome:
    """What was computed: the networks' estimates, the result that they give, and that as it is written; both labels.

    What is written differs where slices are resampled in their plane.
    """

    restoration: "Restoration"
    restored: Volume
    final: Volume
    refined: LabelPair | None
    final_labels: LabelPair | None

    @property
    def pictured_labels(self) -> LabelPair | None:
        """The labels that pictures show, with the volumes of those that are written."""
        if self.refined is None or self.final_labels is None:
            return None
        return replace(self.refined, volumes=self.final_labels.volumes)


def _write(loaded: LoadedJob, result: JobResult, outcome: Outcome, on_progress: ProgressCallback) -> JobResult:
    """Write all files that are wanted; they appear when all are complete, the result last.

    Returns the result with a warning where the expected error is not calibrated on the scan.
    """
    job, final = loaded.job, outcome.final
    check, restoration = outputs.check_scan(loaded, outcome.restoration, on_progress)
    if job.uncertainty is not None and not restoration.is_calibrated_on_scan:
        result = replace(result, warnings=(*result.warnings, UNCALIBRATED_WARNING))
    with io.commit_together():
        if job.has_pictures:
            facts = results.make_facts(loaded, result, outcome.pictured_labels)
            outputs.write_pictures(job, facts, restoration, outcome.restored, check, on_progress)
        on_progress(stages.WRITING, 0, 1)
        if job.uncertainty is not None:
            keep = job.settings.keep_slice_thickness
            error = restoration.error()
            io.write_error_map(error, final, job.uncertainty, overwrite=job.overwrite, keep_slice_thickness=keep)
        outputs.write_result(job, final, outcome.final_labels)
        on_progress(stages.WRITING, 1, 1)
        io.check_complete(final)
    return result
