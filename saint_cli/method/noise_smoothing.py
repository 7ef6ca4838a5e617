"""Acquired slices as quiet as synthesised ones, for segmentation and surfaces; here acquired slices do change."""

from collections.abc import Sequence

import numpy as np

from saint_cli.method import noise_fields, noise_maps, noise_spectra
from saint_cli.method.noise_maps import DETAIL_SIGMA, NoiseMap
from saint_cli.method.noise_spectra import ACQUIRED, ZoneSpectra
from saint_cli.method.padding import fill_nonfinite
from saint_cli.method.slice_plan import SlicePlan

STRUCTURE_SIGMA = 1.5
"""Pixels of the Gaussian over which what may be noise is compared with the noise that is expected there."""

NOISE_RATIO, STRUCTURE_RATIO = 2.0, 4.0
"""Variance, in multiples of the expected noise's, up to which all is noise, and from which on all is structure."""

LEAST_CHANGE_HU = 0.5
"""Less is lost when values are rounded."""

ROUNDS = 2
"""How often phases are measured and brought to the quietest."""


def smooth_noise(dense: np.ndarray, sparse: np.ndarray, plan: SlicePlan) -> bool:
    """Bring all slices to the noise of the quietest synthesised ones; False if no acquired slice changed.

    dense: [X, Y, output slices] HU, changed in place; sparse: [X, Y, acquired] HU. Voxels that are not finite stay so.
    An acquired slice is replaced by the mean of its synthesised neighbours where it differs from them by noise alone;
    where it differs by more, such as at edges, it stays. Then each phase is filtered to the spectrum of the quietest.
    """
    filled = fill_nonfinite(sparse)
    maps = noise_maps.measure_maps(filled)
    shown, between = _list_acquired(plan), set(plan.synthesised[plan.offset > 0].tolist())
    for k, j in shown.items():
        around = _mean_of_neighbours(dense, between, j)
        if around is not None:
            change = around - noise_maps.to_finite_hu(dense[..., j])
            dense[..., j] = noise_maps.add_change(dense[..., j], change * _find_noise(change, maps[k]))
    for _ in range(ROUNDS):
        _equalise_phases(dense, shown, maps, plan)
    for j, k in zip(plan.copied, plan.source, strict=True):  # slices beyond the last acquired one repeat it
        dense[..., j] = dense[..., shown[int(k)]]
    return any((np.abs(dense[..., j] - filled[..., k]) > LEAST_CHANGE_HU).any() for k, j in shown.items())


def _list_acquired(plan: SlicePlan) -> dict[int, int]:
    """The output slice that shows each acquired slice, by the acquired one; regenerated ones included.

    Of several, as with slices beyond the last acquired one, the first, which lies at its place.
    """
    regenerated = plan.offset == 0
    output = [*plan.synthesised[regenerated], *plan.copied]
    acquired = [*plan.window[regenerated], *plan.source]
    return {int(k): int(j) for k, j in zip(reversed(acquired), reversed(output), strict=True)}


def _mean_of_neighbours(dense: np.ndarray, between: set[int], j: int) -> np.ndarray | None:
    """[X, Y] float32 the mean of what of ``between``, slices between acquired ones, is beside j; None if nothing is."""
    beside = [i for i in (j - 1, j + 1) if i in between]
    planes = [noise_maps.to_finite_hu(dense[..., i]) for i in beside]
    return np.mean(planes, axis=0) if planes else None


def _find_noise(residual: np.ndarray, noise_map: NoiseMap) -> np.ndarray:
    """Weights [X, Y] in [0, 1]: 1 where a residual is noise, 0 where it is structure (Lee, IEEE PAMI-2, 1980)."""
    from scipy import ndimage

    variance = ndimage.gaussian_filter(np.square(residual), STRUCTURE_SIGMA)
    expected = np.square(noise_maps.enlarge(noise_map.deviation, residual.shape))
    ratio = variance / np.maximum(expected, 1e-3)
    flat = noise_maps.enlarge(noise_map.zones[:2].sum(0), residual.shape) > 0.5
    flat &= expected > 0
    scale = float(np.median(ratio[flat])) if flat.any() else 1.0
    weights: np.ndarray = np.clip((STRUCTURE_RATIO - ratio / max(scale, 1e-3)) / (STRUCTURE_RATIO - NOISE_RATIO), 0, 1)
    return weights


def _equalise_phases(dense: np.ndarray, shown: dict[int, int], maps: Sequence[NoiseMap], plan: SlicePlan) -> None:
    """Filter the noise of every slice to the spectrum of the quietest phase, in place."""

    def find_acquired(k: int) -> np.ndarray | None:
        return noise_maps.to_finite_hu(dense[..., shown[k]]) if k in shown else None

    spectra = noise_spectra.measure_spectra(dense, find_acquired, maps, plan)
    removed = _find_surplus([found for zone, found in spectra.items() if zone != "air" and found.is_known])
    for k, j in shown.items():
        if ACQUIRED in removed:
            dense[..., j] = _remove_noise(dense[..., j], removed[ACQUIRED], maps[k])
    phases = noise_spectra.find_phases(plan.offset)
    for s in np.flatnonzero(plan.offset > 0):
        if phases[s] in removed:
            j, here = plan.synthesised[s], maps[plan.window[s]].mix(maps[plan.above[s]], float(plan.offset[s]))
            dense[..., j] = _remove_noise(dense[..., j], removed[phases[s]], here)


def _find_surplus(zones: Sequence[ZoneSpectra]) -> dict[int, np.ndarray]:
    """By phase, [PATCH, PATCH] the share of the noise's amplitude by which it is above the quietest phase's."""
    phases = {phase for found in zones for phase in found.power}
    power = {phase: sum(found.mean(phase) for found in zones if phase in found.power) for phase in phases}
    if not power:
        return {}
    quietest = min(power.values(), key=np.sum)
    return {phase: 1 - np.sqrt(np.minimum(1, quietest / np.maximum(found, 1e-9))) for phase, found in power.items()}


def _remove_noise(plane: np.ndarray, share: np.ndarray, noise_map: NoiseMap) -> np.ndarray:
    """A slice less a share, by frequency, of its detail where that is noise."""
    from scipy import fft, ndimage

    values, shape = noise_maps.to_finite_hu(plane), plane.shape
    padded = tuple(fft.next_fast_len(n, real=True) for n in shape)
    detail = values - ndimage.gaussian_filter(values, DETAIL_SIGMA)
    detail *= _find_noise(detail, noise_map)
    transfer = noise_fields.make_transfer(share, padded)
    surplus = fft.irfft2(fft.rfft2(detail, s=padded) * transfer, s=padded)[: shape[0], : shape[1]]
    return noise_maps.add_change(plane, -surplus)
