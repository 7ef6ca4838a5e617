"""On which slices sparse labels were drawn: on the acquired ones of an upsampled scan, on its own, or refused."""

from dataclasses import replace
from pathlib import Path

import fabricate
import numpy as np
import pytest
from fabricate_labels import frames_of, item, save_one, segmentation, structure_set
from pydicom.dataset import Dataset

from saint_cli import geometry, label_api
from saint_cli.errors import GeometryError
from saint_cli.io import read_labels, read_volume, write_volume
from saint_cli.io.dicom.plane_steps import AcquiredSlices, Origin, ScanGrid, find_steps
from saint_cli.labels import refine_labels
from saint_cli.volume import Derivation, Volume
from saint_cli.volume.label_map import LabelMap

COUNT, SHAPE = 8, (12, 16)
SQUARE = np.array([[3, 3], [9, 3], [9, 8], [3, 8]], float)
STEPS = {"ascending": (0.0, 0.0, 4.0), "descending": (0.0, 0.0, -4.0), "tilted": (0.0, 0.8, 3.9)}


def thick_scan(folder: Path, step: tuple[float, float, float] = STEPS["ascending"]) -> tuple[list[Dataset], Volume]:
    series = fabricate.slices(COUNT, step=step, shape=SHAPE)
    return series, read_volume(fabricate.save(series, folder / "thick"))


def derived(scan: Volume, folder: Path, *, factor: int = 4, extrapolate: bool = False) -> Volume:
    """The scan upsampled, written and read again."""
    write_volume(fabricate.interpolated(scan, factor, extrapolate=extrapolate), folder / "fine")
    return read_volume(folder / "fine")


def labels_on(scan: Volume, slices: tuple[int, ...]) -> np.ndarray:
    """Labels [x, y, z] of a square on slices of the scan."""
    wanted = np.zeros(scan.shape, np.uint8)
    wanted[3:10, 3:9, list(slices)] = 1
    return wanted


def save_labels(kind: str, series: list[Dataset], scan: Volume, slices: tuple[int, ...], path: Path) -> Path:
    """A file of these labels: contours or a Segmentation without a distance, that name their images or do not."""
    images = [item(ReferencedSOPClassUID=d.SOPClassUID, ReferencedSOPInstanceUID=d.SOPInstanceUID) for d in series]
    if kind.startswith("contours"):
        points = [np.column_stack([SQUARE, np.full(4, z), np.ones(4)]) @ scan.affine_lps.T for z in slices]
        data = structure_set(series, {"one": [one[:, :3] for one in points]})
        if kind.endswith("named"):
            for region in data.ROIContourSequence:
                for contour in region.ContourSequence:
                    contour.ContourImageSequence = images
        return save_one(data, path)
    places = [(scan.affine_lps @ [0, 0, z, 1])[:3] for z in slices]
    mask = labels_on(scan, slices)[:, :, slices[0]].T.astype(bool)
    data = segmentation(series, [(1, place, mask) for place in places])
    if kind.endswith("named"):
        data.ReferencedSeriesSequence = [
            item(SeriesInstanceUID=series[0].SeriesInstanceUID, ReferencedInstanceSequence=images)
        ]
    return save_one(data, path)


KINDS = ("contours", "contours, named", "segmentation", "segmentation, named")


@pytest.mark.parametrize("kind", KINDS)
def test_labels_on_any_thick_slices_lie_on_these_beside_the_scan_made_of_them(kind: str, tmp_path: Path) -> None:
    series, thick = thick_scan(tmp_path)
    fine = derived(thick, tmp_path)
    for slices in ((0, 4), (2, 4, 6), (3,), (0,), (COUNT - 1,), (3, 4), (0, 1, 5, 7)):
        path = save_labels(kind, series, thick, slices, tmp_path / "labels.dcm")
        for like in (fine, fabricate.interpolated(thick, 4)):
            found = read_labels(path, like)
            np.testing.assert_allclose(found.affine_lps, thick.affine_lps, atol=1e-4)
            np.testing.assert_array_equal(found.labels, labels_on(thick, slices))
    refined = label_api.convert_labels(path, fine, guide=False)
    assert np.flatnonzero(refined.labels[5, 5, ::4]).tolist() == [*slices]


@pytest.mark.parametrize("extrapolate", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_acquired_slices_are_found_in_every_direction(step: str, extrapolate: bool, tmp_path: Path) -> None:
    series, thick = thick_scan(tmp_path, STEPS[step])
    path = save_labels("contours, named", series, thick, (1, 5), tmp_path / "labels.dcm")
    found = read_labels(path, derived(thick, tmp_path, extrapolate=extrapolate))
    np.testing.assert_array_equal(found.labels, labels_on(thick, (1, 5)))


def test_acquired_slices_are_found_in_a_scan_that_runs_the_other_way() -> None:
    acquired = AcquiredSlices(np.array([[0, 0, z] for z in (0.0, 5.0, 15.0)]), np.array([0, 1, 3]))
    scan = ScanGrid(np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 15], [0, 0, 0, 1]]), (8, 8, 16))
    steps = find_steps(np.array([0.0, 10.0]), None, scan, Origin(names_source=True, acquired=acquired))
    assert (steps.start, steps.step, steps.count, steps.indices.tolist()) == (0, 5, 4, [0, 2])


