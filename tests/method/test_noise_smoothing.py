import numpy as np
import pytest
from nets import tiny
from noisy_scans import ACQUIRED, DISC, PLAN, SIZE, acquired_slices, deviations, interpolated_slices

from saint_cli.geometry import grid_by_factor
from saint_cli.method.noise_smoothing import smooth_noise
from saint_cli.method.padding import restore_padding
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.options.method import MethodOptions, NoiseHandling
from saint_cli.volume import Header, Volume
from saint_cli.volume.stored_values import Coding

INNER = (DISC < 44) & (DISC > 10)


def smoothed(sparse: np.ndarray, dense: np.ndarray | None = None) -> np.ndarray:
    dense = interpolated_slices(sparse) if dense is None else dense.copy()
    smooth_noise(dense, sparse, PLAN)
    return dense


def test_all_phases_become_as_quiet_as_the_quietest() -> None:
    sparse = acquired_slices()
    before, after = deviations(interpolated_slices(sparse), INNER), deviations(smoothed(sparse), INNER)
    inside = np.arange(1, PLAN.count - 1)  # the end slices have one neighbour
    phases = [np.sqrt(np.mean(after[inside[inside % 4 == phase]] ** 2)) for phase in range(4)]
    assert max(phases) / min(phases) < 1.08
    assert max(phases) < 1.1 * before[PLAN.synthesised].min()


def test_edges_stay_as_sharp_as_they_are() -> None:
    sparse = acquired_slices()
    before, after = interpolated_slices(sparse), smoothed(sparse)
    for edge in (np.s_[SIZE // 2 + 46 : SIZE // 2 + 62, SIZE // 2], np.s_[SIZE // 2 : SIZE // 2 + 10, SIZE // 2]):
        rise = np.abs(np.diff(np.stack([v[edge].mean(1) for v in (before, after)]), axis=1)).max(1)
        assert rise[1] > 0.97 * rise[0]


def test_a_structure_that_only_an_acquired_slice_shows_stays() -> None:
    sparse = acquired_slices(10.0)
    sparse[80:84, 60:64, 2] += 200
    after = smoothed(sparse)
    assert after[80:84, 60:64, 8].mean() > 0.95 * sparse[80:84, 60:64, 2].mean()


def test_the_mean_does_not_move() -> None:
    sparse = acquired_slices()
    change = smoothed(sparse) - interpolated_slices(sparse)
    assert np.abs(change[INNER].mean(0)).max() < 1.0


@pytest.mark.parametrize("value", [-1000.0, np.nan])
def test_volumes_without_noise_are_left_as_they_are(value: float) -> None:
    sparse = np.full((SIZE, SIZE, ACQUIRED), value, np.float32)
    dense = np.repeat(sparse[..., :1], PLAN.count, axis=2)
    np.testing.assert_array_equal(smoothed(sparse, dense), dense)


def test_whole_numbers_stay_whole_and_what_is_no_hu_stays() -> None:
    sparse = np.rint(acquired_slices()).astype(np.int16)
    dense = np.rint(interpolated_slices(sparse.astype(np.float32))).astype(np.int16)
    for slices in (sparse, dense):
        slices[44:52, 60:68] = 32760
    after = smoothed(sparse, dense)
    assert after.dtype == np.int16
    assert (after[44:52, 60:68] == 32760).all()


@pytest.mark.parametrize("regenerate", [False, True])
def test_slices_beyond_the_last_acquired_one_repeat_it_and_change_no_other(regenerate: bool) -> None:
    sparse = acquired_slices()
    plan = SlicePlan.from_grid(grid_by_factor(ACQUIRED, 2, 4, extrapolate=True), regenerate=regenerate)
    dense = np.concatenate([interpolated_slices(sparse), np.repeat(sparse[..., -1:], 3, axis=2)], axis=2)
    smooth_noise(dense, sparse, plan)
    np.testing.assert_array_equal(dense[..., : PLAN.count], smoothed(sparse))
    assert (dense[..., -4:] == dense[..., -1:]).all()


@pytest.mark.parametrize("slopes", [(1.0,), (1.0, 0.5, 0.25, 0.5, 1.0)], ids=["one coding", "one for each slice"])
def test_smoothed_acquired_slices_too_have_values_that_their_source_can_store(slopes: tuple[float, ...]) -> None:
    codings = tuple(Coding.of_dtype(np.dtype("uint16"), slope, -1024.0) for slope in slopes)
    sparse = np.maximum(np.rint(acquired_slices(20.0, 12.0)), -1024)
    scan = Volume(sparse, np.diag([0.7, 0.7, 5.0, 1.0]), Header("CT", codings=codings))
    options = MethodOptions(noise=NoiseHandling.SMOOTH)
    dense = tiny.upsample(scan, tiny.linear_model(), grid_by_factor(ACQUIRED, 2, 4), tiny.CPU, options).voxels
    for j, k in zip(PLAN.copied, PLAN.source, strict=True):
        stored = dense[..., j] / slopes[0 if len(slopes) == 1 else k]
        np.testing.assert_array_equal(stored, np.rint(stored))
        assert (dense[..., j] != sparse[..., k]).any()
    assert dense.min() >= -1024


def test_padding_comes_back_and_the_rest_stays_smooth() -> None:
    sparse, header = acquired_slices(), Header("CT", padding=((-3024.0, -3024.0),))
    dense, sparse[:6] = smoothed(sparse), -3024.0
    smooth = dense.copy()
    restore_padding(dense, sparse, PLAN, header)
    assert (dense[:6, :, PLAN.copied] == -3024).all()
    np.testing.assert_array_equal(dense[6:], smooth[6:])
    assert (dense[6:, :, PLAN.copied] != sparse[6:, :, PLAN.source]).any()


def test_it_says_whether_an_acquired_slice_changed() -> None:
    flat, noisy = np.zeros((24, 20, ACQUIRED), np.float32), acquired_slices()
    assert smooth_noise(interpolated_slices(noisy), noisy, PLAN)
    assert not smooth_noise(np.zeros((24, 20, PLAN.count), np.float32), flat, PLAN)


def test_tiny_planes_pass() -> None:
    sparse = np.random.default_rng(0).normal(40, 20, (5, 3, ACQUIRED)).astype(np.float32)
    assert np.isfinite(smoothed(sparse, np.repeat(sparse[..., :1], PLAN.count, axis=2))).all()
