"""Random patches of dense volumes, made sparse by Eq. (1), as the two training stages need them."""

import math
from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter1d

from saint_cli.errors import UsageError
from saint_cli.nets.ami import CONTEXT_SLICES
from saint_cli.training.augment import NO_AUGMENTATION, Augmentation, interpolate_along
from saint_cli.training.volumes import DenseVolume

FACTORS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 16)
"""Drawn with probability 1/factor: small factors are what people use most, and hardest to gain on."""

OFFSET_COUNT = 4
"""Offsets of each AMI patch: all factors then fit into one batch, and the head costs the same for each."""

SIDEWAYS_WEIGHT, ALONE_WEIGHT = 0.4, 0.25
"""How often a volume is drawn along an in-plane axis, with its true neighbours or without, against once along z."""

AIR_UNITS = 0.15
"""Network value (-874 HU) below which a patch is mostly outside the patient; such patches teach nothing."""

MOST_TRIES = 8
LEAST_DIFFICULTY = 0.002
"""Network units (2 HU) below which linear interpolation is as good as exact, and no measure of difficulty."""

ROUNDING = 1e-9
"""Voxels by which rounding may make a zoomed patch seem larger than its volume."""

STRIDE = 7
"""In-plane steps between the voxels from which a volume's difficulty is measured."""


class AmiBatch(NamedTuple):
    """Sparse slices and the dense truth between them.

    slices (B, 3, H, W) network range; offsets (B, T); in_plane_mm, through_plane_mm (B,);
    linear, truth (B, T, H, W - 1) network range: linear interpolation and the real voxels at each offset;
    difficulty (B,) root mean square error of linear interpolation at each patch's volume and distance.
    """

    slices: np.ndarray
    offsets: np.ndarray
    in_plane_mm: np.ndarray
    through_plane_mm: np.ndarray
    linear: np.ndarray
    truth: np.ndarray
    difficulty: np.ndarray


