"""Labels between acquired slices."""

from dataclasses import replace

import numpy as np
import pytest
from labels import shapes_of_labels as shapes
from scipy import ndimage

from saint_cli.geometry import SlabProfile, grid_by_factor, grid_by_spacing, grid_of_slabs
from saint_cli.labels import coarsen_labels, label_volumes, refine_labels
from saint_cli.labels.gap import Gap
from saint_cli.labels.likelihood import AcquiredPair
from saint_cli.labels.refine import _Scan
from saint_cli.labels.transitions import find_change_times
from saint_cli.volume import Header, Volume
from saint_cli.volume.label_map import LabelMap, Segment

DENSE = {
    "ellipsoid": shapes.ellipsoid(),
    "rod": shapes.slanted_rod(),
    "layers": shapes.two_layers(),
    "several": shapes.several(),
}


def make_image(dense: np.ndarray, contrast: float = 300.0, noise: float = 15.0) -> Volume:
    """A scan of thin labels, each with its own intensity."""
    hu = np.sqrt(dense.astype(float)) * contrast + np.random.default_rng(5).normal(0, noise, dense.shape)
    return Volume(hu.astype(np.float32), shapes.affine(1.0), Header("CT"))


def make_stair(shape: tuple[int, int, int]) -> np.ndarray:
    """1 within a stair whose edge does not move evenly, thin voxels uint8."""
    x, y, z = shapes.grid_mm(shape)
    step = np.where(z % 4 < 2.6, 0, 1) + np.floor(z / 4)
    return ((np.abs(y) < 12) & (x < 3 * step)).astype(np.uint8)


def refine(dense: np.ndarray, image: Volume | None = None, factor: int = shapes.FACTOR) -> np.ndarray:
    """Thin labels made thick and thin again."""
    labels = shapes.thick(dense, factor)
    return refine_labels(labels, grid_by_factor(labels.shape[2], 2, factor), image).labels


@pytest.mark.parametrize("with_image", [False, True])
@pytest.mark.parametrize("name", DENSE)
def test_acquired_slices_keep_their_labels_bit_for_bit(name: str, with_image: bool) -> None:
    dense = DENSE[name]
    found = refine(dense, make_image(dense) if with_image else None)
    assert np.array_equal(found[..., :: shapes.FACTOR], dense[..., :: shapes.FACTOR])
    assert found.dtype == dense.dtype


@pytest.mark.parametrize("name", DENSE)
def test_no_label_is_made_that_neither_neighbour_has(name: str) -> None:
    found = refine(DENSE[name], make_image(DENSE[name]))
    for j in range(found.shape[2]):
        k = j // shapes.FACTOR * shapes.FACTOR
        neighbours = DENSE[name][..., [k, min(k + shapes.FACTOR, found.shape[2] - 1)]]
        assert set(np.unique(found[..., j])) <= set(np.unique(neighbours))


@pytest.mark.parametrize("with_image", [False, True])
def test_a_slanted_rod_whose_discs_do_not_overlap_stays_one_part(with_image: bool) -> None:
    rod = DENSE["rod"]
    assert ndimage.label(rod[..., :: shapes.FACTOR])[1] > 3
    found = refine(rod, make_image(rod) if with_image else None)
    assert ndimage.label(found, np.ones((3, 3, 3)))[1] == 1
    assert shapes.dice(found > 0, rod > 0) > 0.9


def test_a_rod_that_runs_through_another_label_stays_one_part() -> None:
    dense = np.where(DENSE["rod"] > 0, 2, 1).astype(np.uint8)
    found = refine(dense)
    assert ndimage.label(found == 2, np.ones((3, 3, 3)))[1] == 1
    assert not (found == 0).any()


def test_labels_side_by_side_leave_no_gap_between_them() -> None:
    dense = DENSE["layers"]
    found = refine(dense)
    assert np.array_equal(found > 0, dense > 0)
    assert shapes.dice(found == 1, dense == 1) > 0.98


