"""The residual dense network that AMI's feature learning and RFN share (paper Sections 3.2.1, 3.3; Zhang 2018).

Departure in form, not in function: a dense block here is *pushed* rather than concatenated. When feature i is ready,
one wide convolution adds its share to the pre-activations of all later layers at once. Parameters and result are those
of the concatenated block; the wide convolutions use the processor better and nothing is copied.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from saint_cli.nets import winograd


@dataclass(frozen=True)
class TrunkSize:
    """Sizes of a residual dense network: the paper's AMI is ``TrunkSize(3, 64, 32, 8, 6)``."""

    inputs: int
    width: int
    growth: int
    layers: int
    blocks: int
    dims: int = 2

    @classmethod
    def of(cls, state: Mapping[str, Tensor], prefix: str = "") -> "TrunkSize":
        """The sizes that a state dict was made with; raises KeyError or IndexError where it is no such network."""
        first, push = state[f"{prefix}first.weight"], state[f"{prefix}blocks.0.push.0.weight"]
        blocks = {name.split(".")[1] for name in _under(state, prefix) if name.startswith("blocks.")}
        layers = {name.split(".")[3] for name in _under(state, prefix) if name.startswith("blocks.0.push.")}
        growth = push.shape[0] // len(layers)
        return cls(first.shape[1], first.shape[0], growth, len(layers), len(blocks), first.ndim - 2)


def _under(state: Mapping[str, Tensor], prefix: str) -> list[str]:
    return [name.removeprefix(prefix) for name in state if name.startswith(prefix)]


def conv(dims: int, inputs: int, outputs: int, kernel: int, *, bias: bool = True) -> nn.Module:
    """A 2-D or 3-D convolution that keeps the size of its input (zero padding, which is air in the network's range)."""
    if dims == 3:
        return nn.Conv3d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
    if kernel == 3:
        return winograd.Conv3x3(inputs, outputs, bias=bias)
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)


class ResidualDenseBlock(nn.Module):
    """``layers`` convolutions, each seeing the input and all earlier features; fused by 1x1 and added to the input."""

    def __init__(self, size: TrunkSize) -> None:
        super().__init__()
        width, growth, layers = size.width, size.growth, size.layers
        self.growth = growth
        self.push = nn.ModuleList(
            conv(size.dims, growth if i else width, (layers - i) * growth, 3, bias=i == 0) for i in range(layers)
        )
        self.fuse = conv(size.dims, width + layers * growth, width, 1)
        self._initialise_as_concatenated(width, growth, 3**size.dims)

    def _initialise_as_concatenated(self, width: int, growth: int, taps: int) -> None:
        """Each later layer's share of weights gets the scale of the whole concatenated convolution it belongs to."""
        with torch.no_grad():
            for i, push in enumerate(self.push):
                weight = next(push.parameters())
                for k, share in enumerate(torch.split(weight, growth)):
                    bound = 1 / math.sqrt((width + (i + k) * growth) * taps)
                    share.uniform_(-bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, ...) to (B, width, ...)."""
        growth = self.growth
        features = [x]
        pending = self.push[0](x)  # (B, layers * growth, ...)
        for push in self.push[1:]:
            feature = torch.relu(pending[:, :growth])
            features.append(feature)
            pending = _plus(push(feature), pending[:, growth:])  # (B, layers left * growth, ...)
        features.append(torch.relu(pending))
        return _plus(self.fuse(torch.cat(features, 1)), x)


def _plus(made: Tensor, other: Tensor) -> Tensor:
    """Their sum, in the memory of ``made`` where no gradient needs it."""
    return torch.add(other, made) if torch.is_grad_enabled() else made.add_(other)


class ResidualDenseNetwork(nn.Module):
    """Shallow features, residual dense blocks, global feature fusion: (B, inputs, ...) to (B, width, ...)."""

    def __init__(self, size: TrunkSize) -> None:
        super().__init__()
        self.size = size
        self.first = conv(size.dims, size.inputs, size.width, 3)
        self.second = conv(size.dims, size.width, size.width, 3)
        self.blocks = nn.ModuleList(ResidualDenseBlock(size) for _ in range(size.blocks))
        self.fuse = conv(size.dims, size.blocks * size.width, size.width, 1)
        self.last = conv(size.dims, size.width, size.width, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, ...) to features (B, width, ...), same height and width."""
        if torch.is_grad_enabled() or self.size.dims == 3:
            return self._features(x)
        if winograd.planar(x, self.size.growth):
            return self._features(x.contiguous())
        return self._features(x.contiguous(memory_format=torch.channels_last))

    def _features(self, x: Tensor) -> Tensor:
        shallow = self.first(x)
        deep, outputs = self.second(shallow), []
        for block in self.blocks:
            deep = block(deep)
            outputs.append(deep)
        fused = self.last(self.fuse(torch.cat(outputs, 1)))
        return _plus(fused, shallow)
