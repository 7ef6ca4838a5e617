"""The header of a DICOM Segmentation (PS3.3 A.51): its kind, its frames and where they lie, its segments."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from saint_cli.errors import GeometryError
from saint_cli.errors.plain_text import format_count
from saint_cli.io.dicom import values
from saint_cli.io.dicom.label_planes import PIXEL_TOLERANCE, Planes
from saint_cli.io.dicom.object_files import open_object
from saint_cli.io.dicom.segment_descriptions import parse_segment
from saint_cli.io.dicom.values import DamagedImageError, find_in_groups, parse_optional_float, parse_optional_int
from saint_cli.volume.label_map import Segment

HEADER_TAGS = (
    *("SOPClassUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SpecificCharacterSet", "SegmentationType"),
    *("SegmentationFractionalType", "MaximumFractionalValue", "SegmentSequence", "Rows", "Columns", "NumberOfFrames"),
    *("BitsAllocated", "ReferencedSeriesSequence", "SharedFunctionalGroupsSequence"),
    "PerFrameFunctionalGroupsSequence",
)
"""Everything that is read; patient text is not among it."""


class SegmentationKind(Enum):
    """SegmentationType (0062,0001)."""

    BINARY = "BINARY"
    FRACTIONAL = "FRACTIONAL"
    LABELMAP = "LABELMAP"


@dataclass(frozen=True)
class SegmentationFrame:
    """One frame: its index in the pixel data, its segment (0 in a ``LABELMAP``, whose pixels name them), its place.

    position: (3,) float64 LPS mm of the first pixel's centre.
    """

    index: int
    segment: int
    position: np.ndarray


@dataclass(frozen=True)
class SegmentationHeader:
    """A file of segments.

    planes: of its frames. bits_allocated: 1, 8 or 16. max_fraction: the stored value of a share of 1, and
    fraction_kind what it is a share of, for ``FRACTIONAL``. source_uids: instances that it says it was made on.
    number_offset: what was added to the numbers of its segments.
    """

    path: Path
    kind: SegmentationKind
    frames: tuple[SegmentationFrame, ...]
    planes: Planes
    segments: tuple[Segment, ...]
    bits_allocated: int
    frame_of_reference_uid: str
    source_uids: frozenset[str]
    max_fraction: int = 255
    fraction_kind: str = ""
    number_offset: int = 0


def read_segmentation_header(path: Path) -> SegmentationHeader:
    """The header of a Segmentation file.

    Raises:
        UnreadableError: damaged, or without what places its frames and names their segments.
        GeometryError: frames that are not parallel.
    """
    with open_object(path, "a DICOM Segmentation", HEADER_TAGS) as (data, following):
        if not following:
            raise DamagedImageError("no pixel data")
        return _parse_header(path, data)


def _parse_header(path: Path, data: Dataset) -> SegmentationHeader:
    kind = str(data.get("SegmentationType") or "")
    if kind not in SegmentationKind.__members__:
        raise DamagedImageError("a SegmentationType that is not BINARY, FRACTIONAL or LABELMAP")
    rows, columns = (parse_optional_int(data.get(name)) or 0 for name in ("Rows", "Columns"))
    bits = parse_optional_int(data.get("BitsAllocated")) or 0
    if rows < 1 or columns < 1:
        raise DamagedImageError("no rows or columns of pixels")
    if bits not in ((1,) if kind == "BINARY" else (8, 16)):
        raise DamagedImageError(f"BitsAllocated {bits}, which {kind} cannot have")
    segments = tuple(parse_segment(item) for item in data.get("SegmentSequence") or ())
    numbers = [segment.number for segment in segments]
    if not segments or min(numbers) < 0 or len(set(numbers)) < len(numbers):
        raise DamagedImageError("no SegmentSequence, or one with a number twice")
    frames, planes = _parse_frames(path, data, (rows, columns), is_labelmap=kind == "LABELMAP")
    unknown = {frame.segment for frame in frames} - set(numbers) - {0}
    if unknown:
        raise DamagedImageError(f"frames of segment {min(unknown)}, which its SegmentSequence does not describe")
    return SegmentationHeader(
        path,
        SegmentationKind(kind),
        frames,
        planes,
        tuple(segment for segment in segments if segment.number),
        bits,
        values.decode_text(data.get("FrameOfReferenceUID")),
        _list_sources(data),
        parse_optional_int(data.get("MaximumFractionalValue")) or 255,
        str(data.get("SegmentationFractionalType") or "").lower(),
    )


def _parse_frames(
    path: Path, data: Dataset, shape: tuple[int, int], *, is_labelmap: bool
) -> tuple[tuple[SegmentationFrame, ...], Planes]:
    """The frames, and the planes in which they lie."""
    found = values.list_frame_groups(data)
    count = parse_optional_int(data.get("NumberOfFrames")) or 1
    if len(found) != count:
        raise DamagedImageError(f"{format_count(count, 'frame')} and functional groups for {len(found)}")
    frames = tuple(_parse_frame(index, groups, is_labelmap=is_labelmap) for index, groups in enumerate(found))
    directions = {
        _key(find_in_groups(groups, "PlaneOrientationSequence", "ImageOrientationPatient")) for groups in found
    }
    spacings = {_key(find_in_groups(groups, "PixelMeasuresSequence", "PixelSpacing")) for groups in found}
    orientations = [values.parse_orientation(list(key))[0] for key in directions]
    if np.ptp(orientations, axis=0).max() * max(shape) > PIXEL_TOLERANCE or len(spacings) > 1:
        raise GeometryError(f"{path}: frames of different direction or pixel spacing, which form no stack of slices")
    spacing = values.parse_pixel_spacing(list(next(iter(spacings))))
    if not min(spacing) > 0:
        raise DamagedImageError("a pixel spacing of zero")
    distance = parse_optional_float(find_in_groups(found[0], "PixelMeasuresSequence", "SpacingBetweenSlices"))
    positions = np.array([frame.position for frame in frames])
    return frames, Planes(positions, orientations[0], spacing, shape, abs(distance) if distance else None)


def _parse_frame(index: int, groups: values.FrameGroups, *, is_labelmap: bool) -> SegmentationFrame:
    position = find_in_groups(groups, "PlanePositionSequence", "ImagePositionPatient")
    if position is None:
        raise DamagedImageError("frames without a place in the patient (ImagePositionPatient)")
    place = values.parse_vector(position, 3, "ImagePositionPatient")
    if is_labelmap:
        return SegmentationFrame(index, 0, place)
    number = parse_optional_int(find_in_groups(groups, "SegmentIdentificationSequence", "ReferencedSegmentNumber"))
    if not number or number < 1:
        raise DamagedImageError(f"no segment number in frame {index + 1}")
    return SegmentationFrame(index, number, place)


def _key(several: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values.list_values(several))


def _list_sources(data: Dataset) -> frozenset[str]:
    """SOPInstanceUIDs that the file names as the images which it segments, as a list or for its first frame."""
    first = (data.get("PerFrameFunctionalGroupsSequence") or [Dataset()])[0]
    lists = [one.get("ReferencedInstanceSequence") for one in data.get("ReferencedSeriesSequence") or ()]
    lists += [one.get("SourceImageSequence") for one in first.get("DerivationImageSequence") or ()]
    items = [item for several in lists for item in several or ()]
    return frozenset(values.decode_text(item.get("ReferencedSOPInstanceUID")) for item in items) - {""}
