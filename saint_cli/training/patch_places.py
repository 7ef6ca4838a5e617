"""Where the patches of a batch lie: random numbers and index arithmetic on the host, no voxels.

Zoom, flips, extra decimation, slice profile, factor and offsets are a matter of which voxels are read. So only the
voxels that the network sees, and those of the truth, are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from saint_cli.geometry import SlabProfile
from saint_cli.training.augment import Augmentation
from saint_cli.training.dense_volume import DenseVolume
from saint_cli.training.patch_source import AIR_UNITS, MOST_TRIES, PatchSource
from saint_cli.training.slab_patches import draw_slab_profile, index_slices
from saint_cli.training.slice_profile import PICKED, SliceProfile, draw_box_profile, draw_selective_profile

OFFSET_COUNT = 4
"""Offsets of each AMI patch: all factors then fit into one batch, and the head costs the same for each."""

ROUNDING = 1e-6
"""Voxels by which rounding may make a zoomed patch seem larger than its volume."""

SAMPLES = tuple(np.linspace(0, 1, count) for count in (6, 8))
"""Where, from end to end of a patch, its middle slice is looked at to find whether it is of air: along it, and deep."""


@dataclass(frozen=True)
class PatchShape:
    """In-plane length H and number of acquired slices W of every patch."""

    height: int = 48
    acquired: int = 12


class Variation(StrEnum):
    """How patches are varied: not at all, as CT or as MR are acquired."""

    NONE = "none"
    CT = "ct"
    MR = "mr"

    def draw_profile(self, rng: np.random.Generator, factor: int, step: int) -> SliceProfile:
        """A random profile of slices that lie ``step`` dense slices apart, every ``factor``-th of which is acquired."""
        if self is Variation.NONE:
            return PICKED
        return draw_box_profile(rng, step) if self is Variation.CT else draw_selective_profile(rng, factor * step)


class PatchGroup(NamedTuple):
    """n patches of one volume, direction, factor, extra decimation and profile.

    axes: those of the volume across slices, along them and through-plane; profile: of every slice; zoom (n,);
    place (3, n): the middle slice, its first in-plane voxel and its first dense slice, in voxels. slab: the profile of
    acquired slices that are slabs of dense ones, in distances between them.
    """

    volume: DenseVolume
    axes: tuple[int, int, int]
    factor: int
    step: int
    profile: SliceProfile
    zoom: np.ndarray
    place: np.ndarray
    slab: SlabProfile | None = None

    @property
    def thickness_mm(self) -> float:
        """Of the slabs; 0 where slices are not slabs."""
        distance_mm = self.volume.spacing_mm[2] * self.step * self.factor
        return 0.0 if self.slab is None else self.slab.thickness * distance_mm


def draw_group(
    source: PatchSource,
    shape: PatchShape,
    zoom: np.ndarray,
    rng: np.random.Generator,
    variation: Variation,
    *,
    slabs: bool,
) -> PatchGroup:
    """A random patch for each wanted zoom (n,), drawn again where it is of air."""
    factor = source.draw_factor(rng)
    slab = draw_slab_profile(rng) if slabs else None
    for _ in range(MOST_TRIES):
        volume, step = source.draw(rng, factor)
        sagittal = volume.neighbour_step < 1 or rng.random() < 0.5
        axes = (0, 1, 2) if sagittal else (1, 0, 2)
        profile = PICKED if slabs else variation.draw_profile(rng, factor, step)
        extent = _Extent.measure(volume, axes, shape.height, zoom, source.dense_length(factor * step))
        places = extent.draw_places(rng)
        in_body = extent.find_body(places)
        if in_body[0, 0]:  # the first patch decides which volume it is
            break
    place = places[:, in_body.argmax(0), np.arange(len(zoom))]
    return PatchGroup(volume, axes, factor, step, profile, extent.zoom, place, slab)


class _Extent(NamedTuple):
    """What n patches of a volume span, in voxels: to either side (n,), along the slice (n,), dense slices."""

    volume: DenseVolume
    axes: tuple[int, int, int]
    zoom: np.ndarray
    reach: np.ndarray
    span: np.ndarray
    length: int

    @classmethod
    def measure(
        cls, volume: DenseVolume, axes: tuple[int, int, int], height: int, zoom: np.ndarray, length: int
    ) -> "_Extent":
        """With as much of the zoom as the volume has voxels for."""
        across, along, _ = (volume.voxels.shape[axis] for axis in axes)
        zoom = np.minimum(zoom, min((along - 1) / (height - 1), (across - 1) // 2 / volume.neighbour_step))
        reach, span = np.ceil(zoom * volume.neighbour_step - ROUNDING), np.ceil(zoom * (height - 1) - ROUNDING)
        return cls(volume, axes, zoom, reach, span, length)

    def draw_places(self, rng: np.random.Generator) -> np.ndarray:
        """(3, tries, n) int64 random places: middle slice, first voxel along it, first dense slice."""
        across, along, deep = (self.volume.voxels.shape[axis] for axis in self.axes)
        tries = 1 if len(self.zoom) == 1 else MOST_TRIES  # a patch alone is drawn again in another volume
        shares = rng.random((3, tries, len(self.zoom)))
        shares[0] = self.reach + shares[0] * (across - 2 * self.reach)
        shares[1] *= along - self.span
        shares[2] *= deep - self.length + 1
        return shares.astype(np.int64)

    def find_body(self, places: np.ndarray) -> np.ndarray:
        """(tries, n) whether the middle slice of the patch at each place is mostly inside the patient."""
        across, along, depth = places[..., None]
        lines = along + self.span[:, None] * SAMPLES[0]
        slices = depth + (self.length - 1) * SAMPLES[1]
        coarse, stride = self.volume.coarse.transpose(self.axes), self.volume.coarse_stride
        a, b, c = (  # the sample that is nearest, of each axis
            np.minimum((at + stride // 2).astype(np.int64) // stride, most - 1)
            for at, most in zip((across, lines, slices), coarse.shape, strict=True)
        )
        samples = self.volume.values.to_network(coarse[a[..., None], b[..., None], c[..., None, :]])
        is_body: np.ndarray = samples.mean((2, 3)) > AIR_UNITS
        return is_body


@dataclass(frozen=True)
class PatchPlaces:
    """All patches of a batch, those of a group next to each other.

    groups: of them; augmentation, flips (B, 3) 1 or -1 along each axis; steps (B, T) dense slices from an acquired one
    to each offset, sorted.
    """

    shape: PatchShape
    groups: list[PatchGroup]
    augmentation: Augmentation
    flips: np.ndarray
    steps: np.ndarray

    @classmethod
    def draw(
        cls,
        source: PatchSource,
        shape: PatchShape,
        sizes: list[int],
        rng: np.random.Generator,
        variation: Variation,
        *,
        slabs: bool = False,
    ) -> "PatchPlaces":
        """Random ones, in groups of these sizes; slabs: see ``slab_patches``, by whose margins ``source`` is larger."""
        count = sum(sizes)
        is_varied = variation is not Variation.NONE
        augmentation = Augmentation.draw(rng, count) if is_varied else Augmentation.none(count)
        zooms = np.split(augmentation.zoom, np.cumsum(sizes)[:-1])
        groups = [draw_group(source, shape, zoom, rng, variation, slabs=slabs) for zoom in zooms]
        factors = np.repeat([group.factor for group in groups], sizes)
        flips = np.where(rng.random((count, 3)) < 0.5, -1, 1)
        steps = _draw_steps(factors + 1, rng) - 1 if slabs else _draw_steps(factors, rng)
        return cls(shape, groups, augmentation, flips, steps)

    def repeat(self, values: Sequence[float | tuple[int, ...]]) -> np.ndarray:
        """(B, ...) values from one, or a row of them, for each group."""
        return np.repeat(values, [len(group.zoom) for group in self.groups], 0)

    def list_facts(self) -> np.ndarray:
        """(B, 6 + T) float32: mm in-plane and between acquired slices, kernel, contrast, noise, row share, offsets."""
        groups, varied = self.groups, self.augmentation
        in_plane = np.concatenate([g.volume.spacing_mm[g.axes[1]] * g.zoom for g in groups])
        through_plane = self.repeat([g.volume.spacing_mm[2] * g.step * g.factor for g in groups])
        offsets = (self.steps.T / self.repeat([g.factor for g in groups])).T
        facts = [in_plane, through_plane, varied.kernel, varied.contrast, varied.noise, self._find_rows()[1]]
        return np.column_stack([*facts, offsets]).astype(np.float32)

    def _find_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """(B, 5) slices across: below, middle, above, and those to mix the outer ones with, by the share (B,)."""
        aside = np.concatenate([g.zoom * g.volume.neighbour_step for g in self.groups])
        near, far = np.floor(aside + ROUNDING), np.ceil(aside - ROUNDING)
        middle = np.concatenate([g.place[0] for g in self.groups])
        rows = np.stack([-near, np.zeros_like(near), near, -far, far], 1) * self.flips[:, :1]
        return middle[:, None] + rows.astype(np.int64), np.clip(aside - near, 0, 1)

    def index_voxels(self) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray | None]]:
        """What to read for each group; int64 places in memory, of which those of a line and a point are added.

        points (n, M, slices of the profile) of every line: five rows (``_find_rows``) of W acquired slices, then the
        truth (T, W - 1) of the middle one; of slabs as ``slab_patches.index_slices`` orders them. lines (n, H), or
        (n, 2 * H) where each is interpolated between two; share (n, H) float32 of the second ones then, else None.
        """
        slabs = self.groups[0].slab is not None
        return self._index_slabs() if slabs else self._index_points(), *self._index_lines()

    def _index_points(self) -> list[np.ndarray]:
        strides = self.repeat([_strides(g) for g in self.groups])
        factor, step = (self.repeat([getattr(g, name) for g in self.groups])[:, None] for name in ("factor", "step"))
        acquired = factor * np.arange(self.shape.acquired)  # (B, W)
        between = (self.steps[:, :, None] + acquired[:, None, :-1]).reshape(len(self.steps), -1)  # (B, T * (W - 1))
        last = acquired[:, -1:]
        slices = np.concatenate([*[acquired] * 5, between], 1)
        slices = step * np.where(self.flips[:, 2:] < 0, last - slices, slices)
        rows = self._find_rows()[0] * strides[:, :1]
        rows = np.concatenate([rows.repeat(self.shape.acquired, 1), rows[:, 1:2].repeat(between.shape[1], 1)], 1)
        return [_index_slices(*part) for part in zip(self.groups, *self.split(rows, slices, step * last), strict=True)]

    def _index_slabs(self) -> list[np.ndarray]:
        points = []
        parts = zip(self.groups, *self.split(self._find_rows()[0], self.steps, self.flips[:, 2:]), strict=True)
        for group, rows, steps, flip in parts:
            slices = index_slices(self.shape.acquired, group.factor, steps)
            truth = steps.shape[1] * (self.shape.acquired - 1)
            dense = (slices.shape[1] - truth) // rows.shape[1]
            slices = group.step * np.where(flip < 0, dense - 1 - slices, slices)
            rows = rows * _strides(group)[0]
            rows = np.concatenate([rows.repeat(dense, 1), rows[:, 1:2].repeat(truth, 1)], 1)
            points.append(_index_slices(group, rows, slices, slices[:, :1]))
        return points

    def _index_lines(self) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
        height = self.shape.height
        lines = np.where(self.flips[:, 1:2] < 0, np.arange(height)[::-1], np.arange(height))
        lines = lines * np.concatenate([g.zoom for g in self.groups])[:, None]
        lines += np.concatenate([g.place[1] for g in self.groups])[:, None]
        first = lines.astype(np.int64)
        indices, shares = list[np.ndarray](), list[np.ndarray | None]()
        for group, one, share in zip(self.groups, *self.split(first, (lines - first).astype(np.float32)), strict=True):
            stride, most = _strides(group)[1], group.volume.voxels.shape[group.axes[1]] - 1
            is_mixed = bool(share.any())
            both = np.concatenate([one, np.minimum(one + 1, most)], 1) if is_mixed else one
            indices.append(both * stride)
            shares.append(share if is_mixed else None)
        return indices, shares

    def split(self, *arrays: np.ndarray) -> list[list[np.ndarray]]:
        """Arrays (B, ...) to lists of the part of each group."""
        ends = np.cumsum([len(g.zoom) for g in self.groups]).tolist()
        return [[array[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)] for array in arrays]


def _strides(group: PatchGroup) -> tuple[int, ...]:
    strides = group.volume.voxels.stride()
    return tuple(strides[axis] for axis in group.axes)


def _index_slices(group: PatchGroup, rows: np.ndarray, slices: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Places of rows (n, M) and of slices (n, M) of a patch, to (n, M, slices of the profile) places to average.

    last: (n, 1) the last dense slice of the patch, beyond which it is repeated.
    """
    slices = slices[..., None]
    if len(group.profile.offsets) > 1:
        slices = slices + np.array(group.profile.offsets)
        slices = np.minimum(np.maximum(slices, 0), last[..., None])
    places: np.ndarray = rows[..., None] + (slices + group.place[2][:, None, None]) * _strides(group)[2]
    return places


def _draw_steps(factors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(B, OFFSET_COUNT) steps below the factors (B,); where there are fewer some repeat, of more some are chosen."""
    most = factors.max() - 1
    shares = rng.random((len(factors), max(most, OFFSET_COUNT)))
    repeated = 1 + (shares[:, :OFFSET_COUNT] * (factors - 1)[:, None]).astype(np.int64)
    shares[np.arange(shares.shape[1]) >= (factors - 1)[:, None]] = 2.0  # no such steps
    chosen = 1 + shares.argsort(1)[:, :OFFSET_COUNT]
    steps: np.ndarray = np.where((factors - 1 < OFFSET_COUNT)[:, None], repeated, chosen)
    steps.sort(axis=1)
    return steps
