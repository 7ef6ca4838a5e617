"""Segments as the items of SegmentSequence (PS3.3 C.8.20.2, C.8.20.4), in and out."""

import copy

from pydicom.dataset import Dataset

from saint_cli.io.dicom.display_colors import choose_color, decode_color, encode_color
from saint_cli.io.dicom.values import DamagedImageError, list_values, parse_optional_int
from saint_cli.runtime.version import __version__
from saint_cli.volume.label_map import CodedConcept, Segment

TISSUE = CodedConcept("85756007", "SCT", "Tissue")
"""Category and type of a label of which nothing is known (CID 7150, CID 7166)."""

CATEGORY, TYPE = "SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence"
REGION = "AnatomicRegionSequence"

ALGORITHM_TYPES = ("MANUAL", "SEMIAUTOMATIC", "AUTOMATIC")

MAX_LO = 64
MAX_SH = 16
MAX_ST = 1024


def parse_segment(item: Dataset) -> Segment:
    """The segment that an item of SegmentSequence describes.

    Raises:
        DamagedImageError: it has no number.
    """
    number = parse_optional_int(item.get("SegmentNumber"))
    if number is None:
        raise DamagedImageError("a segment without a number")
    color = [parse_optional_int(value) for value in list_values(item.get("RecommendedDisplayCIELabValue"))]
    return Segment(
        number,
        _text(item, "SegmentLabel"),
        decode_color([value or 0 for value in color]) if len(color) == 3 else None,
        _parse_code(item, CATEGORY),
        _parse_code(item, TYPE),
        _text(item, "SegmentAlgorithmType"),
        _text(item, "SegmentAlgorithmName"),
        tuple(filter(None, (_make_concept(region) for region in item.get(REGION) or ()))),
        _text(item, "TrackingID"),
        _text(item, "TrackingUID"),
        source=item,
    )


def _text(item: Dataset, name: str) -> str | None:
    return str(item.get(name) or "").strip() or None


def _parse_code(item: Dataset, name: str) -> CodedConcept | None:
    return next((_make_concept(code) for code in item.get(name) or ()), None)


def _make_concept(code: Dataset) -> CodedConcept | None:
    value = next((str(code.get(name)) for name in ("CodeValue", "LongCodeValue", "URNCodeValue") if code.get(name)), "")
    scheme, meaning = (str(code.get(name) or "") for name in ("CodingSchemeDesignator", "CodeMeaning"))
    return CodedConcept(value, scheme, meaning) if value else None


def encode_segment(segment: Segment, number: int) -> Dataset:
    """The item of SegmentSequence of a segment, as number ``number``; what is not known gets neutral values.

    Of what a Segmentation said, all is kept. Modifiers, regions and the identified algorithm stay as they were.
    """
    item = _copy_source(segment.source)
    item.SegmentNumber = number
    item.SegmentLabel = (segment.name or f"Label {segment.number}")[:MAX_LO]
    if segment.source is None or _parse_code(item, CATEGORY) != segment.category or segment.category is None:
        setattr(item, CATEGORY, [_encode_code(segment.category or TISSUE)])
    if segment.source is None or _parse_code(item, TYPE) != segment.type or segment.type is None:
        setattr(item, TYPE, [_encode_code(segment.type or TISSUE)])
    if segment.anatomic_regions and REGION not in item:
        setattr(item, REGION, [_encode_code(region) for region in segment.anatomic_regions])
    _set_algorithm(item, segment)
    color = list_values(item.get("RecommendedDisplayCIELabValue"))
    if len(color) != 3 or decode_color([int(value) for value in color]) != segment.color_rgb:
        item.RecommendedDisplayCIELabValue = encode_color(segment.color_rgb or choose_color(segment.number))
    if segment.tracking_id and segment.tracking_uid:
        item.TrackingID, item.TrackingUID = segment.tracking_id, segment.tracking_uid
    note = f"resampled by saint {__version__}"
    described = _text(item, "SegmentDescription")
    if note not in (described or ""):
        item.SegmentDescription = "; ".join(filter(None, (described and described[: MAX_ST - len(note) - 2], note)))
    return item


def _copy_source(source: object) -> Dataset:
    """A copy without private elements of the item that described a segment; an empty one where there was none."""
    item = Dataset()
    if isinstance(source, Dataset):
        item.update({element.tag: copy.deepcopy(element) for element in source if not element.tag.is_private})
    return item


def _set_algorithm(item: Dataset, segment: Segment) -> None:
    """Who drew the labels; the name is mandatory unless it was a person alone."""
    kind = segment.algorithm_type if segment.algorithm_type in ALGORITHM_TYPES else "SEMIAUTOMATIC"
    item.SegmentAlgorithmType = kind
    if segment.algorithm_name:
        item.SegmentAlgorithmName = segment.algorithm_name[:MAX_LO]
    elif kind != "MANUAL":
        item.SegmentAlgorithmName = "unknown"


def _encode_code(concept: CodedConcept) -> Dataset:
    item = Dataset()
    setattr(item, "CodeValue" if len(concept.value) <= MAX_SH else "LongCodeValue", concept.value)
    item.CodingSchemeDesignator = concept.scheme[:MAX_SH] or "99SAINT"
    item.CodeMeaning = (concept.meaning or concept.value)[:MAX_LO]
    return item
