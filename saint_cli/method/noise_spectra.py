"""Power spectra of noise, measured in patches of uniform tissue, by zone and by distance from acquired slices."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from saint_cli.method import noise_maps
from saint_cli.method.noise_maps import ZONES, NoiseMap
from saint_cli.method.noise_patches import (
    GUIDE_SIGMA,
    PATCH,
    STRIDE,
    cut_windows,
    frequency_radius,
    hann_window,
    quadratic_surfaces,
)
from saint_cli.method.slice_plan import SlicePlan

KEPT_SHARE = 0.2
"""Of the patches of a zone in a window: the most uniform."""

FEWEST_PATCHES = 12
"""Of a zone in the whole volume: with fewer, its spectrum is not known."""

MOST_PATCHES = 150
"""Of a zone in a window."""

MOST_WINDOWS = 16
"""Pairs of neighbouring acquired slices in which spectra are measured, spread evenly over the scan."""

TISSUE_HU, AIR_HU = (-30.0, 200.0), (-np.inf, -850.0)
"""Smoothed values of patches in the body (fat and soft tissue) and around it."""

LEAST_DEVIATION_HU = 0.5
"""Weaker noise is rounding to whole HU."""

PHASES = 16
"""Steps from one acquired slice to the next by which offsets are told apart; t and 1 - t are one phase."""

ACQUIRED = 0
"""The phase of acquired slices."""


AcquiredSlices = Callable[[int], np.ndarray | None]
"""From the index of an acquired slice to its values, [X, Y] float32 HU; None if the output does not show it."""


@dataclass
class ZoneSpectra:
    """Noise power of one zone in units of the noise map's variance.

    power: by phase, [(patches, PATCH, PATCH) float32] of each slice; covariance: the sum over frequencies, patches and
    neighbouring output slices; pairs: of patches in neighbouring slices, by their phases.
    """

    power: dict[int, list[np.ndarray]] = field(default_factory=dict)
    covariance: float = 0.0
    pairs: dict[tuple[int, int], int] = field(default_factory=dict)

    def add(self, phase: int, spectra: np.ndarray) -> None:
        """Add complex spectra (patches, PATCH, PATCH) of a slice."""
        self.power.setdefault(phase, []).append(np.square(np.abs(spectra)))

    def add_pair(self, phases: tuple[int, int], below: np.ndarray, above: np.ndarray) -> None:
        """Add complex spectra (patches, PATCH, PATCH) of two neighbouring slices."""
        self.covariance += float(np.vdot(below, above).real)
        self.pairs[phases] = self.pairs.get(phases, 0) + len(below)

    def mean(self, phase: int) -> np.ndarray:
        """[PATCH, PATCH] mean noise power at a phase that was measured.

        Anatomy that patches hold has much power at a few low frequencies; so the mean is that of the weaker half of
        the patches at each frequency, times what makes it the whole mean at high frequencies, which have no anatomy.
        """
        power = np.concatenate(self.power[phase])
        weaker = np.sort(power, axis=0)[: (len(power) + 1) // 2].mean(0, dtype=float)
        high = frequency_radius() >= PATCH / 4
        return np.asarray(weaker * (power.mean(0, dtype=float)[high].sum() / max(1e-12, weaker[high].sum())))

    @property
    def is_known(self) -> bool:
        """Whether there were patches enough."""
        return sum(map(len, self.power.get(ACQUIRED, []))) >= FEWEST_PATCHES


def find_phases(offset: np.ndarray) -> np.ndarray:
    """(S,) phase of synthesised slices by their offset: distance from the nearer acquired one, 1 to PHASES / 2."""
    distance = np.minimum(offset, 1 - offset)
    return np.asarray(np.maximum(1, np.rint(distance * PHASES)), int)


def measure_spectra(
    dense: np.ndarray, find_acquired: AcquiredSlices, maps: Sequence[NoiseMap], plan: SlicePlan
) -> dict[str, ZoneSpectra]:
    """The spectra of each zone.

    dense: [X, Y, output slices] HU; find_acquired, maps: of all acquired slices.
    """
    result = {zone: ZoneSpectra() for zone in ZONES}
    phases = find_phases(plan.offset)
    for window in _choose_windows(plan):
        rows = np.flatnonzero((plan.window == window) & (plan.offset > 0))
        between = [noise_maps.to_finite_hu(dense[..., plan.synthesised[s]]) for s in rows]
        labelled = [
            (ACQUIRED, find_acquired(int(window))),
            *zip((int(p) for p in phases[rows]), between, strict=True),
            (ACQUIRED, find_acquired(int(window) + 1)),
        ]
        slices = [plane for _, plane in labelled if plane is not None]
        labels = [label for label, plane in labelled if plane is not None]
        map_here = maps[window].mix(maps[window + 1], 0.5)
        deviation = noise_maps.enlarge(map_here.deviation, slices[0].shape)
        for zone, places in _find_places(slices, map_here):
            spectra = result[zone]
            cuts = [transform_patches(plane, places, deviation) for plane in slices]
            for label, cut in zip(labels, cuts, strict=True):
                spectra.add(label, cut)
            for k in range(len(cuts) - 1):
                spectra.add_pair((labels[k], labels[k + 1]), cuts[k], cuts[k + 1])
    return result


def transform_patches(plane: np.ndarray, places: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """(patches, PATCH, PATCH) complex64 Fourier transforms of a plane's patches, each less its own quadratic surface.

    places: (patches, 2) first pixels; deviation: [X, Y] by which the noise is divided. Patches are weighted by a Hann
    window; the mean square of a transform is the variance.
    """
    from scipy import fft

    views = np.lib.stride_tricks.sliding_window_view(plane, (PATCH, PATCH))
    strength = deviation[places[:, 0] + PATCH // 2, places[:, 1] + PATCH // 2]
    flat = views[places[:, 0], places[:, 1]].reshape(len(places), -1) / strength[:, None]
    surfaces, window = (one.astype(np.float32) for one in (quadratic_surfaces(), hann_window()))
    flat = flat - (flat @ surfaces) @ surfaces.T
    return np.asarray(fft.fft2(flat.reshape(-1, PATCH, PATCH) * window) / PATCH, np.complex64)


def _choose_windows(plan: SlicePlan) -> np.ndarray:
    """The lower acquired slices of up to ``MOST_WINDOWS`` windows that hold synthesised slices."""
    windows = np.unique(plan.window[(plan.offset > 0) & (plan.above > plan.window)])
    chosen = np.unique(np.linspace(0, len(windows) - 1, min(MOST_WINDOWS, len(windows))).astype(int))
    return windows[chosen] if len(windows) else windows


def _find_places(slices: Sequence[np.ndarray], noise_map: NoiseMap) -> Iterator[tuple[str, np.ndarray]]:
    """Of each zone, (patches, 2) the first pixels of its most uniform patches."""
    from scipy import ndimage

    guide = ndimage.gaussian_filter(np.mean(slices, axis=0), GUIDE_SIGMA)
    views = cut_windows(guide)
    least, most, spread = views.min((2, 3)), views.max((2, 3)), views.std((2, 3))
    x, y = (np.arange(n) * STRIDE + PATCH // 2 for n in least.shape)
    blocks = np.ix_(x // noise_maps.BLOCK, y // noise_maps.BLOCK)
    zones, is_noisy = noise_map.zones.argmax(0)[blocks], noise_map.deviation[blocks] > LEAST_DEVIATION_HU
    for i, zone in enumerate(ZONES):
        low, high = AIR_HU if zone == "air" else TISSUE_HU
        usable = is_noisy & (zones == i) & (least > low) & (most < high)
        if usable.any():
            chosen = usable & (spread <= np.quantile(spread[usable], KEPT_SHARE))
            places = np.argwhere(chosen) * STRIDE
            yield zone, places[:: -(-len(places) // MOST_PATCHES)]
