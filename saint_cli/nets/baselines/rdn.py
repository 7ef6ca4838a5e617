"""RDN, the residual dense network with its own upsampling head, in 2-D and in 3-D (Zhang et al., CVPR 2018).

Of its published form only the head differs: factors lie along one axis, and are made in one step. As in the paper
(Section 4), 3-D networks grow by 16 channels a layer in place of 32.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor

from saint_cli.nets.baselines.heads import INPUTS, FixedFactorBaseline, read_head_factors
from saint_cli.nets.blocks import ResidualDenseNetwork, TrunkSize


class RDN(FixedFactorBaseline):
    """Residual dense features, then one sub-pixel head a factor, with ``size.growth`` dense features."""

    def __init__(self, size: TrunkSize, factors: Sequence[int]) -> None:
        super().__init__()
        self.dims = size.dims
        self.features = ResidualDenseNetwork(size)
        self.make_heads(size.width, size.growth, factors)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], dims: int) -> "RDN":
        """An untrained network of the sizes of a state dict."""
        return cls(read_trunk_size(state, dims), read_head_factors(state))

    @property
    def reach(self) -> int:
        """Of the trunk with the convolution after it, and the head's last one."""
        return self.features.size.reach + 1

    def compute_features(self, sparse: Tensor, made: int) -> Tensor:
        """The same for all factors."""
        features: Tensor = self.features(sparse)
        return features


def read_trunk_size(state: Mapping[str, Tensor], dims: int) -> TrunkSize:
    """The sizes of the residual dense trunk of a baseline.

    Raises:
        KeyError, IndexError: another network, or one of other dimensions.
    """
    size = TrunkSize.from_state(state, "features.", INPUTS[dims])
    if size.dims != dims or size.fold != 1:
        raise KeyError("dimensions of the trunk")
    return size
