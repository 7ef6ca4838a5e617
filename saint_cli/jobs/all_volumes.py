"""Every volume of a 4-D scan as one job: read, upsampled and written one after another, with networks loaded once."""

import time
from dataclasses import dataclass, replace

import numpy as np

from saint_cli import io
from saint_cli.errors import UsageError
from saint_cli.geometry import PlaneGrid, SliceGrid
from saint_cli.jobs import announcements, networks, outputs, preflight, resampling, results, stages
from saint_cli.jobs.announcements import Announcer
from saint_cli.jobs.job import JobResult, LoadedJob, LocalJob, PlannedJob
from saint_cli.jobs.volume_progress import VolumeProgress, merge_warnings
from saint_cli.method import intensity, noise, padding
from saint_cli.method.resampling_warnings import CONSTANT_WARNING
from saint_cli.progress import JobProgress, ProgressStage
from saint_cli.volume import Derivation, SlabDeviation, Storage, Volume


@dataclass(frozen=True)
class Survey:
    """What a first reading of all volumes shows.

    grid, plane: of every volume. format: how results are stored together. largest: the volume that takes most memory,
    with zeros for its voxels, or NaN if any is not finite. sample: the volume of number ``shown`` (from 0), of which
    pictures are made; its warnings are those of reading all. constant: numbers (from 0) of volumes with one value.
    """

    grid: SliceGrid
    plane: PlaneGrid | None
    format: io.SeriesFormat
    largest: Volume
    sample: Volume
    shown: int
    constant: frozenset[int]


def _check_options(job: LocalJob) -> None:
    """Refuse what one volume has and a 4-D scan has not.

    Raises:
        UsageError: an expected error, labels, or a format without a fourth axis.
    """
    if job.uncertainty is not None:
        raise UsageError("--uncertainty is of one volume; choose it with --volume K, or leave --uncertainty out")
    if job.labels is not None:
        raise UsageError("--labels are of one volume; choose it with --volume K, or leave --labels out")
    io.check_series_target(job.target)


def run_series(
    job: LocalJob,
    series: io.VolumeSeries,
    on_progress: JobProgress,
    announcer: Announcer | None,
    *later: ProgressStage,
) -> JobResult:
    """Run a job of several volumes; each comes out as a job of it alone would have made it, bit for bit.

    All volumes are read once before, so that whatever is wrong with one is known before any voxel is computed.

    Raises:
        SaintError: of the kind that fits; the target is then as it was before.
    """
    began = time.perf_counter()
    _check_options(job)
    disks = preflight.DiskCheck(job)
    wait_for_networks = networks.start_networks(job.settings.model_config, slabs=bool(job.settings.grid.slab))
    survey = _survey_volumes(job, series, on_progress)
    on_progress(stages.LOADING, 0, 1)
    loaded = _load(job, survey, wait_for_networks)
    announcements.announce_start(announcer, loaded, _add_warnings(loaded).header.warnings, volumes=series.count)
    on_progress(stages.LOADING, 1, 1)
    progress = _make_progress(loaded, series.count, survey.shown, on_progress)
    on_progress.expect(progress.stage, *later)
    survey, loaded = replace(survey, sample=survey.largest), replace(loaded, volume=survey.largest)  # frees the sample
    warnings, derivation = _run_volumes(loaded, series, survey, progress, disks)
    shape = survey.largest.placeholder_on(survey.grid, survey.plane)
    shape = replace(shape, header=replace(shape.header, derivation=derivation))
    result = results.make_result(loaded, shape, results.seconds_since(began))
    return replace(
        result,
        warnings=merge_warnings(warnings),
        volumes=series.count,
        volume_labels=tuple(mark.label for mark in series.marks),
        peak_memory_mb=results.peak_memory_mb(),
    )


