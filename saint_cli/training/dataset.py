"""Random patches of dense volumes, made sparse by Eq. (1), as the AMI stage needs them; drawn where the volumes lie."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from saint_cli.method.intensity import CT
from saint_cli.nets.ami import CONTEXT_SLICES
from saint_cli.training.augment import vary
from saint_cli.training.dense_volume import DenseVolume, move_array
from saint_cli.training.mr_augment import MrVariation, find_bends
from saint_cli.training.patch_places import OFFSET_COUNT, PatchGroup, PatchPlaces, PatchShape, Variation
from saint_cli.training.patch_source import LEAST_DIFFICULTY, PatchSource
from saint_cli.training.slab_patches import MARGIN, average_slabs, weigh_slabs

MOST_GROUPS = 16
"""Groups of a batch: patches of one group share volume, direction, factor, extra decimation and profile."""


class AmiBatch(NamedTuple):
    """Sparse slices and the dense truth between them, float32.

    slices (B, 3, H, W) network range; offsets (B, T); in_plane_mm, through_plane_mm (B,);
    thickness_mm (B,) of acquired slices that are slabs, else 0;
    linear, truth (B, T, H, W - 1) network range: linear interpolation and the real voxels at each offset;
    difficulty (B,) root mean square error of linear interpolation at each patch's volume and distance.
    """

    slices: Tensor
    offsets: Tensor
    in_plane_mm: Tensor
    through_plane_mm: Tensor
    thickness_mm: Tensor
    linear: Tensor
    truth: Tensor
    difficulty: Tensor

    def to(self, device: torch.device) -> "AmiBatch":
        """The batch on a device."""
        return AmiBatch(*(part.to(device) for part in self))


class AmiSampler:
    """Patches for the AMI stage. Batch k of a seed and rank is always the same, so that runs can be resumed.

    batch: patches, in at most ``groups`` groups of one volume each; shape: of every patch; seed: of the run and, where
    several processes train together, the rank of this one, which draws other patches; variation: how patches are varied
    (``augment``, ``mr_augment``); if they are, thick volumes are used sideways too. slabs: acquired slices are slabs
    (``slab_patches``). Patches are drawn on the device of the volumes. A GPU is not waited for, except when a volume is
    drawn from for the first time.

    Raises:
        UsageError: no volume is large enough for such a patch.
    """

    def __init__(
        self,
        volumes: list[DenseVolume],
        batch: int,
        shape: PatchShape,
        seed: tuple[int, int] = (0, 0),
        *,
        variation: Variation = Variation.CT,
        slabs: bool = False,
        groups: int = MOST_GROUPS,
    ) -> None:
        self.shape, self.seed, self.variation, self.slabs = shape, seed, variation, slabs
        self._bends = dict[DenseVolume, np.ndarray]()
        self.sizes = [len(part) for part in np.array_split(np.arange(batch), min(groups, batch))]
        in_plane = max(shape.height, CONTEXT_SLICES)
        acquired = shape.acquired + (2 * MARGIN if slabs else 0)
        self.source = PatchSource(volumes, in_plane, acquired, sideways=True, thick=variation is not Variation.NONE)

    def draw_batch(self, step: int) -> AmiBatch:
        """The batch of a step; each group of patches has its own volume, factor and direction."""
        seed, rank = self.seed
        rng = np.random.default_rng((seed, step, rank))
        places = PatchPlaces.draw(self.source, self.shape, self.sizes, rng, self.variation, slabs=self.slabs)
        parts = zip(places.groups, *places.index_voxels(), strict=True)
        values = torch.cat([_read_voxels(*part, self.shape.acquired) for part in parts])
        facts = move_array(places.list_facts(), values.device)
        in_plane, through_plane, kernel, contrast, noise, share = facts.T[:-OFFSET_COUNT]
        values = _mix_rows(values, self.shape.acquired, share)
        offsets, change = facts[:, -OFFSET_COUNT:].contiguous(), contrast
        if self.variation is not Variation.NONE:
            random = torch.Generator(values.device).manual_seed(int(rng.integers(2**63)))
            if self.variation is Variation.CT:
                values = vary(values, kernel, contrast, noise, random)
            else:
                values = vary(values, kernel, torch.ones_like(contrast), torch.zeros_like(noise), random)
                values, change = self._vary_as_mr(values, places, offsets, (rng, random))
        slices, truth = self._arrange(values)
        linear = _interpolate(slices, offsets)
        hard = [self.source.measure_difficulty(g.volume, g.factor * g.step, g.profile, g.slab) for g in places.groups]
        difficulty = torch.cat([one.expand(n) for one, n in zip(hard, self.sizes, strict=True)]) * change
        thickness = facts.new_tensor(places.repeat([group.thickness_mm for group in places.groups]))
        return AmiBatch(slices, offsets, in_plane, through_plane, thickness, linear, truth, difficulty)

    def _vary_as_mr(
        self,
        values: Tensor,
        places: PatchPlaces,
        offsets: Tensor,
        randoms: tuple[np.random.Generator, torch.Generator],
    ) -> tuple[Tensor, Tensor]:
        """Values (B, H, M) as of another MR sequence, and (B,) how many times as large linear interpolation's error is.

        randoms: for what the host draws, and for noise.
        """
        volumes = [group.volume for group in places.groups]
        for volume in volumes:
            if volume not in self._bends:
                self._bends[volume] = find_bends(volume)
        bends = np.repeat([self._bends[volume] for volume in volumes], self.sizes, axis=0)
        drawn = MrVariation.draw(randoms[0], bends, np.repeat([v.values == CT for v in volumes], self.sizes))
        contrast, varied = drawn.apply(values, self._find_depth(offsets), randoms[1])
        before, after = (self._measure_error(part, offsets) for part in (values, contrast))
        return varied, after / before

    def _find_depth(self, offsets: Tensor) -> Tensor:
        """(B, M) where each column of the values lies between the first acquired slice, -1, and the last one, 1."""
        acquired = torch.arange(self.shape.acquired, dtype=offsets.dtype, device=offsets.device)
        between = (acquired[:-1] + offsets[:, :, None]).flatten(1)
        depth = torch.cat([acquired.repeat(CONTEXT_SLICES).expand(len(offsets), -1), between], 1)
        return 2 * depth / (self.shape.acquired - 1) - 1

    def _measure_error(self, values: Tensor, offsets: Tensor) -> Tensor:
        """(B,) root mean square error of linear interpolation in each patch, no less than can be told apart."""
        slices, truth = self._arrange(values)
        return (_interpolate(slices, offsets) - truth).square().mean((1, 2, 3)).sqrt() + LEAST_DIFFICULTY

    def _arrange(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """(B, H, 3 * W + T * (W - 1)) values to sparse slices (B, 3, H, W) and the truth (B, T, H, W - 1)."""
        cut = CONTEXT_SLICES * self.shape.acquired
        slices, truth = (
            part.unflatten(2, (count, -1)).transpose(1, 2).contiguous()
            for part, count in ((values[:, :, :cut], CONTEXT_SLICES), (values[:, :, cut:], OFFSET_COUNT))
        )
        return slices, truth


def _interpolate(slices: Tensor, offsets: Tensor) -> Tensor:
    """(B, T, H, W - 1) linear interpolation of the middle one of slices (B, 3, H, W) at offsets (B, T)."""
    middle = slices[:, 1:2]
    return torch.lerp(middle[..., :-1], middle[..., 1:], offsets[:, :, None, None])


def _read_voxels(
    group: PatchGroup, points: np.ndarray, lines: np.ndarray, share: np.ndarray | None, acquired: int
) -> Tensor:
    """(n, H, M) network values of a group, before its rows are mixed, and before kernel, contrast and noise."""
    voxels = group.volume.voxels
    everywhere = voxels.as_strided((voxels.numel(),), (1,))
    count, most, taps = points.shape
    where = move_array(lines.reshape(count, -1, 1), voxels.device) + move_array(
        points.reshape(count, 1, -1), voxels.device
    )
    values = group.volume.to_network(torch.take(everywhere, where))
    if taps > 1:
        values = group.profile.average_last(values.unflatten(2, (most, taps)))
    if group.slab is not None:
        values = average_slabs(values, weigh_slabs(group.slab, acquired, group.factor))
    if share is None:
        return values
    first, second = values.chunk(2, 1)
    return torch.lerp(first, second, move_array(share, voxels.device)[..., None])


def _mix_rows(values: Tensor, acquired: int, share: Tensor) -> Tensor:
    """(B, H, 5 * W + ...) with the rows below and above mixed with those two that follow the first three."""
    below, middle, above, below_far, above_far, truth = values.split(
        [acquired] * 5 + [values.shape[2] - 5 * acquired], 2
    )
    share = share[:, None, None]
    return torch.cat([torch.lerp(below, below_far, share), middle, torch.lerp(above, above_far, share), truth], 2)
