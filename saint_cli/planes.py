"""A volume as batches of sagittal, coronal or diagonal slices with their neighbours, and back. No network here.

All volumes are (X, Y, Z) tensors with z through-plane. A *view* is one family of parallel planes that contain z.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

CONTEXT = 1
"""Neighbouring slices on either side that accompany each slice."""


class View(Protocol):
    """One family of parallel planes: reads batches of them and scatters the results."""

    @property
    def planes(self) -> int:
        """How many planes there are."""

    @property
    def in_plane_mm(self) -> float:
        """Spacing along the planes' in-plane axis."""

    def gather(self, volume: Tensor, first: int, count: int) -> Tensor:
        """(X, Y, Z) to (count, 3, H, Z): ``count`` planes from ``first`` on, each between its two neighbours."""

    def add(self, total: Tensor, planes: Tensor, first: int) -> None:
        """Add planes (count, S, H) into ``total`` (S, X, Y) where ``gather`` took them from."""


@dataclass(frozen=True)
class Sagittal:
    """Planes of fixed x, which show (y, z)."""

    planes: int
    in_plane_mm: float

    def gather(self, volume: Tensor, first: int, count: int) -> Tensor:
        """(X, Y, Z) to (count, 3, Y, Z)."""
        return volume[_neighbourhood(first, count, self.planes, volume.device)]

    def add(self, total: Tensor, planes: Tensor, first: int) -> None:
        """(count, S, Y) into (S, X, Y)."""
        total[:, first : first + len(planes)] += planes.transpose(0, 1)


@dataclass(frozen=True)
class Coronal:
    """Planes of fixed y, which show (x, z)."""

    planes: int
    in_plane_mm: float

    def gather(self, volume: Tensor, first: int, count: int) -> Tensor:
        """(X, Y, Z) to (count, 3, X, Z)."""
        return volume.transpose(0, 1)[_neighbourhood(first, count, self.planes, volume.device)]

    def add(self, total: Tensor, planes: Tensor, first: int) -> None:
        """(count, S, X) into (S, X, Y)."""
        total[:, :, first : first + len(planes)] += planes.permute(1, 2, 0)


@dataclass(frozen=True)
class Diagonal:
    """Planes along one in-plane diagonal, which show (distance along it, z).

    Plane k holds the voxels with y - x = k - (X - 1), or with ``falling`` x + y = k; one per x. Where such a plane has
    left the volume it repeats its edge voxels, and results there are dropped: half of the work for a square, but what
    a plane sees does not depend on the batch it is in.
    """

    shape: tuple[int, int]
    in_plane_mm: float
    falling: bool

    @property
    def planes(self) -> int:
        """Number of diagonals, X + Y - 1."""
        return sum(self.shape) - 1

    def gather(self, volume: Tensor, first: int, count: int) -> Tensor:
        """(X, Y, Z) to (count, 3, X, Z)."""
        x, y = self._indices(_neighbourhood(first, count, self.planes, volume.device))
        return volume[x, y.clamp(0, self.shape[1] - 1)]

    def add(self, total: Tensor, planes: Tensor, first: int) -> None:
        """(count, S, X) into (S, X, Y)."""
        x, y = self._indices(torch.arange(first, first + len(planes), device=total.device))
        x = x.expand_as(y)
        inside = (y >= 0) & (y < self.shape[1])
        total[:, x[inside], y[inside]] += planes.transpose(1, 2)[inside].T  # each voxel lies on one plane only

    def _indices(self, k: Tensor) -> tuple[Tensor, Tensor]:
        """x (X,) and y (..., X) of the planes k."""
        size_x = self.shape[0]
        x = torch.arange(size_x, device=k.device)
        y = k[..., None] + x - (size_x - 1)
        return (size_x - 1 - x if self.falling else x), y


def views(shape: tuple[int, int], spacing_mm: tuple[float, float], directions: int) -> list[View]:
    """The sagittal and the coronal view of an (X, Y, ...) volume; with four directions also the two diagonal ones."""
    (size_x, size_y), (mm_x, mm_y) = shape, spacing_mm
    chosen: list[View] = [Sagittal(size_x, mm_y), Coronal(size_y, mm_x)]
    if directions == 4:
        diagonal_mm = math.hypot(mm_x, mm_y)
        chosen += [Diagonal(shape, diagonal_mm, falling) for falling in (False, True)]
    return chosen


def batches(view: View, size: int) -> Iterator[tuple[int, int]]:
    """(first, count) of consecutive batches that cover the view."""
    for first in range(0, view.planes, size):
        yield first, min(size, view.planes - first)


def _neighbourhood(first: int, count: int, planes: int, device: torch.device) -> Tensor:
    """(count, 3) indices of each plane and its two neighbours; at the volume's sides a plane is its own neighbour."""
    centre = torch.arange(first, first + count, device=device)
    offsets = torch.arange(-CONTEXT, CONTEXT + 1, device=device)
    return (centre[:, None] + offsets).clamp(0, planes - 1)


def body_box(network: Tensor, threshold: float, margin: int) -> tuple[slice, slice]:
    """The in-plane bounding box of all voxels above ``threshold``, widened by ``margin``; the whole plane if none is.

    network: (X, Y, Z). Beyond the box there is only air, which needs no network.
    """
    inside = (network > threshold).any(2)
    return _span(inside.any(1), margin), _span(inside.any(0), margin)


def _span(hits: Tensor, margin: int) -> slice:
    at = hits.nonzero()
    if not len(at):
        return slice(0, len(hits))
    return slice(max(0, int(at[0]) - margin), min(len(hits), int(at[-1]) + 1 + margin))
