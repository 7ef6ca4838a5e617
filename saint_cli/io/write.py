"""Writing volumes: NIfTI, NRRD and MetaImage files, or a folder of DICOM slices, whole or not at all."""

import errno
import gzip
import shutil
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from saint_cli import geometry
from saint_cli.errors import OutputError, UsageError
from saint_cli.geometry import PlaneGrid, SliceGrid
from saint_cli.io.atomic import open_atomic_file
from saint_cli.io.error_conversion import convert_os_errors
from saint_cli.io.output_checks import (
    check_object_path,
    check_target_path,
    find_parent,
    is_folder_target,
    is_object_target,
)
from saint_cli.io.scaling import choose_storage, encode
from saint_cli.volume import Storage, Volume

# The modules of the formats are imported where they are used: their libraries take a tenth of a second and more.

GZIP_LEVEL = 4
"""Higher levels take much longer and hardly save more of a CT, whose noise does not compress."""


MIN_PACKED_SHARE = 0.2
"""Least share of its voxels' bytes that a compressed volume is assumed to take; noise rarely packs below."""

HEADER_BYTES = 4096
"""Rough size of a DICOM header."""


def write_volume(
    volume: Volume, path: str | Path, *, overwrite: bool = False, keep_slice_thickness: bool = True
) -> None:
    """Write a volume: to a file ending in .nii, .nii.gz, .nrrd or .mha, or as a DICOM series into a folder.

    File or folder appear under their name only when complete. NIfTI keeps the source's integer type and scaling,
    so that values read from a file are stored as they were, unless that does not hold the voxels; NRRD and MetaImage
    store scanner values. DICOM needs a volume that was read from DICOM; its SliceThickness is that of the source, or
    without ``keep_slice_thickness`` the new distance between slices where that is smaller.

    Raises:
        UsageError: another ending, DICOM wanted of a volume from elsewhere or that was turned or moved since, or
            unevenly spaced slices, which files would show as even.
        SourceChangedError: the DICOM files that the volume was read from are gone, changed or no longer all.
        OutputError: the target exists and ``overwrite`` is False, or it cannot be written.
    """
    path = Path(path)
    if not isinstance(volume, Volume):
        raise UsageError(f"{path}: a {type(volume).__name__} is not a Volume; save it with the library it comes from")
    check_target_path(path, overwrite=overwrite)
    geometry.check_affine(volume.affine_lps)
    volume = _make_storable(volume, path)
    if is_folder_target(path):
        from saint_cli.io.dicom.write import write_series

        write_series(volume, path, overwrite=overwrite, keep_slice_thickness=keep_slice_thickness)
        return
    with convert_os_errors(path, "written", OutputError), open_atomic_file(path, overwrite=overwrite) as file:
        _write_file(volume, path.name.lower(), file)


def write_error_map(
    error: Volume, result: Volume, path: Path, *, overwrite: bool = False, keep_slice_thickness: bool = True
) -> None:
    """Write the expected error of a result, scanner values (HU for CT): a volume, or (.dcm) a Parametric Map of HU.

    The map refers to the slices of the DICOM series that ``result`` is written as.

    Raises:
        UsageError, OutputError, SourceChangedError: as :func:`write_volume`.
    """
    if not is_object_target(path):
        write_volume(error, path, overwrite=overwrite)
        return
    check_object_path(path, overwrite=overwrite)
    from saint_cli.io.dicom.parametric_map import write_map

    write_map(error, result, path, overwrite=overwrite, keep_slice_thickness=keep_slice_thickness)


def check_error_map(volume: Volume, grid: SliceGrid, path: Path, target: Path) -> None:
    """Check whether the expected error of ``volume`` on ``grid`` could be written, beside a result at ``target``.

    Raises:
        UsageError: a Parametric Map that has no DICOM series to refer to, is too large, or needs what is not installed.
        OutputError: too little space.
    """
    as_floats = replace(volume, voxels=np.broadcast_to(np.float32(0), volume.shape))
    if not is_object_target(path):
        check_result(as_floats, grid, path, storage=Storage(as_floats.voxels.dtype))
        return
    if not is_folder_target(target):
        raise UsageError(
            f"{path}: a DICOM Parametric Map refers to a DICOM result, and {target.name} is none; name a folder as "
            "result, or a map ending in .nii.gz"
        )
    from saint_cli.io.dicom.parametric_map import check_map

    check_map(as_floats.placeholder_on(grid), path)
    _check_space(path, as_floats.placeholder_on(grid).voxels.nbytes)


