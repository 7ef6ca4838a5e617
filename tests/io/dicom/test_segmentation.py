"""DICOM Segmentations as label maps: every kind, frames anywhere, on the slices of the scan or refused."""

import random
import zlib
from pathlib import Path

import fabricate
import numpy as np
import pytest
from fabricate import CASES
from fabricate_labels import LABELMAP, frames_of, item, save_one, segment_item, segmentation
from pydicom import encaps, uid
from pydicom.dataset import Dataset
from segmented_scans import SHAPE, masks, scan_of

from saint_cli.errors import GeometryError, UsageError
from saint_cli.io import LABEL_MAP, describe, read_labels, read_volume
from saint_cli.labels import GridRelation, plan_labels
from saint_cli.volume import Volume
from saint_cli.volume.label_map import CodedConcept

KINDS = {
    "plain": {},
    "reversed": {"step": (0.0, 0.0, -5.0)},
    "tilted": {"step": (0.0, 1.2, 4.8)},
    "oblique": {"step": (2.4, -3.2, 3.0), "orientation": fabricate.OBLIQUE},
}


def expected(parts: dict[int, np.ndarray], volume: Volume, series: list[Dataset]) -> np.ndarray:
    """The labels [x, y, z] of masks [slice, row, column] whose slices are those of a series, in whatever order."""
    labels = np.zeros(volume.shape, int)
    places = [np.linalg.solve(volume.affine_lps, [*map(float, d.ImagePositionPatient), 1])[2] for d in series]
    for number, mask in parts.items():
        for place, plane in zip(places, mask, strict=True):
            labels[:, :, round(place)][plane.T] = number
    return labels


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", [0, 1])
def test_frames_in_any_order_lie_on_their_slices_and_missing_ones_are_empty(
    kind: str, order: int, tmp_path: Path
) -> None:
    series, scan = scan_of(tmp_path, **KINDS[kind])
    frames = frames_of(masks(), series)
    random.Random(order).shuffle(frames)
    path = save_one(segmentation(series, frames, distance_mm=5.0), tmp_path / "seg.dcm")
    labels = read_labels(path, scan)
    np.testing.assert_array_equal(labels.labels, expected(masks(), scan, series))
    np.testing.assert_allclose(labels.affine_lps, scan.affine_lps, atol=1e-6)
    assert labels.labels.dtype == np.uint8


