"""Writing volumes: NIfTI, NRRD and MetaImage files, or a folder of DICOM slices, whole or not at all."""

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

import saint_cli
from saint_cli import geometry
from saint_cli.errors import OutputError, UsageError
from saint_cli.io.atomic import complete_or_absent
from saint_cli.io.scaling import encode, output_storage
from saint_cli.io.targets import check_writable, is_folder_target
from saint_cli.volume import Storage, Volume

GZIP_LEVEL = 4
"""Higher levels take much longer and hardly save more of a CT, whose noise does not compress."""

LONGEST_NIFTI1_AXIS = 32767

NIFTI_DESCRIPTION = 80
"""Bytes of ``descrip``."""

LONGEST_MODEL = 16
"""Characters of a model's name that ``descrip`` holds beside its hash."""

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


def write_volume(
    volume: Volume, path: str | Path, *, overwrite: bool = False, keep_slice_thickness: bool = True
) -> None:
    """Write a volume: to a file ending in .nii, .nii.gz, .nrrd or .mha, or as a DICOM series into a folder.

    File or folder appear under their name only when complete. NIfTI keeps the source's integer type and scaling,
    so that values read from a file are stored as they were; NRRD and MetaImage store scanner values. DICOM needs a
    volume that was read from DICOM; its SliceThickness is that of the source, or without ``keep_slice_thickness`` the
    new distance between slices where that is smaller.

    Raises:
        UsageError: another ending, or DICOM wanted of a volume from elsewhere.
        SourceChangedError: the DICOM files that the volume was read from are gone, changed or no longer all.
        OutputError: the target exists and ``overwrite`` is False, or it cannot be written.
    """
    path = Path(path)
    if not isinstance(volume, Volume):
        raise UsageError(f"{path}: a {type(volume).__name__} is no Volume; save it with the library it comes from")
    check_writable(path, overwrite=overwrite)
    geometry.check_affine(volume.affine_lps)
    volume = _storable(volume, path)
    if is_folder_target(path):
        from saint_cli.io.dicom_write import write_series

        write_series(volume, path, overwrite=overwrite, keep_slice_thickness=keep_slice_thickness)
        return
    write = next(write for ending, write in WRITERS.items() if path.name.lower().endswith(ending))
    try:
        with complete_or_absent(path) as file:
            write(volume, file)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from None


def encode_header(volume: Volume, path: Path) -> bytes:
    """The header of the file that ``write_volume`` would write; of the voxels only shape and type count.

    Raises:
        UsageError: voxels of a type, or in a place, that the format does not hold.
    """
    encode = next(head for ending, head in HEADERS.items() if path.name.lower().endswith(ending))
    try:
        return encode(_storable(volume, path))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _storable(volume: Volume, path: Path) -> Volume:
    """The volume with voxels of a type that every format has.

    Raises:
        UsageError: no plain numbers.
    """
    dtype = volume.voxels.dtype
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise UsageError(f"{path}: voxels of type {dtype} are not plain numbers; pass integers, float32 or float64")
    return replace(volume, voxels=volume.voxels.astype(np.float32)) if dtype == np.float16 else volume


def _nifti_head(volume: Volume) -> bytes:
    block: bytes = nifti_header(volume, output_storage(volume.voxels, volume.header.storage)).binaryblock
    return block + bytes(4)  # four zero bytes: no extensions follow


def _write_nifti(volume: Volume, file: BinaryIO) -> None:
    file.write(_nifti_head(volume))
    _write_voxels(volume.voxels, output_storage(volume.voxels, volume.header.storage), file)


def _write_nifti_gz(volume: Volume, file: BinaryIO) -> None:
    with _gzip(file) as packed:
        _write_nifti(volume, packed)


def _gzip(file: BinaryIO) -> Any:
    """A gzip stream without the file's name and time, so that the same volume gives the same bytes."""
    return gzip.GzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=file, mtime=0)