class PatchSource:
    """Which volumes, at which extra decimations, hold a patch at a factor; draws among them.

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
        self.acquired = acquired
        self._difficulty: dict[tuple[int, int, int], float] = {}
        candidates = [(v, 1.0) for v in volumes]
        if sideways:
            turned = [t for v in volumes for t in v.view_sideways(thick=thick)]
            candidates += [(t, SIDEWAYS_WEIGHT if t.neighbour_step == 1 else ALONE_WEIGHT) for t in turned]
        self.by_factor: dict[int, tuple[list[tuple[DenseVolume, list[int]]], np.ndarray]] = {}
        for factor in factors:
            fitting = [
                (v, steps, weight * float(np.sqrt(v.voxels.size)))
                for v, weight in candidates
                if _is_wide_enough(v, in_plane) and (steps := self._steps(v, factor))
            ]
            if fitting:
                weights = np.array([w for _, _, w in fitting])
                self.by_factor[factor] = [(v, s) for v, s, _ in fitting], weights / weights.sum()
        if not self.by_factor:
            least = self.dense_length(min(factors))
            raise UsageError(
                f"no volume is large enough to train on: at least {least} slices of {in_plane} x {in_plane} voxels"
            )
        odds = np.array([1 / factor for factor in self.by_factor])
        self._odds = odds / odds.sum()

    def dense_length(self, factor: int) -> int:
        """Dense slices under ``acquired`` slices that lie ``factor`` apart."""
        return (self.acquired - 1) * factor + 1

    def _steps(self, volume: DenseVolume, factor: int) -> list[int]:
        return [d for d in volume.decimations if volume.voxels.shape[2] >= self.dense_length(factor * d)]

    def draw_factor(self, rng: np.random.Generator) -> int:
        """One of the factors that some volume can serve, small ones more often."""
        return int(rng.choice(list(self.by_factor), p=self._odds))

    def draw(self, rng: np.random.Generator, factor: int) -> tuple[DenseVolume, int, slice]:
        """A volume (large ones more often), an extra decimation, and the dense slices that it is to be applied to."""
        fitting, odds = self.by_factor[factor]
        volume, steps = fitting[rng.choice(len(fitting), p=odds)]
        step = int(rng.choice(steps))
        length = self.dense_length(factor * step)
        first = int(rng.integers(volume.voxels.shape[2] - length + 1))
        return volume, step, slice(first, first + length)

    def measure_difficulty(
        self, volume: DenseVolume, distance: int, step: int = 1, augmentation: Augmentation = NO_AUGMENTATION
    ) -> float:
        """Root mean square error, network units, of linear interpolation over ``distance`` slices inside the body.

        step: extra decimation, over which the augmentation may have averaged slices. Gains in dB are relative to this
        error; dividing by it keeps volumes and factors with large errors from drowning the others.
        """
        averaged = augmentation.count_averaged_slices(step)
        key = (id(volume), distance, averaged)
        if key not in self._difficulty:
            self._difficulty[key] = _measure_difficulty(volume, distance, averaged)
        return self._difficulty[key] * augmentation.contrast


def _is_wide_enough(volume: DenseVolume, in_plane: int) -> bool:
    across, along_slice = int(volume.voxels.shape[0]), int(volume.voxels.shape[1])
    return along_slice >= in_plane and across >= (in_plane if volume.neighbour_step == 1 else CONTEXT_SLICES)


def _measure_difficulty(volume: DenseVolume, distance: int, averaged: int) -> float:
    dense = volume.values.to_network(np.ascontiguousarray(volume.voxels[::STRIDE, ::STRIDE]))
    dense = uniform_filter1d(dense, averaged, axis=2)
    end = (dense.shape[2] - 1) // distance * distance
    below, above = dense[..., :end:distance], dense[..., distance : end + 1 : distance]
    squares = []
    for c in range(1, distance, max(1, distance // 4)):
        truth, t = dense[..., c:end:distance], c / distance
        inside = truth > AIR_UNITS
        squares.append(np.square((1 - t) * below + t * above - truth)[inside])
    every = np.concatenate(squares)
    return max(LEAST_DIFFICULTY, float(np.sqrt(every.mean())) if every.size else 0.0)


class AmiSampler:
    """Patches for the AMI stage. Batch k of a seed is always the same, so that runs can be resumed.

    patch: in-plane length H and number of acquired slices W of every patch. rank: of the process; each draws
    other patches. augment: vary the patches (``augment``), and use thick volumes sideways too.

    Raises:
        UsageError: no volume is large enough for such a patch.
    """

    def __init__(
        self,
        volumes: list[DenseVolume],
        batch: int,
        patch: tuple[int, int],
        seed: int,
        rank: int = 0,
        *,
        augment: bool = True,
    ) -> None:
        self.batch, self.height, self.seed, self.rank, self.augment = batch, patch[0], seed, rank, augment
        self.source = PatchSource(volumes, max(patch[0], CONTEXT_SLICES), patch[1], sideways=True, thick=augment)

    def draw_batch(self, step: int) -> AmiBatch:
        """The batch of a step; each patch has its own volume, factor and direction."""
        rng = np.random.default_rng((self.seed, step, self.rank))
        samples = [self._sample(rng) for _ in range(self.batch)]
        return AmiBatch(*(np.stack(column) for column in zip(*samples, strict=True)))

    def _sample(self, rng: np.random.Generator) -> AmiBatch:
        factor = self.source.draw_factor(rng)
        for _ in range(MOST_TRIES):
            dense, spacing, difficulty = self._patch(rng, factor)
            if dense[1].mean() > AIR_UNITS:
                break
        steps = np.arange(1, factor)
        if len(steps) != OFFSET_COUNT:  # fewer are repeated, of more some are chosen
            steps = np.sort(rng.choice(steps, OFFSET_COUNT, replace=len(steps) < OFFSET_COUNT))
        offsets = (steps / factor).astype(np.float32)
        sparse = dense[..., ::factor]  # (3, H, W)
        height, windows = sparse.shape[1], sparse.shape[2] - 1
        between = dense[1, :, :-1].reshape(height, windows, factor)[..., steps]  # (H, W - 1, T)
        truth = between.transpose(2, 0, 1)  # (T, H, W - 1)
        t = offsets[:, None, None]
        line = (1 - t) * sparse[1, :, :-1] + t * sparse[1, :, 1:]
        in_plane, through, hard = (np.array(value, np.float32) for value in (*spacing, difficulty))
        return AmiBatch(sparse, offsets, in_plane, through, line, truth, hard)

    def _patch(self, rng: np.random.Generator, factor: int) -> tuple[np.ndarray, tuple[float, float], float]:
        """(3, H, (W - 1) * factor + 1) dense network values; spacing in mm in-plane and between acquired slices."""
        volume, step, depth = self.source.draw(rng, factor)
        augmentation = Augmentation.draw(rng) if self.augment else NO_AUGMENTATION
        sagittal = volume.neighbour_step < 1 or rng.random() < 0.5
        view = volume.voxels if sagittal else volume.voxels.transpose(1, 0, 2)
        zoom = self._zoom(view, volume.neighbour_step, augmentation.zoom)
        aside = volume.neighbour_step * zoom
        reach, span = math.ceil(aside - ROUNDING), math.ceil(zoom * (self.height - 1) - ROUNDING)
        x = int(rng.integers(reach, view.shape[0] - reach))
        y = int(rng.integers(view.shape[1] - span))
        dense = volume.values.to_network(view[x - reach : x + reach + 1, y : y + span + 1, depth])
        dense = interpolate_along(dense, reach + aside * np.arange(-1, 2), 0)
        dense = interpolate_along(dense, zoom * np.arange(self.height), 1)
        dense = augmentation.apply(augmentation.decimate(dense, step), rng)
        for axis in range(3):
            if rng.random() < 0.5:
                dense = np.flip(dense, axis)
        spacing = volume.spacing_mm[1 if sagittal else 0] * zoom, volume.spacing_mm[2] * step * factor
        return dense, spacing, self.source.measure_difficulty(volume, step * factor, step, augmentation)

    def _zoom(self, view: np.ndarray, neighbour_step: float, wanted: float) -> float:
        """As much of the zoom as the volume has voxels for."""
        across, along_slice = int(view.shape[0]), int(view.shape[1])
        return min(wanted, (along_slice - 1) / (self.height - 1), (across - 1) // 2 / neighbour_step)
