import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from nets import tiny

from saint_cli.errors import GeometryError
from saint_cli.evaluation.metrics import ALL, PAPER, Factor, Protocol, crop_centre, psnr_by_protocol
from saint_cli.evaluation.scores import (
    CONTEXT_VOXELS,
    DegradedScan,
    Score,
    Scorer,
    average_scores,
    crop_in_plane,
    factor_as_number,
    require_slices,
)
from saint_cli.volume import Volume


def noisy(count: int = 13, sigma: float = 20.0) -> Volume:
    """Tissue with white noise, HU, 48 x 40 pixels; int16."""
    voxels = 40 + np.random.default_rng(3).normal(0, sigma, (48, 40, count))
    return replace(tiny.volume((48, 40, count)), voxels=np.rint(voxels).astype(np.int16))


@pytest.mark.parametrize(
    ("factor", "kept", "compared"), [(2, 2, 1), (4, 4, 1), (Fraction(5, 2), 5, 2), (Fraction(10, 3), 10, 3)]
)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_trial_keeps_every_pth_slice_and_compares_every_qth(
    factor: Factor, kept: int, compared: int, axis: int
) -> None:
    volume = tiny.volume(tuple(np.insert([9, 8], axis, 25)), axis)
    degraded = DegradedScan.from_dense(volume, axis, factor)
    dense = np.moveaxis(volume.voxels, axis, 2)
    np.testing.assert_array_equal(degraded.acquired, dense[..., ::kept])
    last = (degraded.acquired.shape[2] - 1) * kept
    np.testing.assert_array_equal(degraded.truth, dense[..., : last + 1 : compared])
    places = np.moveaxis(np.indices(volume.shape), axis + 1, 3)[..., : last + 1 : compared].reshape(3, -1)
    wanted = volume.affine_lps[:3, :3] @ places + volume.affine_lps[:3, 3:]
    indices = np.indices(degraded.truth.shape).reshape(3, -1)
    np.testing.assert_allclose(degraded.affine_lps[:3, :3] @ indices + degraded.affine_lps[:3, 3:], wanted, atol=1e-9)
    position = np.arange(degraded.grid.count) * degraded.grid.step
    np.testing.assert_allclose(position * kept, np.arange(0, last + 1, compared), atol=1e-9)
    on = degraded.grid.locate()[1] == 0
    assert [j for j in range(degraded.grid.count) if on[j]] == [
        j for j in range(degraded.grid.count) if j % factor == 0
    ]


@pytest.mark.parametrize("count", [9, 11])
def test_no_slab_is_the_mean_of_slices_that_are_not_compared(count: int) -> None:
    degraded = DegradedScan.from_dense(noisy(count), 2, 4, "average")
    assert degraded.measure_consistency(degraded.truth) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(("factor", "needed"), [(4, 5), (Fraction(37, 10), 38), (Fraction(5, 2), 6)])
def test_a_stack_of_which_one_slice_would_be_left_is_refused(factor: Factor, needed: int) -> None:
    require_slices(needed, factor, "a.nii")
    message = f"of {needed - 1} slices that leaves one; at least {needed} are needed"
    with pytest.raises(GeometryError, match=message):
        require_slices(needed - 1, factor, "a.nii")
    with pytest.raises(GeometryError, match=message):
        DegradedScan.from_dense(tiny.volume((4, 4, needed - 1)), 2, factor)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("size", [40, 89, 90, 100, 101])
def test_the_central_crop_of_the_cut_is_that_of_the_volume(size: int, axis: int) -> None:
    crop = 24
    shape = np.insert([size, size + 7], axis, 2)
    volume = Volume(np.arange(shape.prod()).reshape(shape), np.eye(4))
    cut = crop_in_plane(volume, axis, crop)
    for j in range(2):
        wanted, found = (crop_centre(v.voxels.take(j, axis), crop) for v in (volume, cut))
        np.testing.assert_array_equal(found, wanted)
    assert cut.shape[axis] == 2
    assert all(n <= crop + 2 * CONTEXT_VOXELS + 1 for i, n in enumerate(cut.shape) if i != axis)
    assert crop_in_plane(volume, axis, None) is volume


def test_the_truth_scores_perfectly_and_is_as_noisy_as_itself() -> None:
    degraded = DegradedScan.from_dense(noisy(), 2, 4)
    found = Scorer(degraded, PAPER).score("truth", degraded.truth, seconds=None)
    assert (found.psnr_db, found.ssim, found.bias_hu, found.seconds) == (math.inf, 1, 0, None)
    assert found.noise_ratio == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("offset", [-7, 3])
def test_bias_is_the_signed_offset_of_synthesised_slices_alone(offset: int) -> None:
    degraded = DegradedScan.from_dense(noisy(), 2, 4)
    result = degraded.truth + np.where(np.arange(13) % 4, offset, 500)
    for protocol in (PAPER, ALL):
        assert Scorer(degraded, protocol).score("x", result, seconds=1).bias_hu == pytest.approx(offset, abs=1e-3)


