"""The paper as one function: a sparse volume in, the volume on its refined grid out."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from saint_cli import intensity, planes
from saint_cli.compute import Compute
from saint_cli.errors import UsageError
from saint_cli.geometry import SliceGrid
from saint_cli.nets import AMI, RFN
from saint_cli.nets.ami import convolve, convolve_windows
from saint_cli.nets.fdm import filter_distance_matrix
from saint_cli.plan import SlicePlan
from saint_cli.volume import Volume
from saint_cli.weights import SaintModel

Report = Callable[[str, int, int], None]
"""Called with a stage's name, the steps done and the steps there are."""

BODY_ABOVE = 0.3
"""Network value (-724 HU) that tells the patient and the table from the air around them."""
BODY_MARGIN = 8


@dataclass(frozen=True)
class Estimates:
    """What to add to linear interpolation, network range: (S, X, Y) half precision for S synthesised slices.

    sagittal, coronal: as AMI sees it in either direction (with four directions, each with one diagonal);
    fused: the final one, by RFN.
    """

    sagittal: Tensor
    coronal: Tensor
    fused: Tensor


def silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Choices:
    """What a user may choose about the method itself.

    directions: 2 (sagittal and coronal) or 4 (both diagonals too).
    regenerate: send the acquired slices through the networks as well, which are otherwise copied bit for bit. The
    residual there is zero by definition (Eq. 5), so that this only costs time; it is there for comparisons.
    """

    directions: int = 2
    regenerate: bool = False


def upsample(
    volume: Volume,
    model: SaintModel,
    grid: SliceGrid,
    compute: Compute,
    choices: Choices = Choices(),
    report: Report = silent,
) -> Volume:
    """The volume with its slices along ``grid.axis`` interpolated by SAINT; the input is not modified.

    Integer voxels come back in their dtype, rounded and clipped, floats as float32. Voxels that are not finite are
    hidden from the networks and put back, also into the slices nearest to them.
    """
    sparse = np.moveaxis(volume.voxels, grid.axis, 2)  # [X, Y, acquired]
    plan = SlicePlan.of(grid, regenerate=choices.regenerate)
    scene = prepare(volume, grid)
    estimates = estimate(scene, model, plan, compute, choices, report)
    dense = assemble(sparse, plan, scene, estimates.fused)
    return replace(volume, voxels=np.moveaxis(dense, 2, grid.axis), affine_lps=grid.refine(volume.affine_lps))


@dataclass(frozen=True)
class Scene:
    """The part of a volume that the networks see.

    network: (x, y, acquired) network range, cut to the body; box: where that lies in the plane;
    spacing_mm along x, y and between acquired slices; values: how scanner values became network values.
    """

    network: Tensor
    box: tuple[slice, slice]
    spacing_mm: tuple[float, float, float]
    values: intensity.IntensityMap


def prepare(volume: Volume, grid: SliceGrid) -> Scene:
    """Bring a volume into network range, through-plane axis last, and cut CT to the patient's bounding box."""
    values = intensity.map_for(volume)
    sparse = np.moveaxis(volume.voxels, grid.axis, 2)
    network = torch.from_numpy(values.to_network(finite(sparse)))
    box = (slice(None), slice(None))
    if values is intensity.CT:
        box = planes.body_box(network, BODY_ABOVE, BODY_MARGIN)
    x, y = (s for axis, s in enumerate(volume.spacing_mm) if axis != grid.axis)
    return Scene(network[box].contiguous(), box, (x, y, volume.spacing_mm[grid.axis]), values)


@torch.inference_mode()
def estimate(
    scene: Scene, model: SaintModel, plan: SlicePlan, compute: Compute, choices: Choices, report: Report = silent
) -> Estimates:
    """Run AMI over every direction and RFN over every synthesised slice (Eqs. 2 and 3)."""
    model = model.to(compute.device)
    try:
        sagittal, coronal = interpolate_directions(scene, model.ami, plan, compute, choices.directions, report)
        fused = fuse(scene, model.rfn, (sagittal, coronal), plan, compute, report)
    except (torch.OutOfMemoryError, MemoryError):
        raise UsageError(
            f"{compute.device} has too little memory for this volume; try --batch-size 1, a smaller --factor, "
            "or another --device"
        ) from None
    fade = torch.from_numpy(plan.fade)[:, None, None].half()
    return Estimates(sagittal.cpu() * fade, coronal.cpu() * fade, fused.cpu())


