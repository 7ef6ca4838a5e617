"""The paper as one function: a sparse volume in, the volume on its refined grid out."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from saint_cli.errors import UsageError
from saint_cli.geometry import SliceGrid, in_plane
from saint_cli.method import (
    even_context,
    intensity,
    noise,
    noise_matching,
    noise_smoothing,
    padding,
    planes,
    slab_assembly,
    slab_consistency,
    slab_ends,
)
from saint_cli.method.assembly import allocate_slices, assemble, find_codings, round_to_codings
from saint_cli.method.directions import interpolate_directions
from saint_cli.method.fusion import Rectangle, fuse
from saint_cli.method.network_input import NetworkInput, prepare_input
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.models.calibration import HU, Calibration
from saint_cli.models.weights import SaintModel
from saint_cli.options.grid import DICOM_SLICE_AXIS
from saint_cli.options.method import MethodOptions, NoiseHandling
from saint_cli.progress import ProgressCallback, silent
from saint_cli.runtime.device_selection import Compute
from saint_cli.volume import Derivation, Header, Volume

MEMORY_ERROR_WORDS = ("DefaultCPUAllocator", "MPS backend out of memory", "bad_alloc")
"""Parts of torch's messages about too little memory on devices other than CUDA's."""


class ResultStage(StrEnum):
    """A stage of the result: AMI along either direction, their mean, and RFN's final one."""

    SAGITTAL = "sagittal"
    CORONAL = "coronal"
    MEAN = "mean"
    FUSED = "fused"


@dataclass(frozen=True)
class Estimates:
    """Residuals over linear interpolation, network range: (S, X, Y) half precision for S synthesised slices.

    sagittal, coronal: by AMI along either direction (with four directions, each with one diagonal); fused: by RFN.
    """

    sagittal: Tensor
    coronal: Tensor
    fused: Tensor

    @torch.inference_mode()
    def replace_rows(self, rows: np.ndarray, others: "Estimates") -> None:
        """Take the residuals of some synthesised slices from ``others``, which has no more than these, in place."""
        for name in ("sagittal", "coronal", "fused"):
            getattr(self, name)[torch.from_numpy(rows)] = getattr(others, name)

    def residual(self, stage: ResultStage) -> Tensor:
        """(S, X, Y) half precision."""
        if stage is ResultStage.MEAN:
            return (self.sagittal + self.coronal) / 2
        residual: Tensor = getattr(self, stage)
        return residual


