"""Random patches of dense volumes, made sparse by Eq. (1), as the AMI stage needs them; drawn where the volumes lie."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from saint_cli.nets.ami import CONTEXT_SLICES
from saint_cli.training.augment import vary
from saint_cli.training.dense_volume import DenseVolume, move_array
from saint_cli.training.patch_places import OFFSET_COUNT, PatchGroup, PatchPlaces, PatchShape
from saint_cli.training.patch_source import PatchSource

MOST_GROUPS = 16
"""Groups of a batch: patches of one group share volume, direction, factor, extra decimation and profile."""


class AmiBatch(NamedTuple):
    """Sparse slices and the dense truth between them, float32.

    slices (B, 3, H, W) network range; offsets (B, T); in_plane_mm, through_plane_mm (B,);
    linear, truth (B, T, H, W - 1) network range: linear interpolation and the real voxels at each offset;
    difficulty (B,) root mean square error of linear interpolation at each patch's volume and distance.
    """

    slices: Tensor
    offsets: Tensor
    in_plane_mm: Tensor
    through_plane_mm: Tensor
    linear: Tensor
    truth: Tensor
    difficulty: Tensor

    def to(self, device: torch.device) -> "AmiBatch":
        """The batch on a device."""
        return AmiBatch(*(part.to(device) for part in self))


class AmiSampler:
    """Patches for the AMI stage. Batch k of a seed and rank is always the same, so that runs can be resumed.

    batch: patches, in at most ``groups`` groups of one volume each; shape: of every patch; seed: of the run and, where
    several processes train together, the rank of this one, which draws other patches; augment: vary the patches
    (``augment``), and use thick volumes sideways too. Patches are drawn on the device of the volumes. A GPU is not
    waited for, except when a volume is drawn from for the first time.

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
        augment: bool = True,
        groups: int = MOST_GROUPS,
    ) -> None:
        self.shape, self.seed, self.augment = shape, seed, augment
        self.sizes = [len(part) for part in np.array_split(np.arange(batch), min(groups, batch))]
        in_plane = max(shape.height, CONTEXT_SLICES)
        self.source = PatchSource(volumes, in_plane, shape.acquired, sideways=True, thick=augment)

    def draw_batch(self, step: int) -> AmiBatch:
        """The batch of a step; each group of patches has its own volume, factor and direction."""
        seed, rank = self.seed
        rng = np.random.default_rng((seed, step, rank))
        places = PatchPlaces.draw(self.source, self.shape, self.sizes, rng, augment=self.augment)
        values = torch.cat([_read_voxels(*part) for part in zip(places.groups, *places.index_voxels(), strict=True)])
        facts = move_array(places.list_facts(), values.device)
        in_plane, through_plane, kernel, contrast, noise, share = facts.T[:-OFFSET_COUNT]
        values = _mix_rows(values, self.shape.acquired, share)
        if self.augment:
            random = torch.Generator(values.device).manual_seed(int(rng.integers(2**63)))
            values = vary(values, kernel, contrast, noise, random)
        slices, truth = self._arrange(values)
        offsets, middle = facts[:, -OFFSET_COUNT:].contiguous(), slices[:, 1:2]
        linear = torch.lerp(middle[..., :-1], middle[..., 1:], offsets[:, :, None, None])
        hard = [self.source.measure_difficulty(g.volume, g.factor * g.step, g.averaged) for g in places.groups]
        difficulty = torch.cat([one.expand(n) for one, n in zip(hard, self.sizes, strict=True)]) * contrast
        return AmiBatch(slices, offsets, in_plane, through_plane, linear, truth, difficulty)

    def _arrange(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """(B, H, 3 * W + T * (W - 1)) values to sparse slices (B, 3, H, W) and the truth (B, T, H, W - 1)."""
        cut = CONTEXT_SLICES * self.shape.acquired
        slices, truth = (
            part.unflatten(2, (count, -1)).transpose(1, 2).contiguous()
            for part, count in ((values[:, :, :cut], CONTEXT_SLICES), (values[:, :, cut:], OFFSET_COUNT))
        )
        return slices, truth


def _read_voxels(group: PatchGroup, points: np.ndarray, lines: np.ndarray, share: np.ndarray | None) -> Tensor:
    """(n, H, M) network values of a group, before its rows are mixed, and before kernel, contrast and noise."""
    voxels = group.volume.voxels
    everywhere = voxels.as_strided((voxels.numel(),), (1,))
    count, most, averaged = points.shape
    where = move_array(lines.reshape(count, -1, 1), voxels.device) + move_array(
        points.reshape(count, 1, -1), voxels.device
    )
    values = group.volume.to_network(torch.take(everywhere, where))
    if averaged > 1:
        values = values.unflatten(2, (most, averaged)).mean(3)
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
