import math

import numpy as np
import pytest
import torch
from torch import Tensor

from saint_cli.method import intensity
from saint_cli.training import mr_augment
from saint_cli.training.dataset import AmiBatch, AmiSampler
from saint_cli.training.dense_volume import DenseVolume
from saint_cli.training.mr_augment import (
    BACKGROUND_UNITS,
    BAND_RANGE,
    LEAST_STEP,
    NOISE_RANGE,
    MrVariation,
    apply_curve,
    find_bends,
    limit_band,
    make_bias_field,
)
from saint_cli.training.patch_places import PatchShape, Variation

SHAPE = PatchShape(12, 4)


def scan(is_ct: bool = False, shape: tuple[int, int, int] = (30, 28, 60)) -> DenseVolume:
    """A body of three tissues and some texture in air."""
    rng = np.random.default_rng(1)
    tissues = np.repeat(np.repeat(np.repeat(rng.choice([250.0, 600.0, 1000.0], (10, 7, 15)), 3, 0), 4, 1), 4, 2)
    voxels = tissues + rng.normal(0, 20, shape)
    voxels[:6] = np.abs(rng.normal(0, 5, voxels[:6].shape))
    values = intensity.IntensityMap(0.0, 4000.0, 700.0)
    if is_ct:
        voxels, values = voxels - 1000, intensity.CT
    return DenseVolume.from_array("scan", np.rint(voxels).astype(np.int16), (0.9, 0.9, 1.0), values)


def draw(count: int, is_ct: bool = False) -> MrVariation:
    bends = np.repeat(find_bends(scan())[None], count, 0)
    return MrVariation.draw(np.random.default_rng(2), bends, np.full(count, is_ct))


def plain(count: int, noise: float = 0.0, band: float = 1.0) -> MrVariation:
    """Patches as they are, but for noise and resolution."""
    bends = np.repeat(find_bends(scan())[None], count, 0).astype(np.float32)
    zero, one = np.zeros(count, np.float32), np.ones(count, np.float32)
    return MrVariation(bends, bends, np.zeros((count, 5), np.float32), noise * one + zero, band * one)


def apply(variation: MrVariation, values: Tensor) -> tuple[Tensor, Tensor]:
    depth = torch.linspace(-1, 1, values.shape[2]).expand(len(values), -1)
    return variation.apply(values, depth, torch.Generator().manual_seed(3))


def test_a_plain_variation_changes_nothing() -> None:
    values = 3 * torch.rand(5, 9, 20)
    for part in apply(plain(5), values):
        torch.testing.assert_close(part, values, atol=1e-5, rtol=1e-5)


def test_background_stays_background_under_every_curve() -> None:
    drawn = draw(300)
    bends, heights = torch.from_numpy(drawn.bends), torch.from_numpy(drawn.heights)
    background = torch.linspace(0, BACKGROUND_UNITS, 20).expand(300, -1).contiguous()
    torch.testing.assert_close(apply_curve(background, bends, heights), background, atol=1e-6, rtol=1e-5)


def test_a_curve_passes_through_its_bends_and_is_straight_between_them() -> None:
    bends = torch.tensor([[0.0, 0.2, 1.0], [0.0, 0.5, 0.6]])
    heights = torch.tensor([[0.0, 1.0, 0.4], [0.0, 0.5, 0.9]])
    values = torch.tensor([[0.0, 0.1, 0.2, 0.6, 1.0, 2.0], [0.0, 0.25, 0.5, 0.55, 0.6, 1.0]])
    wanted = torch.tensor([[0.0, 0.5, 1.0, 0.7, 0.4, 0.4 - 0.75], [0.0, 0.25, 0.5, 0.7, 0.9, 0.9 + 0.4]])
    torch.testing.assert_close(apply_curve(values, bends, heights), wanted)  # beyond the end no steeper than 1


def test_curves_rise_fall_or_bend_with_their_odds_and_ct_never_keeps_its_own() -> None:
    tissues = np.diff(draw(2000).heights[:, 2:], axis=1)
    rising, falling = (tissues > 0).all(1), (tissues < 0).all(1)
    unchanged = np.isclose(draw(2000).heights, draw(2000).bends).all(1)
    odds = mr_augment.CURVE_PROBABILITIES
    assert unchanged.mean() == pytest.approx(odds["none"], abs=0.04)
    assert falling.mean() == pytest.approx(odds["inverted"], abs=0.04)
    assert rising.mean() > odds["none"] + odds["rising"] - 0.05
    assert (~rising & ~falling).mean() > odds["free"] / 2
    ct = draw(2000, is_ct=True)
    assert not np.isclose(ct.heights, ct.bends).all(1).any()


@pytest.mark.parametrize("is_ct", [False, True])
def test_bends_rise_from_background_and_lie_where_the_tissues_are(is_ct: bool) -> None:
    volume = scan(is_ct)
    bends = find_bends(volume)
    assert (np.diff(bends) >= LEAST_STEP - 1e-9).all()
    assert bends[:2].tolist() == [0, BACKGROUND_UNITS]
    brightest = 1024 / 1000 if is_ct else 1000 / 700
    assert bends[-1] == pytest.approx(brightest, abs=4 * LEAST_STEP)


def test_a_volume_of_air_has_bends_too() -> None:
    air = DenseVolume.from_array("air", np.zeros((9, 9, 9), np.int16), (1, 1, 1), intensity.IntensityMap(0, 9, 6))
    assert (np.diff(find_bends(air)) > 0).all()


