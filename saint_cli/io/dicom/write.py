"""A volume that was read from DICOM as one derived DICOM series: slice by slice, whole or not at all."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from saint_cli.errors import OutputError, UsageError
from saint_cli.geometry import PlaneGrid, SliceGrid, same_grid
from saint_cli.io.atomic import open_atomic_folder
from saint_cli.io.dicom import derived_image
from saint_cli.io.dicom.derived_series import DerivedSeries, VolumePlace
from saint_cli.io.dicom.headers import reread_headers
from saint_cli.io.dicom.pixels import PixelReader
from saint_cli.io.dicom.place_check import check_place
from saint_cli.io.dicom.single_frame import SINGLE_FRAME_CLASSES
from saint_cli.io.dicom.sop_class import IMAGE_CLASSES, class_name
from saint_cli.io.dicom.source_check import check_no_new_slices, check_unchanged
from saint_cli.io.dicom.template import load_template
from saint_cli.io.dicom.uids import make_uid
from saint_cli.io.dicom.validation import ignore_invalid_values
from saint_cli.io.dicom.values import list_values
from saint_cli.io.path_identity import lies_in
from saint_cli.volume import Derivation, DicomSource, Volume
from saint_cli.volume.fourth_axis import VolumeMark


@ignore_invalid_values()
def write_series(volume: Volume, folder: Path, *, overwrite: bool, keep_slice_thickness: bool) -> None:
    """Write a volume as one derived series of single-frame images into a new folder.

    Each slice takes the header of the nearest acquired one. Slices whose voxels are still the acquired ones get
    their stored values and position back bit for bit. The folder appears under its name only when it is complete;
    while it is written, memory beyond the volume itself does not grow with the number of slices.

    Raises:
        UsageError: the volume was not read from DICOM, or its slices are not those of the source.
        SourceChangedError: the source's files are gone or changed, or more slices of the series came.
        OutputError: the folder exists and is not empty, holds source files, or cannot be written.
    """
    source = check_dicom_target(volume, folder)
    touched = check_unchanged(source.slices)
    series = make_series(volume, folder, keep_slice_thickness=keep_slice_thickness)
    with PixelReader() as reader, open_atomic_folder(folder, overwrite=overwrite) as partial:
        _save_slices(series, derived_image.SourceFiles(reader, touched), partial, folder)
        check_unchanged(source.slices)
        check_no_new_slices(volume)


@contextmanager
def open_series(
    marks: Sequence[VolumeMark], folder: Path, *, overwrite: bool, keep_slice_thickness: bool
) -> Iterator[Callable[[Volume], None]]:
    """A function that writes the next of several volumes; they form one series, marked so that readers separate them.

    Instances are numbered volume after volume. The series' UID depends on the slices of all volumes by their marks, and
    on the voxels of the first, instance UIDs on those of their volume. The folder appears when the context ends.

    Raises:
        UsageError, SourceChangedError, OutputError: as :func:`write_series`.
    """
    with PixelReader() as reader, open_atomic_folder(folder, overwrite=overwrite) as partial:
        writer = _VolumesWriter(tuple(marks), folder, partial, reader, keep_slice_thickness)
        yield writer.write
        writer.finish()


@dataclass
class _VolumesWriter:
    """Writes the volumes of one series, one after another, into ``partial``, which will be ``folder``.

    created: the time of the series, which is one for all of its instances.
    """

    marks: tuple[VolumeMark, ...]
    folder: Path
    partial: Path
    reader: PixelReader
    keep_slice_thickness: bool
    created: datetime = field(default_factory=lambda: datetime.now(UTC).astimezone())
    written: int = 0
    series_uid: str = ""
    last: Volume | None = None

    @ignore_invalid_values()
    def write(self, volume: Volume) -> None:
        """Write the next volume; errors as of :func:`write_series`."""
        source = check_dicom_target(volume, self.folder)
        touched = check_unchanged(source.slices)
        series = make_series(volume, self.folder, keep_slice_thickness=self.keep_slice_thickness)
        self.series_uid = self.series_uid or make_uid(f"{series.own_uid} {list(self.marks)}")
        place = VolumePlace(self.written * volume.shape[2], self.series_uid, self.marks[self.written])
        series = replace(series, place=place, created=self.created)
        _save_slices(series, derived_image.SourceFiles(self.reader, touched), self.partial, self.folder)
        check_unchanged(source.slices)
        self.written += 1
        self.last = replace(volume, voxels=np.empty((0, 0, 0), volume.voxels.dtype))

    def finish(self) -> None:
        """Check that no slices of the series came meanwhile."""
        if self.last is not None:
            check_no_new_slices(self.last)


def _save_slices(series: DerivedSeries, files: derived_image.SourceFiles, partial: Path, folder: Path) -> None:
    """Write slices into ``partial``, which will be ``folder``."""
    for output in series.slices:
        pixels = derived_image.choose_pixels(output, files)
        with derived_image.convert_encoding_errors(folder / output.file_name):
            _save(derived_image.build_slice(output, files, pixels), partial / output.file_name)


def make_series(volume: Volume, path: Path, *, keep_slice_thickness: bool) -> DerivedSeries:
    """The derived series of a volume that was read from DICOM; path: of what is written, for messages.

    Raises:
        UnreadableError: the source's files are gone or changed.
        UsageError: the volume does not lie where its source's slices do.
    """
    source = volume.header.dicom_source
    assert source is not None
    acquired = tuple(reread_headers(source.slices))
    derivation = volume.header.derivation or Derivation(same_grid(len(acquired), 2), "none", "")
    check_place(volume, acquired, path, derivation.grid, derivation.plane)
    return DerivedSeries(volume, derivation, acquired, keep_slice_thickness, datetime.now(UTC).astimezone())


def _save(data: Dataset, path: Path) -> None:
    encoded = derived_image.encode_writable(data)
    with path.open("xb") as file:
        file.write(encoded)
        file.flush()
        os.fsync(file.fileno())


@ignore_invalid_values()
def check_dicom_target(volume: Volume, folder: Path, grid: SliceGrid | None = None) -> DicomSource:
    """Check that a volume, once on ``grid``, could be written as DICOM into ``folder``; returns its source.

    Raises:
        UsageError: not read from DICOM, interpolated along another axis, other slices than the source's or a result of
            these, or a class that cannot be written back.
        OutputError: ``folder`` holds source files or lies among them.
    """
    source, derivation = volume.header.dicom_source, volume.header.derivation
    if source is None:
        raise UsageError(
            f"{folder}: only DICOM input can be written as DICOM; name a file ending in .nii, .nii.gz, .nrrd or .mha"
        )
    _check_slices(volume, folder, grid)
    paths = {one.path for one in source.slices}
    homes = {home for path in paths for home in (path.parent, Path(os.path.realpath(path)).parent)}
    if any(lies_in(folder, home) for home in homes):
        raise OutputError(f"{folder}: holds the source files or lies among them; name a folder elsewhere")
    data = load_template(source.slices[0])
    _check_class(data, folder)
    is_resampled = derivation is not None and derivation.plane is not None
    if volume.shape[:2] != (data.Columns, data.Rows) and not is_resampled:
        raise UsageError(
            f"{folder}: slices of {volume.shape[0]}x{volume.shape[1]} voxels cannot be written as DICOM, those of the "
            f"source have {data.Columns}x{data.Rows}; name a file ending in .nii.gz"
        )
    return source


def _check_slices(volume: Volume, folder: Path, grid: SliceGrid | None) -> None:
    """Refuse slices that are not those of the source, or not made of these; grid: as for ``check_dicom_target``."""
    source, derivation = volume.header.dicom_source, volume.header.derivation
    assert source is not None
    made_by = derivation.grid if grid is None and derivation is not None else grid
    if made_by is not None and made_by.axis != 2:
        raise UsageError(
            f"{folder}: DICOM output keeps the planes of the source's slices, the z axis; leave `axis` out, or name "
            "a file ending in .nii.gz"
        )
    acquired = volume.shape[2] if made_by is None else made_by.acquired
    is_whole = made_by is None or grid is not None or volume.shape[2] == made_by.count
    if acquired != len(source.slices) or not is_whole:
        raise UsageError(
            f"{folder}: the volume of {volume.shape[2]} slices is not the whole DICOM series of {len(source.slices)}, "
            "nor a result of it, as where it was cropped or upsampled twice; name a file ending in .nii.gz"
        )


def _check_class(data: Dataset, folder: Path) -> None:
    if data.SOPClassUID not in (*IMAGE_CLASSES, *SINGLE_FRAME_CLASSES):
        name = class_name(data.SOPClassUID)
        raise UsageError(f"{folder}: {name} cannot be written back as DICOM; name a file ending in .nii.gz")
    kind = "".join(str(v) for v in list_values(data.get("SeriesType"))[:1])
    if kind in ("DYNAMIC", "GATED"):
        raise UsageError(
            f"{folder}: a {kind} PET series cannot be written back as DICOM, since one of its volumes is not such a "
            "series; name a file ending in .nii.gz"
        )


@ignore_invalid_values()
def count_pixel_bytes(source: DicomSource) -> int:
    """Of each pixel of a derived series, which keeps the type of its source's stored values."""
    return int(load_template(source.slices[0]).BitsAllocated) // 8


