"""A volume as batches of sagittal, coronal or diagonal slices with their neighbours, and back. No network here.

All volumes are (X, Y, Z) tensors with z through-plane. A view is one family of parallel planes that contain z.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

NEIGHBOURS = 1
"""Neighbouring slices on either side that accompany each slice."""

WHOLE = slice(None)

WHOLE_PLANE = (WHOLE, WHOLE)


@dataclass(frozen=True)
class Orthogonal:
    """Planes of fixed x (fixed = 0: sagittal, which show (y, z)) or fixed y (1: coronal, which show (x, z))."""

    planes: int
    in_plane_mm: float
    fixed: int

    def gather(self, volume: Tensor, first: int, count: int) -> Tensor:
        """(X, Y, Z) to (count, 3, H, Z): ``count`` planes from ``first`` on, each between its two neighbours."""
        return volume.transpose(0, self.fixed)[_neighbour_indices(first, count, self.planes, volume.device)]

    def add(self, total: Tensor, planes: Tensor, first: int, rows: slice = WHOLE) -> None:
        """Add ``rows`` of planes, (count, S, rows), into ``total`` (S, X, Y) where ``gather`` took them from."""
        total.transpose(1, 1 + self.fixed)[:, first : first + len(planes), rows] += planes.transpose(0, 1)


@dataclass(frozen=True)
class Diagonal:
    """Planes along one in-plane diagonal, which show (distance along it, z).

    Plane k holds the voxels with y - x = k - (X - 1), or with ``falling`` x + y = k; one per x. Outside the volume a
    plane repeats its edge voxels, and results there are dropped: half of the work for a square, but a plane's input
    does not depend on its batch.
    """

    shape: tuple[int, int]
    in_plane_mm: float
    falling: bool

    @property
    def planes(self) -> int:
        """Number of diagonals, X + Y - 1."""
        return sum(self.shape) - 1

    def gather(self, volume: Tensor, first: int, count: int) -> Tensor:
        """As ``Orthogonal.gather``, H = X."""
        x, y = self._indices(_neighbour_indices(first, count, self.planes, volume.device))
        return volume[x, y.clamp(0, self.shape[1] - 1)]

    def add(self, total: Tensor, planes: Tensor, first: int, rows: slice = WHOLE) -> None:
        """As ``Orthogonal.add``."""
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


View = Orthogonal | Diagonal
"""One family of parallel planes."""


def make_views(shape: tuple[int, int], spacing_mm: tuple[float, float], directions: int) -> list[View]:
    """The sagittal and the coronal view of an (X, Y, ...) volume; with four directions also the two diagonal ones."""
    (size_x, size_y), (mm_x, mm_y) = shape, spacing_mm
    views: list[View] = [Orthogonal(size_x, mm_y, 0), Orthogonal(size_y, mm_x, 1)]
    if directions == 4:
        diagonal_mm = math.hypot(mm_x, mm_y)
        views += [Diagonal(shape, diagonal_mm, falling) for falling in (False, True)]
    return views


@dataclass(frozen=True)
class Part:
    """What a network computes at once: the ``rows`` of ``count`` planes from ``first`` on, from their ``input_rows``.

    needed: (count, rows) bool, where its result is wanted.
    """

    first: int
    count: int
    rows: slice
    input_rows: slice
    needed: Tensor

    @property
    def rows_in_input(self) -> slice:
        """Where the rows lie among the input rows."""
        return slice(self.rows.start - self.input_rows.start, self.rows.stop - self.input_rows.start)

    @property
    def pixels(self) -> int:
        """Input rows of all planes together, each a row of voxels along z."""
        return self.count * int(self.input_rows.stop - self.input_rows.start)


@dataclass(frozen=True)
class Tiling:
    """How planes are cut into parts.

    batch_size: from the rows of a plane to the number of such planes to compute at once;
    preferred_rows: input rows at once; halo: how many rows away a voxel can change a result, a multiple of ``fold``;
    fold: rows that the network takes together (``TrunkSize``), so that parts must begin at a multiple of it.
    """

    batch_size: Callable[[int], int]
    preferred_rows: int
    halo: int
    fold: int = 1

    @property
    def max_input_rows(self) -> int:
        """Input rows at once at most: at least four halos, so that two of them are not most of a part."""
        return max(self.preferred_rows // self.fold * self.fold, 4 * self.halo, self.fold)

    def align(self, span: slice, rows: int) -> slice:
        """The span of a plane of so many rows, widened to whole folds."""
        return slice(span.start // self.fold * self.fold, min(rows, -(-span.stop // self.fold) * self.fold))


def cut_parts(view: View, body: Tensor, tiling: Tiling) -> Iterator[Part]:
    """Parts that cover the body, (X, Y) bool, and as little air as their rectangular shape allows.

    The rows of a part are cut to the body, which lies on air; only planes with more than ``max_input_rows`` are cut
    into several parts, whose input rows overlap by the halo.
    """
    needed = view.gather(body[..., None], 0, view.planes)[:, NEIGHBOURS, :, 0]  # (planes, H)
    is_needed = needed.any(1).tolist()
    first = 0
    while first < view.planes:
        if not is_needed[first]:
            first += 1
            continue
        count = _count_planes_in_batch(needed[first:], is_needed[first:], tiling)
        span = tiling.align(find_span(needed[first : first + count].any(0)), needed.shape[1])
        for rows, input_rows in _cut_rows(span, tiling):
            yield Part(first, count, rows, input_rows, needed[first : first + count, rows])
        first += count


def _cut_rows(span: slice, tiling: Tiling) -> Iterator[tuple[slice, slice]]:
    """The rows of each part, and its input rows."""
    step, halo = tiling.max_input_rows, tiling.halo
    if span.stop - span.start > step:
        step -= 2 * halo
    for start in range(span.start, span.stop, step):
        stop = min(span.stop, start + step)
        yield slice(start, stop), slice(max(span.start, start - halo), min(span.stop, stop + halo))


def _count_planes_in_batch(needed: Tensor, is_needed: list[bool], tiling: Tiling) -> int:
    """How many of the first planes, (planes, H) bool, fit one batch with the rows that any of them needs."""
    rows = needed[0]
    for count in range(1, len(needed)):
        rows = rows | needed[count]
        span = tiling.align(find_span(rows), len(rows))
        if not is_needed[count] or count >= tiling.batch_size(span.stop - span.start):
            return count
    return len(needed)


def _neighbour_indices(first: int, count: int, planes: int, device: torch.device) -> Tensor:
    """(count, 3) indices of each plane and its two neighbours; at the volume's sides a plane is its own neighbour."""
    centre = torch.arange(first, first + count, device=device)
    offsets = torch.arange(-NEIGHBOURS, NEIGHBOURS + 1, device=device)
    return (centre[:, None] + offsets).clamp(0, planes - 1)


