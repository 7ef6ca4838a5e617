"""A label map brought to the grid of another scan, from file to file: what ``saint labels`` does."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from saint_cli import io
from saint_cli.errors import GeometryError, UsageError
from saint_cli.io import LabelReadOptions, ReadOptions
from saint_cli.io.formats import Format
from saint_cli.io.path_identity import check_distinct, lies_in
from saint_cli.io.read_options import LABEL_CHOICES
from saint_cli.jobs import labels as label_steps
from saint_cli.jobs.job import format_change
from saint_cli.progress import ProgressCallback
from saint_cli.volume import Volume, warning_words
from saint_cli.volume.label_map import LabelMap

if TYPE_CHECKING:
    from saint_cli.labels import LabelVolume


@dataclass(frozen=True)
class LabelJob:
    """One label map to bring to the grid of a scan.

    like: the scan, finer or coarser along one axis than the labels; guide: boundaries between acquired slices follow
    the edges of ``like``.
    """

    labels: Path
    like: Path
    target: Path
    guide: bool = True
    overwrite: bool = False
    label_options: LabelReadOptions = field(default_factory=LabelReadOptions)
    read_options: ReadOptions = field(default_factory=ReadOptions)


@dataclass(frozen=True)
class LabelJobResult:
    """The result of a label job.

    relation: what was done, ``refine``, ``coarsen`` or ``same`` (copied); guided: whether the scan's edges were
    followed; labels_reach_end: as ``JobResult`` has it. Shapes in voxels, spacings in mm.
    """

    source: str
    like: str
    target: str
    relation: str
    guided: bool
    shape_before: tuple[int, int, int]
    shape_after: tuple[int, int, int]
    spacing_before_mm: tuple[float, float, float]
    spacing_after_mm: tuple[float, float, float]
    label_volumes: "tuple[LabelVolume, ...]"
    labels_reach_end: bool
    seconds: float
    warnings: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """One line: shape and spacing before and after, what was done, and the file."""
        done = {"refine": "refined", "coarsen": "coarsened by majority", "same": "copied, for the grids are the same"}
        change = format_change(self.shape_before, self.spacing_before_mm, self.shape_after, self.spacing_after_mm)
        guided = " along the edges of the scan" if self.guided else ""
        return f"{change}: labels {done[self.relation]}{guided}, {self.seconds:.1f} s: {self.target}"


def run_label_job(job: LabelJob, on_progress: ProgressCallback) -> LabelJobResult:
    """Read, convert, write; everything that can be refused is refused before labels are computed.

    Raises:
        SaintError: of the kind that fits; the target is then as it was before.
    """
    began = time.perf_counter()
    _check_files(job)
    like, before = _read(job, on_progress)
    from saint_cli.labels import GridRelation, convert_labels, label_volumes, orient_labels, plan_labels

    try:
        plan = plan_labels(before, like.affine_lps, like.shape)
    except GeometryError as error:
        raise GeometryError(f"{job.labels}: {error}") from None
    label_steps.check_result(before, plan.affine_lps, plan.shape, job.target)
    io.check_segmentation(orient_labels(before, plan.affine_lps), job.target, like, is_derived=False)
    is_guided = job.guide and plan.relation is GridRelation.REFINE
    after = convert_labels(before, plan, like if is_guided else None, on_progress)
    on_progress("writing", 0, 1)
    io.write_labels(after, job.target, result=like, overwrite=job.overwrite)
    on_progress("writing", 1, 1)
    return LabelJobResult(
        source=str(job.labels),
        like=str(job.like),
        target=str(job.target),
        relation=plan.relation.value,
        guided=is_guided,
        shape_before=before.shape,
        shape_after=after.shape,
        spacing_before_mm=before.spacing_mm,
        spacing_after_mm=after.spacing_mm,
        label_volumes=label_volumes(before, after),
        labels_reach_end=plan.axis is not None
        and plan.ends_at_middles
        and label_steps.reach_end(before if plan.relation is GridRelation.REFINE else after, plan.axis),
        seconds=round(time.perf_counter() - began, 2),
        warnings=(*_list_warnings(like, job.like.name, is_guided=is_guided), *label_steps.list_warnings(after)),
    )


def _list_warnings(like: Volume, name: str, *, is_guided: bool) -> tuple[str, ...]:
    """Those of the scan of this name but what becomes of its slices and voxels where it is upsampled."""
    upsampled = (warning_words.TILTED, warning_words.HIDDEN, warning_words.MADE_BY_SAINT, warning_words.NO_LABELS)
    kept = tuple(text for text in like.header.warnings if not any(words in text for words in upsampled))
    if is_guided and any(warning_words.NO_LABELS in text for text in like.header.warnings):
        kept += (f"{name} looks like labels, whose edges are followed; name the scan itself, or pass --no-guide",)
    return kept


def _read(job: LabelJob, on_progress: ProgressCallback) -> tuple[Volume, LabelMap]:
    """The scan and the labels.

    Raises:
        SaintError: of the kind that fits.
    """
    on_progress("reading", 0, 1)
    like = io.read_volume(job.like, job.read_options, offered=LABEL_CHOICES)
    io.check_segmentation_target(job.target, like)
    before = io.read_labels(job.labels, like, job.label_options)
    on_progress("reading", 1, 1)
    return like, before


def _check_files(job: LabelJob) -> None:
    """Refuse what can be refused from paths alone.

    Raises:
        UsageError: a target of no known ending, or one that is an input; a segmentation without a series.
        OutputError: a target that exists or cannot be written.
        UnreadableError: an input that is missing or of no known format.
    """
    target = io.ExtraOutput("-o", job.target, (*io.OUTPUT_ENDINGS, io.OBJECT_ENDING))
    io.check_extra_output(target, overwrite=job.overwrite)
    inputs = {job.like: "the scan of --like", job.labels: "the label map itself"}
    check_distinct([(f"-o {job.target}", job.target)], inputs)
    for folder in (job.like, job.labels):
        if folder.is_dir() and lies_in(job.target, folder):
            raise UsageError(f"{job.target} lies inside the input {folder}; write the labels elsewhere")
    is_dicom = io.require_format(job.like) is Format.DICOM
    label_steps.check_label_files(job.labels, job.target, is_dicom=is_dicom)
