"""Noise, tissues and edges of every method on one degraded scan, beside those of the truth."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from saint_cli.evaluation.metrics import Protocol
from saint_cli.evaluation.noise_measures import (
    NoiseFigures,
    compute_spectrum_distance,
    find_noise_patches,
    make_guide,
    measure_noise,
)
from saint_cli.evaluation.scores import DegradedScan, factor_as_number
from saint_cli.evaluation.tissue_measures import TissueFigures
from saint_cli.evaluation.user_measures import UserMeasurer
from saint_cli.geometry import in_plane

MEASURES = ("noise", "tissues")
"""What can be measured besides the scores: noise; tissues and the sharpness of edges across slices."""

TRUTH = "truth"
"""How tables and JSON call the dense slices themselves."""


@dataclass(frozen=True)
class ResultMeasures:
    """What was measured in one method's slices; None where it was not asked for.

    noise: of the acquired and the synthesised slices; spectrum_distance: largest relative difference of its power
    spectrum from the truth's; tissues: volumes and surfaces against the truth's, acquired slices included;
    edge_rise_mm: median rise from 10 to 90 % of steps across slices, None too where there are few.
    """

    volume: str
    factor: float
    method: str
    noise: NoiseFigures | None = None
    spectrum_distance: float | None = None
    tissues: tuple[TissueFigures, ...] | None = None
    edge_rise_mm: float | None = None


class Measurer:
    """Measures results of one degraded scan in what its protocol compares; the truth's part is computed once."""

    def __init__(self, degraded: DegradedScan, protocol: Protocol, wanted: Collection[str]) -> None:
        self._degraded, self._protocol = degraded, protocol
        self._offset, axis = degraded.grid.locate()[1], degraded.grid.axis
        truth = self._hu(degraded.truth)
        if "noise" in wanted:
            self._patches = find_noise_patches(make_guide(truth))
            self._true_spectrum = measure_noise(truth, self._offset, self._patches).spectrum
        if "tissues" in wanted:
            between_mm = degraded.sparse.spacing_mm[axis] * degraded.grid.step
            spacing_mm = (*in_plane(degraded.sparse.spacing_mm, axis), between_mm)
            self._user_measurer = UserMeasurer(truth, spacing_mm, float(degraded.factor))
        self._wanted = frozenset(wanted)

    def measure(self, method: str, result: np.ndarray) -> ResultMeasures:
        """The measures of a restoration [X, Y, slices]."""
        slices, noise, measures = self._hu(result), None, None
        if "noise" in self._wanted:
            noise = measure_noise(slices, self._offset, self._patches)
        if "tissues" in self._wanted:
            measures = self._user_measurer.measure(slices)
        return ResultMeasures(
            volume=self._degraded.volume,
            factor=factor_as_number(self._degraded.factor),
            method=method,
            noise=noise,
            spectrum_distance=None if noise is None else compute_spectrum_distance(noise.spectrum, self._true_spectrum),
            tissues=None if measures is None else measures.tissues,
            edge_rise_mm=None if measures is None else measures.edge_rise_mm,
        )

    def _hu(self, slices: np.ndarray) -> np.ndarray:
        return self._protocol.view(slices) + np.float32(self._protocol.low_hu)
