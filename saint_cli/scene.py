"""What the networks see of a volume: network range, through-plane axis last, cut to the patient."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from saint_cli import intensity, planes
from saint_cli.geometry import SliceGrid
from saint_cli.padding import finite
from saint_cli.volume import Volume

BODY_ABOVE = 0.3
"""Network value (-724 HU) that tells the patient and the table from the air around them."""
BODY_MARGIN = 8


@dataclass(frozen=True)
class Scene:
    """The part of a volume that the networks see.

    network: (x, y, acquired) network range, cut to the body; box: where that lies in the plane;
    spacing_mm along x, y and between acquired slices; values: how scanner values became network values.
    """

    network: Tensor
    box: tuple[slice, slice]
    spacing_mm: tuple[float, float, float]
    values: intensity.IntensityMap


def prepare(volume: Volume, grid: SliceGrid) -> Scene:
    """Bring a volume into network range, through-plane axis last, and cut CT to the patient's bounding box."""
    values = intensity.map_for(volume)
    sparse = np.moveaxis(volume.voxels, grid.axis, 2)
    network = torch.from_numpy(values.to_network(finite(sparse)))
    box = (slice(None), slice(None))
    if values is intensity.CT:
        box = planes.body_box(network, BODY_ABOVE, BODY_MARGIN)
    x, y = (s for axis, s in enumerate(volume.spacing_mm) if axis != grid.axis)
    return Scene(network[box].contiguous(), box, (x, y, volume.spacing_mm[grid.axis]), values)
