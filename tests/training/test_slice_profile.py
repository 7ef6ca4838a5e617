from collections import Counter

import numpy as np
import pytest
import torch

from saint_cli.training.slice_profile import (
    BOX_PROBABILITIES,
    GAUSSIAN_WIDTHS,
    MOST_TAPS,
    PICKED,
    PICKED_PROBABILITY,
    SliceProfile,
    draw_box_profile,
    draw_selective_profile,
)


def respond(profile: SliceProfile, count: int = 61) -> torch.Tensor:
    """The slices around one bright one."""
    impulse = torch.zeros(1, 1, count)
    impulse[..., count // 2] = 1
    return profile.average_slices(impulse)[0, 0]


@pytest.mark.parametrize("averaged", [1, 2, 3, 6])
def test_a_box_averages_as_many_slices_as_it_is_thick(averaged: int) -> None:
    dense = respond(SliceProfile.box(averaged), 31)
    assert float(dense.max()) == pytest.approx(1 / averaged)
    assert torch.nonzero(dense > 1e-6).flatten().tolist() == [
        z for z in range(31) if z - averaged // 2 <= 15 < z - averaged // 2 + averaged
    ]


def test_a_picked_slice_is_itself() -> None:
    values = torch.rand(4, 12)
    assert PICKED.average_slices(values) is values


@pytest.mark.parametrize("width", [0.3, 1, 2.5, 5, 12.4, 24])
def test_a_gaussian_integrates_to_one_and_is_symmetric(width: float) -> None:
    profile = SliceProfile.gaussian(width)
    assert sum(profile.weights or [1]) == pytest.approx(1)
    assert len(profile.offsets) <= MOST_TAPS
    dense = respond(profile)
    assert float(dense.sum()) == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(dense, dense.flip(0))
    flat = torch.full((2, 20), 1.3)
    torch.testing.assert_close(profile.average_slices(flat), flat)


@pytest.mark.parametrize("width", [4.0, 8.0, 16.0])
def test_a_gaussian_is_half_as_high_half_its_width_away(width: float) -> None:
    heights = dict(zip(*SliceProfile.gaussian(width), strict=True))
    assert heights[round(width / 2)] / heights[0] == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize("profile", [SliceProfile.box(4), SliceProfile.gaussian(5), SliceProfile.gaussian(20)])
def test_averaging_read_slices_is_averaging_a_volume(profile: SliceProfile) -> None:
    dense = torch.rand(3, 2, 70)
    read = torch.stack([dense[..., 35 + offset] for offset in profile.offsets], -1)
    torch.testing.assert_close(profile.average_last(read), profile.average_slices(dense)[..., 35])


def test_profiles_are_drawn_with_their_odds() -> None:
    rng = np.random.default_rng(5)
    shares = np.bincount([len(draw_box_profile(rng, 1).offsets) for _ in range(2000)])[1:] / 2000
    np.testing.assert_allclose(shares, [BOX_PROBABILITIES[0] + BOX_PROBABILITIES[1], BOX_PROBABILITIES[2]], atol=0.04)
    assert {len(draw_box_profile(rng, 3).offsets) for _ in range(100)} == {1, 3, 6}
    seen = Counter(draw_selective_profile(rng, 6) for _ in range(2000))
    assert set(seen) == {PICKED, *(SliceProfile.gaussian(6 * width) for width in GAUSSIAN_WIDTHS)}
    assert seen[PICKED] / 2000 == pytest.approx(PICKED_PROBABILITY, abs=0.04)
