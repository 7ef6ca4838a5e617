"""Output slices: copies of acquired ones, and linear interpolation plus residual, in values that can be stored."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from saint_cli.errors import NonFiniteError
from saint_cli.geometry import SliceGrid
from saint_cli.method import intensity
from saint_cli.method.bounds import Bounds
from saint_cli.method.network_input import NetworkInput
from saint_cli.method.padding import NEARER_ABOVE, fill_nonfinite
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.options.grid import DICOM_SLICE_AXIS
from saint_cli.volume import Header
from saint_cli.volume.stored_values import Coding, choose_coding


def allocate_slices(plane: Sequence[int], count: int, dtype: Any) -> np.ndarray:
    """[X, Y, count] zeros, every slice contiguous in memory."""
    return np.moveaxis(np.zeros((count, *plane), dtype), 0, 2)


def assemble(
    sparse: np.ndarray,
    plan: SlicePlan,
    network_input: NetworkInput,
    residual: Tensor,
    acquired: np.ndarray,
) -> np.ndarray:
    """[X, Y, acquired] scanner values and a residual (S, x, y) inside the body's box to [X, Y, output slices].

    acquired: the values before padding was hidden, as ``sparse``.

    The linear part is taken from the unclipped scanner values, so that metal is interpolated linearly. Between a voxel
    that is not finite and one that is, only the latter counts. No synthesised voxel lies outside its ``Bounds``.

    Raises:
        NonFiniteError: a residual, or a synthesised voxel between finite ones, is NaN or infinite.
    """
    dtype, wide = intensity.choose_result_dtype(sparse.dtype), intensity.choose_wide_dtype(sparse.dtype)
    dense, box = allocate_slices(sparse.shape[:2], plan.count, dtype), network_input.box
    for j, source in zip(plan.copied, plan.source, strict=True):
        dense[..., j] = sparse[..., source]
    filled = fill_nonfinite(sparse)
    bounds = Bounds(filled[box], acquired[box])
    for s, j in enumerate(plan.synthesised):
        t, k_below, k_above = wide.type(plan.offset[s]), int(plan.window[s]), int(plan.above[s])
        below, above = filled[..., k_below], filled[..., k_above]
        line: np.ndarray = below * (1 - t) + above * t
        limits = bounds.between(k_below, k_above)
        line[box] = _add_residual(line[box], residual[s].numpy(), network_input.intensity_map, limits)
        require_finite(int(j), is_finite=bool(residual[s].isfinite().all() and np.isfinite(line).all()))
        plane = intensity.round_to_dtype(line, dtype)
        if wide == np.float64:  # which rounds large values: a constant may come out as its neighbour
            least, most = (pick(below, above) for pick in (np.minimum, np.maximum))
            least[box], most[box] = limits
            np.clip(plane, least, most, out=plane)
        if filled is not sparse:
            plane = _restore_nonfinite(plane, sparse[..., k_below], sparse[..., k_above], t)
        dense[..., j] = plane
    return dense


def require_finite(index: int, *, is_finite: bool) -> None:
    """Refuse an output slice that is not finite between finite voxels.

    Raises:
        NonFiniteError: naming the slice.
    """
    if not is_finite:
        raise NonFiniteError(
            f"output slice {index} came out NaN or infinite; nothing was written. Try another model with -m, or "
            "`precision=fp32` on a GPU"
        )


def find_codings(header: Header, grid: SliceGrid) -> tuple[Coding, ...]:
    """What slices along the grid's axis can store: one for all, one for each acquired, or none if these mix several."""
    return header.codings if grid.axis == DICOM_SLICE_AXIS or len(header.codings) == 1 else ()


def round_to_codings(
    dense: np.ndarray, plan: SlicePlan, codings: tuple[Coding, ...], *, copies_too: bool = False
) -> None:
    """Give synthesised slices of ``dense`` [X, Y, output slices] values that their source can store, in place.

    ``codings``: one, or one for each acquired slice; where two neighbours differ, ``choose_coding`` decides.
    copies_too: copied slices as well, where they were changed.
    """
    if not codings:
        return
    for j, k in zip(plan.copied, plan.source, strict=True) if copies_too else ():
        dense[..., j] = codings[0 if len(codings) == 1 else k].nearest(dense[..., j])
    for s, j in enumerate(plan.synthesised):
        below, above = (codings[0 if len(codings) == 1 else int(k)] for k in (plan.window[s], plan.above[s]))
        around = (below,) if plan.offset[s] == 0 else (below, above)
        dense[..., j] = choose_coding(around, dense[..., j]).nearest(dense[..., j])


def _add_residual(
    line: np.ndarray,
    residual: np.ndarray,
    intensity_map: intensity.IntensityMap,
    limits: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Linear interpolation plus residual, within the window and ``limits``; outside the window ``line`` alone."""
    inside = (line >= intensity_map.low) & (line <= intensity_map.high)
    dtype = intensity_map.dtype
    with np.errstate(over="ignore"):  # the sum of two large numbers; it is clipped
        moved = line + residual.astype(dtype) * dtype.type(intensity_map.scale)
    bounded = np.clip(np.clip(moved, *limits), intensity_map.low, intensity_map.high)
    return np.where(inside, bounded, line).astype(line.dtype)


def _restore_nonfinite(line: np.ndarray, below: np.ndarray, above: np.ndarray, t: np.floating) -> np.ndarray:
    """A synthesised slice with what is not finite put back from the nearer neighbour; beside it the other one's value.

    below, above: the acquired neighbours as they are; ``line`` is of filled ones, and so of slices further away.
    """
    is_known = np.isfinite(below)
    line = np.where(is_known ^ np.isfinite(above), np.where(is_known, below, above), line)
    nearer = below if t < NEARER_ABOVE else above
    return np.where(np.isfinite(nearer), line, nearer)
