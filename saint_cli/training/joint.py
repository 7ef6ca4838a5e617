"""AMI and RFN trained together: the error is that of the fused slices, which no direction has to get right alone.

The paper trains AMI first and RFN on what AMI makes. Together the two directions learn to differ where that helps:
docs/training-log.md has what it gains.
"""

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from saint_cli.errors import UsageError
from saint_cli.errors.plain_text import format_count
from saint_cli.evaluation import interpolators
from saint_cli.evaluation.metrics import psnr
from saint_cli.geometry import SlabProfile, grid_by_factor
from saint_cli.method.slab_consistency import make_consistent
from saint_cli.models import weights
from saint_cli.nets import AMI, RFN
from saint_cli.nets.filter_generation import distance_matrices
from saint_cli.nets.slab_network import make_slab_network
from saint_cli.training import slab_patches
from saint_cli.training.dense_volume import DenseVolume, TrainingData
from saint_cli.training.fusion_blocks import draw_dense_block
from saint_cli.training.loop import Objective, StepLoss
from saint_cli.training.muon import Muon
from saint_cli.training.patch_places import Variation
from saint_cli.training.patch_source import PatchSource
from saint_cli.training.settings import TrainingSettings, require_kind
from saint_cli.training.stages import RANGE_UNITS, SLAB_FACTORS, VALIDATION_FACTORS, relative_error

BLOCK = (36, 8)
"""In-plane voxels and acquired slices of a block, as far as AMI sees it."""

MARGIN = 6
"""In-plane voxels at each edge of a block that are not fused, for AMI lacks a part of what surrounds them."""

MOST_OFFSETS = 4
"""Slices between two acquired ones that are interpolated; which ones is drawn, as for AMI's patches."""

RFN_TIMES = 10 / 3
"""RFN's learning rate in units of AMI's, which knows much already."""

VALIDATION_SIDE = 96
"""In-plane voxels in the middle of each validation volume that are fused."""


@dataclass(frozen=True)
class JointBlock:
    """A block, network range.

    sparse: (X, Y, W) acquired slices; truth: (W - 1, T, x, y) the slices at the T offsets between them, without the
    margin; offsets: (T,), of all that there are with ``factor``; spacing_mm: of the acquired slices, x, y,
    through-plane; slab: the profile of acquired slices that are slabs, in distances between them; difficulty: root
    mean square error of linear interpolation at the block's volume and distance.
    """

    sparse: Tensor
    truth: Tensor
    offsets: Tensor
    factor: int
    spacing_mm: tuple[float, float, float]
    slab: SlabProfile | None = None
    difficulty: float = 1.0

    @classmethod
    def cut(
        cls,
        dense: Tensor,
        spacing_mm: tuple[float, float, float],
        factor: int,
        between: np.ndarray,
        slab: SlabProfile | None = None,
    ) -> "JointBlock":
        """From dense slices (X, Y, n) with their spacing; between: some of 1 to ``factor`` - 1, of slabs of 0 too.

        n: (W - 1) * factor + 1, of slabs ``slab_patches.count_dense_slices``.
        """
        margin = _count_margin(slab is not None) * factor
        inner = dense.permute(2, 0, 1)[margin : dense.shape[2] - 1 - margin, MARGIN:-MARGIN, MARGIN:-MARGIN]
        truth = inner.unflatten(0, (-1, factor))[:, torch.from_numpy(between)]
        if slab is None:
            sparse = dense[..., ::factor].contiguous()
        else:
            sparse = dense @ torch.from_numpy(slab_patches.weigh_slabs(slab, len(truth) + 1, factor)).T
        return cls(
            sparse=sparse,
            truth=truth,
            offsets=torch.from_numpy(between / factor).float(),
            factor=factor,
            spacing_mm=(spacing_mm[0], spacing_mm[1], spacing_mm[2] * factor),
            slab=slab,
        )

    @property
    def thickness_mm(self) -> Tensor | None:
        """Of slabs."""
        return None if self.slab is None else torch.tensor(self.slab.thickness * self.spacing_mm[2])

    def make_consistent(self, thin: Tensor) -> Tensor:
        """All thin slices (W - 1, factor, x, y) with means as the slabs, but the outer ones, have them."""
        assert self.slab is not None
        start = slab_patches.MARGIN * self.factor
        weights = slab_patches.weigh_slabs(self.slab, len(thin) + 1, self.factor)
        weights = weights[1:-1, start : start + len(thin) * self.factor]
        slabs = self.sparse[MARGIN:-MARGIN, MARGIN:-MARGIN, 1:-1]
        consistent = make_consistent(thin.flatten(0, 1).permute(1, 2, 0).numpy(), slabs.numpy(), weights)
        return torch.from_numpy(consistent).permute(2, 0, 1).view_as(thin)

    def to(self, device: torch.device) -> "JointBlock":
        """The block on a device."""
        parts = {name: getattr(self, name).to(device) for name in ("sparse", "truth", "offsets")}
        return replace(self, **parts)


