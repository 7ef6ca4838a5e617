"""What a DICOM file of labels holds, as ``saint info`` shows it."""

from dataclasses import replace
from pathlib import Path

from saint_cli.errors import LabelMapError
from saint_cli.errors.plain_text import format_count
from saint_cli.io.description import LABEL_MAP, StackInfo, placement_fields
from saint_cli.io.dicom.label_objects import detect_label_object
from saint_cli.io.dicom.label_painter import choose_label_type
from saint_cli.io.dicom.label_planes import place_planes
from saint_cli.io.dicom.plane_steps import Origin
from saint_cli.io.dicom.segmentation_header import read_segmentation_header
from saint_cli.io.dicom.sop_class import LABELS_HINT, LabelObject
from saint_cli.io.dicom.structure_set import read_structure_set


def describe_label_file(path: Path) -> StackInfo | None:
    """A Segmentation or an RT Structure Set, from its header; None of any other file.

    Raises:
        UnreadableError: damaged. GeometryError: frames that form no stack.
    """
    found = detect_label_object(path)
    if found is None:
        return None
    kind, series = found
    if kind is LabelObject.STRUCTURE_SET:
        count = len(read_structure_set(path).regions)
        return _describe(series or path.name, "RTSTRUCT", f"contours of {format_count(count, 'region')}")
    header = read_segmentation_header(path)
    grid = place_planes(header.planes, None, Origin())
    count = len(header.segments)
    info = _describe(
        series or path.name, "SEG", f"{header.kind.value.lower()} segmentation of {format_count(count, 'segment')}"
    )
    highest = max(segment.number for segment in header.segments)
    return replace(info, shape=grid.shape, dtype=choose_label_type(highest).name, **placement_fields(grid.affine_lps))


def _describe(label: str, modality: str, content: str) -> StackInfo:
    return StackInfo(
        1,
        label,
        "DICOM",
        modality=modality,
        slope=1.0,
        intercept=0.0,
        secondary=LABEL_MAP,
        problem=f"{content}; {LABELS_HINT}",
        exit_code=LabelMapError.exit_code,
    )