@ignore_invalid_values()
def check_encodable(volume: Volume, folder: Path, grid: SliceGrid, plane: PlaneGrid | None) -> None:
    """Encode the first two slices of a volume on ``grid`` and then ``plane``, without pixels, and write neither.

    Raises:
        OutputError: the headers of the source are such that no slice could be written.
        UnreadableError: the source's files are gone or changed.
        UsageError: the volume does not lie where its source's slices do.
    """
    source = volume.header.dicom_source
    assert source is not None
    needed = min(grid.acquired, math.ceil(grid.step) + 1) if grid.averages else 2
    shown = 1 if grid.averages else 2
    first_gap = replace(grid, acquired=needed, count=shown, positions=grid.positions and grid.positions[:2])
    virtual = volume.placeholder_on(first_gap, plane)
    stored = np.zeros(virtual.shape[1::-1], np.int64)
    with PixelReader() as reader:
        *acquired, last = reread_headers((*source.slices[:needed], source.slices[-1]))
        check_place(volume, (acquired[0], last), folder, replace(same_grid(grid.acquired, 2), positions=grid.positions))
        derivation = Derivation(first_gap, "none", "", plane=plane)
        series = DerivedSeries(virtual, derivation, tuple(acquired), True, datetime.now(UTC).astimezone())
        files = derived_image.SourceFiles(reader)
        for output in series.slices:
            with derived_image.convert_encoding_errors(folder / output.file_name):
                pixels = derived_image.SlicePixels(stored, acquired[0], is_acquired=output.index == 0)
                derived_image.encode_file(derived_image.build_slice(output, files, pixels))
