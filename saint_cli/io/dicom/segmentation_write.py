"""Label maps as DICOM Segmentations (PS3.3 A.51) of kind BINARY, by highdicom, that refer to a series."""

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.charset import convert_encodings, custom_encoders
from pydicom.dataset import Dataset

from saint_cli.errors import UsageError
from saint_cli.geometry import format_shape
from saint_cli.io.dicom import highdicom_objects
from saint_cli.io.dicom.derived_header import MAX_IS, make_contribution
from saint_cli.io.dicom.headers import reread_headers
from saint_cli.io.dicom.pixels import PixelReader
from saint_cli.io.dicom.referenced_series import (
    PATIENT_AND_STUDY,
    ReferencedSeries,
    check_referable,
    refer_to_acquired,
    refer_to_derived,
)
from saint_cli.io.dicom.segment_descriptions import encode_segment
from saint_cli.io.dicom.uids import make_uid
from saint_cli.io.dicom.validation import ignore_invalid_values
from saint_cli.io.dicom.values import list_values
from saint_cli.io.dicom.write import make_series
from saint_cli.runtime.version import __version__
from saint_cli.volume import Volume
from saint_cli.volume.label_map import LabelMap, Segment

KIND, EXTRA = "DICOM SEG", "seg"

MAX_SEGMENTS = 65535

NO_LABELS = "no voxel is labelled"

TEXT_VRS = ("LO", "SH", "ST", "UT", "UC")

UTF8, ESCAPE = "ISO_IR 192", b"\x1b"

GRID_TOLERANCE = 0.02
"""Of a voxel: how far the grid of the labels may lie from that of the series."""


def check_installed(path: Path) -> None:
    """Refuse to write a Segmentation without highdicom.

    Raises:
        UsageError: it is not installed.
    """
    highdicom_objects.check_installed(path, KIND, EXTRA)


@ignore_invalid_values()
def write_segmentation(
    label_map: LabelMap, result: Volume, path: Path, *, overwrite: bool, keep_slice_thickness: bool
) -> None:
    """Write a label map as one Segmentation that refers to the series of ``result``, as ``io.write_labels`` says.

    Segments are numbered from 1 without gaps, as the standard wants it, in the order of the labels. A description
    without voxels stays; a label without a description gets a neutral one. overwrite: whether the file may replace
    what is at ``path`` by then.

    Raises:
        UsageError: another grid than that of the series, which no longer lies where its slices do, frames of a
            multi-frame image, slices of several series, no labels, or too many.
        SourceChangedError: files of the series are gone or changed. OutputError: it cannot be encoded or written.
    """
    _check_grid(label_map, result, path)
    segments, pixels = _number_consecutively(label_map, path)
    frames = sum(int(np.count_nonzero(np.unique(plane))) for plane in pixels)
    _check_size(frames, result.shape, path)
    derivation = result.header.derivation
    with PixelReader() as reader:
        if derivation is None:
            series, made = refer_to_acquired(result, path), "SAINT labels"
        else:
            derived = make_series(result, path, keep_slice_thickness=keep_slice_thickness)
            series, made = refer_to_derived(derived, reader), f"SAINT {derived.factor} labels"
    highdicom_objects.write_object(
        lambda: _make_segmentation(series, segments, pixels, made), path, overwrite=overwrite
    )


@ignore_invalid_values()
def check_labels(label_map: LabelMap, result: Volume, path: Path, *, is_derived: bool) -> None:
    """Check early whether a label map could be written once it lies on the grid of ``result``.

    label_map: its axes run as those of ``result``. result: with the source of the scan; its voxels do not matter.
    is_derived: whether ``result`` becomes a series of its own, and is not the series on disk.

    Raises:
        UsageError: frames of a multi-frame image or slices of several series, no labels, too many, or more than a
            DICOM element holds.
        SourceChangedError: files of the series are gone or changed.
    """
    source = result.header.dicom_source
    if source is not None and not is_derived:
        check_referable(reread_headers(source.slices), path)
    slices = _list_labels(label_map.labels)
    _choose_segments(label_map, set().union(*slices), path)
    pairs = sum(len(below & above) for below, above in pairwise(slices))
    ratio = label_map.spacing_mm[2] / result.spacing_mm[2]
    _check_size(int(pairs * ratio), result.shape, path)  # a label in two slices is in those between them


def _list_labels(labels: np.ndarray) -> list[set[int]]:
    """The labels in each slice [x, y, z]."""
    return [set(np.unique(labels[:, :, k]).tolist()) - {0} for k in range(labels.shape[2])]


def _choose_segments(label_map: LabelMap, present: set[int], path: Path) -> list[Segment]:
    """The segments in the order of their labels: those in voxels, and those that are described.

    Raises:
        UsageError: no voxel is labelled, or more labels than a Segmentation holds.
    """
    if not present:
        raise UsageError(f"{path}: {NO_LABELS}; a DICOM SEG without a frame is not possible")
    described = {segment.number: segment for segment in label_map.segments if segment.number > 0}
    segments = [described.get(number, Segment(number)) for number in sorted({*present, *described})]
    if len(segments) > MAX_SEGMENTS:
        raise UsageError(f"{path}: {len(segments)} labels, a DICOM SEG holds {MAX_SEGMENTS}; name another format")
    return segments


