"""Anisotropic Meta Interpolation (paper Section 3.2): acquired sagittal or coronal slices to the voxels between them.

Departures from the paper:
- The offset t between two acquired slices is continuous (see ``filter_generation``); the paper has c/r, r an integer.
- The network predicts the residual over linear interpolation between the two acquired neighbours, where the paper
  predicts intensities: training starts from a good image, and unknown values pass through unchanged.
- Interleaving the interpolated columns with the acquired ones (the paper's periodic shuffling, Eq. 6) is an assignment
  in the pipeline, so that acquired slices stay bit-exact (Eq. 5: I_0 = I^LR).
- The trunk may be folded (``blocks``); filters are then generated for width / fold feature channels.
- A network for slabs also knows how thick the slices are (``filter_generation``), and makes thinner ones, at acquired
  slices too.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saint_cli.nets.blocks import ResidualDenseNetwork, TrunkSize
from saint_cli.nets.filter_generation import FilterGenerator

CONTEXT_SLICES = 3
"""Consecutive slices from which the network interpolates the middle one (paper Section 3.2.3, last paragraph)."""


class AMI(nn.Module):
    """G_theta of Eq. 2 without the linear part that the caller adds; fold: see ``TrunkSize``, 1 in the paper.

    slabs: whether filters are generated from the matrices of ``slab_distance_matrices``.
    predicts_intensities: whether results are whole voxels, as in the paper, to which nothing is to be added.
    """

    predicts_intensities = False

    def __init__(
        self, width: int, growth: int, layers: int, blocks: int, fold: int = 1, *, slabs: bool = False
    ) -> None:
        super().__init__()
        size = TrunkSize(CONTEXT_SLICES, width, growth, layers, blocks, fold=fold)
        self.features = ResidualDenseNetwork(size)
        self.filters = FilterGenerator(size.outputs, 2 if slabs else 1)

    @property
    def slabs(self) -> bool:
        """Whether it is a network for slabs."""
        return self.filters.matrices == 2

    def forward(self, slices: Tensor, fdm: Tensor) -> Tensor:
        """Residuals over linear interpolation at T offsets above every acquired column.

        slices: (B, 3, H, W) a slice and its two neighbours; H in-plane, W through-plane; network range.
        fdm: (B, T, 3, 3), or (1, T, 3, 3) where all B slices share one; (B or 1, T, 2, 3, 3) for slabs; mm.

        Returns (B, T, H, W); column w holds the voxels between acquired columns w and w + 1, so the last one
        is extrapolated.
        """
        return convolve(self.features(slices), self.filters(fdm))


def convolve(features: Tensor, filters: Tensor) -> Tensor:
    """Eq. 5: features (B, C, H, W) by generated filters (B or 1, T, C, 3, 3) to (B, T, H, W)."""
    batch, channels, height, width = features.shape
    shared, offsets = filters.shape[:2]
    if shared == 1:
        return F.conv2d(features, filters[0], padding=1)
    # Each image has filters of its own: one product for all nine taps, whose results are shifted and added, is several
    # times faster than a grouped convolution.
    taps = filters.flip(3, 4).permute(0, 1, 3, 4, 2).reshape(batch, offsets * 9, channels)
    parts = torch.bmm(taps, features.flatten(2))  # (B, T * 9, H * W)
    return F.fold(parts.float(), (height, width), 3, padding=1)


def convolve_windows(features: Tensor, filters: Tensor, windows: Tensor) -> Tensor:
    """As ``convolve``, at chosen acquired columns only: filters (T, C, 3, 3), windows (G,) to (B, T, H, G)."""
    padded = F.pad(features, (1, 1))
    columns = (windows[:, None] + torch.arange(3, device=windows.device)).flatten()  # (G * 3,)
    return F.conv2d(padded[..., columns], filters, padding=(1, 0), stride=(1, 3))
