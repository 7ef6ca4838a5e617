"""The paper as one function: a sparse volume in, the volume on its refined grid out."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from saint_cli import intensity, padding, planes, texture
from saint_cli.bounds import Bounds
from saint_cli.choices import Choices, Report, silent
from saint_cli.coding import Coding, choose
from saint_cli.compute import Compute
from saint_cli.directions import interpolate_directions
from saint_cli.errors import NonFiniteError, UsageError
from saint_cli.fusion import fuse
from saint_cli.geometry import SliceGrid
from saint_cli.padding import finite
from saint_cli.plan import SlicePlan
from saint_cli.scene import Scene, prepare
from saint_cli.volume import Derivation, Header, Volume
from saint_cli.weights import SaintModel

SLICE_AXIS = 2
"""The axis along which the slices of DICOM lie, each with a coding of its own."""

MEMORY_WORDS = ("DefaultCPUAllocator", "MPS backend out of memory", "bad_alloc")
"""What torch's message names where a device other than CUDA's has no memory."""


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
        padding.restore(dense, acquired, self.plan, self.source.header)
        if self.grid.axis == SLICE_AXIS or len(self.source.header.codings) == 1:
            storable(dense, self.plan, self.source.header.codings)
        return dense

    def result(self) -> Volume:
        """The final volume on its refined grid."""
        made = Derivation(self.grid, self.model.name, self.model.sha256, self.choices.words)
        return self._volume(self.stage("fused"), replace(self.source.header, derivation=made))

    def difference(self, part: tuple[slice, slice] = (planes.WHOLE, planes.WHOLE)) -> np.ndarray:
        """[x, y, synthesised slices] |I_sag - I_cor| in scanner values, float32, or float64 where those are huge.

        It is 0 outside the body's box.

        part: which x and y of the plane; no more than that of the residuals is read.
        """
        plane = (n for axis, n in enumerate(self.source.shape) if axis != self.grid.axis)
        shape = (len(range(n)[cut]) for n, cut in zip(plane, part, strict=True))
        kind = np.float32 if self.scene.values.fits_float32 else np.float64
        result = np.moveaxis(np.zeros((len(self.plan.synthesised), *shape), kind), 0, 2)
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
        values = self.scene.values
        kind = np.float32 if values.fits_float32 else np.float64
        for one, other in zip(sagittal, coronal, strict=True):
            between = np.zeros(shape, kind)
            between[tuple(into)] = (one.float() - other.float()).abs().numpy() * kind(values.scale)
            yield between

    def error(self) -> Volume:
        """The expected absolute error of every voxel of the result, HU, float32; 0 at acquired slices and in padding.

        Only for CT, and for a model that carries a calibration.
        """
        assert self.model.calibration is not None
        header, acquired = self.source.header, np.moveaxis(self.source.voxels, self.grid.axis, 2)
        plane = (n for axis, n in enumerate(self.source.shape) if axis != self.grid.axis)
        error = np.moveaxis(np.zeros((self.plan.count, *plane), np.float32), 0, 2)
        for s, between in enumerate(self._differences((planes.WHOLE, planes.WHOLE))):
            if self.plan.offset[s] > 0:  # with regenerate, acquired slices are among the synthesised ones
                expected = self.model.calibration.expected_error(between)
                error[..., self.plan.synthesised[s]] = np.where(
                    padding.between(acquired, self.plan, s, header), 0, expected
                )
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

    Voxels come back in their dtype, integers rounded and clipped. Voxels that are not finite, or hold
    no measurement, are hidden from the networks and put back, also into the slices nearest to them.

    Raises:
        UsageError: too little memory; noise to be matched in a volume that is not CT; values that span too much.
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
    except (RuntimeError, MemoryError) as error:
        if not _is_of_memory(error):
            raise
        raise UsageError(
            f"{compute.device} has too little memory for this volume; try --batch-size 1, a smaller --factor, "
            "or another --device"
        ) from None
    for seen in (sagittal, coronal):
        for s in np.flatnonzero(plan.fade < 1):
            seen.values[s] *= float(plan.fade[s])
        seen.settle()
    return Estimates(sagittal.values.cpu(), coronal.values.cpu(), fused.values.cpu())


def _is_of_memory(error: RuntimeError | MemoryError) -> bool:
    """Whether a device's memory was too small; only for CUDA's torch has a class."""
    known = isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError))
    return known or any(word in str(error) for word in MEMORY_WORDS)


def assemble(sparse: np.ndarray, plan: SlicePlan, scene: Scene, residual: Tensor) -> np.ndarray:
    """[X, Y, acquired] scanner values and a residual (S, x, y) inside the scene's box to [X, Y, output slices].

    The linear part is taken from the unclipped scanner values, so that metal and padding pass through alone. Next to a
    voxel that is not finite only the other neighbour counts. No synthesised voxel lies outside its ``Bounds``.

    Raises:
        NonFiniteError: a residual, or what it makes of finite voxels, is NaN or infinite.
    """
    dtype: np.dtype = sparse.dtype if sparse.dtype.kind in "iu" else np.result_type(sparse.dtype, np.float32)
    dense = np.moveaxis(np.empty((plan.count, *sparse.shape[:2]), dtype), 0, 2)
    for j, source in zip(plan.copied, plan.source, strict=True):
        dense[..., j] = sparse[..., source]
    wide: type[np.floating] = np.float64 if sparse.dtype.itemsize > 2 else np.float32
    filled = finite(sparse)
    bounds = Bounds(filled[scene.box])
    for s, j in enumerate(plan.synthesised):
        t, below, above = wide(plan.offset[s]), plan.window[s], plan.above[s]
        line: np.ndarray = filled[..., below] * (1 - t) + filled[..., above] * t
        around = bounds.between(int(below), int(above))
        line[scene.box] = _added(line[scene.box], residual[s].numpy(), scene.values, around)
        _require_finite(line, residual[s], int(j))
        made = intensity.rounded(line, dtype) if dtype.kind in "iu" else line.astype(dtype, copy=False)
        if wide is np.float64:  # which rounds large values: a constant may come out as its neighbour
            least, most = (pick(filled[..., below], filled[..., above]) for pick in (np.minimum, np.maximum))
            least[scene.box], most[scene.box] = around
            np.clip(made, least, most, out=made)
        if filled is not sparse:
            made = _restored(made, sparse[..., below], sparse[..., above], filled[..., below], t)
        dense[..., j] = made
    return dense


def _require_finite(made: np.ndarray, residual: Tensor, index: int) -> None:
    """Refuse a synthesised slice, made of finite voxels and a residual, that is not finite."""
    if not (residual.isfinite().all() and np.isfinite(made).all()):
        raise NonFiniteError(
            f"output slice {index} came out NaN or infinite; nothing was written. Try another model with -m, or "
            "--precision fp32 on a GPU"
        )


def storable(dense: np.ndarray, plan: SlicePlan, codings: tuple[Coding, ...]) -> None:
    """Give synthesised slices of ``dense`` [X, Y, output slices] values that their source can store, in place.

    ``codings``: one, or one for each acquired slice; where two neighbours differ, ``coding.choose`` decides.
    """
    if not codings:
        return
    for s, j in enumerate(plan.synthesised):
        below, above = (codings[0 if len(codings) == 1 else int(k)] for k in (plan.window[s], plan.above[s]))
        around = (below,) if plan.offset[s] == 0 else (below, above)
        dense[..., j] = choose(around, dense[..., j]).nearest(dense[..., j])


def _added(
    line: np.ndarray, residual: np.ndarray, values: intensity.IntensityMap, around: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Linear interpolation and the networks' residual, within the window and what lies ``around`` in both neighbours;
    outside the window the linear part alone.
    """
    inside = (line >= values.low) & (line <= values.high)
    wide = np.dtype(np.float32 if values.fits_float32 else np.float64)
    with np.errstate(over="ignore"):  # the sum of two large numbers; it is clipped
        moved = line + residual.astype(wide) * wide.type(values.scale)
    bounded = np.clip(np.clip(moved, *around), values.low, values.high)
    return np.where(inside, bounded, line).astype(line.dtype)


def _restored(line: np.ndarray, below: np.ndarray, above: np.ndarray, filled: np.ndarray, t: np.floating) -> np.ndarray:
    """A synthesised slice with what is not finite put back from the nearer neighbour, and no residual beside it."""
    alone = np.isfinite(below) ^ np.isfinite(above)
    line = np.where(alone, filled, line)
    nearer = below if t < 0.5 else above
    return np.where(np.isfinite(nearer), line, nearer)
