"""MetaImage headers (MHA, MHD), attached and detached, read and checked here: no native code sees them.

Source: MetaIO's documentation. Where that leaves a choice, what ITK does with a file is done here: TransformMatrix
holds the direction of one voxel axis per row, CenterOfRotation and AnatomicalOrientation do not move the image.
"""

import math
import re
from pathlib import Path

import numpy as np

from saint_cli.errors import GeometryError, UnreadableError
from saint_cli.errors.plain_text import format_count
from saint_cli.io import length_units
from saint_cli.io.decompress import Packing, read_packing
from saint_cli.io.formats import Format
from saint_cli.io.itk import data_files
from saint_cli.io.itk.image_header import Fields, read_lines, read_trailing_lines
from saint_cli.io.length_units import quote_text
from saint_cli.io.result_text import find_result_warnings
from saint_cli.io.volume_header import Encoding, Payload, VolumeHeader
from saint_cli.io.voxel_checks import drop_unit_axes, require_volumes
from saint_cli.volume import Storage

DTYPES = {
    **{"met_char": "i1", "met_ascii_char": "i1", "met_uchar": "u1", "met_short": "i2", "met_ushort": "u2"},
    **{"met_int": "i4", "met_uint": "u4", "met_long": "i4", "met_ulong": "u4", "met_long_long": "i8"},
    **{"met_ulong_long": "u8", "met_float": "f4", "met_double": "f8"},
}
"""MET_LONG has four bytes, whatever the machine."""

ORIGINS = ("origin", "offset", "position")

DIRECTIONS = ("transformmatrix", "rotation", "orientation")

LAST_FIELD = "elementdatafile"
"""Where a header ends."""

MAX_META_DIMENSIONS = 10
"""MetaIO's limit."""


def read_meta_header(path: Path, *, allow_several: bool = False, outside_data: bool = False) -> VolumeHeader:
    """Read and check a MetaImage header; with ``allow_several`` that of several volumes too.

    Raises:
        UnreadableError: damaged, of an unknown type, of colours, or a data file is missing.
        GeometryError: not a 3-D volume of at least two slices along every axis, or placed nowhere.
    """
    lines, start = read_lines(path, LAST_FIELD)
    fields = _fields(path, lines, outside_data=outside_data)
    count = fields.dimension("ndims")
    if count > MAX_META_DIMENSIONS:
        raise fields.damage_error("ndims")
    sizes = fields.sizes("dimsize", count)
    channels = fields.integers("elementnumberofchannels", 1, default="1")[0]
    if channels != 1:
        if channels < 1:
            raise fields.damage_error("elementnumberofchannels")
        raise UnreadableError(f"{path}: colour image or vectors ({channels} values per voxel), not a CT/MR volume")
    shape, volumes = require_volumes(drop_unit_axes(sizes), path, allow_several=allow_several)
    affine, warnings = _place(fields, count)
    warnings = (*warnings, *_intensity_warnings(fields), *find_result_warnings(fields.values.values()))
    payload = _payload(fields, sizes, shape, start)
    is_labels = any(name.startswith("segment0_") for name in fields.values)
    storage = Storage(payload.dtype.newbyteorder("="))
    return VolumeHeader(Format.META, affine, payload, storage, warnings, is_labels, volumes)


def _fields(path: Path, lines: list[str], *, outside_data: bool) -> Fields:
    values: dict[str, str] = {}
    for line in lines:
        name, separator, value = ([*re.split(r"([=:])", line, maxsplit=1), "", ""])[:3]
        if separator:
            key = name.strip(" \t\ufeff").lower()
            values[key] = value.removeprefix(" ") if key == "elementdatafile" else value.strip()
    return Fields(path, Format.META, values, outside_data=outside_data)


