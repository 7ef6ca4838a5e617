"""The Filter Distance Matrix (paper Algorithm 1), continuous in the offset.

In the paper the output voxel of channel c lies c/r of the way to the next acquired slice, and distances are taken on
the dense grid: through-plane steps of r voxels of s/r mm each. Only t = c/r and the input spacing s are left of that:

    P(h, w) = || ((h - k//2) * R_H,  ((w - k//2) - t) * s) ||

so that one model serves every factor, integer or not.
"""

import torch
from torch import Tensor


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