def _survey_volumes(job: LocalJob, series: io.VolumeSeries, on_progress: JobProgress) -> Survey:
    """Read every volume once, and refuse what cannot be upsampled or written; one volume and the sample are in memory.

    Raises:
        SaintError: of the kind that fits, naming the volume.
    """
    storages, constant, shown = list[tuple[Storage, np.dtype]](), set[int](), 0
    warnings = list[tuple[str, ...]]()
    grids: tuple[SliceGrid, PlaneGrid | None] | None = None
    largest: Volume | None = None
    sample: Volume | None = None
    most = (0, 0)
    for index, volume in enumerate(series.read()):
        on_progress(stages.READING, index, series.count)
        grids = grids or _make_grids(job, volume)
        is_constant = bool((volume.voxels == volume.voxels.flat[0]).all())
        constant |= {index} if is_constant else set()
        _check_volume(job, volume, series.name(index), is_constant=is_constant)
        storages.append(io.find_storage(volume))
        warnings.append(volume.header.warnings)
        is_finite = padding.is_finite(volume.voxels)
        rank = volume.voxels.nbytes, padding.count_copies(volume.header, is_finite=is_finite)  # the memory it takes
        if largest is None or rank > most:
            most, value = rank, 0 if is_finite else np.nan
            largest = replace(volume, voxels=np.broadcast_to(volume.voxels.dtype.type(value), volume.shape))
        if sample is None or (not is_constant and (index <= series.count // 2 or shown in constant)):
            sample, shown = volume, index
        if index == series.count - 1:
            io.check_complete(volume)
        del volume
    assert grids is not None  # there are several volumes
    assert largest is not None
    assert sample is not None
    sample = replace(sample, header=replace(sample.header, warnings=merge_warnings(warnings)))
    on_progress(stages.READING, 1, 1)
    together = io.SeriesFormat(series.marks, series.axis, io.join_storages(storages))
    grid, plane = grids
    io.check_series_result(largest, grid, job.target, together, plane)
    return Survey(grid, plane, together, largest, sample, shown, frozenset(constant))


def _make_grids(job: LocalJob, volume: Volume) -> tuple[SliceGrid, PlaneGrid | None]:
    """Slices and pixels that the first volume is brought to, and every other; refused as those of a single volume."""
    grid = job.settings.grid.make_grid(volume)
    plane = job.settings.grid.make_plane_grid(volume, grid)
    resampling.check_resampling(PlannedJob(job, volume, grid, plane))
    return grid, plane


def _check_volume(job: LocalJob, volume: Volume, name: str, *, is_constant: bool) -> None:
    """Refuse one volume as a job of it alone would be refused."""
    settings = job.settings
    if settings.refuse_labels:
        io.check_intensities(volume, f"{job.source}: {name}")
    preflight.check_not_slices(job, volume)
    if not is_constant:
        try:
            noise.check_modality(volume, settings.method_options.noise)
        except UsageError as error:
            raise UsageError(f"{job.source}: {name}: {error}") from None


def _load(job: LocalJob, survey: Survey, wait_for_networks: "networks.NetworksCallback") -> LoadedJob:
    """The job with its networks and the sample; refused where memory is too small for the largest volume."""
    largest = PlannedJob(job, survey.largest, survey.grid, survey.plane)
    model, compute = networks.finish_networks(wait_for_networks, largest, intensity.find_modality(survey.sample))
    return LoadedJob(job, survey.sample, survey.grid, survey.plane, model, compute)


def _make_progress(loaded: LoadedJob, count: int, shown: int, on_progress: JobProgress) -> VolumeProgress:
    from saint_cli.evaluation import selfcheck

    seconds = {stage.name: stage.seconds for stage in stages.list_remaining_stages(loaded)}
    once = {name: seconds.pop(name) for name in (selfcheck.STAGE, stages.PICTURES) if name in seconds}
    return VolumeProgress(on_progress, count, seconds, once, shown)


def _run_volumes(
    loaded: LoadedJob, series: io.VolumeSeries, survey: Survey, progress: VolumeProgress, disks: preflight.DiskCheck
) -> tuple[list[tuple[str, ...]], Derivation | None]:
    """Upsample and write every volume: the warnings of each, and how they were computed.

    Files appear when all are complete, the result last.
    """
    job, warnings, derivation = loaded.job, list[tuple[str, ...]](), None
    deviations = list[SlabDeviation]()
    keeps = job.settings.keep_slice_thickness
    with (
        io.commit_together(),
        io.open_series(survey.format, job.target, overwrite=job.overwrite, keep_slice_thickness=keeps) as write,
    ):
        for index, volume in enumerate(series.read()):
            progress.begin(index)
            one = replace(loaded, volume=volume)
            del volume
            is_shown = index == survey.shown and job.has_pictures
            if index in survey.constant and not is_shown:
                restored = _repeat_constant(one)
            else:
                restored = _restore(one, progress, is_shown=is_shown)
            del one
            disks.check()
            progress(stages.WRITING, 0, 1)
            write(resampling.resample_result(restored, loaded))
            progress(stages.WRITING, 1, 1)
            warnings.append(restored.header.warnings)
            one_derivation = restored.header.derivation
            if one_derivation is not None and one_derivation.slab_deviation is not None:
                deviations.append(one_derivation.slab_deviation)
            if derivation is None or (one_derivation is not None and one_derivation.changes_noise):
                derivation = one_derivation  # of volumes with too little uniform tissue the noise is as it was
            del restored
        io.check_complete(loaded.volume)
    return warnings, derivation and replace(derivation, slab_deviation=SlabDeviation.merge(deviations))


def _repeat_constant(loaded: LoadedJob) -> Volume:
    """A volume of one value on the refined grid, which needs no networks."""
    volume, grid, model = loaded.volume, loaded.grid, loaded.model
    voxels = np.full(grid.output_shape(volume.shape), volume.voxels.flat[0], volume.voxels.dtype, order="F")
    options = loaded.job.settings.method_options.with_noise_kept.non_default
    deviation = None if grid.slab is None else SlabDeviation(0.0, 0.0, is_rounding=True)
    derivation = Derivation(grid, model.name, model.sha256, options, slab_deviation=deviation)
    header = replace(volume.header, derivation=derivation)
    return Volume(voxels, grid.refine(volume.affine_lps), header).with_warning(CONSTANT_WARNING)


def _add_warnings(loaded: LoadedJob) -> Volume:
    """The volume with a warning for each thing that limits its result."""
    if not loaded.grid.needs_networks:
        return resampling.add_resampling_warnings(loaded)
    return preflight.add_warnings(loaded)


def _restore(loaded: LoadedJob, progress: VolumeProgress, *, is_shown: bool) -> Volume:
    """The upsampled volume; with pictures of it where it ``is_shown``."""
    from saint_cli.method import pipeline
    from saint_cli.method.resampling import average_slices

    began = time.perf_counter()
    volume = _add_warnings(loaded)
    if not loaded.grid.needs_networks:
        return average_slices(volume, loaded.grid)
    options = loaded.job.settings.method_options
    restoration = pipeline.restore(volume, loaded.model, loaded.grid, loaded.compute, options, progress)
    progress(stages.SLICES, 0, 1)
    restored = restoration.result()
    progress(stages.SLICES, 1, 1)
    if is_shown:
        result = results.make_result(loaded, restored, results.seconds_since(began))
        name = volume.header.volume_name
        note = f"this page shows {name}: pictures, figures and verdict are of that volume alone"
        facts = results.make_facts(loaded, replace(result, warnings=(note, *result.warnings)))
        check, restoration = outputs.check_scan(loaded, restoration, progress)
        outputs.write_pictures(loaded.job, facts, restoration, restored, check, progress)
    return restored
