from collections.abc import Callable

import numpy as np
import pytest
from nets import tiny
from noisy_scans import (
    ACQUIRED,
    DISC,
    FACTOR,
    PLAN,
    SIZE,
    TISSUE,
    acquired_slices,
    body,
    coloured_noise,
    deviations,
    interpolated_slices,
)

from saint_cli.errors import UsageError
from saint_cli.geometry import grid_by_factor
from saint_cli.method import noise_fields, noise_maps, noise_matching, noise_spectra
from saint_cli.method.noise_matching import match_noise
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.options.method import MethodOptions

CENTRE = tuple(n // 2 for n in (SIZE, SIZE))


def matched(sparse: np.ndarray, dense: np.ndarray | None = None) -> np.ndarray:
    dense = interpolated_slices(sparse) if dense is None else dense.copy()
    match_noise(dense, sparse, PLAN)
    return dense


def test_synthesised_slices_become_as_noisy_as_acquired_ones_which_stay_bit_exact() -> None:
    sparse = acquired_slices()
    before, after = interpolated_slices(sparse), matched(sparse)
    wanted = deviations(sparse).mean()
    assert deviations(before)[PLAN.synthesised].max() < 0.7 * wanted
    for offset in np.unique(PLAN.offset):
        of_phase = PLAN.synthesised[PLAN.offset == offset]
        assert np.sqrt(np.mean(deviations(after)[of_phase] ** 2)) == pytest.approx(wanted, rel=0.07)
    np.testing.assert_array_equal(after[..., PLAN.copied], sparse[..., PLAN.source])


def test_what_is_added_is_normal_has_no_mean_and_is_not_what_the_neighbours_hold() -> None:
    sparse = acquired_slices()
    added = (matched(sparse) - interpolated_slices(sparse))[TISSUE][:, PLAN.synthesised].astype(float)
    assert abs(added.mean()) < 0.5
    assert abs(np.mean(added**4) / np.mean(added**2) ** 2 - 3) < 0.3
    noise = (sparse - body()[..., None])[TISSUE]
    for s, column in enumerate(added.T):
        assert abs(np.corrcoef(column, noise[:, PLAN.window[s]])[0, 1]) < 0.1
    for s in range(len(added.T) - FACTOR + 1):
        assert abs(np.corrcoef(added[:, s], added[:, s + FACTOR - 1])[0, 1]) < 0.1  # of the next window


def test_noise_is_as_strong_as_that_of_the_nearer_acquired_slice() -> None:
    strength = np.where(DISC[..., None] < 54, np.array([8, 8, 8, 40, 40], np.float32), 0)
    sparse = body()[..., None] + strength * coloured_noise(1.0, ACQUIRED)
    added = deviations(matched(sparse) - interpolated_slices(sparse))[PLAN.synthesised[PLAN.window == 2]]
    assert added[-1] > 1.1 * added[0]


def test_noise_has_the_spectrum_of_acquired_slices() -> None:
    sparse = acquired_slices()
    inside = np.s_[CENTRE[0] + 6 : CENTRE[0] + 30, CENTRE[1] - 12 : CENTRE[1] + 12]

    def neighbour_correlation(slices: np.ndarray, lag: int) -> float:
        part = slices[inside] - slices[inside].mean((0, 1))
        return float(np.sum(part[lag:] * part[:-lag]) / np.sum(part[lag:] ** 2))

    after = matched(sparse)[..., PLAN.synthesised]
    for lag in (1, 2, 3):
        assert neighbour_correlation(after, lag) == pytest.approx(neighbour_correlation(sparse, lag), abs=0.12)


def test_noise_does_not_fade_at_edges_nor_leak_into_quiet_air() -> None:
    sparse = acquired_slices()
    after = matched(sparse)
    rim = (DISC > 48) & (DISC < 51)
    assert deviations(after, rim)[PLAN.synthesised].mean() == pytest.approx(deviations(sparse, rim).mean(), rel=0.2)
    far = DISC > 62
    assert deviations(after, far)[PLAN.synthesised].max() < 1.0


def test_air_has_its_own_noise() -> None:
    sparse = acquired_slices(air_sigma=6.0)
    far = DISC > 62
    after = deviations(matched(sparse), far)[PLAN.synthesised]
    assert after.mean() == pytest.approx(deviations(sparse, far).mean(), rel=0.15)


def test_lung_is_as_noisy_as_its_calmest_parts_and_vessels_are_no_noise() -> None:
    lung = DISC < 30
    strength = np.where(lung, 5, np.where(DISC < 54, 20, 0))[..., None]
    vessels = lung & (np.random.default_rng(4).random(lung.shape) < 0.02)
    slices = (np.where(lung, -800, body()) + 300 * vessels)[..., None] + strength * coloured_noise(1.0, ACQUIRED)
    deviation = noise_maps.measure_maps(slices)[2].deviation
    middle, tissue = SIZE // 2 // noise_maps.BLOCK, (SIZE // 2 + 42) // noise_maps.BLOCK
    assert deviation[middle, middle] < 0.6 * deviation[tissue, middle]


def test_slices_as_far_from_their_nearer_acquired_one_are_of_one_phase() -> None:
    first, second = noise_spectra.find_phases(np.array([0.25, 0.75]))
    assert first == second != noise_spectra.find_phases(np.array([0.5]))[0]


def test_thin_slices_with_gaps_get_the_noise_of_a_dense_scan_of_such_slices() -> None:
    wanted = {
        None: 1.0,
        1.5: 1.5,
        0.5: 2.0,
        0.3: 0.3 * FACTOR,
    }  # thickness in slice spacings, and in those of the result
    for thickness, in_result in wanted.items():
        found = noise_matching._choose_correlation(thickness, PLAN)
        assert found == pytest.approx(float(noise_fields.profile_correlation(np.array(1 / in_result))))


def test_noise_goes_beyond_no_value_of_the_scan() -> None:
    sparse = np.maximum(acquired_slices(air_sigma=20), -1000)
    assert matched(sparse, np.maximum(interpolated_slices(sparse), -1000)).min() == -1000


def test_the_same_scan_gets_the_same_noise_in_any_memory_order_and_another_scan_another() -> None:
    sparse = acquired_slices()
    first = matched(sparse)
    np.testing.assert_array_equal(first, matched(np.asfortranarray(sparse)))
    sparse[0, 0, 0] += 1
    assert (matched(sparse)[TISSUE][:, PLAN.synthesised] != first[TISSUE][:, PLAN.synthesised]).mean() > 0.9


def test_slices_that_are_noisy_enough_hardly_change() -> None:
    sparse = acquired_slices(5.0)
    dense = interpolated_slices(acquired_slices(30.0), share=1.0)
    dense[..., PLAN.copied] = sparse[..., PLAN.source]
    assert np.abs(matched(sparse, dense) - dense).max() < 5


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.full((SIZE, SIZE, ACQUIRED), -1000.0, np.float32),
        lambda: np.repeat(body()[..., None], ACQUIRED, axis=2),
        lambda: np.full((SIZE, SIZE, ACQUIRED), np.nan, np.float32),
    ],
    ids=["air", "no noise", "no value"],
)
def test_slices_without_noise_are_left_as_they_are(make: Callable[[], np.ndarray]) -> None:
    sparse = make()
    dense = np.repeat(sparse[..., :1], PLAN.count, axis=2)
    np.testing.assert_array_equal(matched(sparse, dense), dense)


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (16, 16), (40, 17)])
def test_tiny_planes_pass(shape: tuple[int, int]) -> None:
    sparse = np.random.default_rng(0).normal(40, 20, (*shape, ACQUIRED)).astype(np.float32)
    dense = np.repeat(sparse[..., :1], PLAN.count, axis=2)
    dense[..., PLAN.copied] = sparse[..., PLAN.source]
    after = matched(sparse, dense)
    assert np.isfinite(after).all()
    np.testing.assert_array_equal(after[..., PLAN.copied], sparse[..., PLAN.source])


