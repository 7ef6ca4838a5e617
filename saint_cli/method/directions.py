"""Eq. 2: AMI interpolates a volume along every direction."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from saint_cli.method import planes
from saint_cli.method.network_input import NetworkInput
from saint_cli.method.residuals import Residuals, allocate_residuals
from saint_cli.method.slice_plan import SlicePlan, WindowGroup
from saint_cli.nets import AMI
from saint_cli.nets.ami import convolve, convolve_windows
from saint_cli.nets.filter_generation import distance_matrices
from saint_cli.options.method import MethodOptions
from saint_cli.progress import ProgressCallback, silent
from saint_cli.runtime import memory
from saint_cli.runtime.device_pool import run_on_devices
from saint_cli.runtime.device_selection import Compute

FLIP_COUNT = 4
"""Passes of AMI with ``tta``: every slice, and its three mirror images."""

PROGRESS_STAGES = ("sagittal slices", "coronal slices", "rising diagonals", "falling diagonals")
"""Names of the directions in progress."""

TRIM_EVERY_PARTS = 16
"""Parts between two calls of ``memory.trim_memory``."""


@torch.inference_mode()
def interpolate_directions(
    network_input: NetworkInput,
    ami: AMI,
    plan: SlicePlan,
    compute: Compute,
    options: MethodOptions = MethodOptions(),  # noqa: B008  (frozen)
    on_progress: ProgressCallback = silent,
) -> tuple[Residuals, Residuals]:
    """Eq. 2: residuals (S, X, Y), half precision, of I_sag and I_cor; four directions are averaged in pairs.

    In air around the body, where no network is needed, they are 0.
    """
    x, y, depth = network_input.voxels.shape
    shape, needed = (len(plan.synthesised), x, y), network_input.needed.to(compute.device)
    sagittal, coronal = (allocate_residuals(shape, compute, y_first=y_first) for y_first in (False, True))
    views = planes.make_views((x, y), network_input.spacing_mm[:2], options.directions)
    tiling = make_tiling(compute, depth, ami.features.size.reach, ami.features.size.fold)
    copies, mirrored = network_input.copy_to_devices(ami, compute), (False, True) if options.tta else (False,)
    for view, name, result in zip(views, PROGRESS_STAGES, (sagittal, coronal) * 2, strict=False):
        spacing_mm = view.in_plane_mm, network_input.spacing_mm[2]
        filters = [
            [_generate_filters(net, plan, spacing_mm, network_input.thickness_mm, depth, m) for m in mirrored]
            for _, net in copies
        ]
        copies_and_filters = zip(copies, filters, strict=True)
        interpolators = [_Interpolator(v, net, view, compute, made) for (v, net), made in copies_and_filters]
        parts = list(planes.cut_parts(view, needed, tiling))
        done, total = 0, sum(part.pixels for part in parts)
        on_progress(name, done, total)
        for n, (part, residual) in enumerate(run_on_devices(interpolators, parts, _Interpolator.interpolate)):
            residual = residual.to(compute.device) * (2 / options.directions)
            view.add(result.values, residual * part.needed[:, None], part.first, part.rows)
            result.release_memory()
            if n % TRIM_EVERY_PARTS == 0:
                memory.trim_memory()
            done += part.pixels
            on_progress(name, done, total)
    return sagittal, coronal


def make_tiling(compute: Compute, depth: int, reach: int, fold: int = 1) -> planes.Tiling:
    """How planes of ``depth`` acquired slices are cut for a network; reach, fold: as of ``TrunkSize``."""
    rows_at_once = compute.max_slice_pixels // depth
    return planes.Tiling(lambda rows: compute.batch_size_for(rows * depth), rows_at_once, reach, fold)


class _FilterGroup(NamedTuple):
    """The filters of the windows that share them.

    kernels: (T, C, 3, 3); offsets: (T,); windows: (G,); rows: (T * G,) of the synthesised slices; is_dense: whether it
    is faster to convolve all windows than to pick these.
    """

    kernels: Tensor
    offsets: Tensor
    windows: Tensor
    rows: Tensor
    is_dense: bool


def _generate_filters(
    ami: AMI,
    plan: SlicePlan,
    spacing_mm: tuple[float, float],
    thickness_mm: float | None,
    depth: int,
    mirrored: bool,
) -> list[_FilterGroup]:
    """Eq. 8 for every offset of the plan, each with the width of its own gap; once per direction, for all its slices.

    spacing_mm: in-plane and between acquired slices; thickness_mm: of slabs, if they are; depth: how many slices there
    are; mirrored: for slices whose through-plane axis is reversed.
    """
    device = next(ami.parameters()).device
    in_plane, through = torch.tensor(spacing_mm, dtype=torch.float32, device=device)
    thickness = None if thickness_mm is None else torch.tensor(thickness_mm, dtype=torch.float32, device=device)
    generated = list[_FilterGroup]()
    groups = plan.groups()
    for group in _mirror(groups, depth) if mirrored else groups:
        windows, shares = group.windows, torch.from_numpy(group.offsets).to(device)
        kernels = ami.filters(distance_matrices(shares, in_plane, through * group.gap, thickness))
        columns, rows = (torch.from_numpy(a).to(device) for a in (windows, group.rows.reshape(-1)))
        is_dense = len(windows) > 1 and len(windows) > int(plan.window.max()) // 2
        generated.append(_FilterGroup(kernels, shares, columns, rows, is_dense))
    return generated


def _mirror(groups: list[WindowGroup], depth: int) -> Iterator[WindowGroup]:
    """The groups where the through-plane axis is reversed: of slabs, slices at their middles stay there."""
    for group in groups:
        between = group.offsets > 0
        places = ((between, 1 - group.offsets, depth - 2), (~between, group.offsets, depth - 1))
        for chosen, offsets, last in places:
            if chosen.any():  # a slice beyond the last window has no residual, whichever window it is given
                windows = np.maximum(last - group.windows, 0)
                yield replace(group, windows=windows, offsets=offsets[chosen], rows=group.rows[chosen])


@dataclass(frozen=True)
class _Interpolator:
    """AMI along one direction on one device; filters: of slices as they are and, for ``tta``, of mirrored ones."""

    voxels: Tensor
    ami: AMI
    view: planes.View
    compute: Compute
    filters: list[list[_FilterGroup]]

    def interpolate(self, part: planes.Part) -> Tensor:
        """(planes, S, rows) residuals of a part; with ``tta`` the mean over four flips, each flipped back."""
        slices = self.view.gather(self.voxels, part.first, part.count)[:, :, part.input_rows]
        plain, *mirrored = self.filters
        result = self._interpolate(slices, plain)
        if mirrored:
            result += self._interpolate(slices.flip(1, 2), plain).flip(-1)
            result += self._interpolate(slices.flip(3), *mirrored)
            result += self._interpolate(slices.flip(1, 2, 3), *mirrored).flip(-1)
            result /= FLIP_COUNT
        return result[..., part.rows_in_input]

    def _interpolate(self, slices: Tensor, filters: list[_FilterGroup]) -> Tensor:
        """(B, 3, H, W) slices to the residual of all synthesised columns, (B, S, H) float32."""
        with self.compute.autocast():
            features = self.ami.features(slices)
        features = features.float()
        result = torch.empty(len(slices), sum(len(f.rows) for f in filters), slices.shape[2], device=slices.device)
        for kernels, offsets, windows, rows, is_dense in filters:
            if is_dense:
                columns = convolve(features, kernels[None])[..., windows]  # (B, T, H, G)
            else:
                columns = convolve_windows(features, kernels, windows)
            if self.ami.predicts_intensities:
                columns = columns - _interpolate_linearly(slices[:, 1], windows, offsets)
            result[:, rows] = columns.permute(0, 1, 3, 2).flatten(1, 2)
        return result


def _interpolate_linearly(acquired: Tensor, windows: Tensor, offsets: Tensor) -> Tensor:
    """Acquired columns (B, H, W) to those at offsets (T,) above windows (G,): (B, T, H, G)."""
    above = (windows + 1).clamp(max=acquired.shape[2] - 1)
    below, above = (acquired[:, None, :, index] for index in (windows, above))  # (B, 1, H, G)
    return torch.lerp(below, above, offsets[:, None, None])
