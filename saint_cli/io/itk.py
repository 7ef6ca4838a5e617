"""NRRD and MetaImage (MHA, MHD) volumes, read by SimpleITK after their payload has been checked."""

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from saint_cli import geometry
from saint_cli.errors import GeometryError, UnreadableError
from saint_cli.io.checks import require_3d, value_warnings
from saint_cli.io.scaling import unscale
from saint_cli.io.sniff import Format
from saint_cli.volume import Header, Storage, Volume

sitk.ProcessObject.SetGlobalWarningDisplay(False)

IMAGE_IO = {Format.NRRD: "NrrdImageIO", Format.META: "MetaImageIO"}

REQUIRED = {
    Format.NRRD: {"type", "dimension", "sizes", "encoding"},
    Format.META: {"ndims", "dimsize", "elementtype", "elementdatafile"},
}
"""Fields without which the toolkit refuses too, but with lines of its own on stderr."""

DTYPES: dict[int, Any] = {
    sitk.sitkInt8: np.int8,
    sitk.sitkUInt8: np.uint8,
    sitk.sitkInt16: np.int16,
    sitk.sitkUInt16: np.uint16,
    sitk.sitkInt32: np.int32,
    sitk.sitkUInt32: np.uint32,
    sitk.sitkInt64: np.int64,
    sitk.sitkUInt64: np.uint64,
    sitk.sitkFloat32: np.float32,
    sitk.sitkFloat64: np.float64,
}

VECTORS: dict[int, Any] = {
    sitk.sitkVectorInt8: np.int8,
    sitk.sitkVectorUInt8: np.uint8,
    sitk.sitkVectorInt16: np.int16,
    sitk.sitkVectorUInt16: np.uint16,
    sitk.sitkVectorInt32: np.int32,
    sitk.sitkVectorUInt32: np.uint32,
    sitk.sitkVectorInt64: np.int64,
    sitk.sitkVectorUInt64: np.uint64,
    sitk.sitkVectorFloat32: np.float32,
    sitk.sitkVectorFloat64: np.float64,
}
"""Types of several values per voxel, which a list of volumes has that NRRD stores as one more axis."""

COMPLEX = (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64)

SHIFTED = {"byte skip", "byteskip", "line skip", "lineskip", "headersize"}
"""Fields by which data start elsewhere than at the end of the header; such files are left to the toolkit's checks."""

LONGEST_HEADER = 1 << 20
"""Bytes of text read before a file is refused as having no end of header."""

BLOCK = 1 << 20


@dataclass(frozen=True)
class ItkHeader:
    """The header of a NRRD or MetaImage volume, checked.

    shape: number of voxels along x, y, z. affine_lps: 4x4 float64, mm. dtype: of the stored voxels.
    data: the file that holds the voxels. is_labels: its header lists segments, as 3D Slicer writes them.
    volumes: how many the file holds, each of ``shape``; more than one cannot be read, but described.
    """

    format: Format
    shape: tuple[int, int, int]
    affine_lps: np.ndarray
    dtype: np.dtype
    warnings: tuple[str, ...]
    data: Path
    is_labels: bool = False
    volumes: int = 1


def read(path: Path, form: Format) -> Volume:
    """Read a NRRD or MetaImage volume.

    Raises:
        UnreadableError: not such a file, truncated, corrupt, colour or complex, or its data file is missing.
        GeometryError: not a 3-D volume of at least two slices along every axis.
    """
    header = read_header(path, form)
    _check_payload(path, header)
    try:
        image = _reader(path, form).Execute()
    except RuntimeError as error:
        raise UnreadableError(f"{path}: {form.value} voxels cannot be read ({_reason(error)})") from None
    stored = sitk.GetArrayFromImage(image)  # [..., z, y, x]
    stored = stored.reshape(header.shape[::-1]).transpose()  # [x, y, z]
    voxels, storage = unscale(stored, Storage(stored.dtype))
    told = header.warnings + value_warnings(voxels)
    return Volume(voxels, header.affine_lps, Header(None, form.value, storage, 1, told))


def read_header(path: Path, form: Format, *, any_volumes: bool = False) -> ItkHeader:
    """Read and check the header of a NRRD or MetaImage volume without its voxels; errors as for :func:`read`.

    With ``any_volumes`` an image of several volumes is no error.
    """
    fields, _ = _text_header(path, form)
    if not set(fields) >= REQUIRED[form]:
        raise UnreadableError(f"{path}: the {form.value} header is incomplete or damaged")
    _check_data_file(path, fields)
    reader = _reader(path, form)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        kind = GeometryError if "spacing" in str(error).lower() else UnreadableError
        raise kind(f"{path}: {form.value} header cannot be used ({_reason(error)})") from None
    if reader.GetPixelID() in COMPLEX:
        raise UnreadableError(f"{path}: complex image, not a CT/MR volume; export its magnitude first")
    if reader.GetNumberOfComponents() != 1 and _is_colour(reader, fields):
        raise UnreadableError(f"{path}: colour image, not a CT/MR volume")
    dtype = (DTYPES | VECTORS).get(reader.GetPixelID())
    if dtype is None:
        raise UnreadableError(f"{path}: voxel type {sitk.GetPixelIDValueAsString(reader.GetPixelID())} not supported")
    shape, volumes = _shape(reader, path, any_volumes=any_volumes)
    affine = _affine(reader)
    try:
        geometry.check_affine(affine)
    except GeometryError as error:
        raise GeometryError(f"{path}: {error}") from None
    placed = "space directions" in fields or "transformmatrix" in fields or "orientation" in fields
    told = () if placed else ("orientation unknown: the header gives no directions; only its spacing is used",)
    data = path.parent / (_data_file(fields) or path.name)
    labels = any(name.startswith("segment0_") for name in fields)
    return ItkHeader(form, shape, affine, np.dtype(dtype), told, data, labels, volumes)


