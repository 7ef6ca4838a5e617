"""Which volumes, at which extra decimations, hold a patch at a factor; how hard each is to interpolate."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from saint_cli.errors import UsageError
from saint_cli.errors.plain_text import list_first
from saint_cli.geometry import SlabProfile, format_shape
from saint_cli.nets.ami import CONTEXT_SLICES
from saint_cli.training.dense_volume import DenseVolume
from saint_cli.training.slice_profile import PICKED, SliceProfile

FACTORS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 16)
"""Drawn with probability 1/factor: small factors are what people use most, and hardest to gain on."""

SIDEWAYS_WEIGHT, ALONE_WEIGHT = 0.4, 0.25
"""How often a volume is drawn along an in-plane axis, with its true neighbours or without, against once along z."""

AIR_UNITS = 0.15
"""Network value (-874 HU) below which a patch is mostly outside the patient; such patches teach nothing."""

MOST_TRIES = 8
"""Draws of a patch until it is not of air."""

LEAST_DIFFICULTY = 0.002
"""Network units (2 HU) below which linear interpolation is as good as exact, and no measure of difficulty."""

MOST_SHOWN = 3
"""Volumes, or directions of one, whose sizes are listed where none holds a patch."""

MOST_MEASURED_VOXELS = 250_000
"""Voxels of a volume from which its difficulty is measured: there are hundreds of distances and profiles."""


class _Candidates(NamedTuple):
    """The volumes that hold a patch at one factor, the extra decimations of each, and their cumulative odds."""

    volumes: list[tuple[DenseVolume, list[int]]]
    cumulative: np.ndarray


class PatchSource:
    """Draws volumes and extra decimations for patches, and measures their difficulty.

    in_plane: voxels that the patch needs along both in-plane axes; acquired: its slices after decimation;
    sideways: thin volumes are also drawn along their in-plane axes, with ``thick`` all volumes; factors: to draw from.

    Raises:
        UsageError: no volume is large enough for any factor.
    """

    def __init__(
        self,
        volumes: list[DenseVolume],
        in_plane: int,
        acquired: int,
        *,
        sideways: bool = False,
        thick: bool = False,
        factors: tuple[int, ...] = FACTORS,
    ) -> None:
        self.in_plane, self.acquired = in_plane, acquired
        self._difficulty: dict[tuple[DenseVolume, int, SliceProfile, bool], Tensor] = {}
        candidates = [(v, 1.0) for v in volumes]
        if sideways:
            turned = [t for v in volumes for t in v.view_sideways(thick=thick)]
            candidates += [(t, SIDEWAYS_WEIGHT if t.neighbour_step == 1 else ALONE_WEIGHT) for t in turned]
        self._by_factor: dict[int, _Candidates] = {}
        for factor in factors:
            fitting = [
                (v, steps, weight * float(np.sqrt(v.voxels.numel())))
                for v, weight in candidates
                if (steps := self._steps(v, factor))
            ]
            if fitting:
                weights = [w for _, _, w in fitting]
                self._by_factor[factor] = _Candidates([(v, s) for v, s, _ in fitting], _cumulate(weights))
        if not self._by_factor:
            raise self._explain_sizes([v for v, _ in candidates], min(factors))
        self.factors = list(self._by_factor)
        self._cumulative = _cumulate([1 / factor for factor in self.factors])

    def dense_length(self, factor: int) -> int:
        """Dense slices under ``acquired`` slices that lie ``factor`` apart."""
        return (self.acquired - 1) * factor + 1

    def _least_shape(self, volume: DenseVolume, distance: int) -> tuple[int, int, int]:
        """Voxels that a volume needs along its axes for a patch with acquired slices ``distance`` slices apart."""
        across = self.in_plane if volume.neighbour_step == 1 else CONTEXT_SLICES
        return across, self.in_plane, self.dense_length(distance)

    def _steps(self, volume: DenseVolume, factor: int) -> list[int]:
        """The extra decimations at which a volume holds a patch."""
        shape = np.array(volume.voxels.shape)
        return [d for d in volume.decimations if (shape >= self._least_shape(volume, factor * d)).all()]

    def _explain_sizes(self, candidates: list[DenseVolume], factor: int) -> UsageError:
        """That none of the volumes holds a patch at the least factor, with what the largest has and needs each way."""
        most = max(v.voxels.numel() for v in candidates)
        largest = [v for v in candidates if v.voxels.numel() == most]
        sizes = [
            f"{v.name} has {format_shape(v.voxels.shape)} and needs {format_shape(self._least_shape(v, factor))}"
            for v in largest
        ]
        shown = list_first(sizes, MOST_SHOWN, "; ")
        return UsageError(f"no volume is large enough to train on (voxels, slices last): {shown}")

    def draw_factor(self, rng: np.random.Generator) -> int:
        """One of the factors that some volume can serve, small ones more often."""
        return self.factors[_pick(rng, self._cumulative)]

    def draw(self, rng: np.random.Generator, factor: int) -> tuple[DenseVolume, int]:
        """A volume (large ones more often), and an extra decimation."""
        candidates = self._by_factor[factor]
        volume, steps = candidates.volumes[_pick(rng, candidates.cumulative)]
        return volume, steps[int(rng.integers(len(steps)))]

    def measure_difficulty(
        self, volume: DenseVolume, distance: int, profile: SliceProfile = PICKED, slab: SlabProfile | None = None
    ) -> Tensor:
        """Root mean square error, network units, of linear interpolation over ``distance`` slices inside the body.

        profile: of every slice; slab: of the acquired ones only, in distances, where the truth are single slices.
        Gains in dB are relative to this error; dividing by it keeps volumes and factors with large errors from
        drowning the others.
        Returns one number on the volume's device, for which a GPU need not be waited for.
        """
        if slab is not None:
            profile = SliceProfile.box(max(1, round(slab.thickness * distance)))
        key = (volume, distance, profile, slab is not None)
        if key not in self._difficulty:
            self._difficulty[key] = _measure_difficulty(*key)
        return self._difficulty[key]


def _cumulate(weights: list[float]) -> np.ndarray:
    cumulative = np.cumsum(weights)
    shares: np.ndarray = cumulative / cumulative[-1]
    return shares


def _pick(rng: np.random.Generator, cumulative: np.ndarray) -> int:
    """A random index, by cumulative odds; ``Generator.choice`` does the same ten times slower."""
    return int(np.searchsorted(cumulative, rng.random(), side="right"))


def _measure_difficulty(volume: DenseVolume, distance: int, profile: SliceProfile, thin: bool) -> Tensor:
    stride = max(1, math.ceil(math.sqrt(volume.voxels.numel() / MOST_MEASURED_VOXELS)))
    single = volume.to_network(volume.voxels[::stride, ::stride])
    mean = profile.average_slices(single)
    dense = single if thin else mean
    end = (dense.shape[2] - 1) // distance * distance
    below, above = mean[..., :end:distance], mean[..., distance : end + 1 : distance]
    squares, voxels = torch.zeros((), device=dense.device), torch.zeros((), device=dense.device)
    for c in range(0 if thin else 1, distance, max(1, distance // 4)):
        truth = dense[..., c:end:distance]
        inside = (truth > AIR_UNITS).float()
        squares += (torch.lerp(below, above, c / distance) - truth).square().mul_(inside).sum()
        voxels += inside.sum()
    return (squares / voxels.clamp(min=1)).sqrt().clamp(min=LEAST_DIFFICULTY)
