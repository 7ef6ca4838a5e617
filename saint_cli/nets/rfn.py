"""Residual-Fusion Network (paper Section 3.3): the sagittally and the coronally interpolated volume become one.

Departures from the paper:
- Besides I_sag and I_cor the input may hold their context: the acquired slices below and above, the offset t and the
  distance of the two. The in-plane views do not show what lies above and below, and wider gaps need more correction.
- The last convolution starts at zero, so that an untrained RFN returns the average (Eq. 10 with F = 0).
- Where fewer than ``fewest`` slices lie between two acquired ones, the average stands: what an RFN learnt there by
  itself did not carry over to other patients (``docs/training-log.md``).
- ``dims=3`` is the 3-D variant that the paper tried and dropped; it gets stacks of axial slices. Kept for comparisons.
"""

import torch
from torch import Tensor, nn

from saint_cli.nets.blocks import ResidualDenseNetwork, TrunkSize, count_weights, make_convolution

INPUTS_WITHOUT_CONTEXT = 2
INPUTS_WITH_CONTEXT = 6
"""Input channels with context: I_sag, I_cor, acquired below, acquired above, t, their distance."""

GAP_UNIT_MM = 10.0


class RFN(nn.Module):
    """F_phi of Eq. 10: what to add to the average of I_sag and I_cor.

    fewest: synthesised slices between two acquired ones from which on it is used; kept with the weights.
    """

    fewest: Tensor

    def __init__(self, size: TrunkSize, fewest: int = 1) -> None:
        super().__init__()
        self.register_buffer("fewest", torch.tensor([fewest]))
        self.features = ResidualDenseNetwork(size)
        self.output = make_convolution(size.dims, size.width, 1, 3)
        for parameter in self.output.parameters():
            nn.init.zeros_(parameter)

    @property
    def multiply_adds(self) -> int:
        """Of a voxel of an axial slice."""
        return self.features.multiply_adds + count_weights(self.output)

    @property
    def has_context(self) -> bool:
        """Whether the network gets the acquired neighbours, offset and distance besides I_sag and I_cor."""
        return self.features.size.inputs == INPUTS_WITH_CONTEXT

    def forward(
        self, i_sag: Tensor, i_cor: Tensor, below: Tensor, above: Tensor, offset: Tensor, gap_mm: Tensor
    ) -> Tensor:
        """The fused axial slices, network range.

        i_sag, i_cor: (B, X, Y) interpolated axial slices; (B, Z, X, Y) stacks for the 3-D variant.
        below, above: same shape, the acquired slices on either side of each.
        offset: (B,) or (B, Z) t of each axial slice; gap_mm: same shape, between the acquired slices.
        """
        stack = [i_sag, i_cor]
        if self.has_context:
            numbers = (offset, gap_mm / GAP_UNIT_MM)
            stack += [below, above, *(number[..., None, None].expand_as(i_sag) for number in numbers)]
        residual: Tensor = self.output(self.features(torch.stack(stack, 1)))  # (B, 1, ...)
        return (i_sag + i_cor) / 2 + residual[:, 0]

    def fuse(
        self, sagittal: Tensor, coronal: Tensor, below: Tensor, above: Tensor, offset: Tensor, gap_mm: float
    ) -> Tensor:
        """Residuals over linear interpolation of one window, (n, X, Y) of I_sag and I_cor, to that of I_fuse, float32.

        below, above: (X, Y) the acquired slices, gap_mm apart; offset: (n,). A 2-D network gets each slice alone, a 3-D
        one all together.
        """
        below, above = (acquired.expand_as(sagittal) for acquired in (below, above))
        line = torch.lerp(below, above, offset[:, None, None])
        inputs = [line + sagittal, line + coronal, below, above, offset, torch.full_like(offset, gap_mm)]
        if self.features.size.dims == 3:
            inputs = [one[None] for one in inputs]
        fused: Tensor = self(*inputs).view_as(line)
        return fused.float() - line