def test_shapes_are_nearer_to_the_truth_than_nearest_neighbours() -> None:
    dense = DENSE["several"]
    found = refine(dense)
    nearest = dense[..., (np.arange(found.shape[2]) + 1) // shapes.FACTOR * shapes.FACTOR]
    for label in (1, 2, 7, 200):
        missed, missed_by_nearest = (np.count_nonzero((m == label) != (dense == label)) for m in (found, nearest))
        assert missed < 0.6 * missed_by_nearest


def test_an_object_that_ends_tapers_and_has_the_volume_of_half_a_gap() -> None:
    factor, dense = 16, np.zeros((60, 60, 33), np.uint8)
    dense[..., 0] = np.hypot(*np.mgrid[-30:30, -30:30]) < 20
    areas = refine(dense, factor=factor)[..., : factor + 1].sum((0, 1)).astype(float)
    assert (np.diff(areas) <= 0).all()
    assert areas[:-1].mean() == pytest.approx(areas[0] / 2, rel=0.07)
    assert areas[1] > 0.95 * areas[0]
    assert (areas[int(0.8 * factor) :] == 0).all()


def test_an_object_that_begins_is_one_that_ends_in_the_reversed_stack() -> None:
    dense = np.zeros((60, 60, 33), np.uint8)
    dense[..., 0] = np.hypot(*np.mgrid[-30:30, -30:30]) < 20
    ends, begins = refine(dense, factor=16), refine(dense[..., ::-1], factor=16)[..., ::-1]
    assert np.array_equal(begins.sum((0, 1)), ends.sum((0, 1)))
    assert np.count_nonzero(begins != ends) < 0.02 * np.count_nonzero(ends)  # at equal distances


@pytest.mark.parametrize("radii", [(15.0, 11.0, 11.0), (6.0, 6.0, 12.0), (14.0, 12.0, 9.0)])
def test_areas_change_linearly_between_slices_so_that_volumes_are_kept(radii: tuple[float, ...]) -> None:
    dense = shapes.ellipsoid(radii=radii)
    found, factor = refine(dense), shapes.FACTOR
    areas = found.sum((0, 1)).astype(float)
    for k in range(0, len(areas) - 1, factor):
        if areas[k] and areas[k + factor]:
            evenly = np.linspace(areas[k], areas[k + factor], factor + 1)
            assert areas[k : k + factor + 1] == pytest.approx(evenly, abs=8)  # a voxel of each small region
    thick = shapes.thick(dense)
    refined = refine_labels(thick, grid_by_factor(thick.shape[2], 2, factor))
    (volume,) = label_volumes(thick, refined)
    assert volume.after_ml == pytest.approx(volume.before_ml, rel=0.02)


def test_the_image_moves_a_boundary_that_shapes_cannot_know() -> None:
    dense = make_stair((48, 40, 33))
    by_shape, by_image = refine(dense), refine(dense, make_image(dense))
    wrong = [np.count_nonzero(m != dense) for m in (by_shape, by_image)]
    assert wrong[1] < 0.7 * wrong[0]


def test_what_a_label_looks_like_is_known_best_from_the_nearer_slice() -> None:
    labels = (np.indices((20, 20))[0] >= 10).astype(np.int32)
    first, second = (np.float32(100) * plane for plane in (labels, 1 - labels))  # label 1 is bright, then dark
    pair = AcquiredPair((labels, labels), (first, second), width=20.0)
    places, old, new = np.array([[9], [10]]), np.array([0]), np.array([1])
    early, late = (pair.log_ratio(np.full((20, 20), 100.0), time, places, old, new).item() for time in (0.1, 0.9))
    assert early > 0.5
    assert late < -0.5


def test_both_sides_of_a_boundary_share_what_the_image_says_of_it() -> None:
    class Says:
        def log_ratio(self, image: object, time: object, places: object, old: np.ndarray, new: np.ndarray) -> object:
            return np.where(new > old, np.float32(2), np.float32(-2))  # label 1 is likelier everywhere

    result, places = np.repeat([[0, 1]], 4, axis=0).astype(np.int32), np.array([[2, 2], [0, 1]])
    gap = Gap(result, result, (1.0, 1.0), 4.0, Says())  # type: ignore[arg-type]
    odds = gap._image_odds(result, places, np.array([1, 0]), 0.5, result.astype(np.float32))
    np.testing.assert_allclose(odds, [2, -2])


def test_a_boundary_passes_what_is_nearer_in_mm_first_where_pixels_are_not_square() -> None:
    first, second = np.zeros((20, 20), np.int32), np.ones((20, 20), np.int32)
    first[:5], first[:, :5] = 1, 1
    times = find_change_times(first, second, (1.0, 3.0))
    assert times[6, 15] < times[15, 5]  # 2 pixels of 1 mm, and one of 3 mm
    assert times[15, 5] < times[9, 15]  # 5 pixels of 1 mm


@pytest.mark.parametrize("around", [0.0, -1024.0, -0.4372, 100.3])
def test_an_organ_that_was_cut_out_of_the_scan_guides_labels_as_the_whole_scan_does(around: float) -> None:
    x, y, z = shapes.grid_mm((96, 80, 33))
    organ = (np.hypot(x / 18, y / 14) < 1) & (np.abs(z) < 6)  # a sixth of the pixels in a third of the slices
    dense = make_stair(organ.shape) * organ.astype(np.uint8)
    image = make_image(dense)
    cut = replace(image, voxels=np.where(organ, image.voxels, np.float32(around)))
    wrong = [np.count_nonzero(refine(dense, one)[organ] != dense[organ]) for one in (None, image, cut)]
    assert wrong[1] < 0.6 * wrong[0]
    assert wrong[2] < 1.1 * wrong[1]


@pytest.mark.parametrize("name", DENSE)
def test_an_image_without_contrast_does_little_harm(name: str) -> None:
    dense = DENSE[name]
    wrong = [np.count_nonzero(refine(dense, image) != dense) for image in (None, make_image(dense, contrast=0.0))]
    assert wrong[1] <= 1.1 * wrong[0] + 20


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_voxel_that_is_not_finite_moves_no_boundary_elsewhere(value: float) -> None:
    dense = DENSE["several"]
    image = make_image(dense)
    voxels = image.voxels.copy()
    voxels[2, 2, [4, 5]] = value
    changed = refine(dense, replace(image, voxels=voxels)) != refine(dense, image)
    assert np.count_nonzero(changed) < 5
    of_nothing = (refine(dense, replace(image, voxels=np.full_like(voxels, fill))) for fill in (value, 0))
    assert np.array_equal(*of_nothing)


@pytest.mark.parametrize("axis", [0, 1])
def test_any_axis_gives_what_the_last_one_does(axis: int) -> None:
    dense = DENSE["several"]
    turned = np.moveaxis(shapes.thick(dense).labels, 2, axis)
    spacing = np.insert([0.8, 0.8], axis, 4.0)
    grid = grid_by_factor(turned.shape[axis], axis, shapes.FACTOR)
    found = refine_labels(LabelMap(turned, np.diag([*spacing, 1.0])), grid)
    assert np.array_equal(np.moveaxis(found.labels, axis, 2), refine(dense))
    assert found.affine_lps[axis, axis] == 1.0


def test_a_grid_that_meets_few_acquired_slices_keeps_those_it_meets() -> None:
    labels = shapes.thick(DENSE["several"])
    grid = grid_by_spacing(labels.shape[2], 2, 4.0, 1.6)
    image = Volume(np.zeros(grid.output_shape(labels.shape), np.float32), grid.refine(labels.affine_lps))
    found = refine_labels(labels, grid, image)
    window, offset = grid.locate()
    assert (offset == 0).sum() == 5
    assert np.array_equal(found.labels[..., offset == 0], labels.labels[..., window[offset == 0]])


@pytest.mark.parametrize("factor", [4, 5])
def test_images_of_acquired_slices_are_taken_from_their_places_on_a_grid_of_slabs(factor: int) -> None:
    grid = grid_of_slabs(grid_by_factor(6, 2, factor), SlabProfile(1.0))
    scan = _Scan(np.broadcast_to(100 * grid.places.astype(np.float32), (5, 4, grid.count)), grid)
    for k in range(6):
        np.testing.assert_allclose(scan.acquired(k), 100 * k, atol=1e-3)


def test_slices_beyond_the_last_one_repeat_it() -> None:
    labels = shapes.thick(DENSE["several"])
    found = refine_labels(labels, grid_by_factor(labels.shape[2], 2, 4, extrapolate=True)).labels
    assert found.shape[2] == 4 * labels.shape[2]
    assert (found[..., -4:] == labels.labels[..., -1:]).all()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32"])
def test_names_dtype_and_input_are_kept(dtype: str) -> None:
    labels = LabelMap(DENSE["several"][..., ::4].astype(dtype), shapes.affine(4.0), (Segment(7, "organ"),))
    before = labels.labels.copy()
    steps: list[tuple[str, int, int]] = []
    found = refine_labels(labels, grid_by_factor(9, 2, 4), None, lambda *step: steps.append(step))
    assert found.labels.dtype == dtype
    assert found.segments == labels.segments
    assert np.array_equal(labels.labels, before)
    assert steps[-1] == ("labels", 9, 9)


def test_background_alone_stays_background() -> None:
    dense = np.zeros((8, 8, 9), np.uint8)
    assert not refine(dense).any()
    assert not refine(dense, make_image(dense)).any()


def test_labels_image_and_grid_must_fit() -> None:
    labels = shapes.thick(DENSE["rod"])
    with pytest.raises(ValueError, match="do not fit"):
        refine_labels(labels, grid_by_factor(5, 2, 4))
    with pytest.raises(ValueError, match="do not fit"):
        refine_labels(labels, grid_by_factor(9, 2, 4), make_image(DENSE["rod"][1:]))


@pytest.mark.parametrize("with_image", [False, True])
@pytest.mark.parametrize("factor", [2, 4])
def test_thick_labels_come_back_where_a_neighbouring_slice_agrees(factor: int, with_image: bool) -> None:
    labels = shapes.thick(DENSE["several"], factor)
    image = make_image(DENSE["several"]) if with_image else None
    refined = refine_labels(labels, grid_by_factor(labels.shape[2], 2, factor), image)
    back = coarsen_labels(refined, labels.affine_lps, labels.shape)
    slices = labels.labels
    agrees = np.zeros(slices.shape, bool)
    agrees[..., 1:] |= slices[..., 1:] == slices[..., :-1]
    agrees[..., :-1] |= slices[..., 1:] == slices[..., :-1]
    changed = (back.labels != slices) & agrees
    assert changed.mean() <= (0.001 if with_image else 0.0005)
    assert (back.labels != slices).mean() < 0.02


def test_an_object_that_ends_in_the_end_slices_comes_back_exactly() -> None:
    x, y, z = np.indices((24, 24, 6))
    inside = ((x - 12) / 9) ** 2 + ((y - 12) / 9) ** 2 + ((z - 2.5) / 2.7) ** 2 < 1
    labels = LabelMap(inside.astype(np.uint8), np.diag([1.0, 1.0, 4.0, 1.0]))
    refined = refine_labels(labels, grid_by_factor(6, 2, 4))
    np.testing.assert_array_equal(coarsen_labels(refined, labels.affine_lps, labels.shape).labels, labels.labels)
