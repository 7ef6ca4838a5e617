"""Noise of a stack of slices: strength by offset, distribution, spectrum, correlation from slice to slice.

All arrays are [X, Y, slices] HU, the through-plane axis last. Noise is measured in patches of uniform tissue, each
less its own quadratic surface, in every method at the same places, so that anatomy which remains is the same in all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from saint_cli.evaluation.tissues import SOFT, Tissue
from saint_cli.method.noise_patches import (
    GUIDE_SIGMA,
    PATCH,
    count_places,
    cut_windows,
    frequency_radius,
    hann_window,
    quadratic_surfaces,
)

KEPT_SHARE = 0.33
"""Of the patches of a slice: the most uniform."""

UNIFORM, UNIFORM_SHARE = 2.0, 0.1
"""Times the structure of the most uniform patches of all slices, and their share: patches with more are not used."""

FEWEST_PATCHES = 4
"""With fewer, a slice's noise is not measured."""

FEWEST_POOLED, QUIET_SHARE = 12, 0.2
"""Patches of all slices together, and the quantile of their variances that counts as noise."""

FREE_PIXELS = PATCH**2 / (PATCH**2 - 6)
"""Times a patch's variance: the six coefficients of its quadratic surface are no longer free."""

WEAK_POWER = 0.01
"""Of the strongest frequency's power: weaker frequencies are not compared, for rounding to whole HU dominates them."""

LEAST_DEVIATION_HU = 1e-3
"""Less is no noise but the rounding of what is computed: a constant slice has about 1e-14 HU."""


@dataclass(frozen=True)
class NoisePatches:
    """Where noise is measured: chosen[i, k, j] says whether slice j's patch with corner ``STRIDE`` (i, k) is used.

    STRIDE is that of ``noise_patches``.
    """

    chosen: np.ndarray

    def cut(self, slices_hu: np.ndarray, j: int, also: int | None = None) -> np.ndarray:
        """The noise in slice j at its places, or at those that slice ``also`` has too: float64 (patches, x, y)."""
        chosen = self.chosen[..., j] if also is None else self.chosen[..., j] & self.chosen[..., also]
        windows = cut_windows(slices_hu[..., j])
        patches = windows[: chosen.shape[0], : chosen.shape[1]][chosen].astype(np.float64)
        flat, surfaces = patches.reshape(len(patches), PATCH**2), quadratic_surfaces()
        noise: np.ndarray = (flat - flat @ surfaces @ surfaces.T).reshape(patches.shape)
        return noise

    def is_measurable(self, j: int) -> bool:
        """Whether slice j has patches enough."""
        return int(self.chosen[..., j].sum()) >= FEWEST_PATCHES


@dataclass(frozen=True)
class NoiseFigures:
    """The noise of a stack; nan where it cannot be measured.

    offset, deviation_hu: offsets t between two acquired slices (0: acquired), and the standard deviation at each;
    kurtosis: excess over a normal distribution's, of the synthesised slices;
    spectrum: power at 1 ... PATCH/2 cycles per patch, HU^2, of the synthesised slices;
    slice_correlation: of neighbouring slices, mean over the stack;
    slice_noise_index: standard deviation over the slices of their noise, divided by its mean; 0 is even noise.
    """

    offset: tuple[float, ...]
    deviation_hu: tuple[float, ...]
    kurtosis: float
    spectrum: tuple[float, ...]
    slice_correlation: float
    slice_noise_index: float

    @property
    def acquired_deviation_hu(self) -> float:
        """The deviation of acquired slices; nan where there are none."""
        return dict(zip(self.offset, self.deviation_hu, strict=True)).get(0.0, math.nan)

    @property
    def deviation_ratio(self) -> tuple[float, ...]:
        """The deviation at each offset over that of the acquired slices; nan where those have no noise, or are none."""
        acquired = self.acquired_deviation_hu
        if acquired < LEAST_DEVIATION_HU:
            acquired = math.nan
        return tuple(deviation / acquired for deviation in self.deviation_hu)


def make_guide(truth_hu: np.ndarray) -> np.ndarray:
    """What a dense stack shows at each slice without that slice's own noise: the mean of its neighbours, float32."""
    last = truth_hu.shape[2] - 1
    below, above = (np.clip(np.arange(last + 1) + step, 0, last) for step in (-1, 1))
    below[0], above[last] = above[0], below[last]  # the end slices have one neighbour
    mean: np.ndarray = (truth_hu[..., below].astype(np.float32) + truth_hu[..., above]) / 2
    return mean


def find_noise_patches(guide_hu: np.ndarray, tissue: Tissue = SOFT) -> NoisePatches:
    """The most uniform patches of a tissue in every slice.

    guide_hu: [X, Y, slices] what the slices show, with a noise of its own (``make_guide``, or a prediction): places
    that were chosen by the noise which is then measured would have less of it.
    """
    from scipy import ndimage

    structure = np.full((*count_places(guide_hu.shape[:2]), guide_hu.shape[2]), np.inf)
    for j in range(guide_hu.shape[2]):
        windows = cut_windows(ndimage.gaussian_filter(guide_hu[..., j].astype(np.float32), GUIDE_SIGMA))
        is_tissue = (windows.min((-2, -1)) > tissue.low_hu) & (windows.max((-2, -1)) < tissue.high_hu)
        structure[is_tissue, j] = windows[is_tissue].std((-2, -1), dtype=np.float64)
    is_tissue = np.isfinite(structure)
    limit = UNIFORM * np.quantile(structure[is_tissue], UNIFORM_SHARE) if is_tissue.any() else 0.0
    chosen = is_tissue & (structure <= limit)
    for j in range(guide_hu.shape[2]):
        count = np.count_nonzero(is_tissue[..., j])
        kept = max(FEWEST_PATCHES, round(KEPT_SHARE * count))
        if kept < count:
            chosen[..., j] &= structure[..., j] <= np.partition(structure[..., j].ravel(), kept - 1)[kept - 1]
    return NoisePatches(chosen)