class JointNetworks(nn.Module):
    """AMI and RFN as one network, from acquired to fused slices."""

    def __init__(self, ami: AMI, rfn: RFN) -> None:
        super().__init__()
        self.ami, self.rfn, self.fewest = ami, rfn, int(rfn.fewest)

    def make_optimiser(self, learning_rate: float) -> Muon:
        """Muon, by which RFN learns faster."""
        optimiser = Muon.for_model(self.ami, learning_rate)
        optimiser.add_model(self.rfn, RFN_TIMES)
        return optimiser

    def forward(self, block: JointBlock) -> tuple[Tensor, Tensor]:
        """The fused slices of a block, and the mean of I_sag and I_cor: (W - 1, T, x, y), network range.

        Where RFN is not used, the fused slices are the mean, and RFN learns nothing.
        """
        below, above, i_sag, i_cor = self._interpolate(block)
        count, offsets = len(i_sag), block.offsets
        gap_mm = torch.full_like(offsets, block.spacing_mm[2]).repeat(count)
        slices = (part.flatten(0, 1) for part in (i_sag, i_cor, below, above))
        fused = self.rfn(*slices, offsets.repeat(count), gap_mm).float().view_as(i_sag)
        mean = (i_sag + i_cor) / 2
        return torch.lerp(mean, fused, float(block.factor - 1 >= self.fewest)), mean

    def _interpolate(self, block: JointBlock) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Acquired slices below and above, I_sag, I_cor: (W - 1, T, x, y) each, without the margin."""
        sagittal = self._interpolate_views(block, block.sparse, block.spacing_mm[1])
        coronal = self._interpolate_views(block, block.sparse.transpose(0, 1), block.spacing_mm[0])
        acquired = block.sparse.permute(2, 0, 1)[:, None, MARGIN:-MARGIN, MARGIN:-MARGIN]
        below, above = (part.expand(-1, len(block.offsets), -1, -1) for part in (acquired[:-1], acquired[1:]))
        line = torch.lerp(below, above, block.offsets[:, None, None])
        return below, above, line + sagittal.permute(2, 1, 0, 3), line + coronal.permute(2, 1, 3, 0)

    def _interpolate_views(self, block: JointBlock, sparse: Tensor, in_plane_mm: float) -> Tensor:
        """Residuals of the planes across the first axis, (planes, T, W - 1, in-plane), without the margin."""
        planes = sparse[MARGIN - 1 : 1 - MARGIN].unfold(0, 3, 1).permute(0, 3, 1, 2)
        through = torch.tensor(block.spacing_mm[2])
        fdm = distance_matrices(block.offsets.cpu(), torch.tensor(in_plane_mm), through, block.thickness_mm)
        residual: Tensor = self.ami(planes.contiguous(), fdm[None].to(sparse.device))[..., :-1].float()
        return residual.transpose(2, 3)[..., MARGIN:-MARGIN]


def draw_block(
    source: PatchSource, rng: np.random.Generator, variation: Variation, *, slabs: bool = False
) -> JointBlock:
    """A random block of a random factor, upside down half of the time.

    slabs: acquired slices are slabs, by whose margins the blocks of ``source`` are larger.
    """
    factor = source.draw_factor(rng)
    slab = slab_patches.draw_slab_profile(rng) if slabs else None
    dense, spacing_mm, difficulty = draw_dense_block(source, factor, BLOCK[0], rng, variation, slab)
    slices = torch.from_numpy(dense)
    if rng.random() < 0.5:
        slices = slices.flip(2)
    between = np.sort(rng.permutation(_list_steps(factor, slabs))[:MOST_OFFSETS])
    return replace(JointBlock.cut(slices, spacing_mm, factor, between, slab), difficulty=difficulty)


def _list_steps(factor: int, slabs: bool) -> np.ndarray:
    """The dense slices from an acquired one on that are synthesised."""
    return np.arange(0 if slabs else 1, factor)


def _count_margin(slabs: bool) -> int:
    """Acquired slices beyond either end of a block that its slices reach into."""
    return slab_patches.MARGIN if slabs else 0


def load_networks(settings: TrainingSettings) -> JointNetworks:
    """The networks of ``init``, ready to be trained; for slabs they may begin as those for thin slices.

    Raises:
        UsageError: weights for slabs where thin slices are learnt from single ones, with a 3-D RFN, or whose AMI has
            fewer blocks than are to be frozen.
        WeightsError: they cannot be loaded.
    """
    assert settings.init is not None
    start = weights.load_model(settings.init)
    require_kind(start.ami, settings.init, slabs=settings.slabs)
    if start.rfn.features.size.dims == 3:
        raise UsageError(f"{settings.init} holds a 3-D RFN, which is trained by itself only; name other weights")
    if settings.frozen > (most := start.ami.features.size.blocks):
        has = format_count(most, "block")
        raise UsageError(f"--freeze {settings.frozen}: the AMI of {settings.init} has {has}; give at most {most}")
    ami, rfn = copy.deepcopy((start.ami, start.rfn))  # loaded models are shared
    rfn.fewest.fill_(settings.fewest)
    if settings.slabs and not ami.slabs:
        ami = make_slab_network(ami)
    networks = JointNetworks(ami, rfn).train().requires_grad_()
    if settings.frozen:
        ami.features.freeze(settings.frozen)
    return networks


def make_joint_objective(settings: TrainingSettings, data: TrainingData, rank: int) -> Objective:
    """The error of fused slices of blocks of the training volumes, and how it is validated."""
    side, acquired = BLOCK
    source = PatchSource(data.train, side, acquired + 2 * _count_margin(settings.slabs), sideways=True)
    loss = make_joint_loss(source, settings.batch, (settings.seed, rank), settings.variation, slabs=settings.slabs)
    return Objective(loss, lambda model: validate_joint(model, data.val, settings.modality))


def make_joint_loss(
    source: PatchSource, blocks: int, seed: tuple[int, int], variation: Variation, *, slabs: bool = False
) -> StepLoss:
    """``relative_error`` of the fused slices of so many blocks, each weighed alike."""

    def step_loss(model: nn.Module, step: int) -> Tensor:
        rng, device = np.random.default_rng((*seed, step)), next(model.parameters()).device
        errors = []
        for _ in range(blocks):
            block = draw_block(source, rng, variation, slabs=slabs).to(device)
            fused, truth = model(block)[0].flatten(0, 1), block.truth.flatten(0, 1)
            errors.append(relative_error(fused, truth, fused.new_full((len(fused),), block.difficulty)))
        return torch.stack(errors).mean()

    return step_loss


@torch.inference_mode()
def validate_joint(model: nn.Module, volumes: list[DenseVolume], modality: str) -> dict[str, float]:
    """Gains in PSNR, dB, of the fused slices over aligned cubic, and over the mean of both directions.

    In the middle of each volume, synthesised voxels only; ``saint evaluate`` gives the full figure. modality: of
    ``TrainingSettings``, which decides the data range.
    """
    assert isinstance(model, JointNetworks)
    figures = {}
    for factor, most in (SLAB_FACTORS if model.ami.slabs else VALIDATION_FACTORS).items():
        words = f"slabs of {factor}" if model.ami.slabs else f"x{factor}"
        gains = [_measure_gains(model, volume, factor, most, RANGE_UNITS[modality]) for volume in volumes]
        for volume, (over_cubic, _) in zip(volumes, gains, strict=True):
            figures[f"{volume.name} {words} over cubic dB"] = round(over_cubic, 3)
        over_cubic, over_mean = np.mean(gains, axis=0).tolist()
        figures |= {f"{words} over cubic dB": round(over_cubic, 3), f"{words} over mean dB": round(over_mean, 3)}
    return figures


def _measure_gains(
    model: JointNetworks, volume: DenseVolume, factor: int, most: int, units: float
) -> tuple[float, float]:
    """PSNR of the fused slices less that of cubic interpolation, and less that of the mean, dB."""
    slab, steps = SlabProfile(1.0) if model.ami.slabs else None, _list_steps(factor, model.ami.slabs)
    dense = volume.cut_middle(VALIDATION_SIDE + 2 * MARGIN, most, factor)
    block = JointBlock.cut(dense, volume.spacing_mm, factor, steps, slab)
    sparse = block.sparse.numpy()
    interpolated = torch.from_numpy(interpolators.interpolate_cubic(sparse, grid_by_factor(sparse.shape[2], 2, factor)))
    cubic = JointBlock.cut(interpolated, volume.spacing_mm, factor, steps).truth
    fused, mean = (part.cpu() for part in model(block.to(next(model.parameters()).device)))
    if slab is not None:
        fused, mean = block.make_consistent(fused), block.make_consistent(mean)
    of_fused, of_mean, of_cubic = (psnr(block.truth.numpy(), r.numpy(), units) for r in (fused, mean, cubic))
    return of_fused - of_cubic, of_fused - of_mean
