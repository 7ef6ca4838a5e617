"""The paper as one function: a sparse volume in, the volume on its refined grid out."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from saint_cli import intensity, padding, planes, residuals, texture
from saint_cli.choices import Choices, Report, silent
from saint_cli.compute import Compute
from saint_cli.directions import interpolate_directions
from saint_cli.errors import UsageError
from saint_cli.geometry import SliceGrid
from saint_cli.nets import RFN
from saint_cli.padding import finite
from saint_cli.plan import SlicePlan
from saint_cli.residuals import Residuals
from saint_cli.scene import Scene, prepare
from saint_cli.spread import spread
from saint_cli.volume import Derivation, Header, Volume
from saint_cli.weights import SaintModel


@dataclass(frozen=True)
class Estimates:
    """What to add to linear interpolation, network range: (S, X, Y) half precision for S synthesised slices.

    sagittal, coronal: as AMI sees it in either direction (with four directions, each with one diagonal);
    fused: the final one, by RFN.
    """

    sagittal: Tensor
    coronal: Tensor
    fused: Tensor


STAGES = ("sagittal", "coronal", "mean", "fused")


@dataclass(frozen=True)
class Restoration:
    """What the networks made of a volume, every stage kept apart.

    source: the volume as it came in; measured: the same with its padding hidden (``padding``).
    """

    source: Volume
    measured: Volume
    grid: SliceGrid
    plan: SlicePlan
    scene: Scene
    estimates: Estimates
    model: SaintModel
    choices: Choices

    def stage(self, name: str) -> np.ndarray:
        """[X, Y, output slices] scanner values after one of ``STAGES``; ``fused`` is the final result."""
        estimates = self.estimates
        residual = (estimates.sagittal + estimates.coronal) / 2 if name == "mean" else getattr(estimates, name)
        acquired, measured = (np.moveaxis(v.voxels, self.grid.axis, 2) for v in (self.source, self.measured))
        dense = assemble(measured, self.plan, self.scene, residual)
        if self.choices.match_noise and name == "fused":
            texture.match_noise(dense, measured, self.plan)
        padding.restore(dense, acquired, self.plan, self.source.header.padding)
        return dense

    def result(self) -> Volume:
        """The final volume on its refined grid."""
        made = Derivation(self.grid, self.model.name, self.model.sha256, self.choices.words)
        return self._volume(self.stage("fused"), replace(self.source.header, derivation=made))

    def difference(self, part: tuple[slice, slice] = (planes.WHOLE, planes.WHOLE)) -> np.ndarray:
        """[x, y, synthesised slices] |I_sag - I_cor| in scanner values, float32; 0 outside the body's box.

        part: which x and y of the plane; no more than that of the residuals is read.
        """
        plane = (n for axis, n in enumerate(self.source.shape) if axis != self.grid.axis)
        shape = (len(range(n)[cut]) for n, cut in zip(plane, part, strict=True))
        result = np.moveaxis(np.zeros((len(self.plan.synthesised), *shape), np.float32), 0, 2)
        for s, between in enumerate(self._differences(part)):
            result[..., s] = between
        return result

    def _differences(self, part: tuple[slice, slice]) -> Iterator[np.ndarray]:
        """``difference`` slice by slice, each [x, y], so that no volume is held."""
        plane = (n for axis, n in enumerate(self.source.shape) if axis != self.grid.axis)
        shape, into, seen = list[int](), list[slice](), list[slice]()
        for n, cut, boxed in zip(plane, part, self.scene.box, strict=True):
            wanted, box = range(n)[cut], range(n)[boxed]
            start, stop = max(wanted.start, box.start), min(wanted.stop, box.stop)
            shape.append(len(wanted))
            into.append(slice(start - wanted.start, max(start, stop) - wanted.start))
            seen.append(slice(start - box.start, max(start, stop) - box.start))
        sagittal, coronal = (e[:, *seen] for e in (self.estimates.sagittal, self.estimates.coronal))
        for one, other in zip(sagittal, coronal, strict=True):
            between = np.zeros(shape, np.float32)
            between[tuple(into)] = ((one.float() - other.float()).abs() * self.scene.values.scale).numpy()
            yield between

    def error(self) -> Volume:
        """The expected absolute error of every voxel of the result, HU, float32; 0 at acquired slices.

        Only for CT, and for a model that carries a calibration.
        """
        assert self.model.calibration is not None
        plane = (n for axis, n in enumerate(self.source.shape) if axis != self.grid.axis)
        error = np.moveaxis(np.zeros((self.plan.count, *plane), np.float32), 0, 2)
        for s, between in enumerate(self._differences((planes.WHOLE, planes.WHOLE))):
            if self.plan.offset[s] > 0:  # with regenerate, acquired slices are among the synthesised ones
                error[..., self.plan.synthesised[s]] = self.model.calibration.expected_error(between)
        header = self.source.header
        return self._volume(error, Header(source_format=header.source_format, space_code=header.space_code))

    def _volume(self, dense: np.ndarray, header: Header) -> Volume:
        """[X, Y, output slices] as a volume in the source's axis order."""
        return Volume(np.moveaxis(dense, 2, self.grid.axis), self.grid.refine(self.source.affine_lps), header)


