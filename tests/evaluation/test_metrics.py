import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from saint_cli.evaluation.metrics import (
    ALL,
    PAPER,
    Protocol,
    crop_centre,
    list_scored_slices,
    psnr,
    psnr_by_protocol,
    ssim,
    ssim_by_protocol,
)


def truth(shape: tuple[int, int, int] = (10, 9, 9)) -> np.ndarray:
    return np.random.default_rng(3).integers(-800, 2000, shape).astype(np.int16)


@pytest.mark.parametrize("offset", [1, 10, -40])
@pytest.mark.parametrize("data_range", [4000.0, 4095.0])
def test_psnr_of_a_known_offset_in_closed_form(offset: int, data_range: float) -> None:
    wanted = 20 * math.log10(data_range / abs(offset))
    assert psnr(truth(), truth() + offset, data_range) == pytest.approx(wanted)


def test_psnr_of_equal_arrays_is_infinite() -> None:
    assert psnr(truth(), truth(), 4000.0) == math.inf


def test_psnr_of_unsigned_arrays_does_not_wrap() -> None:
    low, high = np.zeros((3, 3), np.uint8), np.full((3, 3), 5, np.uint8)
    assert psnr(low, high, 4000.0) == psnr(high, low, 4000.0) == pytest.approx(20 * math.log10(800))


def test_protocol_paper_drops_acquired_slices() -> None:
    volume = truth((9, 9, 9))
    result = volume + 10
    result[..., ::4] += 500
    wanted = 20 * math.log10(400)
    assert psnr_by_protocol(volume, result, 4) == pytest.approx(wanted)
    assert psnr_by_protocol(volume, result, 4, ALL) < wanted


def test_protocol_paper_weights_synthesised_slices_equally() -> None:
    result = truth((10, 9, 5)).astype(np.int32)
    volume, per_slice = result.copy(), [1, 10, 100]
    for j, offset in zip((1, 2, 3), per_slice, strict=True):
        result[..., j] += offset
    wanted = np.mean([20 * math.log10(4000 / offset) for offset in per_slice])
    assert psnr_by_protocol(volume, result, 4) == pytest.approx(wanted)


@pytest.mark.parametrize("error", [0, 7])
def test_protocol_paper_leaves_slices_of_one_value_out_whatever_comes_back_there(error: int) -> None:
    volume = truth((10, 9, 9))
    result = volume + 10
    volume[..., 5:], result[..., 5:] = -1024, error - 1024
    assert psnr_by_protocol(volume, result, 2) == pytest.approx(20 * math.log10(400))
    beyond = psnr_by_protocol(volume[..., 5:], result[..., 5:], 2)  # where nothing else is left
    assert beyond == (pytest.approx(20 * math.log10(4000 / 7)) if error else math.inf)


def test_protocol_paper_leaves_slices_out_that_differ_outside_of_what_it_compares_alone() -> None:
    volume = truth((300, 270, 5))
    result = volume + 10
    volume[22:-22, 7:-7, 3], result[22:-22, 7:-7, 3] = -1100, -1030  # both clipped to -1024
    assert psnr_by_protocol(volume, result, 2) == pytest.approx(20 * math.log10(400))


def test_protocol_paper_scores_the_central_crop_only() -> None:
    volume = np.zeros((300, 270, 3), np.int16)
    result = volume + 10
    result[:22], result[-22:], result[:, :7], result[:, -7:] = 900, 900, 900, 900
    assert psnr_by_protocol(volume, result, 2) == pytest.approx(20 * math.log10(400))
    result[22, 7] = 900
    assert psnr_by_protocol(volume, result, 2) < 20 * math.log10(400) - 0.1


def test_protocol_paper_clips_to_its_range() -> None:
    volume = np.full((5, 5, 3), -1024, np.int16)
    volume[2:] = 2976  # HU + 1024 = 4000
    result = np.where(volume < 0, -3024, 20_000)
    assert psnr_by_protocol(volume, result, 2) == math.inf
    assert psnr_by_protocol(volume, np.full_like(volume, -1024), 2) == pytest.approx(10 * math.log10(5 / 3))