def test_acquired_slices_are_found_where_the_result_has_every_second(tmp_path: Path) -> None:
    series, thick = thick_scan(tmp_path)
    grid = geometry.grid_by_spacing(COUNT, 2, 4.0, 1.6)
    header = replace(thick.header, derivation=Derivation(grid, "linear", "0" * 64))
    voxels = np.zeros((*thick.shape[:2], grid.count), thick.voxels.dtype)
    write_volume(Volume(voxels, grid.refine(thick.affine_lps), header), tmp_path / "fine")
    for slices in ((1, 5), (2, 4)):
        path = save_labels("contours, named", series, thick, slices, tmp_path / "labels.dcm")
        found = read_labels(path, read_volume(tmp_path / "fine"))
        np.testing.assert_array_equal(np.flatnonzero(found.labels[5, 5]), slices)


@pytest.mark.parametrize(("target", "step"), [(1.6, "ascending"), (1.6, "descending"), (1.73, "tilted")])
def test_labels_that_end_before_the_last_acquired_slice_end_so_on_a_grid_that_does_not_reach_it(
    target: float, step: str, tmp_path: Path
) -> None:
    series, thick = thick_scan(tmp_path, STEPS[step])
    grid = geometry.grid_by_spacing(COUNT, 2, thick.spacing_mm[2], target)
    header = replace(thick.header, derivation=Derivation(grid, "linear", "0" * 64))
    fine = Volume(np.zeros((*SHAPE[::-1], grid.count), thick.voxels.dtype), grid.refine(thick.affine_lps), header)
    write_volume(fine, tmp_path / "fine")
    assert grid.places[-1] < COUNT - 1
    slices = (COUNT - 4, COUNT - 3, COUNT - 2)
    path = save_labels("segmentation, named", series, thick, slices, tmp_path / "labels.dcm")
    wanted = LabelMap(labels_on(thick, slices), thick.affine_lps)
    for like in (fine, read_volume(tmp_path / "fine")):
        found = label_api.convert_labels(path, like, guide=False)
        np.testing.assert_array_equal(found.labels, refine_labels(wanted, grid).labels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slices", [(1, 5), (3,), (0, 2, 4)])
def test_sparse_labels_on_their_own_scan_stay_on_its_slices(kind: str, slices: tuple[int, ...], tmp_path: Path) -> None:
    series, thick = thick_scan(tmp_path)
    path = save_labels(kind, series, thick, slices, tmp_path / "labels.dcm")
    np.testing.assert_array_equal(read_labels(path, thick).labels, labels_on(thick, slices))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slices", [(0, 4), (2, 4, 6), (3,)])
def test_a_distance_that_would_be_guessed_is_refused_with_the_way_out(
    kind: str, slices: tuple[int, ...], tmp_path: Path
) -> None:
    series, thick = thick_scan(tmp_path)
    path = save_labels(kind, series, thick, slices, tmp_path / "labels.dcm")
    write_volume(fabricate.interpolated(thick, 4), tmp_path / "fine.nii")
    fine = read_volume(tmp_path / "fine.nii")
    with pytest.raises(GeometryError, match="saint upsample THICK --labels") as caught:
        read_labels(path, fine)
    assert "\n" not in str(caught.value)
    write_volume(thick, tmp_path / "thick.nii")
    drawn_on = read_labels(path, read_volume(tmp_path / "thick.nii"), is_drawn_on_like=True)
    np.testing.assert_array_equal(np.flatnonzero(drawn_on.labels[5, 5]), slices)


@pytest.mark.parametrize("distance", [None, 4.0])
def test_labels_of_missing_slices_are_no_empty_planes(distance: float | None, tmp_path: Path) -> None:
    series = fabricate.slices(10, step=STEPS["ascending"], shape=SHAPE)
    kept = [series[i] for i in (0, 1, 2, 4, 5, 6, 8, 9)]
    mask = np.ones((len(kept), *SHAPE), bool)
    path = save_one(segmentation(kept, frames_of({1: mask}, kept), distance_mm=distance), tmp_path / "labels.dcm")
    thick = read_volume(fabricate.save(kept, tmp_path / "thick"), irregular=True)
    grid = geometry.grid_by_factor(10, 2, 2)
    fine = Volume(np.zeros((*thick.shape[:2], grid.count)), grid.refine(thick.affine_lps))
    with pytest.raises(GeometryError, match="give the thick scan"):
        read_labels(path, fine)
    with pytest.raises(GeometryError, match="unevenly spaced"):
        read_labels(path, thick)
    with pytest.raises(GeometryError, match="unevenly spaced"):
        label_api.convert_labels(path, thick)


@pytest.mark.parametrize("kind", KINDS)
def test_the_frame_of_reference_of_labels_is_not_compared_where_the_scan_names_none(kind: str, tmp_path: Path) -> None:
    series = fabricate.slices(COUNT, shape=SHAPE)
    for data in series:
        del data.FrameOfReferenceUID
    scan = read_volume(fabricate.save(series, tmp_path / "thick"))
    series[0].FrameOfReferenceUID = "1.2.3.4"  # of the labels alone
    found = read_labels(save_labels(kind, series, scan, (2, 4, 6), tmp_path / "labels.dcm"), scan)
    np.testing.assert_array_equal(found.labels, labels_on(scan, (2, 4, 6)))
    assert not any("frame of reference" in text for text in found.header.warnings)
