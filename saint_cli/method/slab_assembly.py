"""Thin slices of slabs: linear interpolation plus residual, made consistent with the slabs, as values to store."""

from collections.abc import Callable, Iterator

import numpy as np
from torch import Tensor

from saint_cli.errors import NonFiniteError
from saint_cli.geometry import SliceGrid
from saint_cli.method import intensity, slab_ends
from saint_cli.method.assembly import allocate_slices, require_finite
from saint_cli.method.network_input import NetworkInput
from saint_cli.method.padding import fill_nonfinite
from saint_cli.method.slab_consistency import SlabProjection, StoredRange
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.volume import Header
from saint_cli.volume.stored_values import Coding

PART_BYTES = 1 << 25
"""Memory of the columns that are made consistent at once, unless one row of voxels takes more."""

THIN_COPIES, SLAB_COPIES = 4, 7
"""Of each thin slice and of each slab, in the wide type, while columns are made consistent."""


def assemble_slabs(
    sparse: np.ndarray,
    grid: SliceGrid,
    network_input: NetworkInput,
    residual: Tensor,
    codings: tuple[Coding, ...] = (),
    holes: np.ndarray | None = None,
) -> np.ndarray:
    """[X, Y, acquired] scanner values and residuals (count, x, y) inside the body's box to [X, Y, count].

    The mean of the result over each slab is its acquired value, but for the rounding of integers.
    holes: as ``padding.find_holes`` has it. Between a hole and another voxel the values start from the latter alone,
    without a residual; the mean over a slab does not count where the slab is a hole.

    Raises:
        NonFiniteError: a residual is NaN or infinite, or values are too large.
    """
    for j, one in enumerate(residual):
        require_finite(j, is_finite=bool(one.isfinite().all()))
    dtype, wide = intensity.choose_result_dtype(sparse.dtype), intensity.choose_wide_dtype(sparse.dtype)
    filled = fill_nonfinite(sparse)
    thin = allocate_slices(sparse.shape[:2], grid.count, dtype)
    columns = _Columns(grid, network_input, residual, find_stored_range(dtype, codings, grid), holes)
    for rows in _cut_rows(grid, sparse.shape, wide):
        part = columns.compute(filled[rows].astype(wide), rows)
        _store(thin[rows], part)
        if filled is not sparse:
            _take_nearest(thin[rows], sparse[rows], grid, lambda plane: ~np.isfinite(plane))
        del part  # before the next one is computed
    return thin


def _store(thin: np.ndarray, columns: np.ndarray) -> None:
    """Slices (count, x, Y) as values of ``thin`` [x, Y, count]."""
    for j, column in enumerate(columns):
        if not np.isfinite(column).all():
            raise NonFiniteError("values came out NaN or infinite: the scan's are too large; divide them first")
        thin[..., j] = intensity.round_to_dtype(column, thin.dtype)


def _take_nearest(
    thin: np.ndarray, sparse: np.ndarray, grid: SliceGrid, find_holes: Callable[[np.ndarray], np.ndarray]
) -> None:
    """Thin slices nearest to a hole in an acquired one get what that holds there, in place."""
    for j, k in enumerate(slab_ends.index_nearest(grid)):
        holes = find_holes(sparse[..., k])
        thin[..., j][holes] = sparse[..., k][holes]


def restore_padding(thin: np.ndarray, sparse: np.ndarray, grid: SliceGrid, header: Header) -> None:
    """Put the padding of [X, Y, acquired] back into ``thin`` [X, Y, count], in place: that of the nearest slab."""
    if header.padding:
        _take_nearest(thin, sparse, grid, header.is_padding)


def find_stored_range(dtype: np.dtype, codings: tuple[Coding, ...], grid: SliceGrid) -> StoredRange:
    """Which values thin slices of a dtype can have; codings: one for all slices, one for each acquired one, or none.

    A thin slice can have what either of the acquired ones around it can (``round_to_codings``).
    """
    low, high, step = np.full(grid.count, -np.inf), np.full(grid.count, np.inf), 0.0
    if dtype.kind in "iu":
        low[:], high[:], step = np.iinfo(dtype).min, np.iinfo(dtype).max, 1.0
    if codings:
        ends = np.array([sorted(v * c.slope + c.intercept for v in (c.low, c.high)) for c in codings])
        below = np.zeros(grid.count, int) if len(codings) == 1 else grid.locate()[0]
        around = np.stack([ends[below], ends[np.minimum(below + 1, len(codings) - 1)]])
        low, high = np.maximum(low, around[..., 0].min(0)), np.minimum(high, around[..., 1].max(0))
        step = min(abs(c.slope) for c in codings)
    return StoredRange(low, high, step)