def check_result(
    volume: Volume,
    grid: SliceGrid,
    path: Path,
    plane: PlaneGrid | None = None,
    *,
    count: int = 1,
    storage: Storage | None = None,
) -> None:
    """Check whether ``volume`` on ``grid`` could be written to ``path``: headers are encoded, and thrown away.

    plane: the pixels that its slices get afterwards; None where they keep theirs. count: how many such volumes are
    written there. storage: of their voxels in the file; None where that is as ``volume`` is stored.

    Raises:
        UsageError: DICOM is wanted, but the source is not DICOM, or its slices would not be kept; a format that does
            not hold the voxels' type or place.
        OutputError: too little space, a DICOM folder that holds source files, or headers that cannot be encoded.
    """
    result = volume.placeholder_on(grid, plane)
    values = result.voxels.size * count
    if is_folder_target(path):
        from saint_cli.io.dicom import write as dicom

        source = dicom.check_dicom_target(volume, path, grid)
        dicom.check_encodable(volume, path, grid, plane)
        need = values * dicom.count_pixel_bytes(source) + HEADER_BYTES * grid.count * count
    else:
        storage = storage or _choose_storage(volume, path.name.lower())
        need = values * storage.dtype.itemsize
        encode_header(result, path, storage)
        if path.name.lower().endswith((".gz", ".nrrd")):
            need = int(need * MIN_PACKED_SHARE)
    _check_space(path, need)


def _check_space(path: Path, need: int) -> None:
    folder = find_parent(path)
    usage = shutil.disk_usage(folder)
    if usage.free == 0 and usage.total == 0:  # as /proc, and other file systems without files of their own
        raise OutputError(f"{path}: no file can be written in {folder}; choose another folder")
    if usage.free < need:
        sizes = f"about {_format_size(need)} are needed, {_format_size(usage.free)} are free"
        raise OutputError(f"{path}: {sizes}; choose another folder") from OSError(errno.ENOSPC, sizes)


def _format_size(count: int) -> str:
    return f"{count / 1e6:,.0f} MB" if count >= 1e6 else f"{count / 1e3:,.0f} kB"


def encode_header(volume: Volume, path: Path, storage: Storage) -> bytes:
    """The header of the file that ``write_volume`` would write; of the voxels only shape and type count.

    Raises:
        UsageError: voxels of a type, or in a place, that the format does not hold.
    """
    try:
        return _encode_header(_make_storable(volume, path), path.name.lower(), storage)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _make_storable(volume: Volume, path: Path) -> Volume:
    """The volume with voxels of a type that every format has.

    Raises:
        UsageError: no plain numbers, or unevenly spaced slices, whose places an affine does not hold.
    """
    if volume.header.slice_positions:
        raise UsageError(
            f"{path}: slices of the volume are unevenly spaced (`irregular`), which a file would show as even; pass "
            "the volume to `upsample` first, or read its longest even part with `split_runs=True`"
        )
    dtype = volume.voxels.dtype
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise UsageError(f"{path}: voxels of type {dtype} are not plain numbers; pass integers, float32 or float64")
    return replace(volume, voxels=volume.voxels.astype(np.float32)) if dtype == np.float16 else volume


def _encode_header(volume: Volume, name: str, storage: Storage) -> bytes:
    if name.endswith((".nii", ".nii.gz")):
        from saint_cli.io.nifti import write as nifti

        return nifti.encode_header(volume, storage)
    from saint_cli.io.itk import write as itk

    return itk.encode_nrrd_header(volume) if name.endswith(".nrrd") else itk.encode_meta_header(volume)


def _choose_storage(volume: Volume, name: str) -> Storage:
    """How the file stores the voxels: of those that are no DICOM only NIfTI has a scaling that all readers apply."""
    return Storage(volume.voxels.dtype) if name.endswith((".nrrd", ".mha")) else choose_storage(volume)


def _write_file(volume: Volume, name: str, file: BinaryIO) -> None:
    """Header, then voxels; gzip packs both in ``.nii.gz``, and the voxels in ``.nrrd``."""
    storage = _choose_storage(volume, name)
    with ExitStack() as streams:
        stream = streams.enter_context(open_gzip(file)) if name.endswith(".nii.gz") else file
        stream.write(_encode_header(volume, name, storage))
        if name.endswith(".nrrd"):
            stream = streams.enter_context(open_gzip(file))
        write_voxels(volume.voxels, storage, stream)


def open_gzip(file: BinaryIO) -> Any:
    """A gzip stream without the file's name and time, so that the same volume gives the same bytes."""
    return gzip.GzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=file, mtime=0)


def write_voxels(voxels: np.ndarray, storage: Storage, file: BinaryIO) -> None:
    """Little-endian stored values, x fastest, one z slice at a time so that no second copy of the volume is held."""
    for k in range(voxels.shape[2]):
        stored = encode(voxels[:, :, k], storage)
        file.write(stored.astype(stored.dtype.newbyteorder("<"), copy=False).tobytes(order="F"))
