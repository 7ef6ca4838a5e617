"""RT Structure Sets as label maps: contours filled to the pixel, on their slices, holes and borders as drawn."""

from collections.abc import Callable
from pathlib import Path

import fabricate
import numpy as np
import pytest
from fabricate_labels import item, save_one, structure_set
from pydicom.dataset import Dataset
from segmented_scans import check_cuts_are_refused

from saint_cli.errors import GeometryError, UnreadableError, UsageError
from saint_cli.io import LABEL_MAP, describe, read_labels, read_volume
from saint_cli.io.dicom import contour_filling
from saint_cli.io.dicom.contour_filling import fill_contours
from saint_cli.volume import Volume

SHAPE = (40, 48)

KINDS = {
    "plain": {},
    "reversed": {"step": (0.0, 0.0, -5.0)},
    "tilted": {"step": (0.0, 1.2, 4.8)},
    "oblique": {"step": (2.4, -3.2, 3.0), "orientation": fabricate.OBLIQUE},
}


def circle(x: float, y: float, radius: float, count: int = 200) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)


def area(contour: np.ndarray) -> float:
    x, y = contour.T
    return 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def filled(*contours: np.ndarray, shape: tuple[int, int] = (48, 40)) -> np.ndarray:
    masks = fill_contours(contours, shape)
    return np.asarray(masks.inside | masks.border)


@pytest.mark.parametrize(("radius", "bias", "spread"), [(3, 0.02, 0.06), (6, 0.01, 0.02), (12, 0.004, 0.01)])
def test_the_filled_area_of_circles_is_theirs(radius: float, bias: float, spread: float) -> None:
    random = np.random.default_rng(0)
    errors = []
    for _ in range(100):
        outline = circle(*(20 + random.random(2)), radius + random.random())
        errors.append(np.count_nonzero(filled(outline)) / area(outline) - 1)
    assert abs(np.mean(errors)) < bias
    assert np.std(errors) < spread


def test_a_pixel_is_inside_if_its_centre_is() -> None:
    square = np.array([[1.6, 2.6], [5.4, 2.6], [5.4, 6.4], [1.6, 6.4]])
    wanted = np.zeros((48, 40), bool)
    wanted[2:6, 3:7] = True
    np.testing.assert_array_equal(filled(square), wanted)
    np.testing.assert_array_equal(filled(square[::-1]), wanted)


def test_centres_on_a_contour_belong_to_it() -> None:
    square = np.array([[2, 3], [5, 3], [5, 6], [2, 6]], float)
    wanted = np.zeros((48, 40), bool)
    wanted[2:6, 3:7] = True
    np.testing.assert_array_equal(filled(square), wanted)


def test_holes_by_a_second_contour_and_by_a_keyhole_are_the_same() -> None:
    outer = np.array([[1.5, 1.5], [9.5, 1.5], [9.5, 9.5], [1.5, 9.5]])
    inner = np.array([[3.5, 3.5], [6.5, 3.5], [6.5, 6.5], [3.5, 6.5]])
    keyhole = np.concatenate([outer, outer[:1], inner, inner[:1]])
    wanted = np.zeros((48, 40), bool)
    wanted[2:10, 2:10] = True
    wanted[4:7, 4:7] = False
    np.testing.assert_array_equal(filled(outer, inner), wanted)
    np.testing.assert_array_equal(filled(keyhole), wanted)


def test_a_contour_is_filled_the_same_however_many_edges_are_taken_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    outlines = circle(20, 18, 9), circle(22, 18, 4)
    whole = filled(*outlines)
    monkeypatch.setattr(contour_filling, "CROSSINGS", 1)
    np.testing.assert_array_equal(filled(*outlines), whole)


def test_contours_may_reach_beyond_the_slice() -> None:
    assert filled(circle(0, 0, 5)).sum() == filled(circle(20, 20, 5))[20:, 20:].sum()
    assert filled(circle(20, 20, 100)).all()
    assert not filled(circle(-50, 20, 10)).any()
    assert not fill_contours([], (4, 4)).inside.any()


