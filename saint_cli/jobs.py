"""One scan from file to file: what ``saint upsample`` does once and what a batch does many times."""

import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from saint_cli import compute, geometry, intensity, io, pipeline, weights
from saint_cli.directions import Choices, Report
from saint_cli.errors import UsageError
from saint_cli.geometry import SliceGrid
from saint_cli.volume import Volume

SLICE_AXIS = 2
"""The voxel axis along which a DICOM stack's slices follow each other, whatever their spacing."""


@dataclass(frozen=True)
class Grid:
    """What the user wants between the slices; with neither factor nor spacing, isotropic voxels.

    factor: integer 2...16; spacing_mm: any target; axis: 0, 1, 2 or None for the one with the largest spacing
    (for DICOM, the one along which slices follow each other);
    extrapolate: go on beyond the last acquired slice, repeating it, as far as the paper's tensor shape does.
    """

    factor: int | None = None
    spacing_mm: float | None = None
    axis: int | None = None
    extrapolate: bool = False

    def __post_init__(self) -> None:
        if self.factor is not None and self.spacing_mm is not None:
            raise UsageError("--factor and --spacing both say how fine to interpolate; give one")

    def on(self, volume: Volume) -> SliceGrid:
        """The slice grid of one volume.

        Raises:
            UsageError: the wanted spacing is not finer than the volume's, or more than 16 times finer.
            GeometryError: no axis is clearly through-plane and none is named; fewer than two slices.
        """
        chosen = self.factor is not None or self.spacing_mm is not None
        axis = self.axis
        if axis is None and volume.header.source_format == "DICOM":
            axis = SLICE_AXIS
        if axis is None:
            axis = geometry.through_plane_axis(volume.spacing_mm, allow_isotropic=chosen)
        acquired = volume.shape[axis]
        if self.factor is not None:
            return geometry.grid_by_factor(acquired, axis, self.factor, extrapolate=self.extrapolate)
        spacing = volume.spacing_mm
        in_plane = min(s for i, s in enumerate(spacing) if i != axis)
        target = in_plane if self.spacing_mm is None else self.spacing_mm
        return geometry.grid_by_spacing(acquired, axis, spacing[axis], target, extrapolate=self.extrapolate)


@dataclass(frozen=True)
class Engine:
    """Which networks to run and on what, in the words of the command line."""

    model: str = "base"
    device: str = "auto"
    precision: str = "auto"
    batch_size: int | None = None
    threads: int | None = None

    def start(self) -> tuple[weights.SaintModel, compute.Compute]:
        """The loaded networks and the chosen device.

        Raises:
            UsageError: a device, precision or number of threads that cannot be had.
            WeightsError: no such model, or a damaged one.
        """
        machine = compute.choose(self.device, self.precision, self.batch_size)
        compute.set_threads(self.threads)
        return weights.load_model(self.model), machine


@dataclass(frozen=True)
class Job:
    """One scan to upsample.

    modality: "CT" or "MR" overrules what the file says or leaves open; series, volume: as ``io.read_volume`` chooses;
    uncertainty: a second file, for the expected absolute error of every output voxel, HU;
    keep_slice_thickness: DICOM output keeps the source's SliceThickness.
    """

    source: Path
    target: Path
    grid: Grid = Grid()
    engine: Engine = Engine()
    choices: Choices = field(default_factory=Choices)
    series: str | None = None
    modality: str | None = None
    overwrite: bool = False
    uncertainty: Path | None = None
    volume: int | None = None
    keep_slice_thickness: bool = False


@dataclass(frozen=True)
class Done:
    """What a finished job tells: shapes and spacings (mm) before and after, time and peak resident memory."""

    source: str
    target: str
    shape_before: tuple[int, int, int]
    shape_after: tuple[int, int, int]
    spacing_before_mm: tuple[float, float, float]
    spacing_after_mm: tuple[float, float, float]
    axis: str
    acquired_kept: int
    model: str
    weights_sha256: str
    device: str
    precision: str
    seconds: float
    peak_memory_mb: float | None
    warnings: tuple[str, ...] = field(default=())
    uncertainty: str | None = None

    @property
    def summary(self) -> str:
        """One line: shape and spacing before and after, axis, acquired slices kept, time, memory, path."""
        sides = [
            f"{'x'.join(map(str, shape))} at {' x '.join(f'{s:.4g}' for s in spacing)} mm"
            for shape, spacing in (
                (self.shape_before, self.spacing_before_mm),
                (self.shape_after, self.spacing_after_mm),
            )
        ]
        memory = "" if self.peak_memory_mb is None else f", {self.peak_memory_mb / 1000:.1f} GB"
        acquired = self.shape_before["xyz".index(self.axis)]
        kept = f"{self.acquired_kept} of {acquired} acquired slices kept as they are"
        error = "" if self.uncertainty is None else f", expected error in HU: {self.uncertainty}"
        return f"{sides[0]} -> {sides[1]} along {self.axis}, {kept}, {self.seconds:.1f} s{memory}: {self.target}{error}"


