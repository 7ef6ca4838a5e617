"""What is refused before anything is computed, and what is only warned of."""

from pathlib import Path

from saint_cli import geometry, io
from saint_cli.errors import OutputError, UsageError
from saint_cli.errors.parameter_names import adapt_message
from saint_cli.geometry import spacing_limits
from saint_cli.io.path_identity import check_distinct
from saint_cli.jobs import labels
from saint_cli.jobs.job import LoadedJob, LocalJob, PlannedJob
from saint_cli.jobs.resampling import add_resampling_warnings
from saint_cli.method import intensity, noise
from saint_cli.method.modality_warnings import add_modality_warning
from saint_cli.models import shipped
from saint_cli.models.calibration import HU
from saint_cli.options.method import MATCH_NOISE_WARNING
from saint_cli.volume import Volume

PAGE_ENDINGS, PICTURE_ENDINGS = (".html", ".htm"), (".png", ".jpg", ".jpeg")


def check_job(job: LocalJob) -> None:
    """Refuse what can be refused from the job alone: its files, its options, its model.

    Raises:
        UsageError: files that are the input or each other, options that do not go together or fit no machine.
        OutputError: a file that cannot be written, or exists.
        WeightsError: no such model.
        UnreadableError: a source, or a label map, that is missing or of no known format.
    """
    model = job.settings.model_config.model
    inputs = {} if shipped.is_name(model) else {Path(model): "the weights file"}
    if job.labels is not None:
        inputs[job.labels] = "the label map"
    try:
        io.check_outputs(job.source, job.target, _list_extras(job), overwrite=job.overwrite, inputs=inputs)
    except OutputError:
        io.require_format(job.source)  # that it is missing comes first
        raise
    io.require_format(job.source)
    if job.labels is not None and job.labels_target is not None:
        labels.check_label_files(job.labels, job.labels_target, is_dicom=io.is_folder_target(job.target))
    _check_calibrated_options(job)
    job.settings.model_config.check(slabs=bool(job.settings.grid.slab))


class DiskCheck:
    """The disks that a job's files go to, so that nothing is written to another disk when one was unmounted."""

    def __init__(self, job: LocalJob) -> None:
        paths = [job.target, *(extra.path for extra in _list_extras(job))]
        self._disks = {path: io.find_disk(path) for path in paths}

    def check(self) -> None:
        """Check that they are still there.

        Raises:
            OutputError: a folder lies on another disk now.
        """
        for path, disk in self._disks.items():
            if io.find_disk(path) != disk:
                raise OutputError(f"{path}: the disk of its folder disappeared during the run; mount it and run again")


def _list_extras(job: LocalJob) -> list[io.ExtraOutput]:
    """The files that are wanted besides the result."""
    extras = (
        ("--labels-out", job.labels_target, (*io.OUTPUT_ENDINGS, io.OBJECT_ENDING)),
        ("--uncertainty", job.uncertainty, (*io.OUTPUT_ENDINGS, io.OBJECT_ENDING)),
        ("--report", job.page, PAGE_ENDINGS),
        ("--preview", job.preview, PICTURE_ENDINGS),
        ("the thumbnail", job.thumbnail, PICTURE_ENDINGS),
    )
    return [io.ExtraOutput(option, path, endings) for option, path, endings in extras if path is not None]


def _check_calibrated_options(job: LocalJob) -> None:
    """Refuse options for which the error was never measured."""
    if job.uncertainty is None:
        return
    if flags := job.settings.method_options.uncalibrated_flags:
        raise UsageError(f"--uncertainty was calibrated without {flags[0]}; leave one of them out")
    if job.settings.grid.slab:
        raise UsageError("--uncertainty was not calibrated for slabs; leave out --slab or --uncertainty")
    if job.settings.grid.extrapolate:
        raise UsageError("--uncertainty has no estimate beyond the last acquired slice; leave out --extrapolate")


def check_scan(planned: PlannedJob) -> None:
    """Refuse what can be refused once the scan is known.

    Raises:
        UsageError, OutputError: a result that its format, or the disk, cannot hold, or one that is a slice of the scan;
            ``noise`` that this scan or grid does not take.
        SourceChangedError: slices were added to the series while it was read.
    """
    job, volume, grid = planned.job, planned.volume, planned.grid
    check_not_slices(job, volume)
    io.check_complete(volume)
    noise.check_handling(volume, grid, job.settings.method_options.noise)
    io.check_result(volume, grid, job.target, planned.plane)
    if job.uncertainty is not None:
        io.check_error_map(volume, grid, job.uncertainty, job.target)


def check_not_slices(job: LocalJob, volume: Volume) -> None:
    """Refuse a result, or a file beside it, that is a slice of the volume.

    Raises:
        UsageError: it is one.
    """
    if volume.header.dicom_source is not None:
        slices = {one.path: f"the input's {one.path.name}" for one in volume.header.dicom_source.slices}
        extras = [(f"{extra.option} {extra.path}", extra.path) for extra in _list_extras(job)]
        check_distinct([(str(job.target), job.target), *extras], slices)


def check_calibration(loaded: LoadedJob) -> None:
    """Refuse to estimate an error that was never measured for these weights or such a scan.

    Raises:
        UsageError: weights without a calibration for such a scan; a map of HU of what is not CT.
    """
    if loaded.job.uncertainty is None:
        return
    if loaded.model.calibration is None:
        model = loaded.resolved_settings.model_config.model
        raise UsageError(f"--uncertainty: the weights {model} carry no calibration; benchmarks/calibrate.py adds one")
    source, is_ct = loaded.job.source, intensity.is_ct(loaded.volume)
    if is_ct != (loaded.model.calibration.unit == HU):
        known = "are not known in HU" if is_ct else "are known in HU only"
        kind = "CT" if is_ct else "not CT"
        raise UsageError(f"--uncertainty: {source} is {kind}, and errors of {loaded.model.name} {known}")
    if not is_ct and io.is_object_target(loaded.job.uncertainty):
        raise UsageError(f"--uncertainty: {source} is not CT, and Parametric Maps are of HU; name a .nii.gz or .nrrd")


def add_warnings(loaded: LoadedJob) -> Volume:
    """The volume with a warning for each thing that limits its result."""
    volume, grid = add_resampling_warnings(loaded), loaded.grid
    if loaded.job.settings.method_options.match_noise:
        volume = volume.with_warning(adapt_message(MATCH_NOISE_WARNING))
    model = loaded.resolved_settings.model_config.model
    volume = add_modality_warning(volume, model, slabs=grid.slab is not None)
    network_mm = spacing_limits.network_spacing_mm(volume.spacing_mm, grid.axis)[2]
    if network_mm < volume.spacing_mm[grid.axis]:
        spacing = geometry.format_spacing(volume.spacing_mm)
        volume = volume.with_warning(
            f"spacing {spacing} mm is beyond what the networks know: they treat slices as {network_mm:.4g} mm apart"
        )
    beyond = int(grid.extrapolated.sum())
    if beyond:
        slices = "slice lies" if beyond == 1 else f"{beyond} slices lie"
        repeat = "repeats" if beyond == 1 else "repeat"
        volume = volume.with_warning(f"the last {slices} beyond the last acquired one and {repeat} it")
    return volume
