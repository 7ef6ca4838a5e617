"""Random contrast, bias field, resolution and Rician noise of patches that are trained on as MR."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from saint_cli.method.intensity import BRIGHTEST_UNITS
from saint_cli.training.augment import between
from saint_cli.training.dense_volume import DenseVolume, move_array
from saint_cli.training.patch_source import AIR_UNITS

CURVE_PROBABILITIES = {"none": 0.4, "rising": 0.3, "inverted": 0.1, "free": 0.2}
"""Of each kind of contrast curve in MR; CT always has one of the last three."""

TISSUE_QUANTILES = (0.02, 0.15, 0.35, 0.55, 0.75, 0.9, 0.98)
"""Of the voxels of the body, between which a curve is straight: so it bends where the tissues are."""

BACKGROUND_UNITS = AIR_UNITS / 2
"""Network value up to which a curve changes nothing, for background stays what it is."""

LEAST_STEP = 0.05
"""Network units between the bends of a curve; nearer ones would turn noise into structure."""

STEEPNESS = 0.7
"""Standard deviation of the logarithm of how much of the rise each part of a curve takes."""

HEIGHT_RANGE, FREE_RANGE = (1.1, 2.0), (0.1, 1.7)
"""Network value of the brightest tissue after a curve; of every bend of a free one."""

BIAS_PROBABILITY, BIAS_STRENGTH = 0.5, 0.1
"""Standard deviation of each of the coefficients of the field's logarithm."""

BAND_PROBABILITY, BAND_RANGE = 0.3, (0.5, 0.9)
"""Share of the in-plane frequencies that is left where a scanner fills the rest with zeros: 0.5 is 512 from 256."""

NOISE_PROBABILITY, NOISE_RANGE = 0.4, (0.005, 0.045)
"""Standard deviation of each channel, network units: 0.3 to 3 % of the brightest tissue."""


