"""Patches of slabs, against loops over their dense slices."""

import numpy as np
import pytest
import torch

from saint_cli.geometry import ProfileShape, SlabProfile
from saint_cli.method import intensity
from saint_cli.training import slab_patches
from saint_cli.training.dataset import AmiBatch, AmiSampler
from saint_cli.training.dense_volume import DenseVolume
from saint_cli.training.patch_places import PatchPlaces, PatchShape, Variation
from saint_cli.training.slab_patches import MARGIN, average_slabs, draw_slab_profile, index_slices, weigh_slabs

SHAPE = PatchShape(7, 3)


def volume() -> DenseVolume:
    """Noise whose slices lie too far apart to be seen sideways."""
    voxels = np.random.default_rng(0).integers(-500, 900, (12, 11, 60)).astype(np.int16)
    return DenseVolume.from_array("made", voxels, (0.5, 0.8, 2.0), intensity.CT)


def sampler(seed: int = 1) -> AmiSampler:
    return AmiSampler([volume()], 3, SHAPE, (seed, 0), variation=Variation.NONE, slabs=True)


def test_slabs_are_means_of_the_dense_slices_around_them() -> None:
    drawn, dense = sampler(), intensity.CT.to_network(volume().voxels.numpy())
    for step in range(12):
        rng = np.random.default_rng((1, step, 0))
        places = PatchPlaces.draw(drawn.source, SHAPE, drawn.sizes, rng, Variation.NONE, slabs=True)
        batch = AmiBatch(*(part.numpy() for part in drawn.draw_batch(step)))
        for i, group in enumerate(places.groups):
            assert group.slab is not None
            weights = weigh_slabs(group.slab, SHAPE.acquired, group.factor)
            turned = dense.transpose(group.axes)
            across, along, first = (int(p) for p in group.place[:, 0])
            patch = turned[across - 1 : across + 2, along : along + SHAPE.height, first:]
            patch = patch[:, :, :: group.step][:, :, : weights.shape[1]]
            flips = places.flips[i]
            patch = patch[:: flips[0], :: flips[1], :: flips[2]]
            np.testing.assert_allclose(batch.slices[i], patch @ weights.T, atol=1e-5)
            for t, above in enumerate(places.steps[i]):
                at = above + group.factor * (MARGIN + np.arange(SHAPE.acquired - 1))
                np.testing.assert_allclose(batch.truth[i, t], patch[1][:, at], atol=1e-6)
            thickness = group.slab.thickness * 2.0 * group.step * group.factor
            assert batch.thickness_mm[i] == pytest.approx(thickness)


def test_acquired_places_are_among_the_offsets_and_the_next_ones_are_not() -> None:
    offsets = torch.cat([sampler(seed).draw_batch(0).offsets for seed in range(20)])
    assert float(offsets.min()) == 0
    assert float(offsets.max()) < 1


def test_patches_that_are_no_slabs_have_no_thickness() -> None:
    assert float(AmiSampler([volume()], 3, SHAPE, variation=Variation.NONE).draw_batch(0).thickness_mm.max()) == 0


def test_profiles_vary_within_the_margin() -> None:
    rng = np.random.default_rng(0)
    profiles = [draw_slab_profile(rng) for _ in range(400)]
    assert all(p.reach <= MARGIN for p in profiles)
    assert {p.shape for p in profiles} == set(ProfileShape)
    assert 0.4 < np.mean([p.thickness == 1 for p in profiles]) < 0.75
    assert min(p.thickness for p in profiles) < 0.6
    assert max(p.thickness for p in profiles) > 1.8


@pytest.mark.parametrize("factor", [2, 5])
def test_averaging_keeps_the_order_of_rows_and_leaves_the_truth(factor: int) -> None:
    steps = np.array([[0, 1, 1, 1]])
    slices = index_slices(3, factor, steps)
    values = torch.from_numpy(slices.astype(np.float32))[:, None]
    weights = weigh_slabs(SlabProfile(1.0), 3, factor)
    result = average_slabs(values, weights)[0, 0]
    middles = factor * (MARGIN + torch.arange(3.0))
    torch.testing.assert_close(result[: slab_patches.ROWS * 3], middles.repeat(slab_patches.ROWS))
    torch.testing.assert_close(result[slab_patches.ROWS * 3 :], values[0, 0, -8:])
