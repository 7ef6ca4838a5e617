"""Filter generation: distances to convolution kernels (paper Algorithm 1 and Eq. 8), continuous in the offset.

In the paper the output voxel of channel c lies c/r of the way to the next acquired slice, and distances are taken on
the dense grid: through-plane steps of r voxels of s/r mm each. Only t = c/r and the input spacing s are left of that:

    P(h, w) = || ((h - k//2) * R_H,  ((w - k//2) - t) * s) ||

so that one model serves every factor, integer or not.

Slices of a scanner are slabs of tissue, not planes. A network for slabs gets a second matrix of distances, to the
nearest point of each slab in place of its middle. Without thickness both are equal.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

DISTANCE_UNIT_MM = 5.0
"""Unit of the distances inside the generator, which keeps its inputs near one."""

INITIAL_FILTER_SCALE = 0.1
"""Factor of the last layer's initial weights: an untrained AMI is close to plain linear interpolation."""


def filter_distance_matrix(offsets: Tensor, in_plane_mm: Tensor, through_plane_mm: Tensor) -> Tensor:
    """Physical distances in mm from the voxels of a feature patch to the voxel that the filter produces.

    offsets: (..., T) t in [0, 1], fractions of the way from an acquired slice to the next.
    in_plane_mm, through_plane_mm: (...) spacing R_H along the slice's in-plane axis and s between acquired slices.

    Returns (..., T, 3, 3): rows are in-plane, columns through-plane, as in the features.
    """
    along, across = _measure_distances(offsets, in_plane_mm, through_plane_mm)
    return (along.square() + across.square()).sqrt()


def slab_distance_matrices(
    offsets: Tensor, in_plane_mm: Tensor, through_plane_mm: Tensor, thickness_mm: Tensor
) -> Tensor:
    """As ``filter_distance_matrix``, to the middle and to the nearest point of slabs: (..., T, 2, 3, 3).

    thickness_mm: (...) of the slabs that the acquired slices are means of.
    """
    along, across = _measure_distances(offsets, in_plane_mm, through_plane_mm)
    beyond = (across.abs() - thickness_mm[..., None, None, None] / 2).clamp(min=0)
    return torch.stack([(along.square() + one.square()).sqrt() for one in (across, beyond)], -3)


def distance_matrices(
    offsets: Tensor, in_plane_mm: Tensor, through_plane_mm: Tensor, thickness_mm: Tensor | None
) -> Tensor:
    """What the filters of a network are generated from: with thickness the two of ``slab_distance_matrices``."""
    if thickness_mm is None:
        return filter_distance_matrix(offsets, in_plane_mm, through_plane_mm)
    return slab_distance_matrices(offsets, in_plane_mm, through_plane_mm, thickness_mm)


def _measure_distances(offsets: Tensor, in_plane_mm: Tensor, through_plane_mm: Tensor) -> tuple[Tensor, Tensor]:
    """Signed distances in mm along the slice (..., 1, 3, 1), and across it (..., T, 1, 3)."""
    steps = torch.arange(-1, 2, dtype=torch.float32, device=offsets.device)
    along = steps[:, None] * in_plane_mm[..., None, None, None]
    return along, (steps - offsets[..., None, None]) * through_plane_mm[..., None, None, None]


class FilterGenerator(nn.Module):
    """phi_FG of Eq. 8: a 3x3 distance matrix to one (channels, 3, 3) convolution kernel, by five 3x3 convolutions.

    matrices: 1, or 2 for those of ``slab_distance_matrices``.
    """

    def __init__(self, channels: int, matrices: int = 1) -> None:
        super().__init__()
        self.matrices = matrices
        sizes = (matrices, channels // 2, channels, channels, channels, channels)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(sizes))
        with torch.no_grad():
            for parameter in self.layers[-1].parameters():
                parameter.mul_(INITIAL_FILTER_SCALE)

    def forward(self, fdm: Tensor) -> Tensor:
        """(..., 3, 3), or (..., 2, 3, 3) of two matrices, in mm to (..., channels, 3, 3) kernels."""
        x = fdm.reshape(-1, self.matrices, 3, 3) / DISTANCE_UNIT_MM
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        x = torch.as_tensor(self.layers[-1](x))
        return x.reshape(*fdm.shape[: -2 if self.matrices == 1 else -3], *x.shape[1:])
