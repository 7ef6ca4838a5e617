"""Projection onto the volumes whose means over slabs are given, against dense linear algebra."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import linalg

from saint_cli.geometry import ProfileShape, SlabProfile, SliceGrid, grid_by_factor, grid_of_slabs
from saint_cli.method import intensity
from saint_cli.method.slab_assembly import assemble_slabs
from saint_cli.method.slab_consistency import (
    LEAST_EIGENVALUE,
    SlabProjection,
    StoredRange,
    make_consistent,
    measure_deviation,
)
from saint_cli.volume import Header, SlabDeviation

eigenvalues = linalg.eigvals_banded


def make_grid(count: int, thickness: float, factor: int = 4, shape: ProfileShape = ProfileShape.BOX) -> SliceGrid:
    return grid_of_slabs(grid_by_factor(count, 2, factor), SlabProfile(thickness, shape))


def random_columns(grid: SliceGrid, columns: int, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    thin, slabs = (random.normal(0, 500, (n, columns)).astype(dtype) for n in (grid.count, grid.acquired))
    return thin, slabs


@pytest.mark.parametrize("shape", list(ProfileShape))
@pytest.mark.parametrize("thickness", [0.4, 1.0, 1.3, 1.6])
@pytest.mark.parametrize("count", [2, 3, 30])
def test_bands_give_what_dense_matrices_give(count: int, thickness: float, shape: ProfileShape) -> None:
    grid = make_grid(count, thickness, shape=shape)
    thin, slabs = random_columns(grid, 11)
    weights = grid.slab_weights
    gram = weights @ weights.T
    low, *_, high = np.linalg.eigvalsh(gram)
    damped = gram + max(0.0, LEAST_EIGENVALUE * high - low) * np.eye(count)
    expected = thin
    for _ in range(1 if low >= LEAST_EIGENVALUE * high else 3):
        expected = expected + weights.T @ np.linalg.solve(damped, slabs - weights @ expected)
    for dtype, tolerance in (("float64", 1e-9), ("float32", 0.01)):
        result = thin.astype(dtype)
        SlabProjection(weights).apply(result, slabs.astype(dtype))
        np.testing.assert_allclose(result, expected, atol=tolerance)


def test_where_slabs_touch_what_a_slab_misses_is_added_to_all_of_it() -> None:
    grid = make_grid(5, 1.0, 3)
    thin, slabs = random_columns(grid, 7)
    result = thin.copy()
    SlabProjection(grid.slab_weights).apply(result, slabs)
    missing = slabs - thin.reshape(5, 3, 7).mean(1)
    np.testing.assert_allclose(result, thin + np.repeat(missing, 3, axis=0), atol=1e-9)


@pytest.mark.parametrize("thickness", [1.0, 1.5, 2.0])
def test_a_column_comes_out_the_same_whatever_the_others_are(thickness: float) -> None:
    grid = make_grid(9, thickness)
    thin, slabs = random_columns(grid, 40, "float32")
    stored = StoredRange(np.full(grid.count, -200.0), np.full(grid.count, 300.0), 1.0)
    slabs = np.clip(slabs, -200, 300)
    together = thin.copy()
    SlabProjection(grid.slab_weights).apply_within(together, slabs, stored)
    for column in (0, 17, 39):
        alone = thin[:, column : column + 1].copy()
        SlabProjection(grid.slab_weights).apply_within(alone, slabs[:, column : column + 1], stored)
        np.testing.assert_array_equal(alone[:, 0], together[:, column])


@pytest.mark.parametrize("known", [[1, 0, 1, 1, 1, 1], [0, 1, 1, 0, 0, 1], [1, 0, 0, 0, 0, 0]])
@pytest.mark.parametrize("thickness", [0.8, 1.5, 2.0, 2.2])
def test_slabs_that_do_not_count_are_as_good_as_absent(thickness: float, known: list[int]) -> None:
    grid, is_known = make_grid(6, thickness), np.array(known, bool)
    thin, slabs = random_columns(grid, 9)
    stored = StoredRange(np.full(grid.count, -300.0), np.full(grid.count, 400.0), 1.0)
    expected, result = thin.copy(), thin.copy()
    SlabProjection(grid.slab_weights[is_known]).apply_within(expected, slabs[is_known], stored)
    slabs[~is_known] = 1e6
    SlabProjection(grid.slab_weights).select(is_known).apply_within(result, slabs, stored)
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_columns_with_holes_cost_no_eigenvalues_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which take most of the time where every hole lies in another slab."""
    counted, holes = [], np.zeros((12, 1, 12), bool)

    def count(*given: object, **more: object) -> np.ndarray:
        counted.append(more)
        return eigenvalues(*given, **more)

    monkeypatch.setattr(linalg, "eigvals_banded", count)
    holes[np.arange(12), 0, np.arange(12)] = True
    grid = make_grid(12, 1.5)
    network_input = SimpleNamespace(intensity_map=intensity.CT, box=(slice(None), slice(None)))
    sparse = np.where(holes, np.nan, np.random.default_rng(0).normal(0, 100, holes.shape)).astype(np.float32)
    assemble_slabs(sparse, grid, network_input, torch.zeros(grid.count, 12, 1), holes=holes)
    assert len(counted) == 2  # the least and the largest, once


