from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from saint_cli.errors import UsageError
from saint_cli.method import intensity
from saint_cli.training.augment import LARGEST_CONTRAST
from saint_cli.training.dataset import AmiBatch, AmiSampler
from saint_cli.training.dense_volume import DenseVolume
from saint_cli.training.patch_places import OFFSET_COUNT, PatchShape, Variation
from saint_cli.training.patch_source import FACTORS, PatchSource

PATCH = PatchShape(7, 3)
"""In-plane voxels and acquired slices: at factor 8 a patch needs 17 dense slices."""


def dense(voxels: np.ndarray, spacing: tuple[float, float, float] = (0.5, 0.8, 1.0)) -> DenseVolume:
    return DenseVolume.from_array("made", voxels, spacing, intensity.CT)


def noise(shape: tuple[int, int, int] = (12, 11, 20), seed: int = 0) -> DenseVolume:
    return dense(np.random.default_rng(seed).integers(-500, 900, shape).astype(np.int16))


def along(axis: int, function, shape: tuple[int, int, int] = (12, 11, 20)) -> DenseVolume:  # type: ignore[no-untyped-def]
    """A volume that varies along one axis only."""
    values = function(np.arange(shape[axis], dtype=np.float32))
    lengths = [1, 1, 1]
    lengths[axis] = shape[axis]
    return dense(np.ascontiguousarray(np.broadcast_to(values.reshape(lengths), shape)).astype(np.float32))


def sampler(volume: DenseVolume, batch: int = 3, seed: int = 1, *, augment: bool = False) -> AmiSampler:
    return AmiSampler([volume], batch, PATCH, (seed, 0), variation=Variation.CT if augment else Variation.NONE)


def batches(volume: DenseVolume, count: int = 24, *, augment: bool = False) -> list[AmiBatch]:
    """Batches of numpy arrays."""
    drawn = sampler(volume, augment=augment)
    return [as_arrays(drawn.draw_batch(step)) for step in range(count)]


def as_arrays(batch: AmiBatch) -> AmiBatch:
    return AmiBatch(*(part.numpy() for part in batch))


