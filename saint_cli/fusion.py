"""Eq. 10: RFN over every synthesised slice, in strips with a halo, cut to the patient."""

import copy
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from saint_cli import memory, planes, residuals
from saint_cli.choices import Report, silent
from saint_cli.compute import Compute
from saint_cli.nets import RFN
from saint_cli.plan import SlicePlan
from saint_cli.residuals import Residuals
from saint_cli.scene import Scene
from saint_cli.spread import spread

STAGE = "fusion"
"""What progress calls it."""

TRIM_EVERY = 8
"""Windows after which memory is given back that lies free in between."""


@torch.inference_mode()
def fuse(
    scene: Scene,
    rfn: RFN,
    estimates: tuple[Residuals, Residuals],
    plan: SlicePlan,
    compute: Compute,
    report: Report = silent,
) -> Residuals:
    """Eq. 10 on every synthesised slice, as residual over linear interpolation, (S, X, Y) half precision.

    It runs on strips with a halo as wide as RFN's reach, cut to the patient, which changes nothing but the memory
    and the time needed. A 3-D RFN sees the slices of one window together, a 2-D one each alone. Where fewer than
    ``rfn.fewest`` of them lie between two acquired slices, I_fuse is the average.
    """
    needed = scene.needed.to(compute.device)
    sagittal, coronal = (e.values for e in estimates)
    fused = residuals.zeros((len(sagittal), *needed.shape), compute.device, compute.residual_bytes)
    seats = [(scene.network.to(d), rfn if d == compute.device else copy.deepcopy(rfn).to(d)) for d in compute.devices]

    def work(seat: tuple[Tensor, RFN], piece: _Piece) -> Tensor:
        network, rfn = seat
        seen = [e[:, *piece.outer][piece.slices].to(network.device) for e in (sagittal, coronal)]
        result = (seen[0].float() + seen[1]) / 2
        if piece.corrected:
            where = plan, piece.slices, scene.spacing_mm[2]
            result = _fuse_strip(rfn, network[piece.outer], seen, where, compute)
        x, y = (slice(i.start - o.start, i.stop - o.start) for i, o in zip(piece.inner, piece.outer, strict=True))
        return result[:, x, y]

    done = 0
    report(STAGE, done, len(sagittal))
    for window in np.unique(plan.window):
        at = np.flatnonzero(plan.window == window)
        pieces = list(_pieces(at, plan, needed, rfn, compute))
        for n, (piece, result) in enumerate(spread(seats, pieces, work), 1):
            fade = torch.from_numpy(plan.fade[piece.slices]).to(compute.device)[:, None, None]
            shown = fade * result.to(compute.device) * needed[piece.inner]
            fused.values[piece.slices, *piece.inner] = shown.half()
            report(STAGE, done + n * len(at) // len(pieces), len(sagittal))
        for volume in (*estimates, fused):
            volume.settle()
        if window % TRIM_EVERY == 0:
            memory.trim()
        done += len(at)
        report(STAGE, done, len(sagittal))
    return fused


class _Piece(NamedTuple):
    """What RFN sees at once: synthesised slices of one window, a rectangle of them (inner), and what it sees (outer).

    corrected: whether RFN corrects the average there.
    """

    slices: np.ndarray
    inner: tuple[slice, slice]
    outer: tuple[slice, slice]
    corrected: bool


def _pieces(at: np.ndarray, plan: SlicePlan, needed: Tensor, rfn: RFN, compute: Compute) -> Iterator[_Piece]:
    """The slices ``at`` of one window, together for a 3-D RFN, each alone for a 2-D one, in strips."""
    corrected = bool(np.count_nonzero(plan.offset[at]) >= int(rfn.fewest))
    for slices in [at] if rfn.features.size.dims == 3 else np.split(at, len(at)):
        for inner, outer in strips(needed, compute.fusion_pixels // len(slices), rfn.reach):
            yield _Piece(slices, inner, outer, corrected)


def strips(needed: Tensor, pixels: int, halo: int) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Rectangles in x and y that cover what of (X, Y) bool is true, and the same with ``halo`` around them."""
    size_x, size_y = needed.shape
    width = planes.span(needed.any(0))
    rows = max(2 * halo, pixels // max(1, width.stop - width.start))
    for start in range(0, size_x, rows):
        stop = min(size_x, start + rows)
        held = planes.span(needed[start:stop].any(0))
        if held.start < held.stop:
            outer = (max(0, start - halo), stop + halo), (max(0, held.start - halo), held.stop + halo)
            yield (
                (slice(start, stop), held),
                (slice(outer[0][0], min(size_x, outer[0][1])), slice(outer[1][0], min(size_y, outer[1][1]))),
            )


def _fuse_strip(
    rfn: RFN, network: Tensor, seen: list[Tensor], where: tuple[SlicePlan, np.ndarray, float], compute: Compute
) -> Tensor:
    """One window's slices of a strip: (n, x, y) residuals of I_sag, I_cor to that of I_fuse, float32.

    where: the plan, which of its synthesised slices these are, and mm between the acquired ones.
    """
    plan, at, gap_mm = where
    first = int(at[0])
    t = torch.from_numpy(plan.seen[at]).to(network.device)
    below = network[..., plan.window[first]].expand(len(at), -1, -1)  # (n, x, y)
    above = network[..., plan.above[first]].expand(len(at), -1, -1)
    line = torch.lerp(below, above, t[:, None, None])
    inputs = [line + seen[0], line + seen[1], below, above, t, torch.full_like(t, gap_mm)]
    with compute.autocast():
        stack = [i[None] for i in inputs] if rfn.features.size.dims == 3 else inputs
        result = rfn(*stack).view_as(line)
    return torch.sub(result.float(), line)