def _place(fields: Fields, count: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """The affine in LPS mm, and warnings about it."""
    warnings = []
    named = next((name for name in DIRECTIONS if name in fields), None)
    directions = np.eye(count)
    if named is None:
        warnings.append("orientation unknown: the header gives no directions; only its spacing is used")
    else:
        directions = np.array(fields.numbers(named, count * count)).reshape(count, count)  # [voxel axis, LPS]
    size = next((name for name in ("elementspacing", "elementsize") if name in fields), None)
    if size is None:
        warnings.append("the header gives no ElementSpacing; 1 mm is assumed")
    spacing = np.ones(count) if size is None else np.array(fields.numbers(size, count))
    if np.any(spacing[:3] == 0):
        raise GeometryError(f"{fields.path}: a voxel spacing of zero; repair the header's ElementSpacing first")
    origin = next((name for name in ORIGINS if name in fields), None)
    affine = np.eye(4)
    affine[:3, :3] = directions[:3, :3].T * spacing[:3]
    affine[:3, 3] = 0.0 if origin is None else fields.numbers(origin, count)[:3]
    unit = fields.text("distanceunits", "").strip("?")
    scales, more = length_units.convert_units([unit] * 3)
    affine[:3] *= scales[:, None]
    return affine, (*warnings, *more)


def _intensity_warnings(fields: Fields) -> tuple[str, ...]:
    """A sentence if the header holds a scaling, which ITK and all that is built on it leave alone."""
    words = (("elementtointensityfunctionslope", "1"), ("elementtointensityfunctionoffset", "0"))
    slope, offset = (fields.number(name, fields.text(name, default) or default) for name, default in words)
    if (slope, offset) == (1.0, 0.0):
        return ()
    return (f"the header's scaling (slope {slope:g}, offset {offset:g}) is not applied, as other readers do not",)


def _payload(fields: Fields, sizes: tuple[int, ...], shape: tuple[int, int, int], start: int) -> Payload:
    name = fields.values.get("elementdatafile")
    if name is None or not name.strip():
        raise (
            fields.damage_error("elementdatafile")
            if name
            else UnreadableError(f"{fields.path}: the MetaImage header has no field ElementDataFile; it is damaged")
        )
    is_packed = _is_true(fields, "compresseddata")
    encoding = Encoding.GZIP if is_packed else Encoding.RAW
    if "binarydata" in fields and not _is_true(fields, "binarydata"):
        if is_packed:
            raise UnreadableError(f"{fields.path}: MetaImage of compressed text is not supported; write it as binary")
        encoding = Encoding.TEXT
    files = _files(fields, name, sizes, start)
    skip = fields.integers("headersize", 1, default="0")[0]
    if skip < -1 or (skip == -1 and encoding is not Encoding.RAW):
        raise UnreadableError(f"{fields.path}: HeaderSize {skip} of data that are not raw is not supported")
    file_packing = read_packing(fields.path) if files == (fields.path,) else Packing.NONE
    start = start if files == (fields.path,) and skip <= 0 else max(skip, 0)
    return Payload(files, start, _dtype(fields), shape, encoding, byte_skip=min(skip, 0), file_packing=file_packing)


def _dtype(fields: Fields) -> np.dtype:
    name = fields.text("elementtype").lower()
    if name not in DTYPES:
        if not name.startswith("met_"):
            raise fields.damage_error("elementtype")
        word = quote_text(fields.text("elementtype"))
        raise UnreadableError(f"{fields.path}: voxel type {word} is not supported; write it as MET_SHORT or MET_FLOAT")
    order = next((key for key in ("binarydatabyteordermsb", "elementbyteordermsb") if key in fields), "")
    return np.dtype(DTYPES[name]).newbyteorder(">" if order and _is_true(fields, order) else "<")


def _files(fields: Fields, name: str, sizes: tuple[int, ...], start: int) -> tuple[Path, ...]:
    """The files that hold the voxels: the header's own, one beside it, or a list of equal parts.

    Raises:
        UnreadableError: one is missing, or there are too few for the voxels.
    """
    if name.strip().upper() == "LOCAL":
        return (fields.path,)
    if data_files.has_data_file(fields.path, name):
        return (data_files.find_data_file(fields.path, name, outside=fields.outside_data),)
    if name.split()[0].startswith("LIST"):
        return _find_listed_files(fields, name, sizes, start)
    pattern = data_files.expand_file_pattern(fields.path, name, sizes[-1])
    if pattern is None:
        return (data_files.find_data_file(fields.path, name, outside=fields.outside_data),)
    names, _ = pattern
    if len(names) < sizes[-1]:
        counts = f"{format_count(len(names), 'data file')} for {sizes[-1]} slices"
        raise UnreadableError(f"{fields.path}: the pattern names {counts}; correct its range")
    return data_files.find_data_files(fields.path, names[: sizes[-1]], outside=fields.outside_data)


def _find_listed_files(fields: Fields, name: str, sizes: tuple[int, ...], start: int) -> tuple[Path, ...]:
    """The files named behind the header, after ``LIST``, ``LIST 2`` or ``LIST 2D``: how many axes each one holds."""
    digits = re.fullmatch(r"LIST(\d?)D?", "".join(name.split()[:2]))
    axes = int(digits[1]) if digits and digits[1] else len(sizes) - 1
    names = [line for line in read_trailing_lines(fields.path, start) if line.strip()]
    count = math.prod(sizes[axes:]) if 0 < axes <= len(sizes) else 0
    if len(names) < count or not count:
        counts = f"{format_count(len(names), 'data file')} for {format_count(count, 'part')}"
        raise UnreadableError(f"{fields.path}: the list has {counts}; files are missing from it")
    return data_files.find_data_files(fields.path, names[:count], outside=fields.outside_data)


def _is_true(fields: Fields, name: str) -> bool:
    return fields.text(name, "").lower() in ("true", "t", "1", "yes")
