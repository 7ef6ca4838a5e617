"""Residual-Fusion Network (paper Section 3.3): the sagittally and the coronally interpolated volume become one.

Departures from the paper:
- Besides I_sag and I_cor the network may see the two acquired slices between which the axial slice lies, the offset t
  and the distance of those two slices (``context``): what lies above and below is the one thing the two in-plane views
  cannot tell it, and the farther apart they are, the more there is to mend.
- The last convolution starts at zero, so that an untrained RFN returns the average (Eq. 10 with F = 0).
- Where fewer than ``fewest`` slices lie between two acquired ones, the average stands: with the data of the shipped
  weights, what RFN learns there did not carry over to other patients (``docs/training-log.md``).
- ``dims=3`` is the 3-D variant that the paper tried and dropped; it sees stacks of axial slices. Kept for comparisons.
"""

import torch
from torch import Tensor, nn

from saint_cli.nets.blocks import ResidualDenseNetwork, TrunkSize, conv

PAIR = 2
WITH_CONTEXT = 6
"""Input channels with context: I_sag, I_cor, acquired below, acquired above, t, their distance."""

GAP_UNIT_MM = 10.0


class RFN(nn.Module):
    """F_phi of Eq. 10: what to add to the average of I_sag and I_cor.

    fewest: synthesised slices between two acquired ones from which on it does so; kept with the weights.
    """

    fewest: Tensor

    def __init__(self, size: TrunkSize, fewest: int = 1) -> None:
        super().__init__()
        self.register_buffer("fewest", torch.tensor([fewest]))
        self.features = ResidualDenseNetwork(size)
        self.output = conv(size.dims, size.width, 1, 3)
        for parameter in self.output.parameters():
            nn.init.zeros_(parameter)

    @property
    def context(self) -> bool:
        """Whether the network wants the acquired neighbours, offset and distance besides I_sag and I_cor."""
        return self.features.size.inputs == WITH_CONTEXT

    @property
    def reach(self) -> int:
        """How many voxels away an input can change an output: one per 3x3 convolution on the longest path."""
        size = self.features.size
        return size.blocks * size.layers + 4

    def forward(
        self, i_sag: Tensor, i_cor: Tensor, below: Tensor, above: Tensor, offset: Tensor, gap_mm: Tensor
    ) -> Tensor:
        """The fused axial slices, network range.

        i_sag, i_cor: (B, X, Y) interpolated axial slices; (B, Z, X, Y) stacks for the 3-D variant.
        below, above: same shape, the acquired slices on either side of each.
        offset: (B,) or (B, Z) t of each axial slice; gap_mm: same shape, between the acquired slices.
        """
        stack = [i_sag, i_cor]
        if self.context:
            plain = (offset, gap_mm / GAP_UNIT_MM)
            stack += [below, above, *(number[..., None, None].expand_as(i_sag) for number in plain)]
        residual: Tensor = self.output(self.features(torch.stack(stack, 1)))  # (B, 1, ...)
        return (i_sag + i_cor) / 2 + residual[:, 0]