def test_without_a_scan_the_frames_span_the_grid(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    path = save_one(segmentation(series, frames_of(masks(), series)), tmp_path / "seg.dcm")
    labels = read_labels(path)
    np.testing.assert_array_equal(labels.labels, expected(masks(), scan, series)[:, :, 1:5])
    np.testing.assert_allclose(labels.affine_lps[:3, 3], series[1].ImagePositionPatient)


def test_fractions_of_half_and_more_are_labelled_with_a_warning(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    shares = np.zeros((6, *SHAPE), np.uint8)
    shares[2, 4, :4] = [99, 100, 101, 200]
    frames = [(1, series[2].ImagePositionPatient, shares[2])]
    path = save_one(segmentation(series, frames, kind="FRACTIONAL"), tmp_path / "seg.dcm")
    labels = read_labels(path, scan)
    assert labels.labels[:4, 4, 2].tolist() == [0, 1, 1, 1]
    assert labels.labels.sum() == 3
    assert labels.header.warnings == ("fractional segmentation: voxels with a probability of 0.5 or more are labelled",)


def test_a_labelmap_holds_its_values_and_undescribed_ones_get_a_segment(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    values = sum(number * mask.astype(np.uint8) for number, mask in {3: masks()[1], 9: masks()[2]}.items())
    frames = [(0, one.ImagePositionPatient, plane) for one, plane in zip(series, values, strict=True)]
    data = segmentation(series, frames, [segment_item(3, "liver")], kind="LABELMAP")
    assert data.SOPClassUID == LABELMAP
    labels = read_labels(save_one(data, tmp_path / "seg.dcm"), scan)
    np.testing.assert_array_equal(labels.labels, values.transpose(2, 1, 0))
    assert [(one.number, one.name) for one in labels.segments] == [(3, "liver"), (9, None)]
    only = read_labels(tmp_path / "seg.dcm", scan, segments=(3,))
    assert set(np.unique(only.labels)) == {0, 3}


def test_codes_colours_algorithm_and_tracking_are_kept(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    more = {"TrackingID": "lesion 1", "TrackingUID": "1.2.3"}
    segments = [segment_item(1, "Leber", **more), segment_item(2, "other")]
    path = save_one(segmentation(series, frames_of(masks(), series), segments), tmp_path / "seg.dcm")
    first = read_labels(path, scan).segments[0]
    assert (first.name, first.color_rgb) == ("Leber", (221, 130, 101))
    assert first.type == CodedConcept("10200004", "SCT", "Liver")
    assert first.category == CodedConcept("123037004", "SCT", "Anatomical Structure")
    assert (first.algorithm_type, first.algorithm_name) == ("AUTOMATIC", "LiverNet 2")
    assert (first.tracking_id, first.tracking_uid) == ("lesion 1", "1.2.3")


def test_segments_that_overlap_are_refused_by_name_and_can_be_chosen(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    parts = masks()
    parts[3] = parts[1] | parts[2]  # as a body that holds both
    path = save_one(segmentation(series, frames_of(parts, series)), tmp_path / "seg.dcm")
    with pytest.raises(UsageError, match=r'segment 1 "part 1" and segment 3 "part 3" overlap in 100') as caught:
        read_labels(path, scan)
    assert "`segments=1,2`" in str(caught.value)
    np.testing.assert_array_equal(read_labels(path, scan, segments=(1, 2)).labels, expected(masks(), scan, series))
    assert read_labels(path, scan, segments=(3,)).segments[0].name == "part 3"
    with pytest.raises(UsageError, match=r'there is no segment 7; it holds segment 1 "part 1"'):
        read_labels(path, scan, segments=(1, 7))


def test_thick_slices_of_which_a_finer_scan_was_made_keep_their_distance(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    fine = fabricate.interpolated(scan, 4)
    for distance in (5.0, None):
        path = save_one(segmentation(series, frames_of(masks(), series), distance_mm=distance), tmp_path / "seg.dcm")
        labels = read_labels(path, fine)
        np.testing.assert_array_equal(labels.labels, expected(masks(), scan, series))
        plan = plan_labels(labels, fine.affine_lps, fine.shape)
        assert plan.relation is GridRelation.REFINE


def test_fine_slices_keep_their_distance_beside_a_thick_scan(tmp_path: Path) -> None:
    series = fabricate.slices(21, step=(0.0, 0.0, 1.25))
    thick = read_volume(fabricate.save(series[::4], tmp_path / "thick"))
    parts = {1: masks(21)[1]}
    path = save_one(segmentation(series, frames_of(parts, series)), tmp_path / "seg.dcm")
    labels = read_labels(path, thick)
    assert labels.shape == (16, 12, 21)
    assert labels.labels[6, 5].tolist() == [0, 1, 1, 1, 1, *[0] * 16]
    assert plan_labels(labels, thick.affine_lps, thick.shape).relation is GridRelation.COARSEN


def test_planes_between_the_slices_of_the_scan_are_named(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    frames = [(n, np.add(place, (0, 0, 2.0)), mask) for n, place, mask in frames_of(masks(), series)]
    path = save_one(segmentation(series, frames, distance_mm=5.0), tmp_path / "seg.dcm")
    with pytest.raises(GeometryError, match=r"label planes at 7, 12, 17, 22 mm .* none of the scan's 6 slices \(5 mm"):
        read_labels(path, scan)
    beyond = [(n, np.add(place, (0, 0, 20.0)), mask) for n, place, mask in frames_of(masks(), series)]
    path = save_one(segmentation(series, beyond, distance_mm=5.0), tmp_path / "seg.dcm")
    with pytest.raises(GeometryError, match=r"label planes at 30, 35, 40 mm"):
        read_labels(path, scan)


def test_another_frame_of_reference_is_refused(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    data = segmentation(series, frames_of(masks(), series))
    data.FrameOfReferenceUID = "1.2.3.4"
    path = save_one(data, tmp_path / "seg.dcm")
    with pytest.raises(GeometryError, match="another frame of reference"):
        read_labels(path, scan)


def test_several_files_of_a_series_are_one_label_map(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    for name, number in (("a", 1), ("b", 2)):
        frames = frames_of({1: masks()[number]}, series)
        save_one(segmentation(series, frames, [segment_item(1, f"part {number}")]), tmp_path / "scan" / f"{name}.dcm")
    labels = read_labels(tmp_path / "scan", scan)  # beside the slices, which are skipped
    np.testing.assert_array_equal(labels.labels, expected(masks(), scan, series))
    assert [(one.number, one.name) for one in labels.segments] == [(1, "part 1"), (2, "part 2")]
    assert "numbered anew" in labels.header.warnings[0]
    other = segmentation(series, frames_of(masks(), series))
    other.SeriesInstanceUID = "1.2.3"
    save_one(other, tmp_path / "scan" / "c.dcm")
    with pytest.raises(UsageError, match=r"2 series of labels; give one of these files: a\.dcm .*, c\.dcm"):
        read_labels(tmp_path / "scan", scan)


def test_frames_may_be_deflated_one_by_one(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    frames = frames_of(masks(), series)
    data = segmentation(series, frames)
    packed = []
    for _, _, mask in frames:
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        part = deflate.compress(np.packbits(mask.ravel(), bitorder="little").tobytes()) + deflate.flush()
        packed.append(part + bytes(len(part) % 2))
    data.PixelData = encaps.encapsulate(packed)
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = uid.JPEGBaseline8Bit  # pydicom writes no syntax that it does not know
    path = save_one(data, tmp_path / "seg.dcm")
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.8.1\0"))
    labels = read_labels(path, scan)
    np.testing.assert_array_equal(labels.labels, expected(masks(), scan, series))


def test_odd_sizes_do_not_shift_bits(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path, shape=(11, 13))
    mask = np.random.default_rng(0).random((6, 11, 13)) < 0.5
    path = save_one(segmentation(series, frames_of({1: mask}, series)), tmp_path / "seg.dcm")
    np.testing.assert_array_equal(read_labels(path, scan).labels, mask.transpose(2, 1, 0))


@pytest.mark.skipif(not CASES.is_dir(), reason="the real cases are not beside this checkout")
def test_a_real_segmentation_lies_on_its_scan() -> None:
    folder = CASES / "d33_ct_overlapping"
    scan = read_volume(folder)
    labels = read_labels(folder, scan)
    assert labels.shape == scan.shape
    assert int(np.count_nonzero(labels.labels)) == 107098
    assert labels.segments[0].type == CodedConcept("T-62000", "SRT", "Liver")
    inside = scan.voxels[labels.labels == 1]
    assert 40 < float(np.median(inside)) < 160  # HU of a liver with or without contrast agent


def test_planes_of_different_direction_are_refused(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    data = segmentation(series, frames_of(masks(), series))
    other = item(ImageOrientationPatient=[0.0, 1.0, 0.0, 0.0, 0.0, -1.0])
    data.PerFrameFunctionalGroupsSequence[3].PlaneOrientationSequence = [other]
    path = save_one(data, tmp_path / "seg.dcm")
    with pytest.raises(GeometryError, match="frames of different direction"):
        read_labels(path, scan)


def test_a_segmentation_is_described_and_no_scan(tmp_path: Path) -> None:
    series, _ = scan_of(tmp_path)
    path = save_one(segmentation(series, frames_of(masks(), series)), tmp_path / "seg.dcm")
    (info,) = describe(path).stacks
    assert (info.modality, info.secondary, info.exit_code) == ("SEG", LABEL_MAP, 2)
    assert (info.shape, info.spacing_mm) == ((16, 12, 4), (0.5, 0.75, 5.0))
    assert info.problem is not None
    assert info.problem.startswith("binary segmentation of 2 segments; it holds labels, which saint labels")
    with pytest.raises(UsageError, match=r"skipped: 1 Segmentation\); it holds labels, which saint labels brings"):
        read_volume(path)


def test_one_plane_without_a_distance_is_refused_with_that_reason_and_lies_on_a_scan(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    frames = frames_of(masks(), series)
    first = [frame for frame in frames if frame[1] == frames[0][1]]
    path = save_one(segmentation(series, first), tmp_path / "seg.dcm")
    with pytest.raises(GeometryError, match=r"all labels lie on one plane, \S+ mm .*SpacingBetweenSlices"):
        read_labels(path)
    assert read_labels(path, scan, is_drawn_on_like=True).shape == scan.shape


def test_labels_that_name_the_slices_of_a_scan_lie_thick_on_what_was_interpolated_of_it(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    data = segmentation(series, frames_of(masks(), series))
    named = [item(ReferencedSOPInstanceUID=one.SOPInstanceUID) for one in series]
    data.ReferencedSeriesSequence = [item(ReferencedInstanceSequence=named)]
    path = save_one(data, tmp_path / "seg.dcm")
    assert read_labels(path, scan).shape == scan.shape
    np.testing.assert_array_equal(
        read_labels(path, fabricate.interpolated(scan, 4)).labels, expected(masks(), scan, series)
    )
