"""Meta-SR: a filter for every output pixel, from where that pixel projects to (Hu et al., CVPR 2019).

Its features are those of AMI (the paper's Section 4.1), its filters come from two fully connected layers of 256, which
get (i/s_i - floor(i/s_i), j/s_j - floor(j/s_j), 1/r) of output pixel (i, j). Only columns are upsampled here, so the
first of the three is 0.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saint_cli.nets.ami import CONTEXT_SLICES
from saint_cli.nets.baselines.heads import Baseline, in_full_precision
from saint_cli.nets.baselines.rdn import read_trunk_size
from saint_cli.nets.blocks import ResidualDenseNetwork, TrunkSize

TAPS = 9
PROJECTION = 3
"""Numbers that say where an output pixel lies."""

MOST_FILTERS = 8192
"""Filters that are generated at once, 19 MB at full width; larger images are computed in strips."""


class MetaSR(Baseline):
    """The trunk of AMI, and one generated 3x3 filter for every output pixel; hidden: 256 in the paper."""

    def __init__(self, size: TrunkSize, hidden: int) -> None:
        super().__init__()
        self.features = ResidualDenseNetwork(size)
        self.filters = nn.Sequential(nn.Linear(PROJECTION, hidden), nn.ReLU(), nn.Linear(hidden, TAPS * size.width))

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "MetaSR":
        """An untrained network of the sizes of a state dict."""
        size = read_trunk_size(state, 2)
        if size.inputs != CONTEXT_SLICES:
            raise KeyError("inputs of the trunk")
        return cls(size, state["filters.0.weight"].shape[0])

    @property
    def reach(self) -> int:
        """Of the trunk and the generated filters."""
        return self.features.size.reach

    def forward(self, sparse: Tensor, factor: int) -> Tensor:
        """(B, 3, H, W) to (B, factor - 1, H, W): see ``Baseline.forward``; any factor."""
        features = F.pad(self.features(sparse).float(), (1, 1, 1, 1))  # (B, C, H + 2, W + 2)
        height, width = sparse.shape[-2:]
        rows = max(1, MOST_FILTERS // (width * (factor - 1)))
        with in_full_precision(features):
            strips = [
                self._convolve(features[:, :, row : min(height, row + rows) + 2], factor)
                for row in range(0, height, rows)
            ]
        return torch.cat(strips, 2)

    def _convolve(self, features: Tensor, factor: int) -> Tensor:
        """Features (B, C, h + 2, W + 2) to (B, factor - 1, h, W)."""
        height, width = features.shape[2] - 2, features.shape[3] - 2
        place = project_pixels(height, width, factor, features.device)
        filters = self.filters(place)  # (h, W, T, C * 9)
        patches = F.unfold(features, 3).permute(2, 1, 0)  # (h * W, C * 9, B)
        parts = torch.bmm(filters.flatten(0, 1), patches)  # (h * W, T, B)
        strip: Tensor = parts.permute(2, 1, 0).unflatten(2, (height, width))
        return strip


def project_pixels(height: int, width: int, factor: int, device: torch.device) -> Tensor:
    """(height, width, factor - 1, 3) location projections of the output pixels between acquired columns."""
    across = torch.arange(1, factor, device=device) / factor
    place = torch.stack([torch.zeros_like(across), across, torch.full_like(across, 1 / factor)], 1)  # (T, 3)
    return place.expand(height, width, -1, -1)