def nifti_header(volume: Volume, storage: Storage) -> Any:
    """The NIfTI header of a volume: sform exact; qform the same place, or absent where it cannot hold that.

    It is that of NIfTI-1, or of NIfTI-2 where an axis or the scaling needs it.

    Raises:
        UsageError: a place that float32 does not hold.
    """
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header
    from nibabel.spatialimages import HeaderDataError

    from saint_cli.io.nifti_place import agree, known_code

    kind = Nifti1Header if max(volume.shape) <= LONGEST_NIFTI1_AXIS and _fits_float32(storage) else Nifti2Header
    header: Any = kind(endianness="<")  # type: ignore[no-untyped-call]
    header.set_data_dtype(storage.dtype.newbyteorder("="))
    header.set_data_shape(volume.shape)
    affine_ras, shape = geometry.RAS_FROM_LPS @ volume.affine_lps, np.array(volume.shape)
    code = known_code(volume.header.space_code)
    header.set_sform(affine_ras, code=code)
    if not agree(affine_ras, header.get_sform(), shape):
        raise UsageError("NIfTI cannot hold this place, so far away or so small, exactly; name a file ending in .nrrd")
    try:
        header.set_qform(affine_ras, code=code, strip_shears=True)
        holds = agree(affine_ras, header.get_qform(), shape)
    except (HeaderDataError, ValueError, np.linalg.LinAlgError):
        holds = False
    if not holds:
        header["qform_code"] = 0
    header["pixdim"][1:4] = geometry.spacing_mm(volume.affine_lps)
    header.set_xyzt_units("mm")
    header["scl_slope"], header["scl_inter"] = storage.slope, storage.intercept
    header["vox_offset"] = 352 if kind is Nifti1Header else 544
    header["descrip"] = _described(volume).encode()
    return header


def _fits_float32(storage: Storage) -> bool:
    """Whether slope and intercept as float32, as NIfTI-1 has them, move no value by half a step."""
    if storage.is_identity or storage.dtype.kind not in "iu":
        return storage.is_identity
    with np.errstate(over="ignore"):
        slope, intercept = (abs(float(np.float32(v)) - v) for v in (storage.slope, storage.intercept))
    limits = np.iinfo(storage.dtype)
    return slope * max(-int(limits.min), int(limits.max)) + intercept < abs(storage.slope) / 2


def _described(volume: Volume) -> str:
    """Program, factor, weights and method, in the 80 bytes that NIfTI has for it; no patient text, no paths."""
    made = volume.header.derivation
    if made is None:
        return f"saint {saint_cli.__version__}"
    name = "".join(c if c.isascii() and c.isprintable() else "?" for c in made.model[:LONGEST_MODEL])
    told = [f"saint {saint_cli.__version__} x{1 / made.grid.step:.4g} model={name}:{made.weights_sha256[:8]}"]
    for word in made.method:
        if len(" ".join((*told, word))) <= NIFTI_DESCRIPTION:
            told.append(word)
    return " ".join(told)


def _nrrd_head(volume: Volume) -> bytes:
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
    return ("\n".join(lines) + "\n\n").encode("ascii")


def _write_nrrd(volume: Volume, file: BinaryIO) -> None:
    file.write(_nrrd_head(volume))
    with _gzip(file) as packed:
        _write_voxels(volume.voxels, Storage(volume.voxels.dtype), packed)


def _meta_head(volume: Volume) -> bytes:
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
    return ("\n".join(lines) + "\n").encode("ascii")


def _write_meta(volume: Volume, file: BinaryIO) -> None:
    file.write(_meta_head(volume))
    _write_voxels(volume.voxels, Storage(volume.voxels.dtype), file)


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

HEADERS: dict[str, Callable[[Volume], bytes]] = {
    ".nii": _nifti_head,
    ".nii.gz": _nifti_head,
    ".nrrd": _nrrd_head,
    ".mha": _meta_head,
}
"""What it begins with."""