def _check_grid(label_map: LabelMap, result: Volume, path: Path) -> None:
    drift = np.abs(np.linalg.solve(result.affine_lps, label_map.affine_lps) - np.eye(4))[:3]
    if label_map.shape != result.shape or float((drift @ [*label_map.shape, 1]).max()) > GRID_TOLERANCE:
        shapes = map(format_shape, (label_map.shape, result.shape))
        raise UsageError(
            f"{path}: the labels ({next(shapes)} voxels) do not lie on the grid of the DICOM series "
            f"({next(shapes)} voxels) to which a DICOM SEG refers; name a file ending in .nii.gz"
        )


def _number_consecutively(label_map: LabelMap, path: Path) -> tuple[list[Segment], np.ndarray]:
    """The segments in the order of their labels, and the pixels [slice, row, column], 1 for the first of them.

    Raises:
        UsageError: no voxel is labelled, or more labels than a Segmentation holds.
    """
    labels = label_map.labels
    segments = _choose_segments(label_map, set().union(*_list_labels(labels)), path)
    numbers = np.array([segment.number for segment in segments])
    dtype = np.uint8 if len(segments) < 256 else np.uint16
    pixels = np.empty(labels.shape[::-1], dtype)
    for k in range(labels.shape[2]):
        plane = labels[:, :, k].T  # [x, y] -> [row, column]
        pixels[k] = np.where(plane > 0, np.searchsorted(numbers, plane) + 1, 0)
    return segments, pixels


def _check_size(frames: int, shape: tuple[int, int, int], path: Path) -> None:
    highdicom_objects.check_pixel_bytes(-(-frames * shape[0] * shape[1] // 8), path, KIND)


def _make_segmentation(
    series: ReferencedSeries, segments: Sequence[Segment], pixels: np.ndarray, description: str
) -> Dataset:
    from highdicom.seg import Segmentation

    name = make_uid(f"{series.uid} labels {_digest(segments, pixels)}")
    items: list[Any] = [encode_segment(segment, number) for number, segment in enumerate(segments, 1)]
    data: Dataset = Segmentation(
        series.make_sources(),
        pixels,
        "BINARY",
        items,
        series_instance_uid=make_uid(f"{name} series"),
        series_number=min(int(series.header.get("SeriesNumber") or 0) + 1, MAX_IS),
        sop_instance_uid=name,
        instance_number=1,
        manufacturer="saint",
        manufacturer_model_name="saint",
        software_versions=__version__,
        device_serial_number="none",
        content_label="LABELS",
        content_description="Labels on the slices of the referenced series",
        series_description=description,
    )
    series.copy_patient_and_study(data)
    if not data.get("Laterality"):
        data.pop("Laterality", None)  # a segmentation says per segment what it shows
    _keep_encodable(data)
    data.ContributingEquipmentSequence = [make_contribution("Labels resampled to the slices of the referenced series")]
    if "ContentCreatorName" not in data:
        data.ContentCreatorName = None  # Type 2 (PS3.3 C.8.20.1)
    return data


def _digest(segments: Sequence[Segment], pixels: np.ndarray) -> str:
    """A hash of labels and what is said of them: other labels get other UIDs."""
    digest = hashlib.sha256(repr(segments).encode())
    digest.update(pixels.data)
    return digest.hexdigest()


def _keep_encodable(data: Dataset) -> None:
    """Let the file hold the text of segments where the character set of the series, that of patient text, does not.

    The set becomes UTF-8 where patient text is the same in it; else characters that it lacks become ``?``.
    """
    terms = [str(term or "") for term in list_values(data.get("SpecificCharacterSet"))] or [""]
    elements = [one for item in data.SegmentSequence for one in item.iterall() if one.VR in TEXT_VRS]
    lacking = [one for one in elements if isinstance(one.value, str) and not _is_encodable(one.value, terms)]
    if lacking and _is_plain(data, terms):
        data.SpecificCharacterSet = UTF8
        return
    for element in lacking:
        element.value = "".join(one if _is_encodable(one, terms) else "?" for one in element.value)


def _is_plain(data: Dataset, terms: list[str]) -> bool:
    """Whether the patient and study text of a file, which is bytes, is ASCII, and so the same in every character set.

    Escape sequences switch to others, and in ``ISO_IR 13`` two characters of ASCII are others.
    """
    copied = Dataset()
    copied.update({data[keyword].tag: data[keyword] for keyword in PATIENT_AND_STUDY if keyword in data})
    texts = [str(one.value).encode() if isinstance(one.value, str) else one.value for one in copied.iterall()]
    is_ascii = all(one.isascii() and ESCAPE not in one for one in texts if isinstance(one, bytes))
    return is_ascii and not any(term.endswith("IR 13") for term in terms)


def _is_encodable(text: str, terms: list[str]) -> bool:
    """Whether pydicom writes a text as it is: in one of the character sets, or in several that take turns.

    terms: of SpecificCharacterSet. Where the first is ASCII, the upper half of Latin-1 counts as lacking, for pydicom
    writes it without the escape sequence that announces it.
    """
    if text.isascii():
        return True
    if terms[0] in ("", "ISO_IR 6", "ISO 2022 IR 6") and any("\x80" <= one <= "\xff" for one in text):
        return False

    def holds(part: str, encoding: str) -> bool:
        try:
            custom_encoders[encoding](part) if encoding in custom_encoders else part.encode(encoding)
        except UnicodeError:
            return False
        return True

    encodings = convert_encodings(terms)
    takes_turns = len(encodings) > 1 and all(any(holds(one, encoding) for encoding in encodings) for one in text)
    return takes_turns or any(holds(text, encoding) for encoding in encodings)