@dataclass(frozen=True)
class Restoration:
    """The networks' estimates for a volume, from which every stage of the result follows.

    source: the volume as it came in; measured: the same with its padding hidden (``padding``).
    """

    source: Volume
    measured: Volume
    grid: SliceGrid
    plan: SlicePlan
    network_input: NetworkInput
    estimates: Estimates
    model: SaintModel
    options: MethodOptions

    def stage(self, stage: ResultStage) -> np.ndarray:
        """[X, Y, output slices] scanner values after a stage."""
        return self._compute_stage(stage)[0]

    def _compute_stage(self, stage: ResultStage) -> tuple[np.ndarray, bool]:
        """``stage``, and whether noise was changed where the options ask for that."""
        acquired, measured = (np.moveaxis(v.voxels, self.grid.axis, 2) for v in (self.source, self.measured))
        residual, is_changed = self.estimates.residual(stage), True
        if self.grid.slab is not None:
            return self._compute_slabs(acquired, measured, residual), is_changed
        dense = self._assemble(acquired, measured, residual)
        if stage is ResultStage.FUSED and self.options.noise is NoiseHandling.MATCH:
            is_changed = noise_matching.match_noise(dense, measured, self.plan, self._thickness)
        if stage is ResultStage.FUSED and self.options.noise is NoiseHandling.SMOOTH:
            is_changed = noise_smoothing.smooth_noise(dense, measured, self.plan)
            if not is_changed:  # what little did change is undone, so that the result is that of ``KEEP``
                del dense
                dense = self._assemble(acquired, measured, residual)
        padding.restore_padding(dense, acquired, self.plan, self.source.header)
        copies_too = is_changed and self.options.noise is NoiseHandling.SMOOTH
        round_to_codings(dense, self.plan, find_codings(self.source.header, self.grid), copies_too=copies_too)
        return dense, is_changed

    def _assemble(self, acquired: np.ndarray, measured: np.ndarray, residual: Tensor) -> np.ndarray:
        """[X, Y, output slices] before noise is changed and padding is put back."""
        dense = assemble(measured, self.plan, self.network_input, residual, acquired)
        padding.repeat_beside_padding(dense, acquired, self.plan, self.source.header)
        return dense

    def result(self, stage: ResultStage = ResultStage.FUSED) -> Volume:
        """The volume after a stage on its refined grid; by default the final one."""
        dense, is_changed = self._compute_stage(stage)
        said, deviation = "" if is_changed else noise.UNCHANGED_WARNING, None
        options = self.options if is_changed else self.options.with_noise_kept
        if self.grid.slab is not None:
            acquired, least = np.moveaxis(self.source.voxels, self.grid.axis, 2), self.network_input.intensity_map.scale
            deviation = slab_consistency.measure_deviation(dense, acquired, self.grid, self.source.header, least / 1000)
            said = slab_consistency.describe_deviation(deviation)
        made_by = self.grid, self.model.name, self.model.sha256, options.non_default
        derivation = Derivation(*made_by, slab_deviation=deviation)
        volume = self._to_volume(dense, replace(self.source.header, derivation=derivation, slice_positions=()))
        return volume.with_warning(said) if said else volume

    def difference(self, part: Rectangle = planes.WHOLE_PLANE) -> np.ndarray:
        """[x, y, synthesised slices] |I_sag - I_cor| in scanner values, float32, or float64 where those are huge.

        It is 0 outside the body's box. part: which x and y of the plane; no other residuals are read.
        """
        shape = self._part_shape(part)
        result = allocate_slices(shape, len(self.plan.synthesised), self.network_input.intensity_map.dtype)
        for s, difference in enumerate(self._differences(part)):
            result[..., s] = difference
        return result

    def _differences(self, part: Rectangle) -> Iterator[np.ndarray]:
        """``difference`` slice by slice, each [x, y], so that only one is in memory."""
        sizes, boxes = in_plane(self.source.shape, self.grid.axis), self.network_input.box
        ranges = ((range(n)[cut], range(n)[box]) for n, cut, box in zip(sizes, part, boxes, strict=True))
        in_part, in_box = zip(*(planes.find_overlap(*pair) for pair in ranges), strict=True)
        intensity_map = self.network_input.intensity_map
        shape, dtype = self._part_shape(part), intensity_map.dtype
        sagittal, coronal = (e[:, *in_box] for e in (self.estimates.sagittal, self.estimates.coronal))
        for one, other in zip(sagittal, coronal, strict=True):
            difference = np.zeros(shape, dtype)
            difference[in_part] = (one.float() - other.float()).abs().numpy() * dtype.type(intensity_map.scale)
            yield difference

    def _part_shape(self, part: Rectangle) -> tuple[int, ...]:
        sizes = in_plane(self.source.shape, self.grid.axis)
        return tuple(len(range(n)[cut]) for n, cut in zip(sizes, part, strict=True))

    def _compute_slabs(self, acquired: np.ndarray, measured: np.ndarray, residual: Tensor) -> np.ndarray:
        header, codings = self.source.header, find_codings(self.source.header, self.grid)
        holes = padding.find_holes(acquired, header)
        thin = slab_assembly.assemble_slabs(measured, self.grid, self.network_input, residual, codings, holes)
        slab_assembly.restore_padding(thin, acquired, self.grid, header)
        if len(codings) > 1:
            codings = tuple(codings[k] for k in slab_ends.index_repeated(self.grid))
        round_to_codings(thin, self.plan, codings)
        return thin

    @property
    def _thickness(self) -> float | None:
        """Thickness of acquired slices in their own spacings; None where it is not known, as along another axis."""
        source = self.source.header.dicom_source if self.grid.axis == DICOM_SLICE_AXIS else None
        thickness_mm = None if source is None else source.slice_thickness_mm
        return thickness_mm / self.source.spacing_mm[self.grid.axis] if thickness_mm else None

    @property
    def has_known_error(self) -> bool:
        """Whether the model was calibrated for what was done: such a scan, these options, between its slices."""
        is_even = self.grid.positions is None and not self.grid.extrapolated.any()
        return self.calibration is not None and self.options.is_calibrated and is_even and self.grid.slab is None

    @cached_property
    def calibration(self) -> Calibration | None:
        """The model's calibration in scanner values; None where it has none for CT, or for what is not CT."""
        found = self.model.calibration
        if found is None or found.is_of_scan:
            return found
        is_ct = intensity.is_ct(self.source)
        if is_ct != (found.unit == HU):
            return None
        low, high = intensity.find_data_range(self.source)
        return found if is_ct else found.to_scanner_values(high - low)

    @property
    def is_calibrated_on_scan(self) -> bool:
        """Whether the scan's own self-check has set the level of the expected error."""
        return self.model.calibration is not None and self.model.calibration.is_of_scan

    def error(self) -> Volume:
        """The expected absolute error of every voxel of the result, float32; 0 at acquired slices and in padding.

        In scanner values, HU for CT; NaN where the result is not finite. Only where ``has_known_error``.
        """
        assert self.calibration is not None
        header, acquired = self.source.header, np.moveaxis(self.source.voxels, self.grid.axis, 2)
        error = allocate_slices(acquired.shape[:2], self.plan.count, np.float32)
        for s, difference in enumerate(self._differences(planes.WHOLE_PLANE)):
            if self.plan.offset[s] > 0:  # with regenerate, acquired slices are among the synthesised ones
                error[..., self.plan.synthesised[s]] = self.calibration.expected_error(difference)
        padding.mark_holes(error, acquired, self.plan, header)
        return self._to_volume(error, Header(source_format=header.source_format, space_code=header.space_code))

    def _to_volume(self, dense: np.ndarray, header: Header) -> Volume:
        """[X, Y, output slices] as a volume in the source's axis order."""
        return Volume(np.moveaxis(dense, 2, self.grid.axis), self.grid.refine(self.source.affine_lps), header)


