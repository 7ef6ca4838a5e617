"""mDCSRN: batch-normalised dense blocks that all see each other (Chen et al., arXiv:1803.01417, without its GAN).

A unit is batch normalisation, ELU, 3x3x3 convolution; before each block but the first a 1x1x1 convolution compresses
the outputs of all earlier ones. As in the paper (Section 4), the last convolution is replaced by RDN's upsampling head;
a 1x1x1 convolution before it fuses the blocks, as in RDN.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from saint_cli.nets.baselines.heads import FixedFactorBaseline, count_modules, read_head_factors
from saint_cli.nets.blocks import make_convolution

DIMS = 3
SHALLOW = 2
"""Channels of the first convolution and of every compressor, in units of the growth (Chen et al.: 2k)."""


class DenseBlock(nn.Module):
    """Units whose outputs are all concatenated with the block's input."""

    def __init__(self, inputs: int, growth: int, units: int) -> None:
        super().__init__()
        self.units = nn.ModuleList(_make_unit(inputs + i * growth, growth) for i in range(units))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, X, Y, W) to (B, inputs + units * growth, X, Y, W)."""
        for unit in self.units:
            x = torch.cat((x, unit(x)), 1)
        return x


class MDCSRN(FixedFactorBaseline):
    """``blocks`` dense blocks of ``units`` layers that add ``growth`` channels each."""

    dims = DIMS

    def __init__(self, growth: int, units: int, blocks: int, factors: Sequence[int]) -> None:
        super().__init__()
        shallow = SHALLOW * growth
        sizes = [shallow + i * (shallow + units * growth) for i in range(blocks + 1)]  # of all outputs before block i
        self.first = make_convolution(DIMS, 1, shallow, 3)
        self.compressors = nn.ModuleList(make_convolution(DIMS, size, shallow, 1) for size in sizes[1:-1])
        self.blocks = nn.ModuleList(DenseBlock(shallow, growth, units) for _ in range(blocks))
        self.fuse = make_convolution(DIMS, sizes[-1], shallow, 1)
        self.make_heads(shallow, growth, factors)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "MDCSRN":
        """An untrained network of the sizes of a state dict."""
        if state["first.weight"].ndim != DIMS + 2:
            raise KeyError("dimensions of the network")
        growth = state["first.weight"].shape[0] // SHALLOW
        units, blocks = count_modules(state, "blocks.0.units."), count_modules(state, "blocks.")
        return cls(growth, units, blocks, read_head_factors(state))

    @property
    def reach(self) -> int:
        """Of all its 3x3x3 convolutions."""
        return 3 + sum(len(block.units) for block in self.blocks)  # type: ignore[arg-type,misc]

    def compute_features(self, sparse: Tensor, made: int) -> Tensor:
        """The same for all factors."""
        outputs = [self.first(sparse)]
        for i, block in enumerate(self.blocks):
            x = self.compressors[i - 1](torch.cat(outputs, 1)) if i else outputs[0]
            outputs.append(block(x))
        fused: Tensor = self.fuse(torch.cat(outputs, 1))
        return fused


def _make_unit(inputs: int, growth: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm3d(inputs), nn.ELU(), make_convolution(DIMS, inputs, growth, 3))
