from dataclasses import replace

import numpy as np
import pytest
from report.scans import affine

from saint_cli.report import plane_cuts
from saint_cli.report.anatomy import UprightVolume
from saint_cli.report.plane_cuts import ScanPair, make_cut

CENTRE = (10, 10, 10)


def ramp(axis: int, factor: int, *, ras: bool = False, drop: int = 0) -> ScanPair:
    """Slices whose value is their own position in mm along a through-plane axis, 4 mm apart, and ``factor`` as many."""
    counts = [9 if i == axis else 350 for i in range(3)]
    fine = list(counts)
    fine[axis] = 8 * factor + 1 - drop

    def volume(shape: list[int], step: float) -> UprightVolume:
        own = np.arange(shape[axis]) * step
        values = np.broadcast_to(np.expand_dims(own, [i for i in range(3) if i != axis]), shape).astype(np.float32)
        spaced = [1.0, 1.0, 1.0]
        spaced[axis] = step
        return UprightVolume.from_voxels(values, affine((spaced[0], spaced[1], spaced[2]), ras=ras))

    before, after = volume(counts, 4.0), volume(fine, 4.0 / factor)
    return ScanPair(before, after, before.find_axis(axis))


@pytest.mark.parametrize("ras", [False, True])
@pytest.mark.parametrize("drop", [0, 3])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_before_and_after_show_the_same_place_on_the_same_pixels(axis: int, drop: int, ras: bool) -> None:
    scan = ramp(axis, 4, drop=drop, ras=ras)
    for fixed in scan.list_planes():
        shown = make_cut(scan, fixed, CENTRE)
        assert shown.before.shape == shown.after.shape
        assert np.abs(shown.before - shown.after).max() <= 2.0
        assert set(np.unique(shown.before)) <= set(range(0, 33, 4))


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_pixels_are_square_in_millimetres(factor: int) -> None:
    shown = make_cut(ramp(2, factor), 1, CENTRE)
    high_mm = (8 * factor + 1) * 4 / factor
    wide_mm = round(plane_cuts.MOST_ELONGATED * high_mm)
    assert shown.after.shape[1] / shown.after.shape[0] == pytest.approx(wide_mm / high_mm, rel=0.03)
    assert shown.pixel_mm == pytest.approx(wide_mm / shown.after.shape[1])


def test_planes_contain_the_through_plane_axis() -> None:
    named = {
        axis: [make_cut(scan, fixed, (1, 1, 1)).name for fixed in scan.list_planes()]
        for axis, scan in ((axis, ramp(axis, 2)) for axis in range(3))
    }
    assert named == {2: ["coronal", "sagittal"], 0: ["coronal", "axial"], 1: ["sagittal", "axial"]}


def test_the_place_is_named_in_the_files_own_indices() -> None:
    assert make_cut(ramp(2, 2), 1, CENTRE).place.startswith("y = 10,")
    assert make_cut(ramp(2, 2, ras=True), 1, CENTRE).place.startswith("y = 339,")


def test_of_few_slices_the_part_around_the_centre_is_shown_as_large_as_can_be() -> None:
    scan = ramp(2, 4)
    shown = make_cut(scan, 1, (345, 10, 5))
    high_mm = 33.0
    assert shown.after.shape[1] / shown.after.shape[0] == pytest.approx(plane_cuts.MOST_ELONGATED, rel=0.05)
    assert shown.place == f"y = 10, {plane_cuts.MOST_ELONGATED * high_mm:.0f} mm of it"
    voxels = np.broadcast_to(np.arange(350.0)[:, None, None], (350, 350, 33))
    ends = [make_cut(replace(scan, after=replace(scan.after, voxels=voxels)), 1, (x, 10, 5)).after for x in (5, 345)]
    assert ends[0].min() == 0
    assert ends[1].max() == 349
    assert ends[1].min() > 349 - 5 * high_mm - 1


def test_one_slice_is_drawn_whole_with_square_pixels() -> None:
    picture = plane_cuts.draw_slice(np.arange(800.0).reshape(40, 20, 1), affine((1.0, 2.0, 5.0)), 2)
    assert picture.shape[0] == picture.shape[1]
    assert (picture.min(), picture.max()) == (0, 799)


def test_large_pictures_shrink_and_small_ones_grow_without_inventing_values() -> None:
    large = plane_cuts.resize_picture(np.tile([[0.0, 10.0]], (1000, 1000)))
    assert max(large.shape) == plane_cuts.LONGEST_PIXELS
    assert large.mean() == pytest.approx(5, abs=0.01)
    small = plane_cuts.resize_picture(np.arange(6.0).reshape(2, 3))
    assert small.shape == (200, 300)
    assert set(np.unique(small)) == set(range(6))


def test_what_is_not_finite_becomes_the_nearest_end_of_what_is() -> None:
    shown = plane_cuts.resize_picture(np.array([[np.nan, 3.0], [np.inf, -np.inf], [7.0, 5.0]]))
    assert np.isfinite(shown).all()
    assert (shown.min(), shown.max()) == (3, 7)
    assert np.isfinite(plane_cuts.resize_picture(np.full((3, 3), np.nan))).all()
