"""The residual dense network that AMI's feature learning and RFN share (paper Sections 3.2.1, 3.3; Zhang 2018).

Departure in form, not in function: dense blocks push features instead of concatenating them. When feature i is ready,
one wide convolution adds its contribution to the pre-activations of all later layers at once. Parameters and result are
those of the concatenated block; the wide convolutions use the processor better, and nothing is copied.

A trunk may be *folded*: groups of ``fold`` rows of the image become channels (pixel-unshuffle, Shi et al. 2016, along
the in-plane axis), so that wide convolutions run on fewer rows and see further; docs/training-log.md has the gain.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from saint_cli.nets import winograd


@dataclass(frozen=True)
class TrunkSize:
    """Sizes of a residual dense network: the paper's AMI is ``TrunkSize(3, 64, 32, 8, 6)``.

    inputs: channels of the image; fold: how many of its rows become channels of one; others: as Zhang et al. name them.
    """

    inputs: int
    width: int
    growth: int
    layers: int
    blocks: int
    dims: int = 2
    fold: int = 1

    @property
    def outputs(self) -> int:
        """Feature channels of a pixel of the image."""
        return self.width // self.fold

    @property
    def reach(self) -> int:
        """How many rows away an input changes an output: a fold per 3x3 convolution, with the one after the trunk."""
        return (self.blocks * self.layers + 4) * self.fold

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], prefix: str = "", inputs: int | None = None) -> "TrunkSize":
        """The sizes of the network of a state dict; raises KeyError or IndexError for any other network.

        inputs: channels of its images; None for a network that is not folded.
        """
        first, push = state[f"{prefix}first.weight"], state[f"{prefix}blocks.0.push.0.weight"]
        blocks = {name.split(".")[1] for name in _names_under(state, prefix) if name.startswith("blocks.")}
        layers = {name.split(".")[3] for name in _names_under(state, prefix) if name.startswith("blocks.0.push.")}
        growth = push.shape[0] // len(layers)
        inputs = inputs or first.shape[1]
        return cls(inputs, first.shape[0], growth, len(layers), len(blocks), first.ndim - 2, first.shape[1] // inputs)


def _names_under(state: Mapping[str, Tensor], prefix: str) -> list[str]:
    return [name.removeprefix(prefix) for name in state if name.startswith(prefix)]


def make_convolution(dims: int, inputs: int, outputs: int, kernel: int, *, bias: bool = True) -> nn.Module:
    """A 2-D or 3-D convolution that keeps the size of its input (padding of zeros, which are air in network range)."""
    if dims == 3:
        return nn.Conv3d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
    if kernel == 3:
        return winograd.Conv3x3(inputs, outputs, bias=bias)
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)


class ResidualDenseBlock(nn.Module):
    """``layers`` convolutions of the input and all earlier features; fused by 1x1 and added to the input."""

    def __init__(self, size: TrunkSize) -> None:
        super().__init__()
        width, growth, layers = size.width, size.growth, size.layers
        self.growth = growth
        self.push = nn.ModuleList(
            make_convolution(size.dims, growth if i else width, (layers - i) * growth, 3, bias=i == 0)
            for i in range(layers)
        )
        self.fuse = make_convolution(size.dims, width + layers * growth, width, 1)
        self._initialise_as_concatenated(width, growth, 3**size.dims)

    def _initialise_as_concatenated(self, width: int, growth: int, taps: int) -> None:
        """Scale each later layer's share of weights like the concatenated convolution it belongs to."""
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
            pending = _add_in_place(push(feature), pending[:, growth:])  # (B, layers left * growth, ...)
        features.append(torch.relu(pending))
        return _add_in_place(self.fuse(torch.cat(features, 1)), x)


def _add_in_place(result: Tensor, other: Tensor) -> Tensor:
    """Their sum, in the memory of ``result`` where no gradient needs that."""
    return torch.add(other, result) if torch.is_grad_enabled() else result.add_(other)


class ResidualDenseNetwork(nn.Module):
    """Shallow features, residual dense blocks, global feature fusion: (B, inputs, ...) to (B, outputs, ...)."""

    def __init__(self, size: TrunkSize) -> None:
        super().__init__()
        self.size = size
        self.first = make_convolution(size.dims, size.inputs * size.fold, size.width, 3)
        self.second = make_convolution(size.dims, size.width, size.width, 3)
        self.blocks = nn.ModuleList(ResidualDenseBlock(size) for _ in range(size.blocks))
        self.fuse = make_convolution(size.dims, size.blocks * size.width, size.width, 1)
        self.last = make_convolution(size.dims, size.width, size.width, 3)

    @property
    def multiply_adds(self) -> int:
        """Of a pixel of the image: every weight of a convolution is used once for each ``fold`` of them."""
        return count_weights(self) // self.size.fold

    def freeze(self, blocks: int) -> None:
        """Let training leave the first so many residual dense blocks, and the layers before them, as they are."""
        for part in (self.first, self.second, *self.blocks[:blocks]):
            part.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, ...) to features (B, outputs, ...), same height and width."""
        if self.size.fold == 1:
            return self._compute(x)
        return unfold_rows(self._compute(fold_rows(x, self.size.fold)), self.size.fold)[..., : x.shape[-2], :]

    def _compute(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or self.size.dims == 3:
            return self._features(x)
        if winograd.prefers_planes(x, self.size.growth):
            return self._features(x.contiguous())
        return self._features(x.contiguous(memory_format=torch.channels_last))

    def _features(self, x: Tensor) -> Tensor:
        shallow = self.first(x)
        deep, outputs = self.second(shallow), []
        for block in self.blocks:
            deep = block(deep)
            outputs.append(deep)
        fused = self.last(self.fuse(torch.cat(outputs, 1)))
        return _add_in_place(fused, shallow)


def count_weights(network: nn.Module) -> int:
    """Of its convolutions, without their biases."""
    return sum(math.prod(p.shape) for p in network.parameters() if p.ndim > 2)


def fold_rows(x: Tensor, fold: int) -> Tensor:
    """(B, C, H, W) to (B, C * fold, ceil(H / fold), W); the last row is repeated where ``fold`` does not divide H."""
    batch, channels, height, width = x.shape
    if height % fold:
        x = torch.cat((x, x[..., -1:, :].expand(-1, -1, fold - height % fold, -1)), -2)
    return x.reshape(batch, channels, -1, fold, width).transpose(2, 3).reshape(batch, channels * fold, -1, width)


def unfold_rows(x: Tensor, fold: int) -> Tensor:
    """(B, C * fold, H, W) to (B, C, H * fold, W): the inverse of ``fold_rows``."""
    batch, channels, height, width = x.shape
    unfolded = x.reshape(batch, channels // fold, fold, height, width).transpose(2, 3)
    return unfolded.reshape(batch, channels // fold, height * fold, width)