def scan_of(folder: Path, **changes: object) -> tuple[list[Dataset], Volume]:
    series = fabricate.slices(**{"shape": SHAPE, **changes})
    return series, read_volume(fabricate.save(series, folder / "scan"))


def on_slice(scan: Volume, outline: np.ndarray, z: float) -> np.ndarray:
    """The points (n, 3), LPS mm, of an outline in pixels of a slice."""
    points = np.column_stack([outline, np.full(len(outline), z), np.ones(len(outline))])
    return np.asarray((points @ scan.affine_lps.T)[:, :3])


@pytest.mark.parametrize("kind", KINDS)
def test_contours_are_filled_on_their_slices(kind: str, tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path, **KINDS[kind])
    outlines = {1: circle(20, 18, 9), 2: circle(22, 18, 7)}
    parts = {"liver": [on_slice(scan, outline, z) for z, outline in outlines.items()]}
    labels = read_labels(save_one(structure_set(series, parts), tmp_path / "rt.dcm"), scan)
    wanted = np.zeros(scan.shape, np.uint8)
    for z, outline in outlines.items():
        wanted[:, :, z] = filled(outline)
    np.testing.assert_array_equal(labels.labels, wanted)
    np.testing.assert_allclose(labels.affine_lps, scan.affine_lps, atol=1e-9)
    (segment,) = labels.segments
    assert (segment.number, segment.name, segment.color_rgb) == (1, "liver", (255, 128, 0))
    assert segment.algorithm_type == "MANUAL"