def measure_noise(slices_hu: np.ndarray, offset: np.ndarray, patches: NoisePatches) -> NoiseFigures:
    """The noise of a stack.

    slices_hu: [X, Y, slices]; offset: (slices,) of each, 0 for acquired ones; patches: the same for all that is
    compared, see ``find_noise_patches``.
    """
    rounded = np.round(offset, 3)
    deviations, offsets = measure_deviations(slices_hu, patches), np.unique(rounded)
    synthesised = [int(j) for j in np.flatnonzero(rounded > 0)]
    return NoiseFigures(
        offset=tuple(offsets.tolist()),
        deviation_hu=tuple(_root_mean_square(deviations[rounded == t]) for t in offsets),
        kurtosis=measure_kurtosis(slices_hu, patches, synthesised),
        spectrum=tuple(measure_spectrum(slices_hu, patches, synthesised).tolist()),
        slice_correlation=measure_slice_correlation(slices_hu, patches),
        slice_noise_index=compute_slice_noise_index(deviations),
    )


def measure_deviations(slices_hu: np.ndarray, patches: NoisePatches) -> np.ndarray:
    """(slices,) standard deviation of every slice's noise, HU; nan where there are too few patches."""
    result = np.full(slices_hu.shape[2], np.nan)
    for j in range(len(result)):
        if patches.is_measurable(j):
            result[j] = np.sqrt(np.mean(patches.cut(slices_hu, j) ** 2) * FREE_PIXELS)
    return result


def measure_pooled_deviation(slices_hu: np.ndarray, patches: NoisePatches) -> float:
    """Standard deviation of the noise of all slices together, HU; nan where there are too few patches.

    It is a low quantile of that of the patches, for where few are uniform, many hold a structure.
    """
    noise = np.concatenate([patches.cut(slices_hu, j) for j in range(slices_hu.shape[2])])
    if len(noise) < FEWEST_POOLED:
        return np.nan
    return float(np.sqrt(np.quantile(noise.var((-2, -1)), QUIET_SHARE) * FREE_PIXELS))


def measure_kurtosis(slices_hu: np.ndarray, patches: NoisePatches, which: Sequence[int]) -> float:
    """Excess kurtosis of the noise of some slices, mean over them; 0 is a normal distribution's."""
    found = list[float]()
    for j in filter(patches.is_measurable, which):
        noise = patches.cut(slices_hu, j)
        second = np.mean(noise**2)
        if second > 0:
            found.append(float(np.mean(noise**4) / second**2 - 3))
    return float(np.mean(found)) if found else np.nan


def measure_spectrum(slices_hu: np.ndarray, patches: NoisePatches, which: Sequence[int]) -> np.ndarray:
    """(PATCH/2,) mean power, HU^2, of the noise of some slices at 1, 2, ... cycles per patch, over all directions.

    The noise power spectrum of ICRU 87 without its factor of pixel areas; with a Hann window, so that a strong
    frequency does not leak into the others.
    """
    radius = np.rint(frequency_radius()).astype(int)
    totals, count = np.zeros(PATCH // 2), 0
    for j in filter(patches.is_measurable, which):
        noise = patches.cut(slices_hu, j) * hann_window()
        power = np.abs(np.fft.fft2(noise)) ** 2 / PATCH**2
        mean = power.mean(0)
        totals += [mean[radius == k].mean() for k in range(1, PATCH // 2 + 1)]
        count += 1
    return totals / count if count else np.full(PATCH // 2, np.nan)


def compute_spectrum_distance(spectrum: Sequence[float], truth: Sequence[float]) -> float:
    """The largest relative difference of power from the truth's at any frequency that is not weak in the truth."""
    found, true = np.asarray(spectrum), np.asarray(truth)
    strong = true >= WEAK_POWER * true.max()
    return float(np.abs(found[strong] / true[strong] - 1).max()) if strong.any() else np.nan


def measure_slice_correlation(slices_hu: np.ndarray, patches: NoisePatches) -> float:
    """Correlation of the noise of neighbouring slices, mean over all pairs."""
    found = list[float]()
    for j in range(slices_hu.shape[2] - 1):
        here, there = patches.cut(slices_hu, j, also=j + 1), patches.cut(slices_hu, j + 1, also=j)
        norm = np.sqrt(np.mean(here**2) * np.mean(there**2)) if len(here) >= FEWEST_PATCHES else 0.0
        if norm > 0:
            found.append(float(np.mean(here * there) / norm))
    return float(np.mean(found)) if found else np.nan


def compute_slice_noise_index(deviations: np.ndarray) -> float:
    """Standard deviation over slices of their noise, divided by its mean: 0 where all slices are equally noisy.

    What the slice-wise noise level inconsistency (SNLI) of Fang et al., *CycleINR* (arXiv:2404.04878), 2024, is about.
    Being relative, it compares scans of different noise; its figures are not those of that paper.
    """
    known = deviations[np.isfinite(deviations)]
    return float(known.std() / known.mean()) if len(known) > 1 and known.mean() > 0 else np.nan


def _root_mean_square(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(known**2))) if len(known) else np.nan
