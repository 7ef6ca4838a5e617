"""Writing 4-D scans volume by volume: one NIfTI file, or one DICOM series; whole or not at all."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from saint_cli.errors import OutputError, UsageError
from saint_cli.geometry import PlaneGrid, SliceGrid
from saint_cli.io import write
from saint_cli.io.atomic import open_atomic_file
from saint_cli.io.error_conversion import convert_os_errors
from saint_cli.io.output_checks import check_target_path, is_folder_target
from saint_cli.io.scaling import choose_storage
from saint_cli.volume import Storage, Volume
from saint_cli.volume.fourth_axis import FourthAxis, VolumeMark


@dataclass(frozen=True)
class SeriesFormat:
    """How the volumes of a result are stored together.

    marks: what distinguishes each. axis: how they follow each other. storage: the type and scaling in which a file
    holds the values of every volume exactly.
    """

    marks: tuple[VolumeMark, ...]
    axis: FourthAxis
    storage: Storage

    @property
    def count(self) -> int:
        """Number of volumes."""
        return len(self.marks)


def join_storages(volumes: Sequence[tuple[Storage, np.dtype]]) -> Storage:
    """The storage that holds the values of all volumes exactly, of that of each alone and the type of its voxels.

    The same for all as it is; else the smallest type that holds their scanner values, without scaling.
    """
    storages = [storage for storage, _ in volumes]
    if all(storage == storages[0] for storage in storages):
        return storages[0]
    return Storage(np.result_type(*(dtype for _, dtype in volumes)))


def find_storage(volume: Volume) -> tuple[Storage, np.dtype]:
    """How a NIfTI file would store a volume alone, and the type of its voxels."""
    return choose_storage(volume), volume.voxels.dtype


def check_series_target(path: Path) -> None:
    """Refuse a format that holds no 4-D scan.

    Raises:
        UsageError: it is not NIfTI, and no folder for DICOM.
    """
    if not is_folder_target(path) and not _is_nifti(path):
        raise UsageError(
            f"{path}: several volumes go to a NIfTI file or to a DICOM folder; name a file ending in .nii.gz, or "
            "choose one volume with `volume`"
        )


def check_series_result(
    volume: Volume, grid: SliceGrid, path: Path, series: SeriesFormat, plane: PlaneGrid | None
) -> None:
    """Check whether volumes like ``volume`` could be written on ``grid``: headers are encoded, and thrown away.

    plane: the pixels that slices get afterwards; None where they keep theirs.

    Raises:
        UsageError, OutputError: as :func:`~saint_cli.io.write.check_result`, or too little space for all volumes.
    """
    check_series_target(path)
    write.check_result(volume, grid, path, plane, count=series.count, storage=series.storage)
    if not is_folder_target(path):
        _encode_header(volume.placeholder_on(grid, plane), series)


def _is_nifti(path: Path) -> bool:
    return path.name.lower().endswith((".nii", ".nii.gz"))


def _encode_header(volume: Volume, series: SeriesFormat) -> bytes:
    from saint_cli.io.nifti import write as nifti

    return nifti.encode_header(volume, series.storage, series.count, series.axis)


@contextmanager
def open_series(
    series: SeriesFormat, path: Path, *, overwrite: bool = False, keep_slice_thickness: bool = True
) -> Iterator[Callable[[Volume], None]]:
    """A function that writes the next volume of a series; all appear under ``path`` when the context ends, or none.

    Raises:
        UsageError, OutputError, SourceChangedError: as :func:`~saint_cli.io.write.write_volume`.
    """
    check_series_target(path)
    check_target_path(path, overwrite=overwrite)
    if is_folder_target(path):
        from saint_cli.io.dicom import write as dicom

        kept = {"overwrite": overwrite, "keep_slice_thickness": keep_slice_thickness}
        with dicom.open_series(series.marks, path, **kept) as write_volume:
            yield write_volume
        return
    with open_atomic_file(path, overwrite=overwrite) as file, ExitStack() as streams:
        is_packed = path.name.lower().endswith(".gz")
        stream = streams.enter_context(write.open_gzip(file)) if is_packed else file
        yield _FileWriter(series, stream, path).write


@dataclass
class _FileWriter:
    """Writes a header with the first volume, and the voxels of each."""

    series: SeriesFormat
    stream: BinaryIO
    path: Path
    has_header: bool = False

    def write(self, volume: Volume) -> None:
        """Append a volume.

        Raises:
            OutputError: the disk is full, or gone.
        """
        with convert_os_errors(self.path, "written", OutputError):
            if not self.has_header:
                self.stream.write(_encode_header(volume, self.series))
                self.has_header = True
            write.write_voxels(volume.voxels, self.series.storage, self.stream)