def test_thick_contours_on_a_finer_scan_keep_their_distance(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    parts = {"liver": [on_slice(scan, circle(20, 18, 9), z) for z in (1, 2, 3)]}
    path = save_one(structure_set(series, parts), tmp_path / "rt.dcm")
    labels = read_labels(path, fabricate.interpolated(scan, 4))
    np.testing.assert_array_equal(labels.labels, read_labels(path, scan).labels)
    np.testing.assert_allclose(labels.affine_lps, scan.affine_lps, atol=1e-9)


def test_contours_that_skip_slices_they_refer_to_stay_on_the_scan(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    data = structure_set(series, {"liver": [on_slice(scan, circle(20, 18, 9), z) for z in (0, 2, 4)]})
    for region in data.ROIContourSequence:
        for contour, index in zip(region.ContourSequence, (0, 2, 4), strict=True):
            contour.ContourImageSequence = [item(ReferencedSOPInstanceUID=series[index].SOPInstanceUID)]
    labels = read_labels(save_one(data, tmp_path / "rt.dcm"), scan)
    assert labels.shape == scan.shape
    assert labels.labels[20, 18].tolist() == [1, 0, 1, 0, 1, 0]


def test_a_scan_whose_slices_follow_each_other_along_x_is_filled_too(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    turned = Volume(scan.voxels.transpose(2, 0, 1), scan.affine_lps[:, [2, 0, 1, 3]].copy())
    path = save_one(structure_set(series, {"liver": [on_slice(scan, circle(20, 18, 9), 2)]}), tmp_path / "rt.dcm")
    np.testing.assert_array_equal(
        read_labels(path, turned, is_drawn_on_like=True).labels, read_labels(path, scan).labels
    )


@pytest.mark.parametrize("points", [[[5, 6]], [[5, 6], [9, 6]], [[5, 6], [6, 7], [7, 8], [8, 9]]])
@pytest.mark.parametrize("kind", KINDS)
def test_points_and_lines_mark_the_pixels_whose_centres_they_meet(
    points: list[list[float]], kind: str, tmp_path: Path
) -> None:
    series, scan = scan_of(tmp_path, **KINDS[kind])
    parts = {"lead": [on_slice(scan, np.add(points, (z, 0)), z) for z in (1, 2)]}
    labels = read_labels(save_one(structure_set(series, parts), tmp_path / "rt.dcm"), scan).labels
    wanted = np.zeros(scan.shape, np.uint8)
    steps = round(points[-1][0] - points[0][0]) + 1
    for x, y in np.linspace(points[0], points[-1], steps).astype(int):
        wanted[x + 1, y, 1] = wanted[x + 2, y, 2] = 1
    np.testing.assert_array_equal(labels, wanted)


def test_a_small_thin_contour_beside_large_ones_lies_on_their_slices(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    line = np.column_stack([np.linspace(5, 8, 500), np.linspace(5, 8, 500)])  # more points than any other
    parts = {"lead": [on_slice(scan, line, 1)], "liver": [on_slice(scan, circle(25, 20, 9), z) for z in (1, 2)]}
    labels = read_labels(save_one(structure_set(series, parts), tmp_path / "rt.dcm"), scan).labels
    assert [labels[6, 6, 1], labels[25, 20, 1], labels[25, 20, 2]] == [1, 2, 2]


def test_regions_share_a_border_but_no_voxels_inside(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    left = np.array([[4, 4], [10, 4], [10, 12], [4, 12]], float)
    right = np.add(left, (6, 0))
    parts = {"left": [on_slice(scan, left, 2)], "right": [on_slice(scan, right, 2)]}
    labels = read_labels(save_one(structure_set(series, parts), tmp_path / "rt.dcm"), scan).labels[:, :, 2]
    assert labels[4:11, 4:13].min() == labels[4:11, 4:13].max() == 1
    assert labels[11:17, 4:13].min() == labels[11:17, 4:13].max() == 2
    parts["body"] = [on_slice(scan, circle(14, 10, 13), 2)]
    path = save_one(structure_set(series, parts), tmp_path / "rt.dcm")
    with pytest.raises(UsageError, match=r'region 1 "left" and region 3 "body" overlap.*`segments=1,2`'):
        read_labels(path, scan)
    np.testing.assert_array_equal(read_labels(path, scan, segments=(1, 2)).labels[:, :, 2], labels)


def test_points_and_open_contours_are_skipped_with_a_warning(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    data = structure_set(series, {"liver": [on_slice(scan, circle(20, 18, 9), 2)]})
    point = structure_set(series, {"iso": [on_slice(scan, circle(20, 18, 9, 1), 2)]}, "POINT")
    data.StructureSetROISequence.append(point.StructureSetROISequence[0])
    data.ROIContourSequence.append(point.ROIContourSequence[0])
    data.StructureSetROISequence[1].ROINumber = data.ROIContourSequence[1].ReferencedROINumber = 2
    data.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = "1.2.3.4"  # of nothing that is placed
    labels = read_labels(save_one(data, tmp_path / "rt.dcm"), scan)
    assert labels.header.warnings == (
        "1 POINT contour skipped: only closed ones enclose voxels",
        'without closed contours: region 2 "iso"',
    )
    with pytest.raises(UsageError, match="no closed contours"):
        read_labels(tmp_path / "rt.dcm", scan, segments=(2,))


def test_contours_off_the_slices_are_named(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    path = tmp_path / "rt.dcm"
    save_one(structure_set(series, {"liver": [on_slice(scan, circle(20, 18, 9), z) for z in (1.5, 2.5)]}), path)
    with pytest.raises(GeometryError, match=r"label planes at 7\.5, 12\.5 mm"):
        read_labels(path, scan)
    save_one(structure_set(series, {"liver": [on_slice(scan, circle(20, 18, 9), 9)]}), path)
    with pytest.raises(GeometryError, match=r"label planes at 45 mm"):
        read_labels(path, scan)
    save_one(structure_set(series, {"liver": [on_slice(scan, circle(20, 18, 9), 2.05)]}), path)
    assert read_labels(path, scan).labels[20, 18].tolist() == [0, 0, 1, 0, 0, 0]
    upright = on_slice(scan, circle(20, 18, 9), 2)[:, [0, 2, 1]]
    save_one(structure_set(series, {"liver": [on_slice(scan, circle(20, 18, 5), 2), upright]}), path)
    with pytest.raises(GeometryError, match=r'region 1 "liver" has a contour .* not parallel to the slices'):
        read_labels(path, scan)


def test_another_frame_of_reference_and_a_missing_scan_are_refused(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    data = structure_set(series, {"liver": [on_slice(scan, circle(20, 18, 9), 2)]})
    path = save_one(data, tmp_path / "rt.dcm")
    with pytest.raises(UsageError, match="contours need the scan"):
        read_labels(path)
    data.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "1.2.3.4"
    with pytest.raises(GeometryError, match="another frame of reference"):
        read_labels(save_one(data, path), scan)


def test_contours_that_name_slices_of_the_scan_lie_on_them_in_whatever_frame_of_reference(tmp_path: Path) -> None:
    """Early versions of rt-utils made up a frame of reference."""
    series, scan = scan_of(tmp_path)
    data = structure_set(series, {"liver": [on_slice(scan, circle(20, 18, 9), 2)]})
    plain = read_labels(save_one(data, tmp_path / "rt.dcm"), scan)
    data.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "1.2.3.4"
    contour = data.ROIContourSequence[0].ContourSequence[0]
    contour.ContourImageSequence = [item(ReferencedSOPInstanceUID=series[2].SOPInstanceUID)]
    labels = read_labels(save_one(data, tmp_path / "rt.dcm"), scan)
    np.testing.assert_array_equal(labels.labels, plain.labels)
    assert "name another frame of reference" in labels.header.warnings[0]
    contour.ContourImageSequence.append(item(ReferencedSOPInstanceUID="1.2.3.4.5"))
    with pytest.raises(GeometryError, match="another frame of reference"):
        read_labels(save_one(data, tmp_path / "rt.dcm"), scan)


def set_data(text: str) -> Callable[[Dataset], None]:
    def change(data: Dataset) -> None:
        data.ROIContourSequence[0].ContourSequence[0].ContourData = text

    return change


DAMAGES: dict[str, tuple[Callable[[Dataset], None], str]] = {
    "regions": (lambda data: delattr(data, "StructureSetROISequence"), "no regions of interest"),
    "a number twice": (
        lambda data: data.StructureSetROISequence.append(data.StructureSetROISequence[0]),
        "a region number twice",
    ),
    "a number missing": (lambda data: delattr(data.StructureSetROISequence[0], "ROINumber"), "without a number"),
    "points": (set_data(["1", "2", "3", "4"]), "damaged ContourData"),
    "infinite points": (set_data(["1e999", "2", "3"] * 3), "damaged ContourData"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_files_give_one_line_without_patient_text(kind: str, tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    data = structure_set(series, {"liver": [on_slice(scan, circle(20, 18, 9), 2)]})
    damage, words = DAMAGES[kind]
    damage(data)
    with pytest.raises(UnreadableError, match=words) as caught:
        read_labels(save_one(data, tmp_path / "rt.dcm"), scan)
    assert "\n" not in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_a_file_cut_anywhere_is_refused_or_read_whole(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    data = structure_set(series, {"liver": [on_slice(scan, circle(20, 18, 9, 12), 2)]})
    path = save_one(data, tmp_path / "rt.dcm")
    size = path.stat().st_size
    check_cuts_are_refused(path, [*range(0, size - 1, 29), size - 2], scan)


def test_a_structure_set_is_described_and_no_scan(tmp_path: Path) -> None:
    series, scan = scan_of(tmp_path)
    data = structure_set(series, {"liver": [on_slice(scan, circle(20, 18, 9), 2)]})
    path = save_one(data, tmp_path / "rt.dcm")
    (info,) = describe(path).stacks
    assert (info.modality, info.secondary, info.shape) == ("RTSTRUCT", LABEL_MAP, None)
    assert info.problem is not None
    assert info.problem.startswith("contours of 1 region; it holds labels, which saint labels")
    with pytest.raises(UsageError, match=r"skipped: 1 RT Structure Set\); it holds labels, which saint labels brings"):
        read_volume(path)
