"""One job: the scan, its settings, the files; and its result."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from saint_cli import geometry
from saint_cli.geometry import PlaneGrid, SliceGrid
from saint_cli.io import LabelReadOptions, ReadOptions
from saint_cli.io.read_options import LABEL_CHOICES, UPSAMPLE_CHOICES
from saint_cli.jobs.location import SourceLocation, TargetLocation
from saint_cli.method.intensity import find_modality
from saint_cli.models import shipped
from saint_cli.options.job import JobSettings
from saint_cli.options.method import NoiseHandling
from saint_cli.volume import SlabDeviation, Volume
from saint_cli.volume.label_map import LabelMap

if TYPE_CHECKING:
    from saint_cli.labels import LabelVolume
    from saint_cli.models.weights import SaintModel
    from saint_cli.runtime.device_selection import Compute


@dataclass(frozen=True)
class Job:
    """One scan to upsample.

    uncertainty: a second file, for the expected absolute error of every output voxel, scanner values (HU for CT).
    labels_target: the file of the labels on the new grid, where the settings name a label map.
    page, preview, thumbnail: files for the quality-control page (.html) and for pictures of the result (.png, .jpg).
    overwrite: whether files that exist are replaced.
    """

    source: SourceLocation
    target: TargetLocation
    settings: JobSettings = field(default_factory=JobSettings)
    overwrite: bool = False
    uncertainty: Path | None = None
    labels_target: Path | None = None
    page: Path | None = None
    preview: Path | None = None
    thumbnail: Path | None = None

    def with_local_files(self, source: Path, target: Path) -> "LocalJob":
        """The same job of a scan and a result on this machine."""
        return LocalJob(**{**vars(self), "source": source, "target": target})


@dataclass(frozen=True)
class LocalJob(Job):
    """A job whose scan and result lie on this machine."""

    source: Path
    target: Path

    @property
    def has_pictures(self) -> bool:
        """Whether anything is drawn."""
        return any((self.page, self.preview, self.thumbnail))

    @property
    def has_self_check(self) -> bool:
        """Whether acquired slices are predicted too, for the page, or to calibrate the expected error."""
        return any((self.page, self.uncertainty))

    @property
    def labels(self) -> Path | None:
        """The label map that comes along."""
        path = self.settings.label_settings.labels
        return None if path is None else Path(path)

    @property
    def label_options(self) -> LabelReadOptions:
        """What is read of the label map."""
        settings = self.settings
        return LabelReadOptions(
            segments=settings.label_settings.segments,
            outside_data=settings.outside_data,
            max_memory=settings.model_config.max_memory,
        )

    @property
    def read_options(self) -> ReadOptions:
        """What is read of the scan, and how; of all volumes, none in particular."""
        settings = self.settings
        return ReadOptions(
            series=settings.series,
            volume=settings.volume if isinstance(settings.volume, int) else None,
            split_runs=settings.split_runs,
            irregular=settings.irregular,
            merge=settings.merge,
            modality=settings.modality,
            outside_data=settings.outside_data,
            max_memory=settings.model_config.max_memory,
            offered=UPSAMPLE_CHOICES if self.labels is None else LABEL_CHOICES,
        )


@dataclass(frozen=True)
class PlannedJob:
    """A job with its scan and the slices to make of it.

    plane: the pixels that slices get afterwards; None where they keep theirs.
    """

    job: LocalJob
    volume: Volume
    grid: SliceGrid
    plane: PlaneGrid | None


@dataclass(frozen=True)
class LoadedJob(PlannedJob):
    """A job with all that it computes with: also the networks and the device they run on."""

    model: "SaintModel"
    compute: "Compute"
    labels: LabelMap | None = None

    @property
    def modality(self) -> str:
        """What made the scan, by its file or its values."""
        return find_modality(self.volume)

    @property
    def resolved_settings(self) -> JobSettings:
        """The settings with the model that its name stands for here."""
        config = self.job.settings.model_config
        slabs = self.grid.slab is not None
        config = replace(config, model=shipped.resolve_name(config.model, self.modality, slabs=slabs))
        return replace(self.job.settings, model_config=config)


NOISE_TEXTS = {
    NoiseHandling.KEEP: "",
    NoiseHandling.MATCH: ", noise of synthesised slices matched to theirs",
    NoiseHandling.SMOOTH: " (all smoothed)",
}
"""What a result's line says after the acquired slices."""


def format_change(
    shape_before: Sequence[int], before_mm: Sequence[float], shape_after: Sequence[int], after_mm: Sequence[float]
) -> str:
    """As in ``512x512x40 at 0.7 x 0.7 x 5 mm -> 512x512x274 at 0.7 x 0.7 x 0.714 mm``."""
    sides = (shape_before, before_mm), (shape_after, after_mm)
    return " -> ".join(f"{'x'.join(map(str, shape))} at {geometry.format_spacing(mm)} mm" for shape, mm in sides)


@dataclass(frozen=True)
class JobResult:
    """The result of a job: shapes and spacings (mm) before and after, time, peak resident memory, files.

    resampling: ``irregular``, ``average``, ``slab=MM``, ``untilt``, ``in-plane=MM``, as far as they apply.
    slab_deviation: of thin slices of slabs, as ``Derivation`` has it; of a 4-D scan that of all volumes.
    volumes: of a 4-D scan how many, each of these shapes; volume_labels: what distinguishes each ("EchoTime 30").
    labels: the file of the labels; label_volumes: of each label before and after; labels_reach_end: there are some in
    the first or last acquired slice, half of which lies outside of the result.
    modality: what made the scan, as ``intensity.find_modality`` has it.
    """

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
    noise: NoiseHandling = NoiseHandling.KEEP
    resampling: tuple[str, ...] = ()
    volumes: int = 1
    volume_labels: tuple[str, ...] = ()
    labels: str | None = None
    label_volumes: tuple["LabelVolume", ...] = ()
    labels_reach_end: bool = False
    modality: str | None = None
    slab_deviation: SlabDeviation | None = None

    @property
    def summary(self) -> str:
        """One line: shape and spacing before and after, axis, acquired slices kept, model, time, memory, all files."""
        change = format_change(self.shape_before, self.spacing_before_mm, self.shape_after, self.spacing_after_mm)
        memory = "" if self.peak_memory_mb is None else f", {self.peak_memory_mb / 1000:.1f} GB"
        acquired = self.shape_before["xyz".index(self.axis)]
        each = " of each volume" if self.volumes > 1 else ""
        kept = f"{self.acquired_kept} of {acquired} acquired slices{each} kept{NOISE_TEXTS[self.noise]}"
        is_ct = self.modality in (None, shipped.CT_MODALITY)
        if self.slab_deviation is not None:
            kept += f", means over slabs within {self.slab_deviation.largest:.3g}{' HU' if is_ct else ''} of them"
        beside = {"labels": self.labels, f"expected error{' in HU' if is_ct else ''}": self.uncertainty}
        beside |= {"page": self.page, "preview": self.preview}
        files = "".join(f", {what}: {file}" for what, file in beside.items() if file is not None)
        networks = f"model {self.model} on {self.device}" if self.weights_sha256 else self.model
        resampled = f" ({', '.join(self.resampling)})" if self.resampling else ""
        how = f"along {self.axis}{resampled}, {kept}, {networks}, {self.seconds:.1f} s{memory}"
        volumes = f"{self.volumes} volumes, each " if self.volumes > 1 else ""
        return f"{volumes}{change} {how}: {self.target}{files}"
