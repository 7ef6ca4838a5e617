"""Eq. 10: RFN over every synthesised slice, in strips with a halo, cut to the body."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from saint_cli.method import planes
from saint_cli.method.network_input import NetworkInput
from saint_cli.method.residuals import Residuals, allocate_residuals
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.nets import RFN
from saint_cli.progress import ProgressCallback, silent
from saint_cli.runtime import memory
from saint_cli.runtime.device_pool import run_on_devices
from saint_cli.runtime.device_selection import Compute

PROGRESS_STAGE = "fusion"

TRIM_EVERY_WINDOWS = 8
"""Windows between two calls of ``memory.trim_memory``."""

Rectangle = tuple[slice, slice]
"""In x and in y."""


@torch.inference_mode()
def fuse(
    network_input: NetworkInput,
    rfn: RFN,
    estimates: tuple[Residuals, Residuals],
    plan: SlicePlan,
    compute: Compute,
    on_progress: ProgressCallback = silent,
) -> Residuals:
    """Eq. 10 on every synthesised slice, as residual over linear interpolation, (S, X, Y) half precision.

    It runs on strips with a halo as wide as RFN's reach, which changes nothing but the memory and the time needed.
    A 3-D RFN gets the slices of one window together, a 2-D one each alone. Where fewer than ``rfn.fewest`` of them lie
    between two acquired slices, I_fuse is the average.
    """
    needed = network_input.needed.to(compute.device)
    sagittal, coronal = estimates
    fused = allocate_residuals((len(plan.synthesised), *needed.shape), compute)
    networks = [
        _Fusion(voxels, network, plan, (sagittal.values, coronal.values), network_input.spacing_mm[2], compute)
        for voxels, network in network_input.copy_to_devices(rfn, compute)
    ]
    weight = torch.from_numpy(plan.residual_weight).to(compute.device)[:, None, None]
    done, total = 0, len(plan.synthesised)
    on_progress(PROGRESS_STAGE, done, total)
    for window in np.unique(plan.window):
        slices = np.flatnonzero(plan.window == window)
        pieces = list(_cut_window(slices, plan, needed, rfn, compute))
        for n, (piece, residual) in enumerate(run_on_devices(networks, pieces, _Fusion.fuse), 1):
            shown = weight[piece.slices] * residual.to(compute.device) * needed[piece.inner]
            fused.values[piece.slices, *piece.inner] = shown.half()
            on_progress(PROGRESS_STAGE, done + n * len(slices) // len(pieces), total)
        for volume in (sagittal, coronal, fused):
            volume.release_memory()
        if window % TRIM_EVERY_WINDOWS == 0:
            memory.trim_memory()
        done += len(slices)
        on_progress(PROGRESS_STAGE, done, total)
    return fused


class _Piece(NamedTuple):
    """What RFN computes at once: a rectangle (inner) of synthesised slices of one window, from a larger one (outer).

    uses_rfn: whether RFN corrects the average there.
    """

    slices: np.ndarray
    inner: Rectangle
    outer: Rectangle
    uses_rfn: bool


def _cut_window(slices: np.ndarray, plan: SlicePlan, needed: Tensor, rfn: RFN, compute: Compute) -> Iterator[_Piece]:
    """The slices of one window, together for a 3-D RFN, each alone for a 2-D one, in strips."""
    size, uses_rfn = rfn.features.size, bool(plan.uses_rfn(int(rfn.fewest))[slices[0]])
    for some in [slices] if size.dims == 3 else np.split(slices, len(slices)):
        for inner, outer in cut_strips(needed, compute.fusion_pixels // len(some), size.reach):
            yield _Piece(some, inner, outer, uses_rfn)


def cut_strips(needed: Tensor, pixels: int, halo: int) -> Iterator[tuple[Rectangle, Rectangle]]:
    """Rectangles that cover the true part of (X, Y) bool, and the same with ``halo`` around them."""
    width = planes.find_span(needed.any(0))
    rows = max(2 * halo, pixels // max(1, width.stop - width.start))
    for start in range(0, len(needed), rows):
        x = slice(start, min(len(needed), start + rows))
        y = planes.find_span(needed[x].any(0))
        if y.start < y.stop:
            wide_x, wide_y = (
                slice(max(0, s.start - halo), min(size, s.stop + halo))
                for s, size in zip((x, y), needed.shape, strict=True)
            )
            yield (x, y), (wide_x, wide_y)


@dataclass(frozen=True)
class _Fusion:
    """RFN on one device; residuals: (S, X, Y) of I_sag and I_cor, wherever they lie."""

    voxels: Tensor
    rfn: RFN
    plan: SlicePlan
    residuals: tuple[Tensor, Tensor]
    spacing_mm: float
    compute: Compute

    def fuse(self, piece: _Piece) -> Tensor:
        """(n, x, y) residuals of I_fuse in the inner rectangle of a piece, float32."""
        plan, device = self.plan, self.voxels.device
        sagittal, coronal = (r[:, *piece.outer][piece.slices].to(device) for r in self.residuals)
        if piece.uses_rfn:
            first, voxels = piece.slices[0], self.voxels[piece.outer]
            below, above = voxels[..., plan.window[first]], voxels[..., plan.above[first]]
            offset = torch.from_numpy(plan.network_offset[piece.slices]).to(device)
            gap_mm = self.spacing_mm * float(plan.gap[first])
            with self.compute.autocast():
                result = self.rfn.fuse(sagittal, coronal, below, above, offset, gap_mm)
        else:
            result = (sagittal.float() + coronal) / 2
        x, y = (slice(i.start - o.start, i.stop - o.start) for i, o in zip(piece.inner, piece.outer, strict=True))
        return result[:, x, y]
