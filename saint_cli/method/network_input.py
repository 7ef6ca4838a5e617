"""The part of a volume that the networks get as input: network range, through-plane axis last, cut to the body."""

import copy
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from saint_cli.geometry import SliceGrid
from saint_cli.geometry.spacing_limits import network_spacing_mm
from saint_cli.method import intensity, planes, slab_ends
from saint_cli.method.padding import fill_nonfinite
from saint_cli.runtime.device_selection import Compute
from saint_cli.volume import Volume

Network = TypeVar("Network", bound=nn.Module)

BODY_THRESHOLD = 0.3
"""Network value (-724 HU) above which a voxel is body or table, not the air around them."""

BODY_MARGIN = 16
"""Columns around the body that are passed to the networks too; wider margins change the body by rounding only."""

BOX_STEP = 4
"""The box of the body begins at a multiple of it, so that a folded network, whose fold divides it, takes together the
same rows as without the cut (docs/decisions.md, 7)."""

SLAB_COLUMNS = 16
"""Sagittal planes that are brought into network range at once."""


@dataclass(frozen=True)
class NetworkInput:
    """The part of a volume that the networks get as input.

    voxels: (x, y, acquired) network range, cut to the body; box: where that lies in the plane;
    spacing_mm: along x, y and between acquired slices, as the networks get it;
    intensity_map: from scanner values to network values;
    body: (x, y) bool, what of the box the networks are needed for, None for all of it;
    thickness_mm: of slabs, as the networks get it, None where slices are not to be taken for slabs.
    """

    voxels: Tensor
    box: tuple[slice, slice]
    spacing_mm: tuple[float, float, float]
    intensity_map: intensity.IntensityMap
    body: Tensor | None = None
    thickness_mm: float | None = None

    @property
    def needed(self) -> Tensor:
        """(x, y) bool: the columns that the networks are needed for; the others are interpolated linearly."""
        return torch.ones(self.voxels.shape[:2], dtype=torch.bool) if self.body is None else self.body

    def copy_to_devices(self, network: Network, compute: Compute) -> list[tuple[Tensor, Network]]:
        """The voxels and the network on every device; ``network`` lies on the first of them."""
        copies = [network if d == compute.device else copy.deepcopy(network).to(d) for d in compute.devices]
        return [(self.voxels.to(d), one) for d, one in zip(compute.devices, copies, strict=True)]


def prepare_input(volume: Volume, grid: SliceGrid, *, skip_air: bool = True) -> NetworkInput:
    """Bring a volume into network range, through-plane axis last, and cut CT to the body.

    Of slabs, the outer ones are repeated (``slab_ends``).
    """
    intensity_map = intensity.choose_map(volume)
    sparse = fill_nonfinite(np.moveaxis(volume.voxels, grid.axis, 2))
    box, body = planes.WHOLE_PLANE, None
    if intensity_map is intensity.CT and skip_air:
        box, body = find_body(intensity_map.to_network(sparse.max(axis=2)))
    boxed, ends = sparse[box], slab_ends.count_ends(grid)
    voxels = torch.empty((*boxed.shape[:2], boxed.shape[2] + 2 * ends))
    for x in range(0, len(boxed), SLAB_COLUMNS):  # no second copy of the volume is held
        part = torch.from_numpy(intensity_map.to_network(boxed[x : x + SLAB_COLUMNS]))
        voxels[x : x + SLAB_COLUMNS] = functional.pad(part, (ends, ends), mode="replicate")
    spacing = network_spacing_mm(volume.spacing_mm, grid.axis)
    thickness = None if grid.slab is None else grid.slab.thickness * spacing[2]
    return NetworkInput(voxels, box, spacing, intensity_map, body, thickness)


def find_body(brightest: np.ndarray) -> tuple[tuple[slice, slice], Tensor]:
    """The box of the body in the plane, and what of it the networks are needed for, (x, y) bool.

    brightest: (X, Y) network range, the highest value of each column.
    """
    values = torch.from_numpy(brightest)
    spans = planes.find_body_box(values, BODY_THRESHOLD, BODY_MARGIN)
    x, y = (slice(span.start // BOX_STEP * BOX_STEP, span.stop) for span in spans)
    box = x, y
    return box, planes.find_body_mask(values[box], BODY_THRESHOLD, BODY_MARGIN)
