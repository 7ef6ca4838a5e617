"""Eq. 2: a scene interpolated by AMI along every direction."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from saint_cli import memory, planes, residuals
from saint_cli.choices import Choices, Report, silent
from saint_cli.compute import Compute
from saint_cli.nets import AMI
from saint_cli.nets.ami import convolve, convolve_windows
from saint_cli.nets.fdm import filter_distance_matrix
from saint_cli.plan import SlicePlan
from saint_cli.residuals import Residuals
from saint_cli.scene import Scene
from saint_cli.spread import spread

FLIPS = 4
"""Passes of AMI with ``tta``: every slice, and its three mirror images."""

STAGES = ("sagittal slices", "coronal slices", "rising diagonals", "falling diagonals")
"""What progress calls the directions."""

TRIM_EVERY = 16
"""Parts after which memory is given back that lies free in between."""


@torch.inference_mode()
def interpolate_directions(
    scene: Scene,
    ami: AMI,
    plan: SlicePlan,
    compute: Compute,
    choices: Choices = Choices(),  # noqa: B008  (frozen)
    report: Report = silent,
) -> tuple[Residuals, Residuals]:
    """Eq. 2: residuals (S, X, Y), half precision, of I_sag and I_cor; four directions are averaged in pairs.

    In air around the patient, where no network is needed, they are 0.
    """
    needed, shape = scene.needed.to(compute.device), (scene.network.shape[0], scene.network.shape[1])
    depth, count = scene.network.shape[2], len(plan.synthesised)
    views = planes.views(shape, scene.spacing_mm[:2], choices.directions)
    wanted, allowed = (count, *shape), compute.residual_bytes
    results = tuple(residuals.zeros(wanted, compute.device, allowed, y_first=y_first) for y_first in (False, True))
    cut = tiling(compute, depth, ami.reach)
    places = [(scene.network.to(d), ami if d == compute.device else copy.deepcopy(ami).to(d)) for d in compute.devices]
    for i, (view, name) in enumerate(zip(views, STAGES, strict=False)):
        spacing_mm = view.in_plane_mm, scene.spacing_mm[2]
        seats = [_Seat(n, a, _both(a, plan, spacing_mm, n.device, mirrored=choices.tta)) for n, a in places]

        def work(seat: _Seat, part: planes.Part, view: planes.View = view) -> Tensor:
            return seat.interpolate(view, part, count, compute) * (2 / choices.directions)

        parts = list(planes.parts(view, needed, cut))
        done, total = 0, sum(part.pixels for part in parts)
        report(name, done, total)
        for n, (part, residual) in enumerate(spread(seats, parts, work)):
            shown = residual.to(compute.device) * part.needed[:, None]  # (planes, S, rows)
            view.add(results[i % 2].values, shown, part.first, part.rows)
            results[i % 2].settle()
            if n % TRIM_EVERY == 0:
                memory.trim()
            done += part.pixels
            report(name, done, total)
    return results[0], results[1]


def tiling(compute: Compute, depth: int, reach: int) -> planes.Tiling:
    """How the planes of ``depth`` acquired slices are cut into parts for a network that looks ``reach`` pixels far."""
    return planes.Tiling(lambda rows: compute.batch(rows * depth), compute.most_pixels // depth, reach)


Filters = list[tuple[Tensor, Tensor, Tensor, bool]]
"""Per group: generated filters (T, C, 3, 3), windows (G,), rows (T * G,), and whether it takes every window."""


@dataclass(frozen=True)
class _Seat:
    """What a device needs for one direction: scene, network, filters, and those of mirrored slices (tta)."""

    network: Tensor
    ami: AMI
    filters: tuple[Filters, Filters | None]

    def interpolate(self, view: planes.View, part: planes.Part, count: int, compute: Compute) -> Tensor:
        """(planes, S, rows) residuals of a part."""
        slices = view.gather(self.network, part.first, part.count)[:, :, part.seen]
        plain, mirrored = self.filters
        if mirrored is None:
            return _interpolate(self.ami, slices, plain, count, compute)[..., part.kept]
        return _ensemble(self.ami, slices, (plain, mirrored), count, compute)[..., part.kept]


def _both(
    ami: AMI, plan: SlicePlan, spacing_mm: tuple[float, float], device: torch.device, *, mirrored: bool
) -> tuple[Filters, Filters | None]:
    """The filters of slices as they are and, if wanted, of mirrored ones."""
    plain = _filters(ami, plan, spacing_mm, device)
    return plain, _filters(ami, plan, spacing_mm, device, mirrored=True) if mirrored else None


def _filters(
    ami: AMI, plan: SlicePlan, spacing_mm: tuple[float, float], device: torch.device, *, mirrored: bool = False
) -> Filters:
    """Eq. 8 for every offset of the plan; made once per direction, shared by all its slices.

    spacing_mm: in-plane and between acquired slices; mirrored: for slices whose through-plane axis is reversed.
    """
    made: Filters = []
    last = int(plan.above.max(initial=0))
    for group in plan.groups():
        offsets, windows = group.offsets, group.windows
        if mirrored:  # a slice beyond the last window has no residual, whichever window it is given
            offsets, windows = 1 - offsets, np.maximum(last - 1 - windows, 0)
        along, across = torch.tensor(spacing_mm, dtype=torch.float32, device=device)
        kernels = ami.filters(filter_distance_matrix(torch.from_numpy(offsets).to(device), along, across))
        columns, rows = (torch.from_numpy(a).to(device) for a in (windows, group.rows.reshape(-1)))
        made.append((kernels, columns, rows, len(windows) > 1 and len(windows) > int(plan.window.max()) // 2))
    return made


def _ensemble(ami: AMI, slices: Tensor, filters: tuple[Filters, Filters], count: int, compute: Compute) -> Tensor:
    """The mean of ``_interpolate`` over four flips of the slices, each flipped back: (B, S, H) float32."""
    plain, mirrored = filters
    total = _interpolate(ami, slices, plain, count, compute)
    total += _interpolate(ami, slices.flip(1, 2), plain, count, compute).flip(-1)
    total += _interpolate(ami, slices.flip(3), mirrored, count, compute)
    total += _interpolate(ami, slices.flip(1, 2, 3), mirrored, count, compute).flip(-1)
    return total / FLIPS


def _interpolate(ami: AMI, slices: Tensor, filters: Filters, count: int, compute: Compute) -> Tensor:
    """(B, 3, H, W) slices to the residual of all synthesised columns, (B, S, H) float32."""
    with compute.autocast():
        features = ami.features(slices)
    features = features.float()
    result = torch.empty(len(slices), count, features.shape[2], device=features.device)
    for kernels, windows, rows, most in filters:
        part = (
            convolve(features, kernels[None])[..., windows] if most else convolve_windows(features, kernels, windows)
        )  # (B, T, H, G)
        result[:, rows] = part.permute(0, 1, 3, 2).flatten(1, 2)
    return result
