"""DICOM Segmentations as label maps: frames in any order, on the scan's slices, one label for each voxel."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from saint_cli.errors import GeometryError
from saint_cli.io.dicom.label_objects import ScanIdentity, check_frame_of_reference, choose_segments
from saint_cli.io.dicom.label_painter import LabelPainter, choose_label_type
from saint_cli.io.dicom.label_planes import PIXEL_TOLERANCE, LabelGrid, Planes, place_planes
from saint_cli.io.dicom.pixels import PixelReader
from saint_cli.io.dicom.plane_steps import ScanGrid
from saint_cli.io.dicom.segmentation_header import SegmentationHeader, SegmentationKind, read_segmentation_header
from saint_cli.io.dicom.segmentation_pixels import ReadFrame, open_frames
from saint_cli.io.read_options import LabelReadOptions
from saint_cli.runtime import memory
from saint_cli.volume import Header, Storage, Volume
from saint_cli.volume.label_map import LabelMap, Segment

MIN_SHARE = 0.5
"""Share of a voxel, or probability, from which on a fractional segmentation labels it."""

NOUN = "segment"


@dataclass(frozen=True)
class _Frame:
    """A frame of one of several files, and the slice of the label map that it lies on."""

    z: int
    segment: int
    file: int
    index: int


def read_segmentation(
    path: Path, files: Sequence[Path], scan: Volume | None, identity: ScanIdentity, options: LabelReadOptions
) -> LabelMap:
    """The label map of one or several Segmentation files of one series.

    Frames without labels may be missing; the grid covers the slices of ``scan``, where that is given and parallel.
    Of several files whose segments have the same numbers, the segments are numbered anew in the order of the files.
    Of ``options``, segments and memory count.

    Raises:
        UnreadableError: damaged. UsageError: segments that overlap or are not there; too little memory.
        GeometryError: no stack of slices, slices beside those of the scan, or another frame of reference.
    """
    headers = _number_anew([read_segmentation_header(file) for file in files])
    for header in headers:
        check_frame_of_reference(header.path, header.frame_of_reference_uid, identity)
    described = tuple(segment for header in headers for segment in header.segments)
    segments = choose_segments(path, described, options.segments, NOUN)
    grid = _place(path, headers, scan, identity)
    frames = _order_frames(headers, grid)
    highest = max(max((segment.number for segment in described), default=1), *(_highest_value(h) for h in headers))
    itemsize = choose_label_type(highest).itemsize
    memory.check_voxels_fit(path, math.prod(grid.shape) * itemsize, options.max_memory)
    wanted = frozenset(options.segments) or None
    with PixelReader() as reader:
        read = [open_frames(header, reader, options.max_memory) for header in headers]
        painter = LabelPainter(grid.shape, highest)
        for frame in frames:
            for number, mask in _read_masks(frame, headers[frame.file], read[frame.file]):
                if wanted is None or number in wanted:
                    painter.paint(frame.z, number, mask.T)  # [row, column] -> [x, y]
    painter.require_disjoint(path, segments, NOUN)
    undescribed = _find_undescribed(painter.labels, described) if wanted is None else ()
    about = Header(
        source_format="DICOM SEG",
        storage=Storage(painter.labels.dtype),
        warnings=_list_warnings(headers),
        is_labels=True,
    )
    return LabelMap(painter.labels, grid.affine_lps, (*segments, *undescribed), about)


def _number_anew(headers: Sequence[SegmentationHeader]) -> list[SegmentationHeader]:
    """The headers with segments of different numbers; as they are where no number is used twice."""
    numbers = [segment.number for header in headers for segment in header.segments]
    if len(set(numbers)) == len(numbers):
        return list(headers)
    renumbered, offset = [], 0
    for header in headers:
        segments = tuple(replace(segment, number=segment.number + offset) for segment in header.segments)
        frames = tuple(replace(frame, segment=frame.segment and frame.segment + offset) for frame in header.frames)
        renumbered.append(replace(header, segments=segments, frames=frames, number_offset=offset))
        offset += max((segment.number for segment in header.segments), default=0)
    return renumbered


def _place(path: Path, headers: Sequence[SegmentationHeader], scan: Volume | None, identity: ScanIdentity) -> LabelGrid:
    """The grid of the frames of all files, in the order of the files."""
    first = headers[0].planes
    for header in headers[1:]:
        planes = header.planes
        drift = np.abs(planes.steps_mm - first.steps_mm).max() * max(first.shape)
        if planes.shape != first.shape or drift > PIXEL_TOLERANCE * min(first.pixel_spacing):
            raise GeometryError(
                f"{path}: {headers[0].path.name} and {header.path.name} have pixels of different size or direction; "
                "give them one by one"
            )
    distances = {header.planes.distance_mm for header in headers}
    positions = np.concatenate([header.planes.positions for header in headers])
    distance = first.distance_mm if len(distances) == 1 else None
    planes = Planes(positions, first.orientation, first.pixel_spacing, first.shape, distance)
    normal = np.cross(*first.steps_mm.T)
    named = frozenset[str]().union(*(header.source_uids for header in headers))
    try:
        grid = None if scan is None else ScanGrid.across(scan, normal)
        return place_planes(planes, grid, identity.find_origin(named))
    except GeometryError as error:
        raise GeometryError(f"{path}: {error}") from None


def _order_frames(headers: Sequence[SegmentationHeader], grid: LabelGrid) -> list[_Frame]:
    """All frames, slice by slice."""
    places = iter(grid.slices)
    frames = [
        _Frame(int(next(places)), frame.segment, number, frame.index)
        for number, header in enumerate(headers)
        for frame in header.frames
    ]
    return sorted(frames, key=lambda frame: (frame.z, frame.file, frame.segment, frame.index))


def _highest_value(header: SegmentationHeader) -> int:
    """The highest label that the pixels may hold."""
    if header.kind is SegmentationKind.LABELMAP:
        return header.number_offset + (1 << header.bits_allocated) - 1
    return 1


def _read_masks(frame: _Frame, header: SegmentationHeader, read: ReadFrame) -> Iterator[tuple[int, np.ndarray]]:
    """The segments of a frame, and the mask [row, column] of each."""
    stored = read(frame.index)
    if header.kind is SegmentationKind.BINARY:
        yield frame.segment, stored.astype(bool)
    elif header.kind is SegmentationKind.FRACTIONAL:
        yield frame.segment, stored.astype(np.int64) >= MIN_SHARE * header.max_fraction
    else:
        for value in np.unique(stored):
            if value:
                yield int(value) + header.number_offset, stored == value


def _find_undescribed(labels: np.ndarray, described: Sequence[Segment]) -> tuple[Segment, ...]:
    """Segments of which a ``LABELMAP`` has voxels but no description."""
    present = {
        int(number) for plane in np.moveaxis(labels, 2, 0) for number in np.flatnonzero(np.bincount(plane.ravel()))
    }
    return tuple(Segment(number) for number in sorted(present - {0, *(segment.number for segment in described)}))


def _list_warnings(headers: Sequence[SegmentationHeader]) -> tuple[str, ...]:
    notes = []
    for header in headers:
        if header.kind is SegmentationKind.FRACTIONAL:
            share = header.fraction_kind or "share"
            notes.append(f"fractional segmentation: voxels with a {share} of {MIN_SHARE} or more are labelled")
    if any(header.number_offset for header in headers):
        notes.append("the files' segments have the same numbers; they are numbered anew in the order of the files")
    return tuple(dict.fromkeys(notes))
