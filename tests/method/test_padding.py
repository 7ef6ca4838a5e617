"""Padding is hidden from the networks and comes back only where no slice measured anything."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from fabricate import volume
from nets import tiny
from nets.tiny import CPU

from saint_cli.geometry import grid_by_factor
from saint_cli.method import padding
from saint_cli.options.method import MethodOptions
from saint_cli.volume import Volume

PAD = -3024


def padded(axis: int) -> Volume:
    """A volume whose corner is padding in every slice along ``axis``, and one voxel in the middle slice only."""
    base = volume((12, 11, 10))
    voxels = np.moveaxis(base.voxels.copy(), axis, 2)
    voxels[:3, :3] = PAD
    voxels[6, 6, 2] = PAD
    return replace(
        base, voxels=np.moveaxis(voxels, 2, axis), header=replace(base.header, padding=((float(PAD), float(PAD)),))
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_hidden_padding_takes_the_nearest_slice_and_elsewhere_the_least_values(axis: int) -> None:
    scan = padded(axis)
    before = scan.voxels.copy()
    hidden = np.moveaxis(padding.hide_padding(scan, axis).voxels, axis, 2)
    plain = np.moveaxis(scan.voxels, axis, 2)
    measured = plain[plain != PAD]
    assert (hidden[:3, :3] == np.percentile(measured, 0.5, method="lower")).all()
    assert hidden[6, 6, 2] in (plain[6, 6, 1], plain[6, 6, 3])
    np.testing.assert_array_equal(hidden[plain != PAD], plain[plain != PAD])
    np.testing.assert_array_equal(scan.voxels, before)


@pytest.mark.parametrize("axis", [0, 2])
def test_padding_comes_back_where_both_neighbours_have_it_and_nothing_near_it_is_made_up(axis: int) -> None:
    scan = padded(axis)
    grid = grid_by_factor(scan.shape[axis], axis, 4)
    dense = np.moveaxis(tiny.upsample(scan, tiny.model(), grid, CPU).voxels, axis, 2)
    plain = np.moveaxis(scan.voxels, axis, 2)
    np.testing.assert_array_equal(dense[..., ::4], plain)
    assert (dense[:3, :3] == PAD).all()
    beside = np.delete(dense[6, 6], 8)
    assert beside.min() >= -1500


def test_a_volume_without_padding_is_passed_through_itself() -> None:
    scan = volume()
    assert padding.hide_padding(scan, 2) is scan
    none = replace(scan, header=replace(scan.header, padding=((9000.0, 9000.0),)))
    assert padding.hide_padding(none, 2) is none


@pytest.mark.parametrize("axis", [0, 2])
def test_what_is_not_finite_is_filled_from_the_nearest_slice_in_little_more_memory_than_a_copy(axis: int) -> None:
    slices = np.moveaxis(np.random.default_rng(0).normal(40, 9, (60, 60, 60)).astype(np.float32), 2, axis)
    slices[:40, :, :] = np.nan  # as around the field of view
    slices[50, 50, 20:23] = np.nan, np.inf, -np.inf
    before = slices.copy()
    tracemalloc.start()
    filled = padding.fill_nonfinite(slices)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * slices.nbytes
    np.testing.assert_array_equal(slices, before)
    known = np.isfinite(slices)
    np.testing.assert_array_equal(filled[known], slices[known])
    assert (filled[:40] == slices[known].min()).all()
    assert filled[50, 50, 20:23].tolist() == [slices[50, 50, k] for k in (19, 19, 23)]


def test_slices_without_a_finite_value_are_filled_with_zeros() -> None:
    assert (padding.fill_nonfinite(np.full((3, 4, 2), -np.inf, np.float32)) == 0).all()


def restored_column(column: list[float], options: MethodOptions, dtype: str = "int16") -> np.ndarray:
    """The voxel (6, 6) of three slices of tissue, upsampled 4 times, where the acquired ones are ``column``."""
    base = volume((12, 11, 3), dtype=dtype)
    base.voxels[6, 6] = column
    scan = replace(base, header=replace(base.header, padding=((float(PAD), float(PAD)),)))
    dense: np.ndarray = tiny.upsample(scan, tiny.model(), grid_by_factor(3, 2, 4), CPU, options).voxels[6, 6]
    return dense


@pytest.mark.parametrize("options", [MethodOptions(), MethodOptions(regenerate=True)], ids=["plain", "regenerate"])
def test_between_padding_and_a_value_that_value_alone_counts_and_no_slice_further_away(options: MethodOptions) -> None:
    found = restored_column([-800, PAD, 40], options)
    assert found.tolist() == [-800] * 4 + [PAD] + [40] * 4


@pytest.mark.parametrize("options", [MethodOptions(), MethodOptions(regenerate=True)], ids=["plain", "regenerate"])
def test_between_a_voxel_that_is_not_finite_and_a_value_no_slice_further_away_counts(options: MethodOptions) -> None:
    found = restored_column([-800, np.nan, 40], options, "float32")
    np.testing.assert_array_equal(found, [-800] * 2 + [np.nan] * 4 + [40] * 3)


def test_padding_beside_what_is_not_finite_leaves_no_value_between_them() -> None:
    found = restored_column([PAD, np.nan, 40], MethodOptions(), "float32")
    np.testing.assert_array_equal(found, [PAD] + [np.nan] * 5 + [40] * 3)