def test_a_bias_field_is_positive_smooth_and_one_on_average() -> None:
    coefficients = torch.from_numpy(draw(100).bias)
    depth = torch.linspace(-1, 1, 40).expand(100, -1)
    field = make_bias_field(coefficients, torch.linspace(-1, 1, 48), depth)
    torch.testing.assert_close(field.mean((1, 2)), torch.ones(100))
    assert float(field.min()) > 0
    assert max(float(field.log().diff(dim=axis).abs().max()) for axis in (1, 2)) < 0.05  # from voxel to voxel
    assert float(field.amax((1, 2)).max()) > 1.2
    assert bool((field[(coefficients == 0).all(1)] == 1).all())


@pytest.mark.parametrize(("signal", "noise"), [(0.0, 0.04), (0.02, 0.04), (1.0, 0.03)])
def test_noise_has_the_moments_of_a_rice_distribution(signal: float, noise: float) -> None:
    _, noisy = apply(plain(4, noise), torch.full((4, 100, 100), signal))
    assert float(noisy.square().mean()) == pytest.approx(signal**2 + 2 * noise**2, rel=0.02)
    assert float(noisy.pow(4).mean()) == pytest.approx(8 * noise**4 + 8 * noise**2 * signal**2 + signal**4, rel=0.04)
    if signal == 0:  # Rayleigh
        assert float(noisy.mean()) == pytest.approx(noise * math.sqrt(math.pi / 2), rel=0.02)
    if signal > 10 * noise:
        assert float(noisy.std()) == pytest.approx(noise, rel=0.02)


def test_noise_is_not_in_the_clean_part() -> None:
    values = torch.rand(3, 9, 20)
    clean, noisy = apply(plain(3, 0.04), values)
    torch.testing.assert_close(clean, values, atol=1e-5, rtol=1e-5)
    assert float((noisy - values).abs().mean()) > 0.01


@pytest.mark.parametrize("band", [0.5, 0.75])
def test_a_limited_band_keeps_low_frequencies_and_removes_high_ones(band: float) -> None:
    places = torch.arange(48.0) + 0.5
    for k in range(48):  # the cosines of which the mirrored patch consists
        wave = torch.cos(torch.pi * k * places / 48).view(1, 48, 1).expand(1, 48, 3)
        wanted = wave if k / 48 <= band else torch.zeros_like(wave)
        torch.testing.assert_close(limit_band(wave, torch.tensor([band])), wanted, atol=1e-5, rtol=1e-5)


def test_only_patches_with_a_limited_band_are_filtered() -> None:
    variation = plain(2)
    variation.band[1] = 0.5
    values = torch.rand(2, 48, 30)
    _, found = apply(variation, values)
    torch.testing.assert_close(found[0], values[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[1], limit_band(values[1:], torch.tensor([0.5]))[0].abs(), atol=1e-4, rtol=1e-4)


def test_variations_are_drawn_in_their_ranges() -> None:
    drawn = draw(500)
    assert set(np.unique(drawn.noise > 0)) == set(np.unique(drawn.band < 1)) == {False, True}
    assert drawn.noise.max() <= NOISE_RANGE[1]
    assert drawn.noise[drawn.noise > 0].min() >= NOISE_RANGE[0]
    assert drawn.band.min() >= BAND_RANGE[0]


def equal(one: AmiBatch, other: AmiBatch) -> bool:
    return all(map(torch.equal, one, other))


def test_a_batch_of_mr_depends_on_seed_and_step_and_not_on_what_was_drawn_before() -> None:
    volumes = [scan(), scan(is_ct=True)]
    first, second = (AmiSampler(volumes, 5, SHAPE, (1, 0), variation=Variation.MR) for _ in range(2))
    forwards = [first.draw_batch(step) for step in range(6)]
    backwards = [second.draw_batch(step) for step in reversed(range(6))][::-1]
    assert all(map(equal, forwards, backwards))
    assert all(bool(part.isfinite().all()) for batch in forwards for part in batch)
    assert not equal(forwards[0], AmiSampler(volumes, 5, SHAPE, (1, 0)).draw_batch(0))


def test_slices_and_truth_of_a_patch_are_varied_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOISE_PROBABILITY", "BAND_PROBABILITY", "BIAS_PROBABILITY"):
        monkeypatch.setattr(mr_augment, name, 0.0)
    even = np.full((30, 28, 60), 700, np.int16)
    volume = DenseVolume.from_array("even", even, (0.9, 0.9, 1.0), intensity.IntensityMap(0, 4000, 700))
    sampler, seen = AmiSampler([volume], 6, SHAPE, variation=Variation.MR), set()
    for step in range(20):
        batch = sampler.draw_batch(step)
        value = batch.slices[:, :1, :1, :1]
        torch.testing.assert_close(batch.slices, value.expand_as(batch.slices))
        torch.testing.assert_close(batch.truth, value.expand_as(batch.truth))
        torch.testing.assert_close(batch.linear, batch.truth)
        seen |= set(value.flatten().tolist())
    assert max(seen) - min(seen) > 0.3


def test_difficulty_follows_the_contrast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mr_augment, "BIAS_PROBABILITY", 0.0)
    monkeypatch.setattr(mr_augment, "NOISE_PROBABILITY", 0.0)
    monkeypatch.setattr(mr_augment, "BAND_PROBABILITY", 0.0)
    monkeypatch.setattr(mr_augment, "CURVE_PROBABILITIES", {"none": 0.5, "rising": 0.5, "inverted": 0.0, "free": 0.0})
    sampler = AmiSampler([scan()], 8, SHAPE, variation=Variation.MR)
    ratios = []
    for step in range(20):
        batch = sampler.draw_batch(step)
        error = (batch.linear - batch.truth).square().mean((1, 2, 3)).sqrt()
        ratios += (error / batch.difficulty).tolist()
    assert 0.5 < np.median(ratios) < 2  # about as wrong as linear interpolation is said to be, whatever the contrast
