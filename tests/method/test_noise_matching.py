import numpy as np
import pytest
import torch
from nets import tiny

from saint_cli.errors import UsageError
from saint_cli.geometry import grid_by_factor
from saint_cli.method import noise, noise_matching
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.options.method import MethodOptions
from saint_cli.runtime.device_selection import Compute

GRID = grid_by_factor(4, 2, 3)
PLAN = SlicePlan.from_grid(GRID)
SIZE = 96


def body() -> np.ndarray:
    """A disc of soft tissue with a denser block in it, HU."""
    x, y = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    plane = np.where(np.hypot(x, y) < 40, 40.0, -1000.0).astype(np.float32)
    plane[40:52, 44:56] = 700.0
    return plane


def noisy(sigma: float = 20.0) -> np.ndarray:
    """[X, Y, 4] acquired slices of that body, each with its own noise."""
    random = np.random.default_rng(0)
    return body()[..., None] + random.normal(0, sigma, (SIZE, SIZE, 4)).astype(np.float32)


def upsampled(sparse: np.ndarray, own_sigma: float = 0.0) -> np.ndarray:
    """[X, Y, 10] acquired slices as they are, synthesised ones with little noise or none."""
    random = np.random.default_rng(1)
    dense = np.repeat(body()[..., None], PLAN.count, axis=2)
    dense += random.normal(0, own_sigma, dense.shape).astype(np.float32)
    dense[..., PLAN.copied] = sparse[..., PLAN.source]
    return dense


def ratio(dense: np.ndarray) -> float:
    mask = noise.find_smooth_body(body())
    deviations = [noise.estimate_deviation(dense[..., j], mask) for j in range(dense.shape[2])]
    return noise.compute_ratio([deviations[j] for j in PLAN.synthesised], [deviations[j] for j in PLAN.copied])


@pytest.mark.parametrize("own_sigma", [0.5, 8.0])
def test_synthesised_slices_become_as_noisy_as_acquired_ones_which_stay(own_sigma: float) -> None:
    sparse = noisy()
    dense = upsampled(sparse, own_sigma)
    before = dense.copy()
    noise_matching.match_noise(dense, sparse, PLAN)
    assert ratio(before) < 0.5
    assert ratio(dense) == pytest.approx(1, abs=0.1)
    np.testing.assert_array_equal(dense[..., PLAN.copied], before[..., PLAN.copied])


def test_what_is_added_has_no_mean_and_leaves_edges_alone() -> None:
    sparse = noisy()
    dense = upsampled(sparse, 0.5)
    change = -dense[..., PLAN.synthesised]
    noise_matching.match_noise(dense, sparse, PLAN)
    change += dense[..., PLAN.synthesised]
    inside = noise.find_smooth_body(body())
    assert abs(change[inside].mean()) < 0.5
    assert change[inside].std() > 10
    assert change[40, 46:54].std() < 0.1 * change[inside].std()


def test_slices_that_are_noisy_enough_are_left_as_they_are() -> None:
    sparse = noisy(5.0)
    dense = upsampled(sparse, 30.0)
    before = dense.copy()
    noise_matching.match_noise(dense, sparse, PLAN)
    np.testing.assert_array_equal(dense, before)


def test_slices_without_a_body_or_without_noise_are_left_as_they_are() -> None:
    for sparse in (np.full((SIZE, SIZE, 4), -1000.0, np.float32), np.repeat(body()[..., None], 4, axis=2)):
        dense = np.repeat(sparse[..., :1], PLAN.count, axis=2)
        before = dense.copy()
        noise_matching.match_noise(dense, sparse, PLAN)
        np.testing.assert_array_equal(dense, before)


def test_whole_numbers_stay_whole() -> None:
    sparse = np.rint(noisy()).astype(np.int16)
    dense = np.rint(upsampled(sparse.astype(np.float32))).astype(np.int16)
    noise_matching.match_noise(dense, sparse, PLAN)
    assert dense.dtype == np.int16
    assert ratio(dense) == pytest.approx(1, abs=0.1)


def test_noise_is_matched_in_hu_only() -> None:
    volume = tiny.volume(modality="MR")
    compute = Compute(torch.device("cpu"), torch.float32)
    with pytest.raises(UsageError, match="`match_noise=True`"):
        tiny.upsample(volume, tiny.model(), grid_by_factor(5, 2, 2), compute, MethodOptions(match_noise=True))


def test_voxels_that_are_not_finite_stay_so_and_spread_nowhere() -> None:
    sparse = noisy()
    sparse[:6] = np.nan
    dense = upsampled(sparse, 0.5)
    dense[:6] = np.nan
    before = np.isnan(dense)
    noise_matching.match_noise(dense, sparse, PLAN)
    np.testing.assert_array_equal(np.isnan(dense), before)
    assert ratio(np.nan_to_num(dense, nan=-1000.0)) == pytest.approx(1, abs=0.1)


def test_metal_at_the_end_of_the_integer_range_does_not_wrap() -> None:
    sparse = np.rint(noisy(60.0)).astype(np.int16)
    dense = np.rint(upsampled(sparse.astype(np.float32))).astype(np.int16)
    for volume in (sparse, dense):
        volume[44:52, 60:68] = 32760
    noise_matching.match_noise(dense, sparse, PLAN)
    assert dense[44:52, 60:68].min() > 30000
