"""Values that are too large for float32 arithmetic."""

from dataclasses import replace

import numpy as np

from saint_cli.volume import Volume, hounsfield


def limit_values(volume: Volume) -> Volume:
    """The volume with values that float32 pictures and figures can hold, cut at ``hounsfield.OVERFLOW_LIMIT``."""
    voxels, most = volume.voxels, hounsfield.OVERFLOW_LIMIT
    if voxels.dtype.kind != "f" or not (np.abs(voxels) > most).any():
        return volume
    padding = tuple((max(-most, min(low, most)), max(-most, min(high, most))) for low, high in volume.header.padding)
    clipped = np.clip(voxels, -most, most).astype(np.float32)
    return replace(volume, voxels=clipped, header=replace(volume.header, padding=padding))