def restore(
    volume: Volume,
    model: SaintModel,
    grid: SliceGrid,
    compute: Compute,
    choices: Choices = Choices(),  # noqa: B008  (frozen)
    report: Report = silent,
) -> Restoration:
    """Interpolate a volume's slices along ``grid.axis`` by SAINT; the input is not modified.

    Integer voxels come back in their dtype, rounded and clipped, floats as float32. Voxels that are not finite, or hold
    no measurement, are hidden from the networks and put back, also into the slices nearest to them.

    Raises:
        UsageError: too little memory; noise to be matched in a volume that is not CT.
    """
    plan, measured = SlicePlan.of(grid, regenerate=choices.regenerate), padding.hide(volume, grid.axis)
    scene = prepare(measured, grid, skip_air=choices.skip_air)
    if choices.match_noise and scene.values is not intensity.CT:
        raise UsageError("--match-noise knows the noise of CT only; leave it out for other modalities")
    estimates = estimate(scene, model, plan, compute, choices, report)
    return Restoration(volume, measured, grid, plan, scene, estimates, model, choices)


def upsample(
    volume: Volume,
    model: SaintModel,
    grid: SliceGrid,
    compute: Compute,
    choices: Choices = Choices(),  # noqa: B008  (frozen)
    report: Report = silent,
) -> Volume:
    """The result of ``restore``."""
    return restore(volume, model, grid, compute, choices, report).result()


@torch.inference_mode()
def estimate(
    scene: Scene, model: SaintModel, plan: SlicePlan, compute: Compute, choices: Choices, report: Report = silent
) -> Estimates:
    """Run AMI over every direction and RFN over every synthesised slice (Eqs. 2 and 3)."""
    model = model.to(compute.device)
    try:
        sagittal, coronal = interpolate_directions(scene, model.ami, plan, compute, choices, report)
        fused = fuse(scene, model.rfn, (sagittal, coronal), plan, compute, report)
    except (torch.OutOfMemoryError, MemoryError):
        raise UsageError(
            f"{compute.device} has too little memory for this volume; try --batch-size 1, a smaller --factor, "
            "or another --device"
        ) from None
    for seen in (sagittal, coronal):
        for s in np.flatnonzero(plan.fade < 1):
            seen.values[s] *= float(plan.fade[s])
        seen.settle()
    return Estimates(sagittal.values.cpu(), coronal.values.cpu(), fused.values.cpu())


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
    for window in np.unique(plan.window):
        at = np.flatnonzero(plan.window == window)
        for piece, result in spread(seats, _pieces(at, plan, needed, rfn, compute), work):
            fade = torch.from_numpy(plan.fade[piece.slices]).to(compute.device)[:, None, None]
            shown = fade * result.to(compute.device) * needed[piece.inner]
            fused.values[piece.slices, *piece.inner] = shown.half()
        for volume in (*estimates, fused):
            volume.settle()
        done += len(at)
        report("fusion", done, len(sagittal))
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
        for inner, outer in _strips(needed, compute.fusion_pixels // len(slices), rfn.reach):
            yield _Piece(slices, inner, outer, corrected)


def _strips(needed: Tensor, pixels: int, halo: int) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
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
        dense[..., j] = intensity.rounded(line, dtype) if dtype.kind in "iu" else line
    return dense


def _added(line: np.ndarray, residual: np.ndarray, values: intensity.IntensityMap) -> np.ndarray:
    """Linear interpolation and the networks' residual, within the window; outside it the linear part alone."""
    inside = (line >= values.low) & (line <= values.high)
    scaled = residual.astype(np.float32) * np.float32(values.scale)
    return np.where(inside, np.clip(line + scaled, values.low, values.high), line).astype(line.dtype)


def _restored(line: np.ndarray, below: np.ndarray, above: np.ndarray, filled: np.ndarray, t: np.floating) -> np.ndarray:
    """A synthesised slice with what is not finite put back from the nearer neighbour, and no residual beside it."""
    alone = np.isfinite(below) ^ np.isfinite(above)
    line = np.where(alone, filled, line)
    nearer = below if t < 0.5 else above
    return np.where(np.isfinite(nearer), line, nearer)