@torch.inference_mode()
def interpolate_directions(
    scene: Scene, ami: AMI, plan: SlicePlan, compute: Compute, directions: int = 2, report: Report = silent
) -> tuple[Tensor, Tensor]:
    """Eq. 2: residuals (S, X, Y), half precision, of I_sag and I_cor; four directions are averaged in pairs."""
    network = scene.network.to(compute.device)
    shape = (network.shape[0], network.shape[1])
    views = planes.views(shape, scene.spacing_mm[:2], directions)
    names = ("sagittal", "coronal", "rising diagonal", "falling diagonal")
    sagittal, coronal = (
        torch.zeros(len(plan.synthesised), *shape, dtype=torch.float16, device=compute.device) for _ in range(2)
    )
    for i, (view, name) in enumerate(zip(views, names, strict=False)):
        filters = _filters(ami, plan, view.in_plane_mm, scene.spacing_mm[2], compute.device)
        pixels = network.numel() // view.planes
        for first, count in planes.batches(view, compute.batch(pixels)):
            slices = view.gather(network, first, count)
            residual = _interpolate(ami, slices, filters, len(plan.synthesised), compute)
            view.add((sagittal, coronal)[i % 2], residual * (2 / directions), first)
            report(name, first + count, view.planes)
    return sagittal, coronal


Filters = list[tuple[Tensor, Tensor, Tensor, bool]]
"""Per group: generated filters (T, C, 3, 3), windows (G,), rows (T * G,), and whether it takes every window."""


