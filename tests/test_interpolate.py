import numpy as np
import pytest

from saint_cli.geometry import SliceGrid, grid_by_factor, grid_by_spacing
from saint_cli.interpolate import cubic, linear

GRIDS = [
    grid_by_factor(6, 2, 2),
    grid_by_factor(6, 2, 5),
    grid_by_factor(6, 2, 3, extrapolate=True),
    grid_by_spacing(6, 2, 5.0, 2.0),
    grid_by_spacing(6, 2, 5.0, 0.7),
]


def random_slices() -> np.ndarray:
    return np.random.default_rng(2).integers(-1000, 3000, (4, 3, 6)).astype(np.int16)


@pytest.mark.parametrize("method", [linear, cubic])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_acquired_slices_come_back_exactly(method, grid: SliceGrid) -> None:  # type: ignore[no-untyped-def]
    slices = random_slices()
    result = method(slices, grid)
    assert result.shape == (4, 3, grid.count)
    assert result.dtype == np.float32
    position = np.arange(grid.count) * grid.step
    on = np.flatnonzero((np.abs(position - position.round()) < 1e-6) & (position < 5 + 1e-6))
    assert 0 in on
    np.testing.assert_array_equal(result[..., on], slices[..., position[on].round().astype(int)])


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_linear_is_the_weighted_mean_of_both_neighbours(grid: SliceGrid) -> None:
    slices, position = random_slices(), np.minimum(np.arange(grid.count) * grid.step, 5)
    wanted = np.stack([[np.interp(position, range(6), line) for line in plane] for plane in slices.astype(float)])
    np.testing.assert_allclose(linear(slices, grid), wanted, atol=1e-2)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_cubic_reproduces_a_quadratic_inside(grid: SliceGrid) -> None:
    def quadratic(z: np.ndarray) -> np.ndarray:
        return 3 * z**2 - 7 * z + 2

    position = np.arange(grid.count) * grid.step
    inside = (position >= 1) & (position <= 4)
    result = cubic(quadratic(np.arange(6.0))[None], grid)[0]
    np.testing.assert_allclose(result[inside], quadratic(position)[inside], atol=1e-4)
    assert np.abs(linear(quadratic(np.arange(6.0))[None], grid)[0] - quadratic(position))[inside].max() > 0.1


@pytest.mark.parametrize("method", [linear, cubic])
def test_constant_stays_constant_to_the_ends(method) -> None:  # type: ignore[no-untyped-def]
    for grid in GRIDS:
        np.testing.assert_allclose(method(np.full((2, 6), 40.0), grid), 40.0, rtol=1e-6)


@pytest.mark.parametrize("method", [linear, cubic])
def test_beyond_the_last_acquired_slice_nothing_grows(method) -> None:  # type: ignore[no-untyped-def]
    grid = grid_by_factor(6, 2, 3, extrapolate=True)
    beyond = method(np.arange(6.0)[None], grid)[0, -2:]
    np.testing.assert_allclose(beyond, 5, atol=0.2)


def test_small_integers_do_not_wrap() -> None:
    slices = np.array([[0, 255, 0, 255]], np.uint8)
    np.testing.assert_allclose(linear(slices, grid_by_factor(4, 1, 2))[0], [0, 127.5, 255, 127.5, 0, 127.5, 255])
    assert cubic(slices, grid_by_factor(4, 1, 2)).max() >= 255