def find_body_box(brightest: Tensor, threshold: float, margin: int) -> tuple[slice, slice]:
    """The in-plane bounding box of all voxels above ``threshold``, widened by ``margin``; the whole plane if none is.

    brightest: (X, Y), the highest value of each column. Beyond the box there is only air, which needs no network.
    """
    inside = brightest > threshold
    return _find_wide_span(inside.any(1), margin), _find_wide_span(inside.any(0), margin)


def find_body_mask(brightest: Tensor, threshold: float, margin: int) -> Tensor:
    """(X, Y) bool: the columns that are not air around the body, and ``margin`` around them; all, if none is.

    brightest: as of ``find_body_box``. Air around the body is at most ``threshold`` and connected to
    the edge of the plane through such columns; so lung, bowel gas and trachea are needed like other tissue, unless the
    plane was cut through them.
    """
    from scipy.ndimage import binary_fill_holes  # only CT needs it

    body = binary_fill_holes((brightest > threshold).numpy())
    inside = torch.from_numpy(body).float()
    if not inside.any():
        return torch.ones_like(inside, dtype=torch.bool)
    for size in ((2 * margin + 1, 1), (1, 2 * margin + 1)):
        inside = max_pool2d(inside[None], size, 1, (size[0] // 2, size[1] // 2))[0]
    return inside > 0


def _find_wide_span(mask: Tensor, margin: int) -> slice:
    """``find_span`` widened by ``margin``; everything where nothing is true."""
    span = find_span(mask)
    if span.start == span.stop:
        return slice(0, len(mask))
    return slice(max(0, span.start - margin), min(len(mask), span.stop + margin))


def find_span(mask: Tensor) -> slice:
    """From the first to the last of (N,) bool that is true, ``slice(0, 0)`` where none is."""
    at = mask.nonzero()
    return slice(int(at[0]), int(at[-1]) + 1) if len(at) else slice(0, 0)


def find_overlap(one: range, other: range) -> tuple[slice, slice]:
    """Where two ranges of voxels overlap, as a slice of each."""
    start = max(one.start, other.start)
    length = max(0, min(one.stop, other.stop) - start)
    first, second = (slice(start - r.start, start - r.start + length) for r in (one, other))
    return first, second