@pytest.mark.parametrize("protocol", [PAPER, ALL])
def test_blank_slices_are_counted_and_left_out_of_every_mean(protocol: Protocol) -> None:
    dense = noisy()
    dense.voxels[..., 9:] = -1000
    degraded = DegradedScan.from_dense(dense, 2, 4)
    result = degraded.truth + np.where(np.arange(13) < 9, 5, 0)
    found = Scorer(degraded, protocol).score("x", result, seconds=None)
    assert found.bias_hu == pytest.approx(5)
    assert found.blank == (3 if protocol is PAPER else 4)
    assert average_scores([found, replace(found, volume="b", blank=1)])[0].blank == found.blank + 1
    dense.voxels[:] = -1000
    of_air = Scorer(DegradedScan.from_dense(dense, 2, 4), protocol).score("x", degraded.truth * 0 - 993, seconds=None)
    assert (of_air.blank, of_air.bias_hu) == (0, 7)


@pytest.mark.parametrize("share", [0.25, 0.5, 2.0])
def test_noise_ratio_is_the_share_of_noise_that_synthesised_slices_have(share: float) -> None:
    degraded = DegradedScan.from_dense(noisy(), 2, 4)
    result = np.where(np.arange(13) % 4, 40 + share * (degraded.truth - 40.0), degraded.truth)
    found = Scorer(degraded, PAPER).score("x", result, seconds=None)
    assert found.noise_ratio == pytest.approx(share, rel=0.1)


def test_linear_interpolation_halves_the_variance_in_the_middle() -> None:
    degraded = DegradedScan.from_dense(noisy(25), 2, 2)
    middle = (degraded.acquired[..., :-1].astype(float) + degraded.acquired[..., 1:]) / 2
    result = degraded.truth.astype(float)
    result[..., 1::2] = middle
    assert Scorer(degraded, PAPER).score("x", result, seconds=None).noise_ratio == pytest.approx(0.5**0.5, abs=0.05)


def test_noise_without_a_body_is_not_defined() -> None:
    air = replace(noisy(), voxels=np.full((48, 40, 13), -1000, np.int16))
    degraded = DegradedScan.from_dense(air, 2, 4)
    assert Scorer(degraded, PAPER).score("x", degraded.truth, seconds=None).noise_ratio is None


@pytest.mark.parametrize("protocol", [PAPER, ALL])
def test_psnr_is_that_of_the_protocol(protocol) -> None:  # type: ignore[no-untyped-def]
    degraded = DegradedScan.from_dense(noisy(), 2, 4)
    result = degraded.truth + np.random.default_rng(9).normal(0, 30, degraded.truth.shape)
    found = Scorer(degraded, protocol).score("x", result, seconds=None)
    assert found.psnr_db == pytest.approx(psnr_by_protocol(degraded.truth, result, 4, protocol), abs=1e-3)
    assert found.scored == (9 if protocol is PAPER else 13)


def test_errors_pair_each_compared_voxel_with_its_difference() -> None:
    voxels = np.zeros((300, 260, 5), np.int16)
    degraded = DegradedScan.from_dense(replace(noisy(), voxels=voxels), 2, 4)
    error = np.arange(300 * 260 * 5).reshape(300, 260, 5) % 1000
    difference, found = Scorer(degraded, PAPER).collect_errors(error, 2.0 * error[..., 1:4])
    assert difference.size == 256 * 256 * 3
    np.testing.assert_array_equal(difference, 2 * found)


def score(volume: str, factor: float, method: str, psnr_db: float, ssim: float | None = 0.9) -> Score:
    return Score(volume, factor, 9, 6, None, method, psnr_db, ssim, -psnr_db, 0.5, 1.0)


def test_means_are_over_volumes_per_factor_and_method() -> None:
    scores = [
        score("a", 2, "linear", 30),
        score("a", 2, "cubic", 40, None),
        score("a", 4, "linear", 10),
        score("b", 2, "linear", 32),
        score("b", 2, "cubic", 44),
        score("b", 4, "linear", 20),
    ]
    found = average_scores(scores)
    assert [(s.factor, s.method, s.psnr_db) for s in found] == [(2, "linear", 31), (2, "cubic", 42), (4, "linear", 15)]
    assert {s.volume for s in found} == {"mean of 2 volumes"}
    assert found[0].bias_hu == -31
    assert (found[0].ssim, found[1].ssim) == (pytest.approx(0.9), None)
    only_a = replace(scores[0], method="other")
    assert [s.label for s in average_scores([*scores, only_a])] == [s.label for s in found]
    (mixed,) = average_scores([replace(scores[0], data_range=900.0), replace(scores[3], data_range=800.0)])
    assert mixed.data_range is None


@pytest.mark.parametrize(("factor", "shown"), [(4, "4"), (Fraction(5, 2), "2.5"), (Fraction(4), "4")])
def test_factors_are_shown_whole_where_they_are(factor: Factor, shown: str) -> None:
    assert f"{factor_as_number(factor)}" == shown
