"""What one job is: the scan, the slices that are wanted, the networks, the files; and what a finished one tells.

Rooms that need torch are imported where they are used: jobs can be planned, and refused, without waiting for it.
"""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from saint_cli import devices, geometry, shipped, spacings
from saint_cli.choices import Choices
from saint_cli.errors import UsageError
from saint_cli.geometry import SliceGrid
from saint_cli.io.remote import Origin
from saint_cli.volume import Volume

if TYPE_CHECKING:
    from saint_cli import compute, weights

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
        if self.factor is not None:
            geometry.check_factor(self.factor)
        if self.spacing_mm is not None and not 0 < self.spacing_mm < math.inf:
            raise UsageError(f"--spacing {self.spacing_mm} is not a positive distance in mm")

    def on(self, volume: Volume) -> SliceGrid:
        """The slice grid of one volume.

        Raises:
            UsageError: the wanted spacing is not finer than the volume's, or more than 16 times finer.
            GeometryError: no axis is clearly through-plane and none is named; fewer than two slices; a spacing that
                no scan has.
        """
        spacings.check_spacing(volume.affine_lps)
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
        if self.spacing_mm is None and in_plane >= spacing[axis] * (1 - geometry.ON_ACQUIRED):
            raise UsageError(_already_fine(spacing[axis], in_plane))
        target = in_plane if self.spacing_mm is None else self.spacing_mm
        return geometry.grid_by_spacing(acquired, axis, spacing[axis], target, extrapolate=self.extrapolate)


def _already_fine(spacing: float, in_plane: float) -> str:
    """Why isotropic voxels need no slices in between."""
    finer = "as near together as pixels" if math.isclose(spacing, in_plane, rel_tol=1e-3) else "nearer than pixels"
    return (
        f"the target spacing {in_plane:.4g} mm is not below the input's {spacing:.4g} mm: slices are {finer}, so "
        "isotropic voxels need no new ones; for finer slices still, give --factor or --spacing"
    )


@dataclass(frozen=True)
class Engine:
    """Which networks to run and on what, in the words of the command line; ``max_memory`` in bytes.

    model: ``auto`` (``base`` on a GPU, ``fast`` on a CPU), the name of a shipped model, or a weights file.
    threads: of the CPU; None for one on each core that no other program uses.
    """

    model: str = shipped.AUTO
    device: str = "auto"
    precision: str = "auto"
    batch_size: int | None = None
    threads: int | None = None
    max_memory: int | None = None

    def check(self) -> None:
        """Refuse what needs no torch to be refused.

        Raises:
            UsageError: words that fit no machine.
            WeightsError: no such model or file.
        """
        devices.check(self.device, self.precision, self.batch_size, self.threads)
        shipped.check(self.model)

    def start(self) -> "tuple[weights.SaintModel, compute.Compute]":
        """The loaded networks and the chosen device.

        Raises:
            UsageError: a device, precision or number of threads that cannot be had.
            WeightsError: no such model, or a damaged one.
        """
        from saint_cli import cores

        seen = cores.Observation()  # while torch is loaded
        from saint_cli import compute, memory, weights

        memory.keep_freed()
        machine = compute.choose(self.device, self.precision, self.batch_size)
        model = weights.load_model(shipped.resolve(self.model, machine.device.type))
        threads = compute.take_threads(self.threads, seen)
        return model, replace(machine, threads=threads.count, note=threads.note)


@dataclass(frozen=True)
class Job:
    """One scan to upsample.

    modality: "CT" or "MR" overrules what the file says or leaves open; series, volume, split_runs, merge:
    as ``io.read_volume`` has them;
    uncertainty: a second file, for the expected absolute error of every output voxel, HU;
    keep_slice_thickness: DICOM output has the source's SliceThickness, not the new distance where that is smaller;
    refuse_labels: a label map is an error, not a warning.
    outside_data: a detached header may name data files outside its folder.
    page, preview, thumbnail: files for the quality-control page (.html) and for pictures of the result (.png, .jpg).
    origin: what to fetch from a URL, in place of ``source``; destination: URL of the result, in place of ``target``.
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
    keep_slice_thickness: bool = True
    split_runs: bool = False
    merge: bool = False
    refuse_labels: bool = True
    outside_data: bool = False
    page: Path | None = None
    preview: Path | None = None
    thumbnail: Path | None = None
    origin: Origin | None = None
    destination: str | None = None


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
    page: str | None = None
    preview: str | None = None
    threads: int | None = None

    @property
    def summary(self) -> str:
        """One line: shape and spacing before and after, axis, acquired slices kept, model, time, memory, all files."""
        sides = [
            f"{'x'.join(map(str, shape))} at {' x '.join(f'{s:.4g}' for s in spacing)} mm"
            for shape, spacing in (
                (self.shape_before, self.spacing_before_mm),
                (self.shape_after, self.spacing_after_mm),
            )
        ]
        memory = "" if self.peak_memory_mb is None else f", {self.peak_memory_mb / 1000:.1f} GB"
        acquired = self.shape_before["xyz".index(self.axis)]
        kept = f"{self.acquired_kept} of {acquired} acquired slices kept"
        beside = {"expected error in HU": self.uncertainty, "page": self.page, "preview": self.preview}
        files = "".join(f", {what}: {file}" for what, file in beside.items() if file is not None)
        how = f"along {self.axis}, {kept}, model {self.model} on {self.device}, {self.seconds:.1f} s{memory}"
        return f"{sides[0]} -> {sides[1]} {how}: {self.target}{files}"
