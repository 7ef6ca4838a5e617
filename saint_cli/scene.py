"""What the networks see of a volume: network range, through-plane axis last, cut to the patient."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from saint_cli import intensity, planes
from saint_cli.geometry import SliceGrid
from saint_cli.padding import finite
from saint_cli.spacings import known_spacing
from saint_cli.volume import Volume

BODY_ABOVE = 0.3
"""Network value (-724 HU) that tells the patient's outline and the table from the air around them."""
BODY_MARGIN = 16
"""Columns around the patient that the networks see too: fewer changed voxels of the patient by more than rounding."""

SLAB = 16
"""Sagittal planes that are brought into network range at once."""


@dataclass(frozen=True)
class Scene:
    """The part of a volume that the networks see.

    network: (x, y, acquired) network range, cut to the body; box: where that lies in the plane;
    spacing_mm along x, y and between acquired slices, as the networks are told; values: how scanner values became
    network values;
    body: (x, y) bool, what of the box the networks are needed for, None for all of it.
    """

    network: Tensor
    box: tuple[slice, slice]
    spacing_mm: tuple[float, float, float]
    values: intensity.IntensityMap
    body: Tensor | None = None

    @property
    def needed(self) -> Tensor:
        """(x, y) bool: the columns that the networks are needed for; the others are interpolated linearly."""
        return torch.ones(self.network.shape[:2], dtype=torch.bool) if self.body is None else self.body


def prepare(volume: Volume, grid: SliceGrid, *, skip_air: bool = True) -> Scene:
    """Bring a volume into network range, through-plane axis last, and cut CT to the patient."""
    values = intensity.map_for(volume)
    sparse = finite(np.moveaxis(volume.voxels, grid.axis, 2))
    box, body = (slice(None), slice(None)), None
    if values is intensity.CT and skip_air:
        box, body = outline(values.to_network(sparse.max(axis=2)))
    seen = sparse[box]
    network = torch.empty(seen.shape)
    for x0 in range(0, len(seen), SLAB):  # no second copy of the volume is held
        network[x0 : x0 + SLAB] = torch.from_numpy(values.to_network(seen[x0 : x0 + SLAB]))
    return Scene(network, box, known_spacing(volume.spacing_mm, grid.axis), values, body)


def outline(brightest: np.ndarray) -> tuple[tuple[slice, slice], Tensor]:
    """The box of the body in the plane, and what of it the networks are needed for, (x, y) bool.

    brightest: (X, Y) network range, the highest value of each column.
    """
    values = torch.from_numpy(brightest)
    box = planes.body_box(values[..., None], BODY_ABOVE, BODY_MARGIN)
    return box, planes.body_mask(values[box], BODY_ABOVE, BODY_MARGIN)