def estimate_bytes(grid: SliceGrid, shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Memory of ``assemble_slabs`` of (X, Y, acquired) voxels of a dtype, besides its input and its result."""
    wide = intensity.choose_wide_dtype(dtype)
    columns = max(len(range(*rows.indices(shape[0]))) for rows in _cut_rows(grid, shape, wide))
    planes = 4 * np.dtype(np.float64).itemsize * shape[0] * shape[1]  # of ``slab_consistency.measure_deviation``
    weights = 3 * np.dtype(np.float64).itemsize * grid.count * grid.acquired
    return max(planes, columns * shape[1] * _bytes_per_column(grid, wide)) + weights


def _cut_rows(grid: SliceGrid, shape: tuple[int, ...], wide: np.dtype) -> Iterator[slice]:
    """The rows of (X, Y, acquired) voxels that are made consistent at once."""
    rows = max(1, PART_BYTES // (_bytes_per_column(grid, wide) * shape[1]))
    return (slice(x, min(shape[0], x + rows)) for x in range(0, shape[0], rows))


def _bytes_per_column(grid: SliceGrid, wide: np.dtype) -> int:
    return wide.itemsize * (THIN_COPIES * grid.count + SLAB_COPIES * grid.acquired)


class _Columns:
    """Linear interpolation between the middles of slabs plus residual, made consistent with the slabs."""

    def __init__(
        self,
        grid: SliceGrid,
        network_input: NetworkInput,
        residual: Tensor,
        stored: StoredRange,
        holes: np.ndarray | None,
    ) -> None:
        self._plan, self._acquired = SlicePlan.from_grid(grid), slab_ends.index_repeated(grid)
        self._input, self._residual = network_input, residual
        self._stored, self._holes, weights = stored, holes, grid.slab_weights
        self._shares_slices = bool((np.count_nonzero(weights, axis=0) > 1).any())
        self._projection = SlabProjection(weights)

    def compute(self, acquired: np.ndarray, rows: slice) -> np.ndarray:
        """Some rows of the volume, [x, Y, acquired] floats, to thin slices (count, x, Y)."""
        slabs = np.ascontiguousarray(np.moveaxis(acquired, 2, 0))
        line = self._interpolate(slabs, rows)
        thin, means = line.reshape(len(line), -1), slabs.reshape(len(slabs), -1)
        if self._holes is None or not self._shares_slices:  # what a hole was filled with stays in its own thin slices
            self._projection.apply_within(thin, means, self._stored)
            return line
        packed = np.packbits(~self._holes[rows].reshape(-1, len(slabs)), axis=1)  # for memory
        patterns, pattern_of = np.unique(packed, axis=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            is_known = np.unpackbits(pattern, count=len(slabs)).astype(bool)
            if is_known.any():
                columns = np.flatnonzero(pattern_of.ravel() == number)
                part = thin[:, columns]
                self._projection.select(is_known).apply_within(part, means[:, columns], self._stored)
                thin[:, columns] = part
        return line

    def _interpolate(self, slabs: np.ndarray, rows: slice) -> np.ndarray:
        plan, values, box = self._plan, self._input.intensity_map, self._input.box
        size = self._residual.shape[1:]
        box_x, box_y = (range(*cut.indices((cut.start or 0) + n)) for cut, n in zip(box, size, strict=True))
        start, stop = max(rows.start, box_x.start), min(rows.stop, box_x.stop)
        line = np.empty((plan.count, *slabs.shape[1:]), slabs.dtype)
        for j, (k, t) in enumerate(zip(plan.window, plan.offset.astype(slabs.dtype), strict=True)):
            below, above, is_alone = self._find_neighbours(slabs, rows, k)
            line[j] = below * (1 - t) + above * t
            if start < stop:
                part = slice(start - rows.start, stop - rows.start), slice(box_y.start, box_y.stop)
                inside = line[j][part]
                moved = self._residual[j, start - box_x.start : stop - box_x.start].float().numpy()
                is_known = (inside >= values.low) & (inside <= values.high)
                if is_alone is not None:
                    is_known &= ~is_alone[part]
                inside += np.where(is_known, moved * slabs.dtype.type(values.scale), 0)
        return line

    def _find_neighbours(
        self, slabs: np.ndarray, rows: slice, k: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """(x, Y) the slabs below and above, each that of the other in its holes, and where only one is no hole."""
        below, above = (slabs[self._acquired[index]] for index in (k, k + 1))
        if self._holes is None:
            return below, above, None
        is_hole, is_other = (self._holes[rows, :, self._acquired[index]] for index in (k, k + 1))
        return np.where(is_hole, above, below), np.where(is_other, below, above), is_hole ^ is_other
