from pathlib import Path

import nibabel
import numpy as np
import pytest

from saint_cli import intensity
from saint_cli.errors import UsageError
from saint_cli.training.dataset import FACTORS, AmiBatch, AmiSampler, DenseVolume, load_dense

PATCH = (7, 3)
"""In-plane voxels and acquired slices: at factor 8 a patch needs 17 dense slices."""


def dense(voxels: np.ndarray, spacing: tuple[float, float, float] = (0.5, 0.8, 1.0)) -> DenseVolume:
    return DenseVolume("made", voxels, spacing, intensity.CT)


def noise(shape: tuple[int, int, int] = (12, 11, 20), seed: int = 0) -> DenseVolume:
    return dense(np.random.default_rng(seed).integers(-500, 900, shape).astype(np.int16))


def along(axis: int, function, shape: tuple[int, int, int] = (12, 11, 20)) -> DenseVolume:  # type: ignore[no-untyped-def]
    """A volume that varies along one axis only."""
    values = function(np.arange(shape[axis], dtype=np.float32))
    lengths = [1, 1, 1]
    lengths[axis] = shape[axis]
    return dense(np.ascontiguousarray(np.broadcast_to(values.reshape(lengths), shape)).astype(np.float32))


def sampler(volume: DenseVolume, batch: int = 3, seed: int = 1) -> AmiSampler:
    return AmiSampler([volume], batch, PATCH, seed)


def batches(volume: DenseVolume, count: int = 24) -> list[AmiBatch]:
    drawn = sampler(volume)
    return [drawn.at(step) for step in range(count)]


def equal(one: AmiBatch, other: AmiBatch) -> bool:
    return all(a.shape == b.shape and (a == b).all() for a, b in zip(one, other, strict=True))


def test_a_batch_depends_on_seed_and_step_and_not_on_what_was_drawn_before() -> None:
    first, second = sampler(noise()), sampler(noise())
    forwards = [first.at(step) for step in range(6)]
    backwards = [second.at(step) for step in reversed(range(6))][::-1]
    assert all(map(equal, forwards, backwards))
    assert not equal(forwards[0], forwards[1])
    assert not equal(forwards[0], sampler(noise(), seed=2).at(0))


def test_all_factors_occur_and_no_others() -> None:
    seen = {batch.offsets.shape[1] + 1 for batch in batches(noise(), 80)}
    assert seen == set(FACTORS)


def test_shapes_and_types_fit_the_network() -> None:
    for batch in batches(noise()):
        t = batch.offsets.shape[1]
        np.testing.assert_allclose(batch.offsets, np.broadcast_to(np.arange(1, t + 1) / (t + 1), (3, t)), rtol=1e-6)
        assert batch.slices.shape == (3, 3, *PATCH)
        assert batch.linear.shape == batch.truth.shape == (3, t, PATCH[0], PATCH[1] - 1)
        assert batch.in_plane_mm.shape == batch.through_plane_mm.shape == (3,)
        assert {part.dtype for part in batch} == {np.dtype(np.float32)}


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
    for batch in batches(along(2, lambda z: 5 * z**2)):
        t, factor = batch.offsets[:, :, None, None], batch.offsets.shape[1] + 1
        bend = np.broadcast_to(-0.005 * factor**2 * t * (1 - t), batch.truth.shape)
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


def test_the_through_plane_spacing_is_that_between_acquired_slices() -> None:
    for batch in batches(noise()):
        np.testing.assert_allclose(batch.through_plane_mm, batch.offsets.shape[1] + 1)


@pytest.mark.parametrize(
    ("slices", "spacing", "steps"),
    [
        (20, 1.0, [1]),
        (119, 1.0, [1]),
        (120, 1.0, [1, 2]),
        (300, 1.0, [1, 2, 3, 4, 5]),
        (300, 2.0, [1, 2]),
        (60, 9.0, [1]),
    ],
)
def test_volumes_are_decimated_further_within_the_papers_limits(slices: int, spacing: float, steps: list[int]) -> None:
    volume = dense(np.zeros((4, 4, slices), np.int16), (1.0, 1.0, spacing))
    assert volume.decimations == steps


def test_a_further_decimation_is_counted_in_the_spacing() -> None:
    volume = along(2, lambda z: 5.0 * z, (8, 9, 240))
    seen = set()
    for batch in batches(volume, 12):
        factor = batch.offsets.shape[1] + 1
        for slices, through in zip(batch.slices, batch.through_plane_mm, strict=True):
            step = np.abs(np.diff(slices[1], axis=1))
            np.testing.assert_allclose(step, 0.005 * through, atol=1e-4)  # 1 mm a slice
            seen.add(round(float(through)) // factor)
    assert seen == {1, 2, 3, 4}


def test_patches_of_air_are_avoided() -> None:
    voxels = np.full((40, 40, 20), -1020, np.int16)
    voxels[:20] = 40
    means = [slices[1].mean() for batch in batches(dense(voxels)) for slices in batch.slices]
    assert np.mean([mean < 0.15 for mean in means]) < 0.05


def test_volumes_smaller_than_the_patch_are_refused_or_share_a_batch_with_others() -> None:
    volumes = [noise((6, 5, 20)), noise((12, 11, 20), 1)]
    try:
        drawn = AmiSampler(volumes, 4, PATCH, 0)
    except UsageError:
        return
    for step in range(8):
        assert drawn.at(step).slices.shape[2] <= PATCH[0]


def save(folder: Path, name: str, voxels: np.ndarray, spacing: tuple[float, float, float]) -> None:
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([*spacing, 1.0])), folder / name)


def test_load_dense_puts_the_through_plane_axis_last(tmp_path: Path) -> None:
    voxels = np.random.default_rng(1).integers(-1000, 900, (9, 8, 7)).astype(np.int16)
    save(tmp_path, "b.nii", voxels, (3.0, 0.5, 0.75))
    save(tmp_path, "a.nii.gz", voxels, (0.5, 0.75, 3.0))
    (tmp_path / ".hidden").write_text("not a volume")
    a, b = load_dense(tmp_path)
    assert (a.name, b.name) == ("a.nii.gz", "b.nii")
    np.testing.assert_array_equal(a.voxels, voxels)
    np.testing.assert_array_equal(b.voxels, voxels.transpose(1, 2, 0))
    assert a.spacing_mm == pytest.approx((0.5, 0.75, 3.0))
    assert b.spacing_mm == pytest.approx((0.5, 0.75, 3.0))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no volume"):
        load_dense(tmp_path)