def _filters(ami: AMI, plan: SlicePlan, in_plane_mm: float, through_plane_mm: float, device: torch.device) -> Filters:
    """Eq. 8 for every offset of the plan; made once per direction, shared by all its slices."""
    made: Filters = []
    for group in plan.groups():
        offsets = torch.from_numpy(group.offsets).to(device)
        along, across = torch.tensor([in_plane_mm, through_plane_mm], dtype=torch.float32, device=device)
        kernels = ami.filters(filter_distance_matrix(offsets, along, across))
        windows, rows = (torch.from_numpy(a).to(device) for a in (group.windows, group.rows.reshape(-1)))
        made.append((kernels, windows, rows, len(windows) > 1 and len(windows) > int(plan.window.max()) // 2))
    return made


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


@torch.inference_mode()
def fuse(
    scene: Scene,
    rfn: RFN,
    estimates: tuple[Tensor, Tensor],
    plan: SlicePlan,
    compute: Compute,
    report: Report = silent,
) -> Tensor:
    """Eq. 10 on every synthesised slice, as residual over linear interpolation, (S, X, Y) half precision.

    The slices of one window go together, in strips with a halo as wide as RFN's reach, which changes nothing but the
    memory needed.
    """
    network = scene.network.to(compute.device)
    fused, halo = torch.empty_like(estimates[0]), rfn.reach
    fade = torch.from_numpy(plan.fade).to(compute.device)[:, None, None]
    size_x, size_y = network.shape[:2]
    done = 0
    for window in np.unique(plan.window):
        at = np.flatnonzero(plan.window == window)
        rows = max(2 * halo, compute.fusion_pixels // (size_y * len(at)))
        for start in range(0, size_x, rows):
            strip, stop = slice(max(0, start - halo), min(size_x, start + rows + halo)), min(size_x, start + rows)
            result = _fuse_strip(rfn, network[strip], [e[at, strip] for e in estimates], plan, at, compute)
            fused[at, start:stop] = (fade[at] * result[:, start - strip.start : stop - strip.start]).half()
        done += len(at)
        report("fusion", done, len(fused))
    return fused


def _fuse_strip(
    rfn: RFN, network: Tensor, residuals: list[Tensor], plan: SlicePlan, at: np.ndarray, compute: Compute
) -> Tensor:
    """One window's slices ``at`` of a strip: (n, x, y) residuals of I_sag, I_cor to that of I_fuse, float32."""
    first = int(at[0])
    t = torch.from_numpy(plan.seen[at]).to(network.device)
    below = network[..., plan.window[first]].expand(len(at), -1, -1)  # (n, x, y)
    above = network[..., plan.above[first]].expand(len(at), -1, -1)
    line = torch.lerp(below, above, t[:, None, None])
    inputs = [line + residuals[0], line + residuals[1], below, above, t]
    with compute.autocast():
        stack = [i[None] for i in inputs] if rfn.features.size.dims == 3 else inputs
        result = rfn(*stack).view_as(line)
    return torch.sub(result.float(), line)


def assemble(sparse: np.ndarray, plan: SlicePlan, scene: Scene, residual: Tensor) -> np.ndarray:
    """[X, Y, acquired] scanner values and a residual (S, x, y) inside the scene's box to [X, Y, output slices].

    The linear part is taken from the unclipped scanner values, so that metal and padding pass through alone. Next to a
    voxel that is not finite only the other neighbour counts.
    """
    dtype: np.dtype = sparse.dtype if sparse.dtype.kind in "iu" else np.dtype(np.float32)
    dense = np.moveaxis(np.empty((plan.count, *sparse.shape[:2]), dtype), 0, 2)
    for j, source in zip(plan.copied, plan.source, strict=True):
        dense[..., j] = sparse[..., source]
    wide: type[np.floating] = np.float64 if sparse.dtype.itemsize > 2 else np.float32
    filled = finite(sparse)
    for s, j in enumerate(plan.synthesised):
        t, below, above = wide(plan.offset[s]), plan.window[s], plan.above[s]
        line: np.ndarray = filled[..., below] * (1 - t) + filled[..., above] * t
        line[scene.box] = _added(line[scene.box], residual[s].numpy(), scene.values)
        if filled is not sparse:
            line = _restored(line, sparse[..., below], sparse[..., above], filled[..., below], t)
        dense[..., j] = rounded(line, dtype) if dtype.kind in "iu" else line
    return dense


def _added(line: np.ndarray, residual: np.ndarray, values: intensity.IntensityMap) -> np.ndarray:
    """Linear interpolation and the networks' residual, within the window; outside it the linear part alone."""
    inside = (line >= values.low) & (line <= values.high)
    scaled = residual.astype(np.float32) * np.float32(values.scale)
    return np.where(inside, np.clip(line + scaled, values.low, values.high), line).astype(line.dtype)


def rounded(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Float values rounded to an integer dtype, clipped to its range, never wrapped."""
    info = np.iinfo(dtype)
    highest = float(info.max)
    if int(highest) > info.max:  # 64-bit maxima round up in float64
        highest = float(np.nextafter(highest, 0))
    whole: np.ndarray = np.clip(np.rint(values), float(info.min), highest).astype(dtype)
    return whole


def _restored(line: np.ndarray, below: np.ndarray, above: np.ndarray, filled: np.ndarray, t: np.floating) -> np.ndarray:
    """A synthesised slice with what is not finite put back from the nearer neighbour, and no residual beside it."""
    alone = np.isfinite(below) ^ np.isfinite(above)
    line = np.where(alone, filled, line)
    nearer = below if t < 0.5 else above
    return np.where(np.isfinite(nearer), line, nearer)


def finite(slices: np.ndarray) -> np.ndarray:
    """[X, Y, slices] themselves where all values are finite, else with the others filled from the nearest slices.

    Columns without any finite value take the least of the volume, 0 if there is none.
    """
    if slices.dtype.kind in "iu" or np.isfinite(slices).all():
        return slices
    good = np.isfinite(slices)
    index = np.arange(slices.shape[2])
    below = np.maximum.accumulate(np.where(good, index, -1), axis=2)
    above = np.minimum.accumulate(np.where(good, index, len(index))[..., ::-1], axis=2)[..., ::-1]
    nearest = np.where((below >= 0) & ((index - below <= above - index) | (above == len(index))), below, above)
    filled = np.take_along_axis(slices, np.minimum(nearest, len(index) - 1), axis=2)
    return np.where(np.isfinite(filled), filled, slices[good].min() if good.any() else 0)
