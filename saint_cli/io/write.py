"""Writing volumes: NIfTI, NRRD and MetaImage, whole or not at all."""

import contextlib
import gzip
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

import saint_cli
from saint_cli import geometry
from saint_cli.errors import OutputError, UsageError
from saint_cli.io.scaling import encode, output_storage
from saint_cli.volume import Storage, Volume

GZIP_LEVEL = 4
"""Higher levels take much longer and hardly save more of a CT, whose noise does not compress."""

LONGEST_NIFTI1_AXIS = 32767

NRRD_TYPES = {"i1": "signed char", "u1": "uchar", "i2": "short", "u2": "ushort", "i4": "int", "u4": "uint"} | {
    "i8": "longlong",
    "u8": "ulonglong",
    "f4": "float",
    "f8": "double",
}

META_TYPES = {"i1": "MET_CHAR", "u1": "MET_UCHAR", "i2": "MET_SHORT", "u2": "MET_USHORT", "i4": "MET_INT"} | {
    "u4": "MET_UINT",
    "i8": "MET_LONG_LONG",
    "u8": "MET_ULONG_LONG",
    "f4": "MET_FLOAT",
    "f8": "MET_DOUBLE",
}


def write_volume(volume: Volume, path: Path, *, overwrite: bool = False) -> None:
    """Write a volume in the format that the ending of ``path`` names: .nii, .nii.gz, .nrrd or .mha.

    The file appears under its name only when it is complete. NIfTI keeps the source's integer type and scaling,
    so that values read from a file are stored as they were; NRRD and MetaImage store scanner values.

    Raises:
        UsageError: another ending.
        OutputError: the file exists and ``overwrite`` is False, or it cannot be written.
    """
    check_writable(path, overwrite=overwrite)
    write = _writer(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _complete_or_absent(path) as file:
            write(volume, file)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from None


def check_writable(path: Path, *, overwrite: bool = False) -> None:
    """Find out whether :func:`write_volume` could write ``path``, before hours are spent on what to write.

    Raises:
        UsageError: an ending that names no format.
        OutputError: ``path`` exists and ``overwrite`` is False, it is a folder, or its folder cannot be written.
    """
    _writer(path)
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file to write")
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: exists already; choose another name or pass --overwrite")
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise OutputError(f"{path}: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: no permission to write in {folder}")


def _writer(path: Path) -> Callable[[Volume, BinaryIO], None]:
    name = path.name.lower()
    found = next((write for ending, write in WRITERS.items() if name.endswith(ending)), None)
    if found is None or name in WRITERS:
        raise UsageError(f"{path}: the ending names no output format; use one of {', '.join(WRITERS)}")
    return found


@contextlib.contextmanager
def _complete_or_absent(path: Path) -> Iterator[BinaryIO]:
    """A new file beside ``path`` that takes its name once written and flushed to disk, and is removed on failure."""
    partial = path.parent / f".saint-{os.getpid()}-{secrets.token_hex(4)}.partial"
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _write_nifti(volume: Volume, file: BinaryIO) -> None:
    storage = output_storage(volume.voxels, volume.header.storage)
    header = nifti_header(volume, storage)
    file.write(header.binaryblock + bytes(4))  # four zero bytes: no extensions follow
    _write_voxels(volume.voxels, storage, file)


def _write_nifti_gz(volume: Volume, file: BinaryIO) -> None:
    with _gzip(file) as packed:
        _write_nifti(volume, packed)


def _gzip(file: BinaryIO) -> Any:
    """A gzip stream without the file's name and time, so that the same volume gives the same bytes."""
    return gzip.GzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=file, mtime=0)


def nifti_header(volume: Volume, storage: Storage) -> Any:
    """The NIfTI header of a volume: sform exact; qform the same place, or absent where the axes are sheared."""
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    from saint_cli.io.nifti_header import FORMS_AGREE_MM, farthest_mm

    kind = Nifti1Header if max(volume.shape) <= LONGEST_NIFTI1_AXIS else Nifti2Header
    header: Any = kind(endianness="<")  # type: ignore[no-untyped-call]
    header.set_data_dtype(storage.dtype.newbyteorder("="))
    header.set_data_shape(volume.shape)
    affine_ras = geometry.RAS_FROM_LPS @ volume.affine_lps
    code = volume.header.space_code
    header.set_sform(affine_ras, code=code)
    header.set_qform(affine_ras, code=code, strip_shears=True)
    if farthest_mm(affine_ras, header.get_qform(), np.array(volume.shape)) > FORMS_AGREE_MM:
        header["qform_code"] = 0
    header["pixdim"][1:4] = geometry.spacing_mm(volume.affine_lps)
    header.set_xyzt_units("mm")
    header["scl_slope"], header["scl_inter"] = storage.slope, storage.intercept
    header["vox_offset"] = 352 if kind is Nifti1Header else 544
    header["descrip"] = f"saint {saint_cli.__version__}".encode()
    return header


def _write_nrrd(volume: Volume, file: BinaryIO) -> None:
    dtype = volume.voxels.dtype
    columns = " ".join(_vector(volume.affine_lps[:3, axis]) for axis in range(3))
    lines = [
        "NRRD0004",
        f"type: {NRRD_TYPES[dtype.str[1:]]}",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, volume.shape))}",
        f"space directions: {columns}",
        "kinds: domain domain domain",
        "endian: little",
        "encoding: gzip",
        f"space origin: {_vector(volume.affine_lps[:3, 3])}",
    ]
    file.write(("\n".join(lines) + "\n\n").encode("ascii"))
    with _gzip(file) as packed:
        _write_voxels(volume.voxels, Storage(dtype), packed)


def _write_meta(volume: Volume, file: BinaryIO) -> None:
    dtype, spacing = volume.voxels.dtype, np.array(volume.spacing_mm)
    directions = (volume.affine_lps[:3, :3] / spacing).T  # MetaImage lists the direction of x first
    lines = [
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "CompressedData = False",
        f"TransformMatrix = {_numbers(directions)}",
        f"Offset = {_numbers(volume.affine_lps[:3, 3])}",
        "CenterOfRotation = 0 0 0",
        f"ElementSpacing = {_numbers(spacing)}",
        f"DimSize = {' '.join(map(str, volume.shape))}",
        f"ElementType = {META_TYPES[dtype.str[1:]]}",
        "ElementDataFile = LOCAL",
    ]
    file.write(("\n".join(lines) + "\n").encode("ascii"))
    _write_voxels(volume.voxels, Storage(dtype), file)


def _write_voxels(voxels: np.ndarray, storage: Storage, file: BinaryIO) -> None:
    """Little-endian stored values, x fastest, one z slice at a time so that no second copy of the volume is held."""
    for k in range(voxels.shape[2]):
        stored = encode(voxels[:, :, k], storage)
        file.write(stored.astype(stored.dtype.newbyteorder("<"), copy=False).tobytes(order="F"))


def _vector(values: np.ndarray) -> str:
    return "(" + ",".join(repr(float(v)) for v in values) + ")"


def _numbers(values: np.ndarray) -> str:
    return " ".join(repr(float(v)) for v in values.ravel())


WRITERS: dict[str, Callable[[Volume, BinaryIO], None]] = {
    ".nii": _write_nifti,
    ".nii.gz": _write_nifti_gz,
    ".nrrd": _write_nrrd,
    ".mha": _write_meta,
}
"""Writer of each file ending."""
