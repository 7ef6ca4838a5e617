import numpy as np
import pytest
import torch
from scipy import ndimage

from saint_cli.evaluation.interpolators import (
    INTERPOLATORS,
    interpolate_bicubic_misaligned,
    interpolate_bspline,
    interpolate_cubic,
    interpolate_lanczos,
    interpolate_linear,
)
from saint_cli.geometry import SliceGrid, grid_by_factor, grid_by_spacing

ALIGNED = [interpolate_linear, interpolate_cubic, interpolate_bspline, interpolate_lanczos]

GRIDS = [
    grid_by_factor(6, 2, 2),
    grid_by_factor(6, 2, 5),
    grid_by_factor(6, 2, 3, extrapolate=True),
    grid_by_spacing(6, 2, 5.0, 2.0),
    grid_by_spacing(6, 2, 5.0, 0.7),
]


def random_slices() -> np.ndarray:
    return np.random.default_rng(2).integers(-1000, 3000, (4, 3, 6)).astype(np.int16)


@pytest.mark.parametrize("method", ALIGNED)
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
    np.testing.assert_allclose(interpolate_linear(slices, grid), wanted, atol=1e-2)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_cubic_reproduces_a_quadratic_inside(grid: SliceGrid) -> None:
    def quadratic(z: np.ndarray) -> np.ndarray:
        return 3 * z**2 - 7 * z + 2

    position = np.arange(grid.count) * grid.step
    inside = (position >= 1) & (position <= 4)
    result = interpolate_cubic(quadratic(np.arange(6.0))[None], grid)[0]
    np.testing.assert_allclose(result[inside], quadratic(position)[inside], atol=1e-4)
    assert (
        np.abs(interpolate_linear(quadratic(np.arange(6.0))[None], grid)[0] - quadratic(position))[inside].max() > 0.1
    )


@pytest.mark.parametrize("method", INTERPOLATORS.values(), ids=INTERPOLATORS)
def test_constant_stays_constant_to_the_ends(method) -> None:  # type: ignore[no-untyped-def]
    for grid in GRIDS:
        np.testing.assert_allclose(method(np.full((2, 6), 40.0), grid), 40.0, rtol=1e-6)


@pytest.mark.parametrize("method", ALIGNED)
def test_beyond_the_last_acquired_slice_nothing_grows(method) -> None:  # type: ignore[no-untyped-def]
    grid = grid_by_factor(6, 2, 3, extrapolate=True)
    beyond = method(np.arange(6.0)[None], grid)[0, -2:]
    np.testing.assert_allclose(beyond, 5, atol=0.2)


def test_small_integers_do_not_wrap() -> None:
    slices = np.array([[0, 255, 0, 255]], np.uint8)
    np.testing.assert_allclose(
        interpolate_linear(slices, grid_by_factor(4, 1, 2))[0], [0, 127.5, 255, 127.5, 0, 127.5, 255]
    )
    assert interpolate_cubic(slices, grid_by_factor(4, 1, 2)).max() >= 255


def ramp(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.float32)[None] * 100 - 900


@pytest.mark.parametrize(
    ("method", "within"),
    [(interpolate_linear, 1e-3), (interpolate_cubic, 1e-3), (interpolate_bspline, 0.01), (interpolate_lanczos, 2.0)],
)
@pytest.mark.parametrize("factor", [2, 3, 5])
def test_a_linear_ramp_is_reproduced_inside(method, within: float, factor: int) -> None:  # type: ignore[no-untyped-def]
    found = method(ramp(20), grid_by_factor(20, 1, factor))[0]
    wanted = np.linspace(-900, 1000, 19 * factor + 1)
    inside = slice(7 * factor, -7 * factor)
    np.testing.assert_allclose(found[inside], wanted[inside], atol=within)


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_misaligned_bicubic_lies_half_the_difference_of_the_spacings_off(factor: int) -> None:
    shifted = interpolate_bicubic_misaligned(ramp(20), grid_by_factor(20, 1, factor))[0]
    off = (shifted - np.linspace(-900, 1000, 19 * factor + 1))[7 * factor : 13 * factor]
    assert off.mean() == pytest.approx(-50 * (1 - 1 / factor), abs=1e-3)


@pytest.mark.parametrize("grid", GRIDS[:2] + GRIDS[3:], ids=str)
def test_bspline_is_that_of_scipy(grid: SliceGrid) -> None:
    slices, position = random_slices(), np.arange(grid.count) * grid.step
    lines = slices.reshape(-1, 6).astype(float)
    wanted = [ndimage.map_coordinates(line, position[None], order=3, mode="mirror") for line in lines]
    np.testing.assert_allclose(interpolate_bspline(slices, grid).reshape(-1, grid.count), wanted, atol=0.01)


@pytest.mark.parametrize("factor", [2, 3, 4, 7])
def test_misaligned_bicubic_is_that_of_torch_and_keeps_no_acquired_slice(factor: int) -> None:
    slices = random_slices()
    lines = torch.from_numpy(slices.astype(np.float32)).reshape(1, 1, 12, 6)
    resized = torch.nn.functional.interpolate(lines, size=(12, 6 * factor), mode="bicubic", align_corners=False)
    found = interpolate_bicubic_misaligned(slices, grid_by_factor(6, 2, factor))
    np.testing.assert_allclose(found, resized.reshape(4, 3, -1)[..., : found.shape[-1]], atol=0.01)
    assert (np.abs(found[..., ::factor] - slices).mean((0, 1)) > 10).all()


def test_two_slices_are_enough_for_every_method() -> None:
    slices = random_slices()[..., :2]
    for method in INTERPOLATORS.values():
        found = method(slices, grid_by_factor(2, 2, 4))
        assert np.isfinite(found).all()
        assert found.shape == (4, 3, 5)
