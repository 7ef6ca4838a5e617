"""The paper's baselines on whole volumes: 2-D ones along sagittal slices, 3-D ones on blocks that are stitched.

Input range, body box, padding, limits and rounding are those of SAINT, and acquired slices are kept, so that scores
differ by the networks alone.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from saint_cli.errors import UsageError
from saint_cli.geometry import SliceGrid
from saint_cli.method import padding, planes
from saint_cli.method.assembly import assemble, find_codings, round_to_codings
from saint_cli.method.directions import make_tiling
from saint_cli.method.network_input import NetworkInput, prepare_input
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.models.baseline_weights import BaselineModel
from saint_cli.nets.baselines import Baseline, Patching
from saint_cli.options.method import MethodOptions
from saint_cli.progress import ProgressCallback, silent
from saint_cli.runtime.device_selection import Compute
from saint_cli.volume import Volume

PROGRESS_STAGE = "baseline"

LARGEST_DENOMINATOR = 64
"""Of the step of a grid, in acquired spacings, that is taken for a fraction."""


def restore_by_baseline(
    volume: Volume,
    model: BaselineModel,
    grid: SliceGrid,
    compute: Compute,
    *,
    patching: Patching | None = None,
    on_progress: ProgressCallback = silent,
) -> np.ndarray:
    """Interpolate a volume's slices along ``grid.axis`` by a baseline; acquired slices are copied.

    patching: how a 3-D network's blocks are cut, by default as its architecture says.

    Returns [X, Y, output slices] scanner values, the through-plane axis last, in the dtype of the volume (floats stay
    floats).

    Raises:
        UsageError: a grid that is no whole factor, or one that the network has no weights for.
    """
    require_factor(Fraction(1 / grid.step).limit_denominator(LARGEST_DENOMINATOR), model)
    plan, measured = SlicePlan.from_grid(grid), padding.hide_padding(volume, grid.axis)
    network_input = prepare_input(measured, grid)
    patching = patching or model.architecture.patching
    network = model.to(compute.device).network
    residual = estimate_residual(network_input, network, grid, compute, patching, on_progress)
    acquired, filled = (np.moveaxis(one.voxels, grid.axis, 2) for one in (volume, measured))
    dense = assemble(filled, plan, network_input, residual, acquired)
    for put_back in (padding.repeat_beside_padding, padding.restore_padding):
        put_back(dense, acquired, plan, volume.header)
    round_to_codings(dense, plan, find_codings(volume.header, grid))
    return dense


@torch.inference_mode()
def estimate_residual(
    network_input: NetworkInput,
    network: Baseline,
    grid: SliceGrid,
    compute: Compute,
    patching: Patching | None = None,
    on_progress: ProgressCallback = silent,
) -> Tensor:
    """Residuals over linear interpolation of every synthesised slice, (S, X, Y) half precision, network range.

    network: lies on ``compute.device``; grid: of a factor that it makes; patching: of a 3-D network, None to compute
    everything at once.
    """
    run = _Run(network_input, network, SlicePlan.from_grid(grid), round(1 / grid.step), compute)
    if network.dims == 2:
        return run.along_slices(on_progress)
    depth = network_input.voxels.shape[2]
    whole = Patching(max(network_input.voxels.shape), depth, 0)
    return run.on_blocks(patching or whole, on_progress)


def require_factor(factor: Fraction | int, model: BaselineModel) -> None:
    """Refuse a factor that a baseline does not make.

    Raises:
        UsageError: it is not whole, or the network has no weights for it.
    """
    if factor != int(factor):
        raise UsageError(f"{model.name} ({model.architecture.title}) makes whole factors only, not {float(factor):g}")
    known = model.network.factors
    if known is not None and all(made % int(factor) for made in known):
        listed = ", ".join(map(str, known))
        raise UsageError(
            f"{model.name} ({model.architecture.title}) was trained for factor {listed} and makes divisors of that, "
            f"not factor {int(factor)}"
        )


def require_no_options(options: MethodOptions, model: BaselineModel) -> None:
    """Refuse options of SAINT's method, none of which a baseline has.

    Raises:
        UsageError: naming the first.
    """
    if options.non_default:
        flag = options.non_default[0].replace("=", " ")
        raise UsageError(f"{model.name} ({model.architecture.title}) has no --{flag}; leave it out, or the model")


class Block(NamedTuple):
    """What a 3-D network computes at once: ``inner`` voxels, each axis a slice, from the larger ``outer``."""

    inner: tuple[slice, slice, slice]
    outer: tuple[slice, slice, slice]


def cut_blocks(shape: tuple[int, int, int], patching: Patching) -> Iterator[Block]:
    """Blocks whose inner voxels cover (X, Y, acquired slices) once; a side that fits one block is not cut."""
    sides = (patching.side, patching.side, patching.depth or shape[2])
    per_axis = [list(_cut_axis(size, side, patching.margin)) for size, side in zip(shape, sides, strict=True)]
    for x in per_axis[0]:
        for y in per_axis[1]:
            for z in per_axis[2]:
                inner, outer = zip(x, y, z, strict=True)
                yield Block(inner, outer)


def _cut_axis(size: int, side: int, margin: int) -> Iterator[tuple[slice, slice]]:
    step = size if size <= side else max(1, side - 2 * margin)
    for start in range(0, size, step):
        stop = min(size, start + step)
        yield slice(start, stop), slice(max(0, start - margin), min(size, stop + margin))


class _Run:
    """One network on one volume, by a whole factor."""

    def __init__(
        self, network_input: NetworkInput, network: Baseline, plan: SlicePlan, factor: int, compute: Compute
    ) -> None:
        self.network, self.compute, self.factor = network, compute, factor
        self.voxels = network_input.voxels.to(compute.device)
        self.needed = network_input.needed
        self.spacing_mm = network_input.spacing_mm
        self.window, self.above = (torch.from_numpy(np.asarray(a)) for a in (plan.window, plan.above))
        self.offset = torch.from_numpy(np.asarray(plan.offset, np.float32)).to(compute.device)
        self.step = torch.from_numpy(np.rint(plan.offset * factor).astype(np.int64))
        self.result = torch.zeros((len(plan.synthesised), *self.needed.shape), dtype=torch.float16)

    def along_slices(self, on_progress: ProgressCallback) -> Tensor:
        """(S, X, Y) half precision residuals over linear interpolation, from sagittal slices."""
        x, y = self.needed.shape
        view = planes.make_views((x, y), self.spacing_mm[:2], 2)[0]
        depth = self.voxels.shape[2]
        parts = list(planes.cut_parts(view, self.needed, make_tiling(self.compute, depth, self.network.reach)))
        for n, part in enumerate(parts):
            on_progress(PROGRESS_STAGE, n, len(parts))
            slices = view.gather(self.voxels, part.first, part.count)[:, :, part.input_rows]
            residual = self._compute_residual(slices, slices[:, 1], slice(0, depth))  # (S, B, rows)
            shown = residual[..., part.rows_in_input].permute(1, 0, 2) * part.needed[:, None]
            view.add(self.result, shown, part.first, part.rows)
        on_progress(PROGRESS_STAGE, len(parts), len(parts))
        return self.result

    def on_blocks(self, patching: Patching, on_progress: ProgressCallback) -> Tensor:
        """(S, X, Y) half precision residuals over linear interpolation, from stitched blocks."""
        x, y, depth = self.voxels.shape
        blocks = list(cut_blocks((x, y, depth), patching))
        for n, block in enumerate(blocks):
            on_progress(PROGRESS_STAGE, n, len(blocks))
            inner, outer = block.inner, block.outer
            needed = self.needed[inner[:2]]
            if needed.any():
                voxels = self.voxels[outer][None]  # (1, x, y, w)
                residual = self._compute_residual(voxels[:, None], voxels, outer[2])[:, 0]  # (S, x, y)
                cut = tuple(slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer, strict=True))
                rows = torch.nonzero((self.window >= inner[2].start) & (self.window < inner[2].stop))[:, 0]
                self.result[:, *inner[:2]][rows] = residual[rows][:, *cut[:2]] * needed
        on_progress(PROGRESS_STAGE, len(blocks), len(blocks))
        return self.result

    def _compute_residual(self, inputs: Tensor, acquired: Tensor, depth: slice) -> Tensor:
        """The network's (B, ..., W) result as residuals (S, B, ...); slices with windows outside ``depth`` hold none.

        acquired: (B, ..., W) between which the network interpolates, of the acquired slices ``depth``.
        """
        with self.compute.autocast():
            between = self.network(inputs, self.factor).float()  # (B, T, ..., W)
        last = depth.stop - depth.start - 1
        window, above = ((index - depth.start).clamp(0, last) for index in (self.window, self.above))
        columns = between.movedim(1, 0).movedim(-1, 1)  # (T, W, B, ...)
        lines = acquired.movedim(-1, 0)  # (W, B, ...)
        shape = (-1, *[1] * (lines.ndim - 1))
        line = torch.lerp(lines[window], lines[above], self.offset.view(shape))
        residual: Tensor = (columns[self.step - 1, window] - line).half().cpu()
        return residual
