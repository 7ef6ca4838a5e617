"""What is refused before anything is computed, and what is only remarked on."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from saint_cli import intensity, io, shipped, spacings
from saint_cli.errors import OutputError, UsageError
from saint_cli.geometry import SliceGrid
from saint_cli.io.places import check_distinct
from saint_cli.jobs.job import Job
from saint_cli.volume import Volume

if TYPE_CHECKING:
    from saint_cli import weights

PAGE_ENDINGS, PICTURE_ENDINGS = (".html", ".htm"), (".png", ".jpg", ".jpeg")


def refuse_words(job: Job) -> None:
    """What can be refused from the job alone: its files, its options, its model.

    Raises:
        UsageError: files that are the input or each other, options that do not go together or fit no machine.
        OutputError: a file that cannot be written, or exists.
        WeightsError: no such model.
        UnreadableError: a source that is missing or of no known format.
    """
    model = job.engine.model
    read = {} if model == shipped.AUTO or model in shipped.manifest() else {Path(model): "the weights file"}
    io.check_outputs(job.source, job.target, _beside(job), overwrite=job.overwrite, inputs=read)
    io.find_format(job.source)
    _refuse_uncalibrated_choices(job)
    job.engine.check()


class DiskCheck:
    """The disks that a job's files go to, so that one that went away meanwhile is told, and no other filled instead."""

    def __init__(self, job: Job) -> None:
        paths = [job.target, *(file.path for file in _beside(job))]
        self._disks = {path: io.find_disk(path) for path in paths}

    def check(self) -> None:
        """Find out whether they are still there.

        Raises:
            OutputError: a folder lies on another disk now, as where one was unmounted.
        """
        for path, disk in self._disks.items():
            if io.find_disk(path) != disk:
                raise OutputError(f"{path}: the disk of its folder went away during the run; mount it and run again")


def _beside(job: Job) -> list[io.Beside]:
    """The files that are wanted besides the result."""
    wanted = (
        ("--uncertainty", job.uncertainty, io.ENDINGS),
        ("--report", job.page, PAGE_ENDINGS),
        ("--preview", job.preview, PICTURE_ENDINGS),
        ("the thumbnail", job.thumbnail, PICTURE_ENDINGS),
    )
    return [io.Beside(option, path, endings) for option, path, endings in wanted if path is not None]


def _refuse_uncalibrated_choices(job: Job) -> None:
    """Refuse choices for which the error was never measured."""
    if job.uncertainty is None:
        return
    for option, chosen in (
        ("--directions 4", job.choices.directions != 2),
        ("--tta", job.choices.tta),
        ("--match-noise", job.choices.match_noise),
    ):
        if chosen:
            raise UsageError(f"--uncertainty was calibrated without {option}; leave one of them out")
    if job.grid.extrapolate:
        raise UsageError("--uncertainty knows nothing beyond the last acquired slice; leave out --extrapolate")


def refuse_scan(job: Job, volume: Volume, grid: SliceGrid) -> None:
    """What can be refused once the scan is known.

    Raises:
        UsageError, OutputError: a result that its format, or the disk, cannot hold, or one that is a slice of the scan.
        SourceChangedError: more slices of the series came while it was read.
    """
    if volume.header.origin is not None:
        files = [(str(job.target), job.target), *((f"{file.option} {file.path}", file.path) for file in _beside(job))]
        check_distinct(files, {one.path: f"the input's {one.path.name}" for one in volume.header.origin.slices})
    io.check_complete(volume)
    io.check_result(volume, grid, job.target)
    if job.uncertainty is not None:
        wide = replace(volume, voxels=np.broadcast_to(np.float32(0), volume.shape))
        io.check_result(wide, grid, job.uncertainty)


def refuse_uncalibrated(job: Job, volume: Volume, model: "weights.SaintModel") -> None:
    """Refuse to tell an error that was never measured for these weights or such a scan.

    Raises:
        UsageError: weights without a calibration, a scan that is not CT.
    """
    if job.uncertainty is None:
        return
    if model.calibration is None:
        raise UsageError(
            f"--uncertainty: the weights {job.engine.model} carry no calibration; benchmarks/calibrate.py adds one"
        )
    if not intensity.is_ct(volume):
        raise UsageError(f"--uncertainty: {job.source} is not CT, and errors are known in HU only")


def with_notes(volume: Volume, grid: SliceGrid, model: str) -> Volume:
    """The volume with a warning for each thing that makes its result less than it seems."""
    if not intensity.is_ct(volume):
        seen = "; the shipped weights have only seen CT" if model in shipped.manifest() else ""
        volume = volume.with_warning(f"not CT: intensities were normalised by percentiles{seen}")
    told = spacings.known_spacing(volume.spacing_mm, grid.axis)
    if told[2] < volume.spacing_mm[grid.axis]:
        shown = " x ".join(f"{s:.4g}" for s in volume.spacing_mm)
        volume = volume.with_warning(
            f"spacing {shown} mm is beyond what the networks know: they were told of slices {told[2]:.4g} mm apart"
        )
    window, offset = grid.locate()
    beyond = int(((window == grid.acquired - 1) & (offset > 0)).sum())
    if beyond:
        lies = "slice lies" if beyond == 1 else f"{beyond} slices lie"
        them = "repeats" if beyond == 1 else "repeat"
        volume = volume.with_warning(f"the last {lies} beyond the last acquired one and {them} it")
    return volume