def equal(one: AmiBatch, other: AmiBatch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("augment", [False, True])
def test_a_batch_depends_on_seed_and_step_and_not_on_what_was_drawn_before(augment: bool) -> None:
    first, second = (sampler(noise(), augment=augment) for _ in range(2))
    forwards = [first.draw_batch(step) for step in range(6)]
    backwards = [second.draw_batch(step) for step in reversed(range(6))][::-1]
    assert all(map(equal, forwards, backwards))
    assert not equal(forwards[0], forwards[1])
    assert not equal(forwards[0], sampler(noise(), seed=2).draw_batch(0))


def factor_of(batch: AmiBatch, i: int, slice_mm: float = 2.0) -> int:
    """The factor of patch i of a volume whose slices lie ``slice_mm`` apart and that is not decimated further."""
    return round(float(batch.through_plane_mm[i]) / slice_mm)


def thick(seed: int = 0) -> DenseVolume:
    """Noise whose slices lie too far apart to be trained on sideways."""
    return replace(noise((12, 11, 40), seed), spacing_mm=(0.5, 0.8, 2.0))


def test_all_factors_occur_small_ones_more_often() -> None:
    drawn = batches(thick(), 120)
    seen = Counter(factor_of(batch, i) for batch in drawn for i in range(3))
    assert set(seen) == {f for f in FACTORS if f <= 16}
    assert seen[2] > seen[4] > seen[12]


def test_ranks_draw_different_patches_of_one_seed() -> None:
    first, second = (AmiSampler([noise()], 3, PATCH, (1, rank)) for rank in (0, 1))
    assert not equal(first.draw_batch(0), second.draw_batch(0))


def test_offsets_are_steps_of_each_patchs_factor_and_sorted() -> None:
    for batch in batches(thick()):
        assert batch.offsets.shape == (3, OFFSET_COUNT)
        for i, offsets in enumerate(batch.offsets):
            factor = factor_of(batch, i)
            steps = offsets * factor
            np.testing.assert_allclose(steps, np.round(steps), atol=1e-4)
            assert (np.diff(steps) >= 0).all()
            assert len(set(np.round(steps))) == OFFSET_COUNT or factor - 1 < OFFSET_COUNT
            assert 0 < offsets.min() <= offsets.max() < 1


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("spacing", [1.0, 3.0])
def test_shapes_and_types_fit_the_network(augment: bool, spacing: float) -> None:
    for batch in batches(replace(noise(), spacing_mm=(0.5, 0.8, spacing)), 60, augment=augment):
        assert batch.slices.shape == (3, 3, PATCH.height, PATCH.acquired)
        assert batch.linear.shape == batch.truth.shape == (3, OFFSET_COUNT, PATCH.height, PATCH.acquired - 1)
        assert batch.in_plane_mm.shape == batch.through_plane_mm.shape == batch.difficulty.shape == (3,)
        assert {part.dtype for part in batch} == {np.dtype(np.float32)}


def test_zoomed_patches_keep_their_slope_in_mm() -> None:
    ramp = along(1, lambda y: 40.0 * y - 900, (16, 40, 40))
    volume = replace(ramp, spacing_mm=(0.8, 0.8, 2.0))
    drawn = sampler(volume, augment=True)
    drawn.source = PatchSource([volume], PATCH.height, PATCH.acquired)
    zooms = set()
    for step in range(40):
        batch = as_arrays(drawn.draw_batch(step))
        for slices, in_plane in zip(batch.slices, batch.in_plane_mm, strict=True):
            inner = slices[:, 1:-1]  # the kernel repeats the outermost voxels
            slope = np.abs(np.diff(inner[1], axis=0)).mean() / in_plane
            across = np.abs(inner[2] - inner[0]).mean() / in_plane / 2
            steepest = max(slope, across)  # sagittal patches show the ramp, coronal ones cross it
            assert 0.05 / LARGEST_CONTRAST - 0.03 < steepest < 0.05 * LARGEST_CONTRAST + 0.03
            zooms.add(round(float(in_plane / 0.8), 2))
    assert min(zooms) < 0.9
    assert max(zooms) > 1.2


def test_thin_volumes_are_also_drawn_sideways_and_thick_ones_are_not() -> None:
    voxels = np.arange(24)[:, None, None] + 3 * np.arange(23)[None, :, None] + 50 * np.arange(40)
    slopes = {}
    for name, spacing in (("thin", 1.0), ("thick", 2.0)):
        volume = DenseVolume.from_array(name, voxels, (1.0, 1.0, spacing), intensity.CT)
        slopes[name] = {
            round(float(abs(b.slices[i, 1, 0, 1] - b.slices[i, 1, 0, 0]) / b.through_plane_mm[i] * 1000))
            for b in batches(volume, 30)
            for i in range(3)
        }
    assert slopes["thin"] == {1, 3, 50}  # HU a mm along x, y and z
    assert slopes["thick"] == {25}


def test_linear_is_the_lerp_of_the_middle_slice_and_the_truth_is_not() -> None:
    for batch in batches(noise()):
        t = batch.offsets[:, :, None, None]
        middle = batch.slices[:, None, 1]
        np.testing.assert_allclose(batch.linear, (1 - t) * middle[..., :-1] + t * middle[..., 1:], atol=1e-5)
        assert np.abs(batch.linear - batch.truth).max() > 0.1


def test_truth_equals_linear_where_the_volume_is_linear_in_z() -> None:
    for batch in batches(along(2, lambda z: 60 * z - 500)):
        np.testing.assert_allclose(batch.truth, batch.linear, atol=1e-5)
        assert float(np.ptp(batch.truth)) > 0.05


def test_truth_bends_away_from_linear_as_the_volume_does() -> None:
    bent = replace(along(2, lambda z: 2 * z**2, (12, 11, 40)), spacing_mm=(0.5, 0.8, 2.0))
    for batch in batches(bent):
        t = batch.offsets[:, :, None, None]
        factor = np.round(batch.through_plane_mm / 2)[:, None, None, None]
        bend = np.broadcast_to(-0.002 * factor**2 * t * (1 - t), batch.truth.shape)
        np.testing.assert_allclose(batch.truth - batch.linear, bend, atol=1e-5)


def test_the_in_plane_spacing_is_that_of_the_axis_which_the_patch_shows() -> None:
    seen = set()
    for batch in batches(along(0, lambda x: 100 * x)):  # varies along x only
        for slices, in_plane in zip(batch.slices, batch.in_plane_mm, strict=True):
            coronal = np.ptp(slices[1]) > 0.01
            neighbours = np.abs(slices[0] - slices[1]).max()
            assert in_plane == pytest.approx(0.5 if coronal else 0.8)
            assert neighbours == pytest.approx(0.0 if coronal else 0.1, abs=1e-6)
            seen.add(bool(coronal))
    assert seen == {True, False}


def test_a_further_decimation_is_counted_in_the_spacing() -> None:
    volume = replace(along(2, lambda z: 5.0 * z, (8, 9, 240)), spacing_mm=(0.5, 0.8, 2.0))
    for batch in batches(volume, 24):
        for slices, through in zip(batch.slices, batch.through_plane_mm, strict=True):
            step = np.abs(np.diff(slices[1], axis=1))
            np.testing.assert_allclose(step, 0.0025 * through, atol=1e-4)  # 2 mm a slice
    random, source = np.random.default_rng(0), PatchSource([volume], PATCH.height, PATCH.acquired)
    assert {source.draw(random, 2)[1] for _ in range(40)} == {1, 2}


def test_patches_of_air_are_avoided() -> None:
    voxels = np.full((40, 40, 20), -1020, np.int16)
    voxels[:20] = 40
    means = [slices[1].mean() for batch in batches(dense(voxels)) for slices in batch.slices]
    assert np.mean([mean < 0.15 for mean in means]) < 0.05


def test_volumes_smaller_than_the_patch_are_not_drawn_from_and_refused_alone() -> None:
    small, large = noise((6, 5, 20)), noise((12, 11, 20), 1)
    source, random = AmiSampler([small, large], 4, PATCH).source, np.random.default_rng(0)
    assert {source.draw(random, 2)[0].voxels.data_ptr() for _ in range(40)} == {large.voxels.data_ptr()}
    with pytest.raises(UsageError, match="no volume is large enough"):
        AmiSampler([small], 4, PATCH)


def test_a_thick_volume_sideways_shows_its_own_slices_and_neighbours_one_pixel_away() -> None:
    steep = np.broadcast_to(40.0 * np.arange(30)[:, None, None] + 100.0 * np.arange(9), (30, 24, 9)).astype(np.float32)
    along_x, along_y = replace(dense(steep), spacing_mm=(0.5, 0.5, 2.0)).view_sideways(thick=True)
    assert along_x.voxels.shape == (9, 24, 30)
    assert along_y.voxels.shape == (9, 30, 24)
    assert along_x.spacing_mm == (0.5, 0.5, 0.5)
    assert along_x.neighbour_step == 0.25
    drawn = sampler(along_x)
    drawn.source = PatchSource([along_x], PATCH.height, PATCH.acquired)
    for slices in np.concatenate([drawn.draw_batch(step).slices for step in range(12)]):
        np.testing.assert_allclose(np.abs(slices[2] - slices[0]), 0.05, atol=1e-5)  # 2 quarters of 100 HU
        assert float(np.ptp(slices[1], axis=0).max()) < 1e-6  # nothing changes along y
        assert np.abs(np.diff(slices[1], axis=1)).min() > 0.07  # at least two steps of 40 HU along x
