"""Segmentations that are damaged, cut off or too large."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fabricate_labels import frames_of, save_one, segmentation
from pydicom.dataset import Dataset
from segmented_scans import SHAPE, check_cuts_are_refused, masks, scan_of

from saint_cli.errors import UnreadableError, UsageError
from saint_cli.io import read_labels


def without(name: str) -> Callable[[Dataset], None]:
    return lambda data: delattr(data, name)


def strip_segment_numbers(data: Dataset) -> None:
    for groups in data.PerFrameFunctionalGroupsSequence:
        del groups.SegmentIdentificationSequence


def strip_positions(data: Dataset) -> None:
    for groups in data.PerFrameFunctionalGroupsSequence:
        del groups.PlanePositionSequence


DAMAGES: dict[str, tuple[Callable[[Dataset], None], str]] = {
    "frames": (lambda data: setattr(data, "NumberOfFrames", 99), "99 frames and functional groups for 7"),
    "frames without groups": (without("PerFrameFunctionalGroupsSequence"), "functional groups for 0"),
    "type": (without("SegmentationType"), "SegmentationType that is not"),
    "segments": (without("SegmentSequence"), "no SegmentSequence"),
    "a segment that is not described": (
        lambda data: setattr(data, "SegmentSequence", data.SegmentSequence[:1]),
        "frames of segment 2",
    ),
    "segment numbers": (strip_segment_numbers, "no segment number in frame 1"),
    "positions": (strip_positions, "without a place in the patient"),
    "pixels": (
        lambda data: setattr(data, "PixelData", data.PixelData[:20]),
        "truncated: 20 of 168 bytes; export the file again",
    ),
    "no pixels": (without("PixelData"), "no pixel data"),
    "rows": (lambda data: setattr(data, "Rows", 60000), "truncated"),
    "bits": (lambda data: setattr(data, "BitsAllocated", 16), "BitsAllocated 16, which BINARY cannot have"),
    "orientation": (
        lambda data: setattr(
            data.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0], "ImageOrientationPatient", [0.0] * 6
        ),
        "length zero",
    ),
    "spacing": (
        lambda data: setattr(
            data.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0], "PixelSpacing", [0.0, 0.0]
        ),
        "pixel spacing of zero",
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_files_give_one_line_without_patient_text(kind: str, tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    data = segmentation(series, frames_of(masks(), series))
    damage, words = DAMAGES[kind]
    damage(data)
    path = save_one(data, tmp_path / "seg.dcm")
    with pytest.raises(UnreadableError, match=words) as caught:
        read_labels(path, scan)
    assert "\n" not in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_a_file_cut_anywhere_is_refused_or_read_whole(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    path = save_one(segmentation(series, frames_of(masks(), series)), tmp_path / "seg.dcm")
    check_cuts_are_refused(path, range(0, path.stat().st_size - 1, 37), scan)


def test_labels_that_do_not_fit_into_memory_are_refused(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    path = save_one(segmentation(series, frames_of(masks(), series)), tmp_path / "seg.dcm")
    with pytest.raises(UsageError, match="memory"):
        read_labels(path, scan, max_memory=500)
    far = frames_of(masks(), series)
    far.append((1, [-10.0, 20.0, 5e11], np.ones(SHAPE, bool)))
    path = save_one(segmentation(series, far, distance_mm=5.0), tmp_path / "far.dcm")
    with pytest.raises(UsageError, match="its voxels alone need"):
        read_labels(path)
