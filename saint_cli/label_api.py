"""Label maps for Python: those of a thick scan on the grid of an upsampled one, and back."""

import os
from collections.abc import Iterable, Sequence
from typing import Any

from saint_cli import io
from saint_cli.errors import GeometryError, UsageError
from saint_cli.progress import ProgressCallback, silent
from saint_cli.volume import Volume
from saint_cli.volume.label_map import LabelMap

PathLike = str | os.PathLike[str]


def convert_labels(
    labels: PathLike | LabelMap,
    like: PathLike | Volume,
    *,
    segments: Sequence[int] = (),
    guide: bool = True,
    on_progress: ProgressCallback = silent,
) -> LabelMap:
    """The labels of a thick scan on the grid of the upsampled one, or the other way round.

    Acquired slices keep their labels voxel by voxel; between them every label is interpolated by its shape. On a
    coarser grid each voxel gets the label that fills most of its slice. ``header.warnings`` counts labels beyond it.

    labels: a path (NIfTI, NRRD, MHA, DICOM SEG or RTSTRUCT), or a LabelMap.
    like: the scan whose grid the result gets: the path of one volume, or a Volume, such as ``read_volume`` takes of
    several.
    segments: numbers of the labels to take, of a path; all where none is named.
    guide: boundaries between acquired slices follow the edges that an upsampled ``like`` shows.
    on_progress: called with the name of a stage, the steps done and the steps in all.

    Raises:
        UsageError: something else than these; values that are no labels; segments that are not there.
        UnreadableError: a path that cannot be read.
        GeometryError: the grids differ in more than the distance between slices.
    """
    from saint_cli.labels import GridRelation, plan_labels
    from saint_cli.labels import convert_labels as convert

    scan = _get_scan(like)
    source = _get_labels(labels, scan, segments)
    plan = plan_labels(source, scan.affine_lps, scan.shape)
    return convert(source, plan, scan if guide and plan.relation is GridRelation.REFINE else None, on_progress)


def _get_scan(like: PathLike | Volume) -> Volume:
    """The scan that ``like`` is or names, with even slices."""
    scan = io.read_volume(os.fspath(like), offered=frozenset()) if isinstance(like, str | os.PathLike) else like
    if not isinstance(scan, Volume):
        raise UsageError(f"{_type_name(scan)}: not a scan; pass a path or a Volume as `like`")
    if scan.header.slice_positions:
        raise GeometryError("the slices of `like` are unevenly spaced; labels need a scan with even ones")
    return scan


def _get_labels(labels: PathLike | LabelMap, scan: Volume, segments: Sequence[int]) -> LabelMap:
    """The labels that ``labels`` is, or those named of the file that it names."""
    if isinstance(labels, str | os.PathLike):
        wanted = tuple(segments) if isinstance(segments, Iterable) else segments
        return io.read_labels(os.fspath(labels), scan, segments=wanted)
    if segments:
        raise UsageError("`segments` chooses among the labels of a file; set others of a LabelMap to 0")
    if not isinstance(labels, LabelMap):
        raise UsageError(f"{_type_name(labels)}: not labels; pass a path or a LabelMap")
    return labels


def _type_name(subject: Any) -> str:
    return type(subject).__name__
