"""Filter generation: distances to convolution kernels (paper Algorithm 1 and Eq. 8), continuous in the offset.

In the paper the output voxel of channel c lies c/r of the way to the next acquired slice, and distances are taken on
the dense grid: through-plane steps of r voxels of s/r mm each. Only t = c/r and the input spacing s are left of that:

    P(h, w) = || ((h - k//2) * R_H,  ((w - k//2) - t) * s) ||

so that one model serves every factor, integer or not.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

DISTANCE_UNIT_MM = 5.0
"""Unit of the distances inside the generator, which keeps its inputs near one."""

INITIAL_FILTER_SCALE = 0.1
"""Factor of the last layer's initial weights: an untrained AMI is close to plain linear interpolation."""


def filter_distance_matrix(offsets: Tensor, in_plane_mm: Tensor, through_plane_mm: Tensor, size: int = 3) -> Tensor:
    """Physical distances in mm from the voxels of a feature patch to the voxel that the filter produces.

    offsets: (..., T) t in [0, 1], fractions of the way from an acquired slice to the next.
    in_plane_mm, through_plane_mm: (...) spacing R_H along the slice's in-plane axis and s between acquired slices.

    Returns (..., T, size, size): rows are in-plane, columns through-plane, as in the features.
    """
    steps = torch.arange(size, dtype=torch.float32, device=offsets.device) - size // 2
    along = steps[:, None] * in_plane_mm[..., None, None, None]  # (..., 1, size, 1)
    across = (steps - offsets[..., None, None]) * through_plane_mm[..., None, None, None]  # (..., T, 1, size)
    return (along.square() + across.square()).sqrt()


class FilterGenerator(nn.Module):
    """phi_FG of Eq. 8: one 3x3 distance matrix to one (channels, 3, 3) convolution kernel, by five 3x3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        sizes = (1, channels // 2, channels, channels, channels, channels)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(sizes))
        with torch.no_grad():
            for parameter in self.layers[-1].parameters():
                parameter.mul_(INITIAL_FILTER_SCALE)

    def forward(self, fdm: Tensor) -> Tensor:
        """(..., 3, 3) distances in mm to (..., channels, 3, 3) kernels."""
        x = fdm.reshape(-1, 1, 3, 3) / DISTANCE_UNIT_MM
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        x = torch.as_tensor(self.layers[-1](x))
        return x.reshape(*fdm.shape[:-2], *x.shape[1:])
