"""MDSR: one body for several factors, with layers before and after it that each factor has for itself.

Lim et al., *Enhanced Deep Residual Networks for Single Image Super-Resolution*, CVPR Workshops 2017: two residual
blocks of 5x5 convolutions for each factor, a body of residual blocks without batch normalisation, one upsampling head a
factor. Their blocks are fewer here, so that sizes and depths are those of the paper's comparison (Section 4).
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from saint_cli.nets.baselines.heads import (
    INPUTS,
    FixedFactorBaseline,
    count_modules,
    make_relu_block,
    read_head_factors,
)
from saint_cli.nets.blocks import make_convolution

BLOCKS_BEFORE = 2
KERNEL_BEFORE = 5


class MDSR(FixedFactorBaseline):
    """``blocks`` residual blocks of ``width`` channels, between layers of each factor."""

    def __init__(self, dims: int, width: int, blocks: int, factors: Sequence[int]) -> None:
        super().__init__()
        self.dims = dims
        self.make_heads(width, width, factors)
        self.first = make_convolution(dims, INPUTS[dims], width, 3)
        self.before = nn.ModuleDict(
            {name: _make_blocks(dims, width, BLOCKS_BEFORE, KERNEL_BEFORE) for name in self.heads}
        )
        self.blocks = _make_blocks(dims, width, blocks, 3)
        self.last = make_convolution(dims, width, width, 3)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], dims: int) -> "MDSR":
        """An untrained network of the sizes of a state dict."""
        first = state["first.weight"]
        if first.ndim != dims + 2:
            raise KeyError("dimensions of the network")
        return cls(dims, first.shape[0], count_modules(state, "blocks."), read_head_factors(state))

    @property
    def reach(self) -> int:
        """Of all convolutions, each half of its kernel."""
        return 2 * BLOCKS_BEFORE * (KERNEL_BEFORE // 2) + 2 * len(self.blocks) + 4

    def compute_features(self, sparse: Tensor, made: int) -> Tensor:
        """Shallow features of one factor, and the body added to them."""
        shallow = _add_all(self.first(sparse), self.before[str(made)])
        deep: Tensor = self.last(_add_all(shallow, self.blocks))
        return deep + shallow


def _make_blocks(dims: int, width: int, count: int, kernel: int) -> nn.ModuleList:
    return nn.ModuleList(make_relu_block(dims, width, kernel) for _ in range(count))


def _add_all(x: Tensor, blocks: nn.Module) -> Tensor:
    for block in blocks:  # type: ignore[attr-defined]
        x = x + block(x)
    return x
