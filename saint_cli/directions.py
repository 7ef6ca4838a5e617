"""Eq. 2: a scene interpolated by AMI along every direction."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from saint_cli import planes
from saint_cli.compute import Compute
from saint_cli.nets import AMI
from saint_cli.nets.ami import convolve, convolve_windows
from saint_cli.nets.fdm import filter_distance_matrix
from saint_cli.plan import SlicePlan
from saint_cli.scene import Scene

Report = Callable[[str, int, int], None]
"""Called with a stage's name, the steps done and the steps there are."""


def silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Choices:
    """What a user may choose about the method itself.

    directions: 2 (sagittal and coronal) or 4 (both diagonals too).
    tta: average AMI over four flips of every slice (self-ensemble): a little better, four times the time.
    match_noise: give synthesised CT slices the noise of their neighbours, at the cost of some PSNR (``texture``).
    regenerate: send the acquired slices through the networks as well, which are otherwise copied bit for bit. The
    residual there is zero by definition (Eq. 5), so that this only costs time; it is there for comparisons.
    """

    directions: int = 2
    regenerate: bool = False
    tta: bool = False
    match_noise: bool = False


@torch.inference_mode()
def interpolate_directions(
    scene: Scene,
    ami: AMI,
    plan: SlicePlan,
    compute: Compute,
    choices: Choices = Choices(),
    report: Report = silent,
) -> tuple[Tensor, Tensor]:
    """Eq. 2: residuals (S, X, Y), half precision, of I_sag and I_cor; four directions are averaged in pairs."""
    network = scene.network.to(compute.device)
    shape = (network.shape[0], network.shape[1])
    views = planes.views(shape, scene.spacing_mm[:2], choices.directions)
    names = ("sagittal", "coronal", "rising diagonal", "falling diagonal")
    sagittal, coronal = (
        torch.zeros(len(plan.synthesised), *shape, dtype=torch.float16, device=compute.device) for _ in range(2)
    )
    for i, (view, name) in enumerate(zip(views, names, strict=False)):
        filters = _filters(ami, plan, (view.in_plane_mm, scene.spacing_mm[2]), compute.device)
        mirrored = None
        if choices.tta:
            mirrored = _filters(ami, plan, (view.in_plane_mm, scene.spacing_mm[2]), compute.device, mirrored=True)
        pixels = network.numel() // view.planes
        for first, count in planes.batches(view, compute.batch(pixels)):
            slices = view.gather(network, first, count)
            if mirrored is None:
                residual = _interpolate(ami, slices, filters, len(plan.synthesised), compute)
            else:
                residual = _ensemble(ami, slices, (filters, mirrored), len(plan.synthesised), compute)
            view.add((sagittal, coronal)[i % 2], residual * (2 / choices.directions), first)
            report(name, first + count, view.planes)
    return sagittal, coronal


Filters = list[tuple[Tensor, Tensor, Tensor, bool]]
"""Per group: generated filters (T, C, 3, 3), windows (G,), rows (T * G,), and whether it takes every window."""


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
    return total / 4


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
