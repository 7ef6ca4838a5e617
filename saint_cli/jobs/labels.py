"""The label map that comes along with a scan: where it goes, what is refused early, and how it is made."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from saint_cli import geometry, io
from saint_cli.errors import GeometryError, UsageError
from saint_cli.geometry import PlaneGrid, SliceGrid
from saint_cli.jobs.job import LoadedJob, PlannedJob
from saint_cli.jobs.location import TargetLocation
from saint_cli.progress import ProgressCallback
from saint_cli.report.job_facts import LabelPair
from saint_cli.volume import Volume
from saint_cli.volume.label_map import LabelMap

# ``saint_cli.labels`` is imported where labels are computed, for scipy takes a tenth of a second.

SUFFIX = "_labels"
"""What the name of a label map has more than that of the result that it lies on."""


def name_labels_target(target: TargetLocation) -> Path:
    """Where labels go if no file is named: beside the result, as in ``x4_labels.nii.gz``; of a DICOM folder a SEG.

    Raises:
        UsageError: the result goes to a URL, or to a folder without a name of its own.
    """
    if not isinstance(target, Path):
        raise UsageError(f"{target.public_url}: labels go to a file on this machine; name it with --labels-out")
    if not target.name or target.name == "..":
        raise UsageError(f"{target}: this folder gives the labels no name; name their file with --labels-out")
    if io.is_folder_target(target):
        return target.with_name(f"{target.name}{SUFFIX}{io.OBJECT_ENDING}")
    ending = max((one for one in io.OUTPUT_ENDINGS if target.name.lower().endswith(one)), key=len)
    return target.with_name(f"{target.name[: -len(ending)]}{SUFFIX}{target.name[-len(ending) :]}")


def check_label_files(labels: Path, labels_target: Path, *, is_dicom: bool) -> None:
    """Refuse what can be refused before labels are read.

    is_dicom: whether the scan that they will lie on is a DICOM series.

    Raises:
        UsageError: a DICOM segmentation without a DICOM series to refer to.
        UnreadableError: labels that are missing or of no known format.
    """
    io.require_format(labels)
    if io.is_object_target(labels_target) and not is_dicom:
        raise UsageError(
            f"{labels_target}: a DICOM SEG refers to a DICOM series, and what the labels will lie on is none; name a "
            "file ending in .nii.gz for them"
        )


def load_labels(planned: PlannedJob) -> LabelMap | None:
    """The labels of a scan, on its grid; None where none are wanted. Their header warns if they will not be written.

    Raises:
        UnreadableError, UsageError: labels that cannot be read.
        GeometryError: they lie on another grid than the scan.
        OutputError, UsageError: the target cannot hold them.
    """
    job, volume = planned.job, planned.volume
    if job.labels is None or job.labels_target is None:
        return None
    from saint_cli.labels import GridRelation, convert_labels, plan_labels

    try:
        io.check_segmentation_target(job.labels_target, volume)
    except UsageError as error:  # of a file whose name the user may not have given
        raise UsageError(f"{error} (`saint upsample`: --labels-out)") from None
    label_map = io.read_labels(job.labels, volume, job.label_options, is_drawn_on_like=True)
    try:
        plan = plan_labels(label_map, volume.affine_lps, volume.shape)
    except GeometryError as error:
        raise GeometryError(f"{job.labels}: {error}") from None
    if plan.relation is not GridRelation.SAME:
        word = "finer" if plan.relation is GridRelation.COARSEN else "coarser"
        raise GeometryError(
            f"{job.labels}: these labels ({_describe_grid(label_map)}) are {word} than {job.source} "
            f"({_describe_grid(volume)}); upsample the scan alone, then bring the labels to the result with "
            "saint labels"
        )
    placed = convert_labels(label_map, plan)
    if _lack_frames(placed, job.labels_target):
        warning = f"no voxel is labelled, and a DICOM SEG cannot be empty: {job.labels_target.name} is not written"
        return replace(placed, header=replace(placed.header, warnings=(*placed.header.warnings, warning)))
    result = volume.placeholder_on(planned.grid, planned.plane)
    check_result(placed, result.affine_lps, result.shape, job.labels_target)
    io.check_segmentation(placed, job.labels_target, result, is_derived=True)
    return placed


def _lack_frames(label_map: LabelMap, path: Path) -> bool:
    """Whether labels would be a DICOM SEG without a frame, which the standard does not allow."""
    return io.is_object_target(path) and not label_map.labels.any()


def refine(loaded: LoadedJob, restored: Volume, on_progress: ProgressCallback) -> LabelPair | None:
    """The labels on the slices of the result, with the pixels of the scan; None where none are written."""
    before, target = loaded.labels, loaded.job.labels_target
    if before is None or target is None or _lack_frames(before, target):
        return None
    from saint_cli.labels import label_volumes, refine_labels

    image = restored if loaded.job.settings.label_settings.guide else None
    after = refine_labels(before, loaded.grid, image, on_progress)
    return LabelPair(before, after, label_volumes(before, after))


def resample(refined: LabelPair | None, plane: PlaneGrid | None) -> LabelPair | None:
    """The labels as they are written: with other pixels, where slices are resampled in their plane."""
    if refined is None or plane is None:
        return refined
    from saint_cli.labels import label_volumes, resample_label_planes

    after = resample_label_planes(refined.after, plane)
    return LabelPair(refined.before, after, label_volumes(refined.before, after))


def coarsen(planned: PlannedJob, label_map: LabelMap | None) -> LabelPair | None:
    """The labels of a result whose slices are means of acquired ones, by majority in each slab."""
    target = planned.job.labels_target
    if label_map is None or target is None or _lack_frames(label_map, target):
        return None
    from saint_cli.labels import coarsen_labels, label_volumes

    slabs = planned.volume.placeholder_on(planned.grid)
    after = coarsen_labels(label_map, slabs.affine_lps, slabs.shape)
    pair = LabelPair(label_map, after, label_volumes(label_map, after))
    return resample(pair, planned.plane)


def check_result(label_map: LabelMap, affine_lps: np.ndarray, shape: tuple[int, int, int], path: Path) -> None:
    """Check whether labels could be written once they lie on another grid.

    Raises:
        UsageError, OutputError: the format, or the disk, cannot hold them.
    """
    if io.is_object_target(path):
        return
    zeros = np.broadcast_to(label_map.labels.dtype.type(0), shape)
    same = SliceGrid(axis=2, acquired=shape[2], step=1.0, count=shape[2])
    io.check_result(Volume(zeros, affine_lps, label_map.header), same, path)


def reach_end(label_map: LabelMap, axis: int) -> bool:
    """Whether there are labels in the first or last slice, where a finer grid ends half a slice earlier."""
    return bool(label_map.labels.take([0, -1], axis).any())


def list_warnings(label_map: LabelMap | None) -> tuple[str, ...]:
    """What is odd about labels, each sentence with the word labels before it."""
    return () if label_map is None else tuple(f"labels: {sentence}" for sentence in label_map.header.warnings)


def _describe_grid(grid: LabelMap | Volume) -> str:
    """As in ``512 x 512 x 40 at 0.7 x 0.7 x 5 mm``."""
    return f"{geometry.format_shape(grid.shape)} at {geometry.format_spacing(grid.spacing_mm)} mm"
