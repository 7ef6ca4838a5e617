"""Sub-pixel convolution along the through-plane axis, for one factor or for several, and what all baselines share."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from saint_cli.nets.ami import CONTEXT_SLICES
from saint_cli.nets.blocks import make_convolution

MAX_HEAD_FACTOR = 16
"""Of a weights file that claims more, nothing is built."""

INPUTS = {2: CONTEXT_SLICES, 3: 1}
"""Input channels by dimensions: 2-D networks get a slice between its two neighbours, as AMI does; 3-D ones a block."""


class Baseline(nn.Module):
    """A network that the paper compares SAINT with: acquired slices to those between them, network range.

    dims: 2 for one that gets slices, 3 for one that gets blocks; reach: voxels away that an input can change an output;
    factors: for which it has weights of its own, None for any.
    """

    dims: int = 2
    factors: tuple[int, ...] | None = None

    @property
    @abstractmethod
    def reach(self) -> int:
        """Voxels away, along any axis, that an input can change an output."""

    @abstractmethod
    def forward(self, sparse: Tensor, factor: int) -> Tensor:
        """The voxels between acquired slices.

        sparse: (B, 3, H, W) slices between their neighbours, or (B, 1, X, Y, W) blocks; W through-plane.

        Returns (B, factor - 1, H, W) or (B, factor - 1, X, Y, W); column w holds the voxels at 1/factor, 2/factor, ...
        of the way from acquired column w to the next, so the last one is extrapolated.
        """


class SubPixelHead(nn.Module):
    """Sub-pixel convolution (Shi et al. 2016) along the last axis, to ``factor`` times as many voxels."""

    def __init__(self, dims: int, inputs: int, features: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.spread = make_convolution(dims, inputs, features * factor, 3)
        self.output = make_convolution(dims, features, 1, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, ..., W) to (B, factor, ..., W): the voxels at 0/factor, 1/factor, ... above each column."""
        spread = self.spread(x).unflatten(1, (-1, self.factor))  # (B, features, factor, ..., W)
        dense: Tensor = self.output(spread.movedim(2, -1).flatten(-2))  # (B, 1, ..., W * factor)
        between: Tensor = dense[:, 0].unflatten(-1, (-1, self.factor)).movedim(-1, 1)
        return between


class FixedFactorBaseline(Baseline):
    """A baseline with one head for each of its factors."""

    heads: nn.ModuleDict

    @abstractmethod
    def compute_features(self, sparse: Tensor, made: int) -> Tensor:
        """(B, inputs, ..., W) to the features (B, C, ..., W) from which the head of factor ``made`` goes on."""

    def make_heads(self, inputs: int, features: int, factors: Iterable[int]) -> None:
        """Add a head for each factor, smallest first."""
        self.factors = tuple(sorted(set(factors)))
        self.heads = nn.ModuleDict({str(r): SubPixelHead(self.dims, inputs, features, r) for r in self.factors})

    def forward(self, sparse: Tensor, factor: int) -> Tensor:
        """As ``Baseline.forward``; a factor without a head is made by a larger one, of whose slices some are dropped.

        The paper does so for factor 2 (Section 4.1).
        """
        made = self.choose_factor(factor)
        step = made // factor
        features = self.compute_features(sparse, made)
        with in_full_precision(features):
            dense: Tensor = self.heads[str(made)](features.float())
        return dense[:, step::step]

    def choose_factor(self, factor: int) -> int:
        """The smallest factor with a head that is a multiple of ``factor``.

        Raises:
            ValueError: there is none.
        """
        assert self.factors is not None
        for made in self.factors:
            if made % factor == 0:
                return made
        known = ", ".join(map(str, self.factors))
        raise ValueError(f"the network makes factors {known} and their divisors, not {factor}")


def in_full_precision(x: Tensor) -> AbstractContextManager[object]:
    """The context in which intensities are made of features on the device of ``x``.

    bfloat16 has steps of 8 HU at soft tissue and above, so that networks that predict intensities, not residuals, would
    lose more by it than SAINT does.
    """
    return torch.autocast(x.device.type, enabled=False)


def read_head_factors(state: Mapping[str, Tensor]) -> tuple[int, ...]:
    """The factors of the heads in a state dict.

    Raises:
        ValueError, IndexError: names that are no factors, or none, or one that is too large.
    """
    factors = tuple(sorted({int(name.split(".")[1]) for name in state if name.startswith("heads.")}))
    if not factors or factors[0] < 2 or factors[-1] > MAX_HEAD_FACTOR:
        raise IndexError("factors of the heads")
    return factors


def count_modules(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbered modules a state dict has directly below ``prefix``."""
    return len({name.removeprefix(prefix).split(".")[0] for name in state if name.startswith(prefix)})


def make_relu_block(dims: int, width: int, kernel: int) -> nn.Sequential:
    """Convolution, ReLU, convolution: the branch of a residual block without batch normalisation (Lim et al. 2017)."""
    first, second = (make_convolution(dims, width, width, kernel) for _ in range(2))
    return nn.Sequential(first, nn.ReLU(), second)
