"""Headers of NIfTI-1 and NIfTI-2, single files and pairs: nibabel parses them, this module checks them."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Header, Nifti1PairHeader
from nibabel.nifti2 import Nifti2Header, Nifti2PairHeader
from nibabel.spatialimages import HeaderDataError

from saint_cli import geometry
from saint_cli.errors import GeometryError, UnreadableError, UsageError
from saint_cli.io import formats, voxel_stream
from saint_cli.io.decompress import read_packing
from saint_cli.io.formats import Format
from saint_cli.io.itk import data_files
from saint_cli.io.nifti.placement import UNKNOWN_SPACE, find_affine
from saint_cli.io.read_options import CHOICES, TAKE_ALL
from saint_cli.io.result_text import find_result_warnings
from saint_cli.io.volume_header import Payload, VolumeHeader
from saint_cli.io.voxel_checks import drop_unit_axes, require_volumes
from saint_cli.volume import Storage
from saint_cli.volume.fourth_axis import FourthAxis

MAX_OFFSET = 1 << 28
"""Header extensions beyond 256 MiB do not occur; an offset above, or NaN, is damage."""

TIME_UNIT_BITS = 0x38
"""The bits of xyzt_units that name the unit of the fourth axis."""

EXTENSIONS_DROPPED = "the header has extensions; they are not copied to the result"

LABEL_INTENT = 1002
"""NIFTI_INTENT_LABEL."""


def read_header(
    path: Path, volume: int | None = None, *, outside_data: bool = False, offered: frozenset[str] = CHOICES
) -> VolumeHeader:
    """Read and check the header of a NIfTI volume without its voxels; ``volume`` chooses, from 1, of a 4-D file.

    outside_data: whether the other file of a pair may be a link to one outside the folder. offered: as ``ReadOptions``
    has it.

    Raises:
        UsageError: no such volume.
        UnreadableError: not NIfTI, a colour or complex image, or half of a pair.
        GeometryError: not a 3-D volume of at least two slices along every axis, or placed nowhere.
    """
    head_path, data = _files(path)
    for other in {head_path, data} - {path}:
        data_files.check_inside(path, other, outside=outside_data)
    head = formats.read_head(head_path)
    raw, version = _parse(head, path)
    is_single = _is_single(head, version)
    if is_single:
        data = head_path
    elif data == head_path:
        raise UnreadableError(f"{path}: header of a .hdr/.img pair whose .img file is missing")
    dtype = _stored_dtype(raw, path)
    shape, volumes = _shape(raw, path, volume, offered)
    try:
        affine, code, warnings = find_affine(raw)
        geometry.check_affine(affine)
    except GeometryError as error:
        raise GeometryError(f"{path}: {error}") from None
    first = (352 if version == 1 else 544) if is_single else 0
    if not 0 <= raw["vox_offset"] < MAX_OFFSET:
        raise UnreadableError(f"{path}: vox_offset {float(raw['vox_offset'])} is nonsense; the header is corrupt")
    size, before = math.prod(shape) * dtype.itemsize, (volume or 1) - 1
    start, trailing = max(int(raw["vox_offset"]), first) + before * size, (volumes - 1 - before) * size
    number = before + 1 if volumes > 1 else None
    payload = Payload((data,), start, dtype, shape, file_packing=read_packing(data), trailing=trailing, volume=number)
    is_labels = int(raw["intent_code"]) == LABEL_INTENT
    storage, fourth = _storage(raw, dtype, path), _fourth_axis(raw)
    end = int(raw["vox_offset"]) if is_single else len(head)
    warnings = (*warnings, *_list_notes(head, raw, version, end))
    code = code or UNKNOWN_SPACE
    header = VolumeHeader(Format.NIFTI, affine, payload, storage, warnings, is_labels, volumes, code, fourth)
    return replace(header, warnings=(*warnings, *voxel_stream.describe_excess(header)))


def _files(path: Path) -> tuple[Path, Path]:
    """The files of the header and of the voxels: one and the same, or the two of a pair."""
    partners = {".hdr": ".img", ".img": ".hdr"}
    bare = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    other = partners.get(bare.suffix.lower())
    if other is None:
        return path, path
    names = [bare.with_suffix(e + gz) for e in (other, other.upper()) for gz in ("", ".gz")]
    partner = next((name for name in names if name.is_file()), None)
    if bare.suffix.lower() == ".img":
        if formats.nifti_version(formats.read_head(path)):
            return path, path
        if partner is None:
            raise UnreadableError(f"{path}: voxels of a .hdr/.img pair whose .hdr file is missing")
        return partner, path
    return path, partner or path


def _parse(head: bytes, path: Path) -> tuple[Any, int]:
    version = formats.nifti_version(head)
    if formats.is_analyze(head):
        raise UnreadableError(f"{path}: Analyze 7.5, which does not say left from right; convert it to NIfTI first")
    if not version:
        raise UnreadableError(f"{path}: not a NIfTI file")
    kinds = {1: (Nifti1PairHeader, Nifti1Header), 2: (Nifti2PairHeader, Nifti2Header)}
    raw = kinds[version][_is_single(head, version)](head[: 348 if version == 1 else 540], check=False)  # type: ignore[no-untyped-call]
    return raw, version


def _list_notes(head: bytes, raw: Any, version: int, end: int) -> list[str]:
    """Of a header that ends at byte ``end``: that its extensions are lost, that it is of a result of saint."""
    notes = [EXTENSIONS_DROPPED] if _has_extensions(head, version, end) else []
    return [*notes, *find_result_warnings([bytes(raw["descrip"].item()).decode("latin-1")])]


def _has_extensions(head: bytes, version: int, end: int) -> bool:
    """Whether extensions lie between a header and byte ``end``, as the first byte behind the header says."""
    start = 540 if version == 2 else 348
    return end > start + 4 and head[start : start + 1] not in (b"", b"\0")


def _is_single(head: bytes, version: int) -> bool:
    """Whether header and voxels are one file, not a pair."""
    return head[4:8] == b"n+2\0" if version == 2 else head[344:348] == b"n+1\0"


def _stored_dtype(raw: Any, path: Path) -> np.dtype:
    try:
        dtype: np.dtype = raw.get_data_dtype()
    except (HeaderDataError, KeyError):
        raise UnreadableError(f"{path}: NIfTI datatype {int(raw['datatype'])} is not supported") from None
    if dtype.fields:
        raise UnreadableError(f"{path}: colour image, not a CT/MR volume; give the grey-value scan itself")
    if dtype.kind == "c":
        raise UnreadableError(f"{path}: complex image, not a CT/MR volume; export its magnitude first")
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise UnreadableError(f"{path}: NIfTI datatype {int(raw['datatype'])} is not supported")
    return dtype


def _shape(raw: Any, path: Path, volume: int | None, offered: frozenset[str]) -> tuple[tuple[int, int, int], int]:
    """The 3-D shape, after dropping axes of length one beyond the third, and how many volumes of it there are."""
    count = int(raw["dim"][0])
    if not 1 <= count <= 7:
        raise UnreadableError(f"{path}: the header claims {count} dimensions; it is corrupt or not NIfTI")
    shape = drop_unit_axes([int(n) for n in raw["dim"][1 : count + 1]])
    volumes = shape[3] if len(shape) == 4 else 1
    if volume is not None and not 1 <= volume <= max(volumes, 1):
        raise UsageError(f"{path}: `volume={volume}`, but the file holds {volumes}; they are counted from 1")
    if volumes > 1 and volume is None:
        shown = geometry.format_shape(shape)
        raise GeometryError(f"{path}: 4-D image ({shown}); {_advise_volume(volumes, offered)}")
    return require_volumes(shape, path, allow_several=True)


def _advise_volume(volumes: int, offered: frozenset[str]) -> str:
    """What to do about a file of several volumes."""
    if "volume" not in offered:
        return f"save one of its {volumes} volumes as a file of its own"
    every = f", or take all with `{TAKE_ALL}`" if TAKE_ALL in offered else ""
    return f"choose one of its {volumes} volumes with `volume`{every}"


def _fourth_axis(raw: Any) -> FourthAxis:
    """How volumes follow each other, and what their values mean; numbers that are not finite count as not given."""

    def number(value: Any) -> float:
        return float(value) if np.isfinite(value) else 0.0

    first, second, third = (number(raw[f"intent_p{k}"]) for k in (1, 2, 3))
    return FourthAxis(
        step=number(raw["pixdim"][4]),
        start=number(raw["toffset"]),
        unit=int(raw["xyzt_units"]) & TIME_UNIT_BITS,
        intent_code=int(raw["intent_code"]),
        intent_parameters=(first, second, third),
        intent_name=bytes(raw["intent_name"].item()),
    )


def _storage(raw: Any, dtype: np.dtype, path: Path) -> Storage:
    """Stored type and scaling; a slope of 0 or NaN means none, as the NIfTI-1 standard says."""
    try:
        if np.isinf(raw["scl_slope"]):  # which nibabel takes for none
            raise HeaderDataError
        slope, intercept = raw.get_slope_inter()
    except HeaderDataError:
        raise UnreadableError(f"{path}: scl_slope or scl_inter is not finite; repair the header first") from None
    if slope is None:
        return Storage(dtype)
    return Storage(dtype, float(slope), float(intercept))