def restore(
    volume: Volume,
    model: SaintModel,
    grid: SliceGrid,
    compute: Compute,
    options: MethodOptions = MethodOptions(),  # noqa: B008  (frozen)
    on_progress: ProgressCallback = silent,
) -> Restoration:
    """Interpolate a volume's slices along ``grid.axis`` by SAINT; the input is not modified.

    Voxels keep their dtype, integers are rounded and clipped. Voxels that are not finite, or hold no measurement, are
    hidden from the networks and put back, also into the slices nearest to them.

    Raises:
        UsageError: too little memory; ``noise`` that this volume or grid does not take; values that span too much.
    """
    noise.check_handling(volume, grid, options.noise)
    check_slabs(model, grid, options)
    plan, measured = SlicePlan.from_grid(grid, regenerate=options.regenerate), padding.hide_padding(volume, grid.axis)
    network_input = prepare_input(measured, grid, skip_air=options.skip_air)
    estimates = estimate_residuals(network_input, model, plan, compute, options, on_progress)
    second = even_context.plan_second_pass(grid, plan)
    if second is not None:
        filled = second.fill(network_input, estimates.fused)
        on_pass = even_context.as_one_stage(on_progress, options.directions + 1)
        narrow = estimate_residuals(filled, model, second.narrow_plan, compute, options, on_pass)
        estimates.replace_rows(second.rows, narrow)
    return Restoration(volume, measured, grid, plan, network_input, estimates, model, options)


def check_slabs(model: SaintModel, grid: SliceGrid, options: MethodOptions) -> None:
    """Refuse weights for slabs where slices are not taken for slabs, and other weights and options where they are.

    Raises:
        UsageError: naming the weights.
    """
    if model.ami.slabs and grid.slab is None:
        raise UsageError(f"the weights {model.name} make thin slices of slabs; give `slab`, or other weights")
    if grid.slab is not None and options.regenerate:
        raise UsageError("`regenerate` has no meaning with `slab`, which computes every slice; leave it out")
    if grid.slab is not None and not model.ami.slabs:
        raise UsageError(f"the weights {model.name} know nothing of slabs; leave out `slab`, or give other weights")


@torch.inference_mode()
def estimate_residuals(
    network_input: NetworkInput,
    model: SaintModel,
    plan: SlicePlan,
    compute: Compute,
    options: MethodOptions,
    on_progress: ProgressCallback = silent,
) -> Estimates:
    """Run AMI over every direction and RFN over every synthesised slice (Eqs. 2 and 3)."""
    model = model.to(compute.device)
    try:
        sagittal, coronal = interpolate_directions(network_input, model.ami, plan, compute, options, on_progress)
        fused = fuse(network_input, model.rfn, (sagittal, coronal), plan, compute, on_progress)
    except (RuntimeError, MemoryError) as error:
        if not _is_memory_error(error):
            raise
        raise UsageError(
            f"{compute.device} has too little memory for this volume; try `batch_size=1`, a smaller `factor`, "
            "or another `device`"
        ) from None
    for residuals in (sagittal, coronal):
        for s in np.flatnonzero(plan.residual_weight < 1):
            residuals.values[s] *= float(plan.residual_weight[s])
        residuals.release_memory()
    return Estimates(sagittal.values.cpu(), coronal.values.cpu(), fused.values.cpu())


def _is_memory_error(error: RuntimeError | MemoryError) -> bool:
    """Whether a device's memory was too small; only for CUDA's torch has a class."""
    known = isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError))
    return known or any(word in str(error) for word in MEMORY_ERROR_WORDS)
