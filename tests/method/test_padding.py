"""Padding is hidden from the networks and comes back only where no slice measured anything."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fabricate import volume
from nets import tiny

from saint_cli.geometry import grid_by_factor
from saint_cli.method import padding
from saint_cli.runtime.device_selection import Compute
from saint_cli.volume import Volume

CPU = Compute(torch.device("cpu"), torch.float32)

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