def _is_colour(reader: sitk.ImageFileReader, fields: dict[str, str]) -> bool:
    """Whether several values per voxel are a colour: a NRRD axis says so, or they are three or four bytes."""
    kinds = fields.get("kinds", "").lower()
    bytes_of_colour = reader.GetPixelID() == sitk.sitkVectorUInt8 and reader.GetNumberOfComponents() in (3, 4)
    return "color" in kinds or (bytes_of_colour and "list" not in kinds)


def _shape(reader: sitk.ImageFileReader, path: Path, *, any_volumes: bool) -> tuple[tuple[int, int, int], int]:
    """The 3-D shape, and how many volumes of it there are: a fourth axis, or several values per voxel."""
    size = list(reader.GetSize())
    if reader.GetNumberOfComponents() > 1:
        size.append(reader.GetNumberOfComponents())
    while len(size) > 3 and size[-1] == 1:
        size.pop()
    volumes = size.pop() if any_volumes and len(size) == 4 else 1
    return require_3d(tuple(size), path), volumes


def _reader(path: Path, form: Format) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetImageIO(IMAGE_IO[form])
    reader.SetFileName(str(path))
    return reader


def _affine(reader: sitk.ImageFileReader) -> np.ndarray:
    axes = reader.GetDimension()
    direction = np.array(reader.GetDirection()).reshape(axes, axes)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = direction * np.array(reader.GetSpacing()[:3])
    affine[:3, 3] = reader.GetOrigin()[:3]
    return affine


def _reason(error: RuntimeError) -> str:
    """The last line of a toolkit's exception, which holds the reason; the others are source locations."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].removeprefix("Reason: ")[:160] if lines else "no reason given"


def _text_header(path: Path, form: Format) -> tuple[dict[str, str], int]:
    """Fields of the text header, keys in lower case, and the byte at which attached data begin."""
    separator = b":" if form is Format.NRRD else b"="
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        while file.tell() < LONGEST_HEADER and (line := file.readline(LONGEST_HEADER)):
            if form is Format.NRRD and not line.strip():
                break
            key, _, value = line.partition(separator)
            name = key.strip().lower().decode("ascii", "replace")
            fields[name] = value.strip().decode("utf-8", "surrogateescape")
            if name == "elementdatafile":
                break
        return fields, file.tell()


def _data_file(fields: dict[str, str]) -> str | None:
    """Name of a detached data file; None where the data are attached."""
    name = fields.get("data file") or fields.get("datafile") or fields.get("elementdatafile")
    return None if name is None or name.upper() == "LOCAL" else name


def _check_data_file(path: Path, fields: dict[str, str]) -> None:
    name = _data_file(fields)
    if name and "%" not in name and not name.upper().startswith("LIST") and not (path.parent / name).is_file():
        raise UnreadableError(f"{path}: its data file {name} is missing")


def _check_payload(path: Path, header: ItkHeader) -> None:
    """Refuse truncated or corrupt data, which the toolkits partly accept: they ignore gzip and zlib checksums."""
    fields, start = _text_header(path, header.format)
    name = _data_file(fields)
    if name is None:
        data = path
    elif (path.parent / name).is_file():
        data, start = path.parent / name, 0
    else:
        return  # a list of files: the toolkit reads them one by one
    if SHIFTED & set(fields):
        return
    need = math.prod(header.shape) * header.dtype.itemsize
    packed = fields.get("compresseddata", "").lower() == "true"
    encoding = fields.get("encoding", "raw").lower()
    if packed or encoding in ("gzip", "gz"):
        got = sum(len(block) for block in _unpacked(data, start))
    elif encoding == "raw":
        got = data.stat().st_size - start
    else:
        return
    if got < need:
        raise UnreadableError(f"{data}: file is truncated: expected {need} bytes of voxels, got {got}")


def _unpacked(path: Path, start: int) -> Iterator[bytes]:
    """Blocks of a gzip or zlib stream, read to its checksum.

    Raises:
        UnreadableError: the stream is damaged or ends early.
    """
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    with path.open("rb") as file:
        file.seek(start)
        while not unpacker.eof and (packed := file.read(BLOCK)):
            while packed and not unpacker.eof:
                try:
                    yield unpacker.decompress(packed, 16 * BLOCK)
                except zlib.error as error:
                    raise UnreadableError(f"{path}: the compressed data is corrupt ({error})") from None
                packed = unpacker.unconsumed_tail
    if not unpacker.eof:
        raise UnreadableError(f"{path}: the compressed data is truncated")
