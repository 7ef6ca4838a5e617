"""Jobs, or their last step, that need no networks: means of slices, and slices resampled in their plane."""

from collections.abc import Callable

from saint_cli import io
from saint_cli.errors import UsageError
from saint_cli.jobs import labels, outputs, results, stages
from saint_cli.jobs.job import JobResult, PlannedJob
from saint_cli.method import noise, resampling_warnings
from saint_cli.progress import JobProgress, ProgressStage
from saint_cli.runtime import memory
from saint_cli.volume import Volume

NO_PAGE_WARNING = "no page: it shows synthesised slices beside acquired ones, and this result has none"


def check_resampling(planned: PlannedJob) -> None:
    """Refuse what does not go with uneven slices, with means of slices, or with slices resampled in their plane.

    Raises:
        UsageError: the message names what to leave out.
    """
    job, grid, plane = planned.job, planned.grid, planned.plane
    noise.check_grid(grid, job.settings.method_options.noise)
    if job.uncertainty is not None:
        for is_so, words in (
            (grid.positions is not None, "was not calibrated for uneven slices; leave out --irregular, or this option"),
            (not grid.needs_networks, "is the error of synthesised slices, and there are none; leave it out"),
            (plane is not None, "is of slices as they were acquired; leave out --in-plane and --untilt, or it"),
        ):
            if is_so:
                raise UsageError(f"--uncertainty {words}")
    if job.labels is not None and grid.positions is not None:
        raise UsageError("--irregular: upsample without --labels; labels cannot follow uneven slices yet")
    if not grid.needs_networks and job.thumbnail is None:  # a batch has both, and goes without
        for option, file in (("--report", job.page), ("--preview", job.preview)):
            if file is not None:
                raise UsageError(
                    f"{option} shows synthesised slices beside acquired ones, and there are none; leave it out"
                )
    if not grid.needs_networks:
        result = planned.volume.placeholder_on(grid, plane)
        memory.check_voxels_fit(job.target, result.voxels.nbytes, job.settings.model_config.max_memory)


def add_resampling_warnings(planned: PlannedJob) -> Volume:
    """The volume with warnings of slices that the result, or the pictures, do not show as they are."""
    is_assumed = planned.job.settings.grid.assumes_thickness(planned.volume)
    volume = resampling_warnings.add_resampling_warnings(
        planned.volume, planned.grid, planned.plane, is_assumed=is_assumed
    )
    if planned.plane is not None and planned.job.has_pictures:
        return volume.with_warning("the pictures show the slices before they were resampled in their plane")
    return volume


def resample_result(restored: Volume, planned: PlannedJob) -> Volume:
    """A result with its slices resampled in their plane where that is wanted, else itself."""
    if planned.plane is None:
        return restored
    from saint_cli.method import resampling

    return resampling.resample_planes(restored, planned.plane)


def run_without_networks(
    planned: PlannedJob, began: float, check_disks: Callable[[], None], on_progress: JobProgress, *later: ProgressStage
) -> JobResult:
    """The job of a grid that needs no networks, from the scan in memory to the file.

    check_disks: called before anything is written; raises ``OutputError``.
    """
    from saint_cli.method import resampling

    job, grid, label_map = planned.job, planned.grid, labels.load_labels(planned)
    volume = add_resampling_warnings(planned)
    if job.thumbnail is not None:
        volume = volume.with_warning(NO_PAGE_WARNING)
    on_progress(stages.LOADING, 1, 1)
    on_progress.expect(ProgressStage(stages.SLICES, 1.0), ProgressStage(stages.WRITING, 1.0), *later)
    on_progress(stages.SLICES, 0, 1)
    restored = resample_result(resampling.average_slices(volume, grid), planned)
    final_labels = labels.coarsen(planned, label_map)
    on_progress(stages.SLICES, 1, 1)
    check_disks()
    on_progress(stages.WRITING, 0, 1)
    with io.commit_together():
        outputs.write_result(job, restored, final_labels)
        on_progress(stages.WRITING, 1, 1)
        io.check_complete(restored)
    result = results.make_result_without_networks(planned, restored, results.seconds_since(began))
    return results.add_labels(result, planned, label_map, final_labels)
