"""What was asked of the slices becomes a grid, or is refused."""

from dataclasses import replace

import numpy as np
import pytest
from nets import tiny

from saint_cli.errors import GeometryError, UsageError
from saint_cli.jobs import GridRequest
from saint_cli.volume import Header, Volume


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_by_default_voxels_become_isotropic_along_the_coarsest_axis(axis: int) -> None:
    grid = GridRequest().make_grid(tiny.volume(tuple(np.insert([7, 6], axis, 4)), axis))
    assert grid.axis == axis
    assert grid.step * 5.0 == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("grid_request", "axis", "step", "count"),
    [
        (GridRequest(factor=3), 2, 1 / 3, 13),
        (GridRequest(factor=3, extrapolate=True), 2, 1 / 3, 15),
        (GridRequest(spacing_mm=2.0), 2, 0.4, 11),
        (GridRequest(spacing_mm=2.0, extrapolate=True), 2, 0.4, 13),
        (GridRequest(factor=2, axis=0), 0, 0.5, 39),
        (GridRequest(spacing_mm=0.45, axis=1), 1, 0.5, 35),
        (GridRequest(axis=1), 1, 0.7 / 0.9, 22),
    ],
)
def test_a_request_becomes_a_grid(grid_request: GridRequest, axis: int, step: float, count: int) -> None:
    grid = grid_request.make_grid(tiny.volume())
    assert (grid.axis, grid.count) == (axis, count)
    assert grid.step == pytest.approx(step)


def test_factor_and_spacing_together_are_refused() -> None:
    with pytest.raises(UsageError, match="`factor` and `spacing_mm`"):
        GridRequest(factor=2, spacing_mm=1.0)


def nearly_isotropic() -> Volume:
    return replace(tiny.volume(), affine_lps=np.diag([0.9, 0.95, 1.0, 1.0]))


def test_a_nearly_isotropic_volume_needs_a_factor_or_spacing() -> None:
    with pytest.raises(GeometryError, match="nearly isotropic"):
        GridRequest().make_grid(nearly_isotropic())
    assert GridRequest(factor=2).make_grid(nearly_isotropic()).axis == 2
    assert GridRequest(spacing_mm=0.5).make_grid(nearly_isotropic()).axis == 2
    with pytest.raises(UsageError, match="no more than there are"):
        GridRequest(axis=2).make_grid(nearly_isotropic())  # 5 slices 1 mm apart would become 5 at 0.9 mm


@pytest.mark.parametrize("spacing", [0.0, -1.0, 5.0, 13.0, 0.1, float("nan"), float("inf")])
def test_a_spacing_that_cannot_be_is_refused(spacing: float) -> None:
    with pytest.raises(UsageError):
        GridRequest(spacing_mm=spacing).make_grid(tiny.volume())


def test_the_finest_axis_cannot_become_isotropic() -> None:
    with pytest.raises(UsageError, match=r"target spacing 0\.9 mm is not below the input's 0\.7 mm"):
        GridRequest(axis=0).make_grid(tiny.volume())


@pytest.mark.parametrize("factor", [-4, 0, 1, 17])
def test_a_factor_out_of_range_is_refused(factor: int) -> None:
    with pytest.raises(UsageError, match=r"outside 2\.\.\.16"):
        GridRequest(factor=factor).make_grid(tiny.volume())


def test_one_slice_is_refused() -> None:
    with pytest.raises(GeometryError, match="1 slice"):
        GridRequest(factor=2).make_grid(tiny.volume((6, 5, 1)))


def test_a_grid_with_a_factor_that_none_can_have_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match=r"`factor=99` is outside 2\.\.\.16"):
        GridRequest(factor=99)


def test_a_dicom_stack_is_interpolated_along_its_slices_whatever_their_spacing() -> None:
    volume = Volume(np.zeros((6, 5, 4), np.int16), np.diag([1.0, 1.0, 1.0, 1.0]), Header("MR", "DICOM"))
    assert GridRequest(factor=2).make_grid(volume).axis == 2
    with pytest.raises(UsageError, match="not below"):
        GridRequest().make_grid(volume)


def test_of_equal_spacings_the_last_axis_is_taken() -> None:
    volume = Volume(np.zeros((6, 5, 4), np.int16), np.diag([1.0, 1.0, 1.0, 1.0]))
    assert GridRequest(factor=2).make_grid(volume).axis == 2