def run_job(job: Job, report: Report) -> Done:
    """Read, upsample, write; everything that can be refused is refused before any voxel is computed.

    Raises:
        SaintError: of the kind that fits; the target is then as it was before.
    """
    began = time.perf_counter()
    _check_targets(job)
    report("reading", 0, 1)
    volume = io.read_volume(job.source, series=job.series, volume=job.volume)
    report("reading", 1, 1)
    if job.modality is not None:
        volume = replace(volume, header=replace(volume.header, modality=job.modality))
    grid = job.grid.on(volume)
    io.check_result(volume, grid, job.target)
    if job.uncertainty is not None:
        wide = replace(volume, voxels=np.broadcast_to(np.float32(0), volume.shape))
        io.check_result(wide, grid, job.uncertainty)
    model, engine = job.engine.start()
    noted = _with_notes(volume, grid, job.engine.model)
    if job.uncertainty is not None:
        _check_calibrated(job, volume, model)
    restoration = pipeline.restore(noted, model, grid, engine, job.choices, report)
    result = restoration.result()
    report("writing", 0, 1)
    if job.uncertainty is not None:  # first, so that the result itself only appears when all went well
        io.write_volume(restoration.error(), job.uncertainty, overwrite=job.overwrite)
    io.write_volume(result, job.target, overwrite=job.overwrite, keep_slice_thickness=job.keep_slice_thickness)
    report("writing", 1, 1)
    return Done(
        source=str(job.source),
        target=str(job.target),
        shape_before=volume.shape,
        shape_after=result.shape,
        spacing_before_mm=volume.spacing_mm,
        spacing_after_mm=result.spacing_mm,
        axis="xyz"[grid.axis],
        acquired_kept=0 if job.choices.regenerate else int((grid.locate()[1] == 0).sum()),
        model=model.name,
        weights_sha256=model.sha256,
        device=str(engine.device),
        precision=str(engine.precision).removeprefix("torch."),
        seconds=round(time.perf_counter() - began, 2),
        peak_memory_mb=_peak_memory_mb(),
        warnings=result.header.warnings,
        uncertainty=None if job.uncertainty is None else str(job.uncertainty),
    )


def _check_targets(job: Job) -> None:
    """Refuse outputs that cannot be written, or that are the input or each other."""
    for target in (job.target, job.uncertainty):
        if target is None:
            continue
        io.check_writable(target, overwrite=job.overwrite)
        if target.exists() and target.resolve() == job.source.resolve():
            raise UsageError(f"{target} is the input itself; write the result beside it")
    if job.uncertainty is not None and io.is_folder_target(job.uncertainty):
        raise UsageError(f"--uncertainty {job.uncertainty} names no file; use one ending in .nii.gz, .nrrd or .mha")
    if job.uncertainty is not None and job.target.resolve() in job.uncertainty.resolve().parents:
        raise UsageError(f"--uncertainty {job.uncertainty} lies inside the output folder; name a file beside it")
    if job.uncertainty is not None and job.uncertainty.resolve() == job.target.resolve():
        raise UsageError(f"--uncertainty {job.uncertainty} is the output itself; name another file")


def _check_calibrated(job: Job, volume: Volume, model: weights.SaintModel) -> None:
    """Refuse to tell an error that was never measured."""
    if model.calibration is None:
        raise UsageError(
            f"--uncertainty: the weights {job.engine.model} carry no calibration; benchmarks/calibrate.py adds one"
        )
    if not intensity.is_ct(volume):
        raise UsageError(f"--uncertainty: {job.source} is not CT, and errors are known in HU only")
    for option, chosen in (
        ("--directions 4", job.choices.directions != 2),
        ("--tta", job.choices.tta),
        ("--match-noise", job.choices.match_noise),
    ):
        if chosen:
            raise UsageError(f"--uncertainty was calibrated without {option}; leave one of them out")
    if job.grid.extrapolate:
        raise UsageError("--uncertainty knows nothing beyond the last acquired slice; leave out --extrapolate")


def _with_notes(volume: Volume, grid: SliceGrid, model: str) -> Volume:
    if not intensity.is_ct(volume):
        seen = "; the shipped weights have only seen CT" if model in weights.manifest() else ""
        volume = volume.with_warning(f"not CT: intensities were normalised by percentiles{seen}")
    window, offset = grid.locate()
    beyond = int(((window == grid.acquired - 1) & (offset > 0)).sum())
    if beyond:
        volume = volume.with_warning(f"the last {beyond} slices lie beyond the last acquired one and repeat it")
    return volume


def _peak_memory_mb() -> float | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)  # bytes on macOS, kilobytes on Linux