def test_one_synthesised_slice_in_each_gap_and_two_acquired_slices_suffice() -> None:
    plan, sparse = SlicePlan.from_grid(grid_by_factor(2, 2, 2)), acquired_slices()[..., :2]
    dense = np.stack([sparse[..., 0], sparse.mean(2), sparse[..., 1]], axis=2)
    match_noise(dense, sparse, plan)
    assert deviations(dense)[1] == pytest.approx(deviations(sparse).mean(), rel=0.1)


@pytest.mark.parametrize("dtype", ["int16", "int32"])
def test_whole_numbers_stay_whole(dtype: str) -> None:
    sparse = np.rint(acquired_slices()).astype(dtype)
    after = matched(sparse, np.rint(interpolated_slices(sparse.astype(np.float32))).astype(dtype))
    assert after.dtype == dtype
    assert deviations(after)[PLAN.synthesised].mean() == pytest.approx(deviations(sparse).mean(), rel=0.07)


def test_noise_is_handled_in_hu_only() -> None:
    for handling in ("match", "smooth"):
        with pytest.raises(UsageError, match=f"`noise={handling}`"):
            tiny.upsample(
                tiny.volume(modality="MR"),
                tiny.model(),
                grid_by_factor(5, 2, 2),
                tiny.CPU,
                MethodOptions(noise=handling),
            )


def test_voxels_that_are_not_finite_stay_so_and_spread_nowhere() -> None:
    sparse = acquired_slices()
    dense = interpolated_slices(sparse)
    for slices in (sparse, dense):
        slices[60:66] = np.nan
    after = matched(sparse, dense)
    np.testing.assert_array_equal(np.isnan(after), np.isnan(dense))
    known = TISSUE & ~np.isnan(dense[..., 0])
    assert deviations(after, known)[PLAN.synthesised].mean() == pytest.approx(deviations(sparse, known).mean(), rel=0.1)


def test_what_is_no_hu_stays_and_does_not_wrap() -> None:
    sparse = np.rint(acquired_slices()).astype(np.int16)
    dense = np.rint(interpolated_slices(sparse.astype(np.float32))).astype(np.int16)
    for slices in (sparse, dense):
        slices[44:52, 60:68] = 32760
    assert (matched(sparse, dense)[44:52, 60:68] == 32760).all()
