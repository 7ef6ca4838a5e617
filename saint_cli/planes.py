"""A volume as batches of sagittal, coronal or diagonal slices with their neighbours, and back. No network here.

All volumes are (X, Y, Z) tensors with z through-plane. A *view* is one family of parallel planes that contain z.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

CONTEXT = 1
"""Neighbouring slices on either side that accompany each slice."""

WHOLE = slice(None)


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

    def add(self, total: Tensor, planes: Tensor, first: int, rows: slice = WHOLE) -> None:
        """Add ``rows`` of planes, (count, S, rows), into ``total`` (S, X, Y) where ``gather`` took them from."""


@dataclass(frozen=True)
class Sagittal:
    """Planes of fixed x, which show (y, z)."""

    planes: int
    in_plane_mm: float

    def gather(self, volume: Tensor, first: int, count: int) -> Tensor:
        """(X, Y, Z) to (count, 3, Y, Z)."""
        return volume[_neighbourhood(first, count, self.planes, volume.device)]

    def add(self, total: Tensor, planes: Tensor, first: int, rows: slice = WHOLE) -> None:
        """(count, S, rows of Y) into (S, X, Y)."""
        total[:, first : first + len(planes), rows] += planes.transpose(0, 1)


@dataclass(frozen=True)
class Coronal:
    """Planes of fixed y, which show (x, z)."""

    planes: int
    in_plane_mm: float

    def gather(self, volume: Tensor, first: int, count: int) -> Tensor:
        """(X, Y, Z) to (count, 3, X, Z)."""
        return volume.transpose(0, 1)[_neighbourhood(first, count, self.planes, volume.device)]

    def add(self, total: Tensor, planes: Tensor, first: int, rows: slice = WHOLE) -> None:
        """(count, S, rows of X) into (S, X, Y)."""
        total[:, rows, first : first + len(planes)] += planes.permute(1, 2, 0)


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

    def add(self, total: Tensor, planes: Tensor, first: int, rows: slice = WHOLE) -> None:
        """(count, S, rows of X) into (S, X, Y)."""
        x, y = self._indices(torch.arange(first, first + len(planes), device=total.device))
        x, y = x[rows].expand(len(planes), -1), y[:, rows]
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


@dataclass(frozen=True)
class Part:
    """What a network computes at once: the ``rows`` of ``count`` planes from ``first`` on, from what is ``seen``.

    needed: (count, rows) bool, where its result is wanted.
    """

    first: int
    count: int
    rows: slice
    seen: slice
    needed: Tensor

    @property
    def kept(self) -> slice:
        """Where the rows lie in what is seen."""
        return slice(self.rows.start - self.seen.start, self.rows.stop - self.seen.start)

    @property
    def pixels(self) -> int:
        """How many rows are seen, all planes together: what it takes to compute the part."""
        return self.count * int(self.seen.stop - self.seen.start)


@dataclass(frozen=True)
class Tiling:
    """How planes are cut into parts.

    batch: from the number of rows of a plane to how many such planes are wanted at once; most_rows: to see at
    once where the halo allows it (``most_seen``);
    halo: how many rows away a voxel can change a result.
    """

    batch: Callable[[int], int]
    most_rows: int
    halo: int


def parts(view: View, body: Tensor, tiling: Tiling) -> Iterator[Part]:
    """Parts that cover the body, (X, Y) bool, and as little air as their rectangular shape allows.

    The rows of a part are cut to the body, which lies on air; only where a plane has more rows than ``most_seen`` they
    come in several parts, which see ``halo`` rows beyond their own.
    """
    held = view.gather(body[..., None], 0, view.planes)[:, CONTEXT, :, 0]  # (planes, H)
    some = held.any(1).tolist()
    first = 0
    while first < view.planes:
        if not some[first]:
            first += 1
            continue
        count = _count_that_fits(held[first:], some[first:], tiling.batch)
        rows = span(held[first : first + count].any(0))
        for kept, seen in _cuts(rows, tiling):
            yield Part(first, count, kept, seen, held[first : first + count, kept])
        first += count


def most_seen(most_rows: int, halo: int) -> int:
    """How many rows are seen at once at most: each step is two halos or more, so that they do not outweigh it."""
    return max(most_rows, 4 * halo, 1)


def _cuts(rows: slice, tiling: Tiling) -> Iterator[tuple[slice, slice]]:
    """Rows to compute at once, and what is seen for them."""
    most = most_seen(tiling.most_rows, tiling.halo)
    step = most if rows.stop - rows.start <= most else most - 2 * tiling.halo
    for start in range(rows.start, rows.stop, step):
        stop = min(rows.stop, start + step)
        yield slice(start, stop), slice(max(rows.start, start - tiling.halo), min(rows.stop, stop + tiling.halo))


def _count_that_fits(held: Tensor, some: list[bool], batch: Callable[[int], int]) -> int:
    """How many of the first planes, (planes, H) bool, fit one batch with the rows that any of them needs."""
    rows = held[0]
    for count in range(1, len(held)):
        rows = rows | held[count]
        cut = span(rows)
        if not some[count] or count >= batch(cut.stop - cut.start):
            return count
    return len(held)


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


def body_mask(brightest: Tensor, threshold: float, margin: int) -> Tensor:
    """(X, Y) bool: the columns that are not air around the patient, and ``margin`` around them; all, if none is.

    brightest: (X, Y), the highest value of each column. Air around him is what is at most ``threshold`` and reaches the
    edge of the plane through such columns, side by side; so lung, bowel gas and trachea are needed like other tissue,
    unless the plane was cut through them.
    """
    from scipy.ndimage import binary_fill_holes  # only CT needs it

    body = binary_fill_holes((brightest > threshold).numpy())
    inside = torch.from_numpy(body).float()
    if not inside.any():
        return torch.ones_like(inside, dtype=torch.bool)
    for size in ((2 * margin + 1, 1), (1, 2 * margin + 1)):
        inside = max_pool2d(inside[None], size, 1, (size[0] // 2, size[1] // 2))[0]
    return inside > 0


def _span(hits: Tensor, margin: int) -> slice:
    held = span(hits)
    if held.start == held.stop:
        return slice(0, len(hits))
    return slice(max(0, held.start - margin), min(len(hits), held.stop + margin))


def span(hits: Tensor) -> slice:
    """From the first to the last of (N,) bool that is true, ``slice(0, 0)`` where none is."""
    at = hits.nonzero()
    return slice(int(at[0]), int(at[-1]) + 1) if len(at) else slice(0, 0)
