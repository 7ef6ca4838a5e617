"""How a label map's grid lies to another one."""

import fabricate
import numpy as np
import pytest

from saint_cli.errors import GeometryError
from saint_cli.geometry import grid_by_factor, grid_by_spacing
from saint_cli.labels import GridRelation, coarsen_labels, convert_labels, place_labels, plan_labels, refine_labels
from saint_cli.volume.label_map import LabelMap

SHAPE = (12, 10, 5)


def make_labels(affine_lps: np.ndarray = fabricate.OBLIQUE_LPS, shape: tuple[int, int, int] = SHAPE) -> LabelMap:
    """Blobs of the labels 0 to 4, the same for each shape."""
    noise = np.random.default_rng(2).random(shape)
    return LabelMap((5 * noise).astype(np.int16), affine_lps)


def turn(labels: LabelMap, order: tuple[int, int, int], flips: tuple[int, ...]) -> LabelMap:
    """The same labels at the same places, with axes swapped and flipped."""
    voxels, affine = labels.labels.transpose(order), labels.affine_lps[:, [*order, 3]].copy()
    for axis in flips:
        affine[:3, 3] += affine[:3, axis] * (voxels.shape[axis] - 1)
        affine[:3, axis] *= -1
        voxels = np.flip(voxels, axis)
    return LabelMap(voxels, affine)


@pytest.mark.parametrize("affine", [fabricate.OBLIQUE_LPS, fabricate.SHEARED_LPS], ids=["oblique", "sheared"])
@pytest.mark.parametrize(("order", "flips"), [((0, 1, 2), (2,)), ((2, 0, 1), (0, 1)), ((1, 0, 2), ())])
def test_axes_that_are_swapped_or_flipped_are_put_back(
    affine: np.ndarray, order: tuple[int, int, int], flips: tuple[int, ...]
) -> None:
    labels = make_labels(affine)
    found = place_labels(turn(labels, order, flips), labels.affine_lps, SHAPE)
    assert np.array_equal(found.labels, labels.labels)
    assert np.array_equal(found.affine_lps, labels.affine_lps)


def test_labels_of_a_part_of_the_scan_are_padded_with_background() -> None:
    labels = make_labels()
    affine = labels.affine_lps.copy()
    affine[:3, 3] += affine[:3, :3] @ [2, 3, 1]
    found = place_labels(LabelMap(labels.labels[2:9, 3:, 1:4], affine), labels.affine_lps, SHAPE).labels
    assert np.array_equal(found[2:9, 3:, 1:4], labels.labels[2:9, 3:, 1:4])
    assert not found[:2].any()
    assert not found[..., 4].any()


@pytest.mark.parametrize(("order", "flips"), [((0, 1, 2), ()), ((2, 1, 0), (0, 2))])
@pytest.mark.parametrize("extrapolate", [False, True])
@pytest.mark.parametrize("factor", [2, 5])
def test_thin_grids_are_refined_to_and_back(
    factor: int, extrapolate: bool, order: tuple[int, int, int], flips: tuple[int, ...]
) -> None:
    labels = make_labels()
    grid = grid_by_factor(SHAPE[2], 2, factor, extrapolate=extrapolate)
    affine, shape = grid.refine(labels.affine_lps), grid.output_shape(SHAPE)
    plan = plan_labels(turn(labels, order, flips), affine, shape)
    assert (plan.relation, plan.axis, plan.grid) == (GridRelation.REFINE, 2, grid)
    fine = convert_labels(turn(labels, order, flips), plan)
    assert np.array_equal(fine.labels[..., : 4 * factor + 1 : factor], labels.labels)
    assert np.array_equal(fine.affine_lps, affine)
    back = plan_labels(fine, labels.affine_lps, SHAPE)
    assert (back.relation, back.axis) == (GridRelation.COARSEN, 2)
    assert convert_labels(fine, back).shape == SHAPE


def test_spacings_that_are_no_fraction_are_refined_to() -> None:
    labels = make_labels()
    grid = grid_by_spacing(SHAPE[2], 2, 5.0, 0.8)
    plan = plan_labels(labels, grid.refine(labels.affine_lps), grid.output_shape(SHAPE))
    assert plan.grid is not None
    assert (plan.grid.acquired, plan.grid.count) == (grid.acquired, grid.count)
    assert plan.grid.step == pytest.approx(grid.step)


