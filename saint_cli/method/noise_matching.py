"""Noise for synthesised slices, which networks leave smoother than acquired ones: what they lack, drawn at random."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from saint_cli.method import noise_fields, noise_maps, noise_spectra
from saint_cli.method.noise_fields import NoiseFilter, WhiteSlices
from saint_cli.method.noise_maps import ZONES
from saint_cli.method.noise_spectra import ACQUIRED, ZoneSpectra
from saint_cli.method.padding import fill_nonfinite
from saint_cli.method.slice_plan import SlicePlan

THICKNESS_RANGE = (1.0, 2.0)
"""Of slices in their spacings, from slices that abut to an overlap of a half, as dense scans have it."""


def match_noise(dense: np.ndarray, sparse: np.ndarray, plan: SlicePlan, thickness: float | None = None) -> bool:
    """Add to each synthesised slice the noise that it lacks; False if none was added.

    Acquired slices do not change.

    dense: [X, Y, output slices] HU, changed in place; sparse: [X, Y, acquired] HU. Voxels that are not finite stay so.
    thickness: of acquired slices, in their spacings; None where it is not known.

    What is missing is measured by zone, frequency and phase in patches of uniform tissue: the power of acquired slices
    less that of synthesised ones. It is drawn at random from the content of the scan, as strong in every place as the
    noise of the acquired slices on either side.
    """
    filled = fill_nonfinite(sparse)
    maps = noise_maps.measure_maps(filled)
    spectra = noise_spectra.measure_spectra(dense, lambda k: noise_maps.to_finite_hu(filled[..., k]), maps, plan)
    synthesis = _Synthesis.prepare(spectra, _choose_correlation(thickness, plan), noise_fields.compute_seed(filled))
    if not synthesis.filters:
        return False
    limits, is_changed = (float(filled.min()), float(filled.max())), False
    phases = noise_spectra.find_phases(plan.offset)
    for window in np.unique(plan.window[plan.offset > 0]):
        rows = np.flatnonzero((plan.window == window) & (plan.offset > 0))
        fields = synthesis.draw(int(window), [int(p) for p in phases[rows]], filled.shape[:2])
        for s, field in zip(rows, fields, strict=True):
            j, t = int(plan.synthesised[s]), float(plan.offset[s])
            here = maps[window].mix(maps[plan.above[s]], t)
            zones = sum(noise_maps.enlarge(w, field.shape[1:]) * f for w, f in zip(here.zones, field, strict=True))
            change = zones * noise_maps.enlarge(here.deviation, field.shape[1:])
            is_changed |= bool(np.any(change))
            dense[..., j] = noise_maps.add_change(dense[..., j], change, limits)
    return is_changed


def _choose_correlation(thickness: float | None, plan: SlicePlan) -> float:
    """The wanted correlation of the noise of neighbouring output slices.

    Between thin slices with gaps it is that of a dense scan of such slices. Thick slices that abut or overlap do so in
    the result too, as if they were as much thinner as it is finer: else noise would make streaks as long as they are
    thick.
    """
    if thickness is None:
        thickness = 1.0
    elif thickness < 1:
        positions = np.sort(np.concatenate([plan.source, plan.window + plan.offset]))
        thickness /= float(np.median(np.diff(positions)))
    return float(noise_fields.profile_correlation(1 / np.clip(thickness, *THICKNESS_RANGE)))


@dataclass(frozen=True)
class _Synthesis:
    """How noise is drawn.

    filters: by zone and phase, for what a synthesised slice lacks; white: the noise that they shape.
    """

    filters: Mapping[tuple[str, int], NoiseFilter]
    thickness: float
    seed: int

    @classmethod
    def prepare(cls, spectra: Mapping[str, ZoneSpectra], wanted_correlation: float, seed: int) -> "_Synthesis":
        """wanted_correlation: of the noise of neighbouring output slices."""
        known = {zone: found for zone, found in spectra.items() if found.is_known}
        body = [zone for zone in ("inner", "outer") if zone in known]
        lacks = {(z, p): _lack(known[z], p) for z in known for p in known[z].power if p != ACQUIRED}
        for zone in ("inner", "outer"):  # a zone without patches is like the other
            if zone not in known and body:
                lacks |= {(zone, phase): lack for (z, phase), lack in lacks.items() if z == body[0]}
        filters = {key: NoiseFilter(lack) for key, lack in lacks.items()}
        correlation = _find_correlation([known[z] for z in body], wanted_correlation)
        return cls(filters, noise_fields.find_thickness(correlation), seed)

    def draw(self, window: int, phases: Sequence[int], shape: tuple[int, int]) -> list[np.ndarray]:
        """[zones, X, Y] float32 for each synthesised slice of a window, in units of the noise map's deviation."""
        from scipy import fft

        padded = tuple(fft.next_fast_len(n, real=True) for n in shape)
        result = []
        for phase, white in zip(
            phases, WhiteSlices(padded, self.seed, self.thickness).draw(window, len(phases)), strict=True
        ):
            spectrum = fft.rfft2(white)
            shaped = np.zeros((len(ZONES), *shape), np.float32)
            for i, zone in enumerate(ZONES):
                if (zone, phase) in self.filters:
                    shaped[i] = self.filters[zone, phase].apply(spectrum, padded)[: shape[0], : shape[1]]
            result.append(shaped)
        return result


def _lack(found: ZoneSpectra, phase: int) -> np.ndarray:
    """[PATCH, PATCH] the power by which slices of a phase are weaker than acquired ones."""
    return np.asarray(np.maximum(0, found.mean(ACQUIRED) - found.mean(phase)))


def _find_correlation(zones: Sequence[ZoneSpectra], wanted: float) -> float:
    """The correlation of what is added to neighbouring slices, at which that of all neighbours is the wanted one.

    Acquired slices get nothing, and synthesised ones hold noise of both acquired neighbours.
    """
    missing = room = 0.0
    for found in zones:
        variance = float(found.mean(ACQUIRED).sum())
        missing += wanted * variance * sum(found.pairs.values()) - found.covariance
        for (below, above), count in found.pairs.items():
            if ACQUIRED not in (below, above):
                room += count * float(np.sqrt(_lack(found, below) * _lack(found, above)).sum())
    return float(np.clip(missing / room, 0, noise_fields.MOST_CORRELATION)) if room > 0 else 0.0