def test_a_projection_is_its_own_fixed_point_and_keeps_its_input() -> None:
    grid = make_grid(6, 1.4)
    thin, slabs = (columns.T for columns in random_columns(grid, 5))
    before = thin.copy()
    once = make_consistent(thin, slabs, grid.slab_weights)
    np.testing.assert_array_equal(thin, before)
    np.testing.assert_allclose(make_consistent(once, slabs, grid.slab_weights), once, atol=1e-9)


@pytest.mark.parametrize("thickness", [0.8, 1.0, 1.6])
def test_projection_changes_as_little_as_it_can(thickness: float) -> None:
    """Of all volumes with these means, none is nearer: what it changes is a combination of slab profiles."""
    random, grid = np.random.default_rng(0), make_grid(5, thickness)
    weights, thin, slabs = grid.slab_weights, random.normal(size=(7, grid.count)), random.normal(size=(7, 5))
    result = make_consistent(thin, slabs, weights)
    np.testing.assert_allclose(result @ weights.T, slabs, atol=1e-4)
    _, residues, rank, _ = np.linalg.lstsq(weights.T, (result - thin).T, rcond=None)
    assert rank == 5
    np.testing.assert_allclose(residues, 0, atol=1e-6)


def test_slabs_twice_as_thick_as_their_distance_do_not_blow_up_noise() -> None:
    grid = make_grid(40, 2.0)
    weights, noise = grid.slab_weights, np.random.default_rng(1).normal(size=(50, 40)).astype(np.float32)
    change = make_consistent(np.zeros((50, grid.count), np.float32), noise, weights)
    assert change.std() < 6 * noise.std()
    smooth = np.sin(np.arange(40) / 5)[None].astype(np.float32)
    back = make_consistent(np.zeros((1, grid.count), np.float32), smooth, weights) @ weights.T
    np.testing.assert_allclose(back, smooth, atol=0.01)


@pytest.mark.parametrize("scale", [1.0, 1e200])
def test_how_far_means_are_off_is_measured_in_closed_form_without_padding(scale: float) -> None:
    grid = make_grid(4, 1.0)
    thin, slabs = np.zeros((5, 6, grid.count)), np.zeros((5, 6, 4))
    slabs[:, :, 1] = 3 * scale
    slabs[0, :, 2] = 9000 * scale
    header = Header(padding=((9000 * scale, 9000 * scale),))
    found = measure_deviation(thin, slabs, grid, header, scale)
    assert (found.largest, found.is_rounding) == (3 * scale, False)
    assert found.rms == pytest.approx(1.5 * scale)
    assert measure_deviation(thin, slabs, grid, header, 6 * scale).is_rounding


def test_volumes_together_deviate_by_the_most_and_by_the_root_of_the_mean_square() -> None:
    one, other = SlabDeviation(0.5, 0.3, is_rounding=True), SlabDeviation(4.0, 0.4, is_rounding=False)
    both = SlabDeviation.merge([one, other])
    assert both == SlabDeviation(4.0, pytest.approx(0.125**0.5), is_rounding=False)
    assert SlabDeviation.merge([]) is None