@dataclass(frozen=True)
class MrVariation:
    """How n patches differ from the volume they come from; float32.

    bends, heights (n, K): network values of the bends of a contrast curve, rising, and what they become;
    bias (n, 5): see ``make_bias_field``; noise (n,): standard deviation; band (n,): share of frequencies that is left.
    """

    bends: np.ndarray
    heights: np.ndarray
    bias: np.ndarray
    noise: np.ndarray
    band: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, bends: np.ndarray, is_ct: np.ndarray) -> "MrVariation":
        """Random ones; bends (n, K): ``find_bends`` of each patch's volume; is_ct (n,): which always get a curve."""
        count = len(bends)
        chance, amount = rng.random((3, count)), rng.random((2, count))
        bias = np.where(chance[0, :, None] < BIAS_PROBABILITY, BIAS_STRENGTH * rng.standard_normal((count, 5)), 0.0)
        noise = np.where(chance[1] < NOISE_PROBABILITY, between(NOISE_RANGE, amount[0]), 0.0)
        band = np.where(chance[2] < BAND_PROBABILITY, between(BAND_RANGE, amount[1]), 1.0)
        parts = (bends, _draw_heights(rng, bends, is_ct), bias, noise, band)
        return cls(*(part.astype(np.float32) for part in parts))

    def apply(self, values: Tensor, depth: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """(B, H, M) network values with other contrast and bias; and these with noise and limited resolution.

        H: along the slice; depth (B, M): through-plane position of each column, from -1 to 1.
        """
        parts = (self.bends, self.heights, self.bias, self.noise, self.band)
        bends, heights, bias, noise, band = (move_array(part, values.device) for part in parts)
        height = torch.linspace(-1, 1, values.shape[1], device=values.device)
        contrast = apply_curve(values, bends, heights) * make_bias_field(bias, height, depth)
        varied = contrast = contrast.clamp_(0, BRIGHTEST_UNITS)
        if (limited := np.flatnonzero(self.band < 1)).size or self.noise.any():
            channels = torch.randn((2, *values.shape), generator=random, device=values.device)
            channels *= noise[:, None, None]
            channels[0] += contrast
            if limited.size:
                where = move_array(limited, values.device)
                channels[:, where] = limit_band(channels[:, where], band[where])
            varied = channels.square_().sum(0).sqrt_().clamp_(max=BRIGHTEST_UNITS)
        return contrast, varied


def find_bends(volume: DenseVolume) -> np.ndarray:
    """(K,) network values at which a contrast curve of a volume bends: 0, the end of background, and its tissues."""
    coarse = volume.coarse
    stride = max(1, round((coarse.size / 200_000) ** (1 / 3)))
    values = volume.values.to_network(coarse[::stride, ::stride, ::stride])
    body = values[values > AIR_UNITS]
    tissues = np.quantile(body, TISSUE_QUANTILES) if body.size else np.linspace(AIR_UNITS, 1.5, len(TISSUE_QUANTILES))
    bends = [0.0, BACKGROUND_UNITS]
    for value in tissues:
        bends.append(max(float(value), bends[-1] + LEAST_STEP))
    return np.array(bends)


def _draw_heights(rng: np.random.Generator, bends: np.ndarray, is_ct: np.ndarray) -> np.ndarray:
    """(n, K) what the bends become: the same at 0 and at the end of background, random in the tissues."""
    count, tissues = len(bends), bends[:, 2:]
    kind = np.searchsorted(np.cumsum(list(CURVE_PROBABILITIES.values())), rng.random(count), side="right")
    changed = rng.choice([1, 2, 3], count, p=_normalise(list(CURVE_PROBABILITIES.values())[1:]))
    kind = np.where((kind == 0) & is_ct, changed, kind)
    evenness, top = rng.random((count, 1)), between(HEIGHT_RANGE, rng.random((count, 1)))
    rises = np.diff(bends[:, 1:], axis=1) ** (1 - evenness)  # from as the volume has them to all alike
    rises *= np.exp(STEEPNESS * rng.standard_normal(rises.shape))
    low, ends = bends[:, 1:2], np.cumsum(rises, axis=1)
    rising = low + (top - low) * ends / ends[:, -1:]
    free = (rising + between(FREE_RANGE, rng.random(rising.shape))) / 2
    curves = np.choose(kind[:, None], (tissues, rising, rising[:, ::-1], free))
    return np.concatenate([bends[:, :2], curves], axis=1)


def _normalise(shares: list[float]) -> list[float]:
    return [share / sum(shares) for share in shares]


def apply_curve(values: Tensor, bends: Tensor, heights: Tensor) -> Tensor:
    """(B, ...) values through the straight lines from bends (B, K), which rise, to heights (B, K).

    Beyond the last bend the line goes on, no steeper than 1.
    """
    flat, last = values.flatten(1), bends.shape[1] - 2
    part = torch.searchsorted(bends, flat, right=True).sub_(1).clamp_(0, last)
    slopes = torch.diff(heights, dim=1) / torch.diff(bends, dim=1)
    start, slope, height = (lines.gather(1, part) for lines in (bends, slopes, heights))
    beyond = (flat - bends[:, -1:]).clamp_min(0)
    excess = beyond * (slope - slope.clamp(-1, 1))
    return (height + slope * (flat - start) - excess).view(values.shape)


def make_bias_field(coefficients: Tensor, height: Tensor, depth: Tensor) -> Tensor:
    """(B, H, M) positive fields with a mean of 1: exponentials of polynomials of second degree, coefficients (B, 5).

    height (H,), depth (B, M): positions from -1 to 1.
    """
    h, z = height[None, :, None], depth[:, None, :]
    terms = (h, z, h * h, h * z, z * z)
    field = torch.exp(sum(c[:, None, None] * term for c, term in zip(coefficients.T, terms, strict=True)))
    return field / field.mean((1, 2), keepdim=True)


def limit_band(values: Tensor, band: Tensor) -> Tensor:
    """(..., B, H, M) without the frequencies along H above ``band`` (B,) times the highest one.

    Patches are mirrored at their ends, where they would else be taken for periodic.
    """
    size = values.shape[-2]
    spectrum = torch.fft.rfft(torch.cat([values, values.flip(-2)], -2), dim=-2)
    frequency = torch.arange(spectrum.shape[-2], device=values.device) / size
    spectrum *= (frequency <= band[:, None])[..., None]
    limited: Tensor = torch.fft.irfft(spectrum, n=2 * size, dim=-2)
    return limited[..., :size, :]
