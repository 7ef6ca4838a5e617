"""Scans to decimate and restore."""

from dataclasses import replace

import numpy as np
from nets import tiny

from saint_cli.volume import Volume


def smooth(shape: tuple[int, int, int] = (14, 12, 11), axis: int = 2) -> Volume:
    """Waves in every direction, HU, which cubic restores better than linear."""
    x, y, z = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    through = (x, y, z)[axis]
    voxels = 300 * np.sin(through / 3) + 40 * np.cos(x / 3) * np.sin(y / 4 + z / 5) + 50
    scan = tiny.volume(shape, axis)
    return replace(scan, voxels=voxels.astype(np.float32))