def test_protocol_all_scores_every_slice_with_its_own_range() -> None:
    assert psnr_by_protocol(truth(), truth() + 10, 4, ALL) == pytest.approx(20 * math.log10(409.5))
    assert (PAPER.data_range, PAPER.crop, PAPER.synthesised_only) == (4000.0, 256, True)


@pytest.mark.parametrize(("shape", "corner"), [((10, 9), (3, 2)), ((4, 20), (0, 8)), ((3, 4), (0, 0))])
def test_central_crop_is_as_central_and_as_large_as_can_be(shape: tuple[int, int], corner: tuple[int, int]) -> None:
    plane = np.arange(shape[0] * shape[1]).reshape(shape)
    cropped = crop_centre(plane, 4)
    assert cropped.shape == tuple(min(4, n) for n in shape)
    assert cropped[0, 0] == plane[corner]


@pytest.mark.parametrize(
    ("factor", "left_out"),
    [(4, {0, 4, 8}), (Fraction(5, 2), {0, 5, 10}), (Fraction(7, 3), {0, 7}), (Fraction(4), {0, 4, 8})],
)
def test_synthesised_slices_are_those_at_no_multiple_of_the_factor(factor: Fraction, left_out: set[int]) -> None:
    assert set(list_scored_slices(11, factor, PAPER)) == set(range(11)) - left_out
    assert list_scored_slices(11, factor, ALL) == list(range(11))


def test_ssim_of_equal_planes_is_one_and_falls_with_noise() -> None:
    plane = truth((40, 40, 1))[..., 0].astype(float)
    noise = np.random.default_rng(0).normal(0, 1, plane.shape)
    scores = [ssim(plane, plane + sigma * noise, 4000.0) for sigma in (0, 100, 400)]
    assert scores[0] == 1
    assert 1 > scores[1] > scores[2] > 0


def test_ssim_of_constant_planes_in_closed_form() -> None:
    low, high, stabiliser = 1000.0, 1500.0, (0.01 * 4000) ** 2
    wanted = (2 * low * high + stabiliser) / (low**2 + high**2 + stabiliser)
    assert ssim(np.full((9, 9), low), np.full((9, 9), high), 4000.0) == pytest.approx(wanted)


@pytest.mark.parametrize("protocol", [PAPER, ALL])
def test_slices_of_one_value_do_not_flatter_the_mean_ssim_unless_all_are_so(protocol: Protocol) -> None:
    truth = np.random.default_rng(0).normal(40, 200, (24, 20, 9))
    result = truth + np.random.default_rng(1).normal(0, 100, truth.shape)
    wanted = ssim_by_protocol(truth[..., :5], result[..., :5], 4, protocol)
    truth[..., 5:] = result[..., 5:] = -1000
    assert wanted < 0.99
    assert ssim_by_protocol(truth, result, 4, protocol) == wanted
    assert ssim_by_protocol(truth[..., 5:], result[..., 5:], 4, protocol) == 1


def test_ssim_of_a_plane_smaller_than_its_window_is_not_defined() -> None:
    assert math.isnan(ssim(np.ones((6, 30)), np.ones((6, 30)), 4000.0))


def test_a_description_states_slices_crop_and_data_range() -> None:
    assert PAPER.description == "synthesised slices, central 256x256, HU+1024 in 0...4000 (data range)"
    assert ALL.description == "every slice, whole plane, HU+1024 in 0...4095 (data range)"


@pytest.mark.parametrize(("factor", "more"), [(2, 3.01), (4, 1.25), (6, 0.79)])
def test_exact_acquired_slices_raise_protocol_all_by_their_share(factor: int, more: float) -> None:
    volume = truth((10, 9, 24 * factor))
    result = volume + 10 * (np.arange(24 * factor) % factor > 0)
    alone = psnr_by_protocol(volume, result, factor, replace(ALL, synthesised_only=True))
    assert psnr_by_protocol(volume, result, factor, ALL) - alone == pytest.approx(more, abs=0.01)