def test_labels_of_some_slices_are_background_beyond_them() -> None:
    labels = make_labels(shape=(12, 10, 9))
    grid = grid_by_factor(9, 2, 4)
    affine = labels.affine_lps.copy()
    affine[:3, 3] += 2 * affine[:3, 2]
    some = LabelMap(np.maximum(labels.labels[..., 2:6], 1), affine)
    shape = grid.output_shape(labels.shape)
    found = convert_labels(some, plan_labels(some, grid.refine(labels.affine_lps), shape)).labels
    assert np.array_equal(found[..., 8:21:4], some.labels)
    assert not found[..., :5].any()
    assert not found[..., 24:].any()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda a: a @ np.diag([0.5, 0.5, 1, 1]), id="in-plane spacing"),
        pytest.param(lambda a: a @ np.diag([0.5, 1, 0.5, 1]), id="two spacings"),
        pytest.param(lambda a: a + np.pad(0.5 * a[:, :1], ((0, 0), (3, 0))), id="half a voxel"),
        pytest.param(lambda a: a + np.pad(100 * a[:, :1], ((0, 0), (3, 0))), id="elsewhere"),
        pytest.param(lambda a: fabricate.SHEARED_LPS, id="other directions"),
    ],
)
def test_grids_that_do_not_fit_are_both_named(change: object) -> None:
    labels = make_labels()
    with pytest.raises(GeometryError, match=r"12 x 10 x 5 voxels of 0\.8 x 0\.8 x 5 mm.*does not fit.*11 x 9 x 4"):
        plan_labels(labels, change(labels.affine_lps), (11, 9, 4))  # type: ignore[operator]


def test_thin_slices_that_begin_anywhere_between_two_label_slices_do_not_fit() -> None:
    labels = make_labels()
    affine = labels.affine_lps @ np.diag([1, 1, 0.25, 1])
    affine[:3, 3] += 0.36 * labels.affine_lps[:3, 2]
    with pytest.raises(GeometryError, match="does not fit"):
        plan_labels(labels, affine, (*labels.shape[:2], 12))


def test_positions_that_headers_round_still_fit() -> None:
    labels = make_labels()
    affine = labels.affine_lps.round(2)
    assert plan_labels(labels, affine, SHAPE).relation is GridRelation.SAME
    assert np.array_equal(place_labels(labels, affine, SHAPE).labels, labels.labels)


def test_the_majority_of_a_slab_wins_and_the_centre_of_equals() -> None:
    columns = np.array([[1, 1, 1, 1], [0, 1, 1, 0], [2, 2, 1, 1], [3, 0, 4, 3], [0, 5, 6, 0]], np.uint8)
    fine = LabelMap(columns[:, None], np.diag([1.0, 1.0, 1.0, 1.0]))
    thick = np.diag([1.0, 1.0, 4.0, 1.0])
    thick[2, 3] = 1.5  # the slab is all four slices
    assert coarsen_labels(fine, thick, (5, 1, 1)).labels[:, 0, 0].tolist() == [1, 1, 1, 3, 0]


def test_slices_count_by_the_part_that_lies_in_the_slab() -> None:
    fine = LabelMap(np.array([[[1, 1, 2, 2, 2]]], np.uint8), np.eye(4))
    for start, label in ((0.0, 1), (1.4, 1), (1.6, 2)):  # slabs of 2.5 slices
        thick = np.diag([1.0, 1.0, 2.5, 1.0])
        thick[2, 3] = start
        assert coarsen_labels(fine, thick, (1, 1, 1)).labels.item() == label


@pytest.mark.parametrize("step", [1, -1])
def test_a_slab_reaches_as_far_to_either_side_of_its_middle(step: int) -> None:
    column = np.array([9, 9, 1, 1, 2, 3, 4, 9, 9], np.uint8)[::step]  # 1 fills one and a half slices of the slab of 4
    fine = LabelMap(column[None, None], np.eye(4))
    assert coarsen_labels(fine, np.diag([1.0, 1.0, 4.0, 1.0]), (1, 1, 3)).labels.ravel().tolist() == [9, 1, 9]


@pytest.mark.parametrize(("spacing", "factor"), [(2.5, 7), (4.5, 10), (5.0, 6), (7.0, 12)])
def test_labels_come_back_the_same_through_affines_of_single_precision(spacing: float, factor: int) -> None:
    x, y, z = np.indices((24, 24, 9))
    discs = ((x - 8 - 0.7 * z) ** 2 + (y - 12) ** 2 < 36 + 8 * np.sin(2 * z)).astype(np.uint8)
    discs[(x - 15) ** 2 + (y - 6 - 0.5 * z) ** 2 < 16] = 2
    affine = np.diag([0.7, 0.7, spacing, 1.0])
    affine[:3, 3] = -101.3, -98.7, -512.25
    fine = refine_labels(LabelMap(discs, affine), grid_by_factor(9, 2, factor))
    exact = coarsen_labels(fine, affine, discs.shape).labels
    rounded = LabelMap(fine.labels, fine.affine_lps.astype(np.float32).astype(float))
    assert np.array_equal(coarsen_labels(rounded, affine.astype(np.float32).astype(float), discs.shape).labels, exact)
    assert np.array_equal(exact[..., [0, -1]], discs[..., [0, -1]])


def test_labels_are_not_coarsened_to_a_finer_grid() -> None:
    labels = make_labels()
    grid = grid_by_factor(SHAPE[2], 2, 2)
    with pytest.raises(GeometryError, match="finer"):
        coarsen_labels(labels, grid.refine(labels.affine_lps), grid.output_shape(SHAPE))
