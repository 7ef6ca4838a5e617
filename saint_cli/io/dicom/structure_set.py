"""The header of a DICOM RT Structure Set (PS3.3 A.19): its regions and their contours, in patient mm."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from saint_cli.io.dicom import values
from saint_cli.io.dicom.object_files import open_object
from saint_cli.io.dicom.segment_descriptions import ALGORITHM_TYPES
from saint_cli.io.dicom.values import DamagedImageError, parse_optional_int
from saint_cli.volume.label_map import Segment

HEADER_TAGS = (
    *("SOPClassUID", "SpecificCharacterSet", "FrameOfReferenceUID", "ReferencedFrameOfReferenceSequence"),
    *("StructureSetROISequence", "ROIContourSequence", "RTROIObservationsSequence"),
)
"""Everything that is read; patient text is not among it."""

SEQUENCE_TAGS = (0x30060010, 0x30060020, 0x30060039)
"""Those sequences of them that may be large."""

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")

MAX_NUMBER = 65535
"""Of a label; regions with higher numbers are numbered anew."""


@dataclass(frozen=True)
class Region:
    """A region of interest: its number as a label, and closed contours, (n, 3) float64 LPS mm each.

    skipped: how many other contours it has, by their kind. image_uids: instances that its first contour refers to.
    """

    segment: Segment
    contours: tuple[np.ndarray, ...]
    frame_of_reference_uid: str
    skipped: Counter[str]
    image_uids: frozenset[str]


@dataclass(frozen=True)
class StructureSet:
    """The regions of a file, and the instances that it says their contours lie on."""

    regions: tuple[Region, ...]
    source_uids: frozenset[str]


def read_structure_set(path: Path) -> StructureSet:
    """The regions of a file.

    Raises:
        UnreadableError: damaged, or without regions.
    """
    with open_object(path, "an RT Structure Set", HEADER_TAGS, SEQUENCE_TAGS) as (data, _):
        return _parse(data)


def _parse(data: Dataset) -> StructureSet:
    items = list(data.get("StructureSetROISequence") or ())
    if not items:
        raise DamagedImageError("no regions of interest (StructureSetROISequence)")
    drawn: dict[int, list[Dataset]] = {}
    for item in data.get("ROIContourSequence") or ():
        drawn.setdefault(_number(item, "ReferencedROINumber"), []).append(item)
    numbers = [_number(item, "ROINumber") for item in items]
    if len(set(numbers)) < len(numbers):
        raise DamagedImageError("a region number twice")
    labels = numbers if min(numbers) > 0 and max(numbers) <= MAX_NUMBER else range(1, len(numbers) + 1)
    frame = _find_frame_of_reference(data)
    regions = tuple(
        _parse_region(item, label, drawn.get(number, []), frame)
        for item, number, label in zip(items, numbers, labels, strict=True)
    )
    return StructureSet(regions, _list_sources(data))


def _number(item: Dataset, name: str) -> int:
    number = parse_optional_int(item.get(name))
    if number is None:
        raise DamagedImageError("a region without a number")
    return number


def _parse_region(item: Dataset, label: int, drawn: list[Dataset], frame: str) -> Region:
    color = next((c for one in drawn if len(c := values.list_values(one.get("ROIDisplayColor"))) == 3), None)
    rgb = None
    if color is not None:
        red, green, blue = (min(255, max(0, parse_optional_int(value) or 0)) for value in color)
        rgb = red, green, blue
    algorithm = next((kind for kind in ALGORITHM_TYPES if kind == item.get("ROIGenerationAlgorithm")), None)
    segment = Segment(
        label,
        str(item.get("ROIName") or "").strip() or None,
        rgb,
        algorithm_type=algorithm,
        algorithm_name=None if algorithm == "MANUAL" else str(item.get("ROIGenerationDescription") or "") or None,
    )
    contours, skipped = [], Counter[str]()
    for one in drawn:
        for contour in one.get("ContourSequence") or ():
            kind = str(contour.get("ContourGeometricType") or "")
            if kind not in CLOSED:
                skipped[kind if kind.replace("_", "").isalnum() and kind.isupper() else "unknown"] += 1
            elif len(points := _parse_points(contour)):  # a point or two mark the pixels whose centres they hit
                contours.append(points)
    own = values.decode_text(item.get("ReferencedFrameOfReferenceUID"))
    return Region(segment, tuple(contours), own or frame, skipped, _list_uids(_iterate_contour_images(drawn)))


def _parse_points(contour: Dataset) -> np.ndarray:
    """ContourData as (n, 3) float64; its text is parsed as a whole, since there may be millions of numbers."""
    raw = contour.get_item("ContourData") if "ContourData" in contour else None
    stored: Any = raw.value if isinstance(raw, RawDataElement) else contour.get("ContourData")
    parts = stored.strip(b" \0").split(b"\\") if isinstance(stored, bytes) else values.list_values(stored)
    try:
        points = np.array(parts, dtype=np.float64) if parts != [b""] else np.empty(0)
    except ValueError:
        raise DamagedImageError("damaged ContourData") from None
    if points.size % 3 or not np.isfinite(points).all():
        raise DamagedImageError("damaged ContourData")
    return points.reshape(-1, 3)


def _find_frame_of_reference(data: Dataset) -> str:
    """That of the whole file, where it names one; "" where it names none or several."""
    items = data.get("ReferencedFrameOfReferenceSequence") or ()
    uids = {values.decode_text(item.get("FrameOfReferenceUID")) for item in items} - {""}
    return uids.pop() if len(uids) == 1 else values.decode_text(data.get("FrameOfReferenceUID"))


def _list_sources(data: Dataset) -> frozenset[str]:
    """SOPInstanceUIDs of the images that the file, or the first contours of a region, refer to."""
    return _list_uids(chain(_iterate_images(data), _iterate_contour_images(data.get("ROIContourSequence") or ())))


def _list_uids(images: Iterable[Dataset]) -> frozenset[str]:
    return frozenset({values.decode_text(image.get("ReferencedSOPInstanceUID")) for image in images} - {""})


def _iterate_images(data: Dataset) -> Iterator[Dataset]:
    for frame in data.get("ReferencedFrameOfReferenceSequence") or ():
        for study in frame.get("RTReferencedStudySequence") or ():
            for series in study.get("RTReferencedSeriesSequence") or ():
                yield from series.get("ContourImageSequence") or ()


def _iterate_contour_images(regions: Iterable[Dataset]) -> Iterator[Dataset]:
    for region in regions:
        for contour in (region.get("ContourSequence") or ())[:1]:
            yield from contour.get("ContourImageSequence") or ()
