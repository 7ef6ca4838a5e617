"""NRRD headers, versions 1 to 6, attached and detached, read and checked here: no native code sees them.

Source: Teem's "Definition of NRRD File Format". Where that leaves a choice, what ITK does with a file is done here.
"""

import math
import re
from pathlib import Path

import numpy as np

from saint_cli import geometry
from saint_cli.errors import GeometryError, UnreadableError
from saint_cli.errors.plain_text import format_count
from saint_cli.io.decompress import Packing, read_packing
from saint_cli.io.formats import Format
from saint_cli.io.itk import data_files
from saint_cli.io.itk.image_header import Fields, read_lines, read_trailing_lines
from saint_cli.io.itk.nrrd_placement import find_affine
from saint_cli.io.label_maps import format_layers
from saint_cli.io.length_units import quote_text
from saint_cli.io.result_text import find_result_warnings
from saint_cli.io.volume_header import Encoding, Payload, VolumeHeader
from saint_cli.io.voxel_checks import drop_unit_axes, require_volumes
from saint_cli.volume import Storage

VERSION = re.compile(r"NRRD000[1-6]|NRRD00\.01")

FIELDS = {
    *("content", "number", "type", "block size", "dimension", "space", "space dimension", "sizes", "spacings"),
    *("thicknesses", "axis mins", "axis maxs", "space directions", "centers", "kinds", "labels", "units", "min", "max"),
    *("old min", "old max", "endian", "encoding", "line skip", "byte skip", "sample units", "space units"),
    *("space origin", "measurement frame", "data file"),
}

SYNONYMS = {"centerings": "centers"} | {name.replace(" ", ""): name for name in FIELDS if " " in name}

DTYPES = {
    name: dtype
    for dtype, names in {
        "i1": "signed char|int8|int8_t",
        "u1": "uchar|unsigned char|uint8|uint8_t",
        "i2": "short|short int|signed short|signed short int|int16|int16_t",
        "u2": "ushort|unsigned short|unsigned short int|uint16|uint16_t",
        "i4": "int|signed int|int32|int32_t",
        "u4": "uint|unsigned int|uint32|uint32_t",
        "i8": "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t",
        "u8": "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t",
        "f4": "float",
        "f8": "double",
    }.items()
    for name in names.split("|")
}

ENCODINGS = {"raw": Encoding.RAW, "txt": Encoding.TEXT, "text": Encoding.TEXT, "ascii": Encoding.TEXT} | {
    "hex": Encoding.HEX,
    "gz": Encoding.GZIP,
    "gzip": Encoding.GZIP,
    "bz2": Encoding.BZIP2,
    "bzip2": Encoding.BZIP2,
}

DOMAIN_KINDS = ("domain", "space", "time", "???", "none")
"""Kinds of axes along which voxels lie; along any other lie several values of one voxel."""

MAX_SKIPPED_LINES = 1 << 16
"""Lines that may be skipped before the voxels."""

COLOURS = ("rgb-color", "hsv-color", "xyz-color", "rgba-color", "3-color", "4-color", "vector")


def read_nrrd_header(path: Path, *, allow_several: bool = False, outside_data: bool = False) -> VolumeHeader:
    """Read and check a NRRD header; with ``allow_several`` that of several volumes too, along an axis or a list.

    Raises:
        UnreadableError: damaged, of blocks, in an unknown encoding, of colours, or a data file is missing.
        GeometryError: not a 3-D volume of at least two slices along every axis, or placed nowhere.
    """
    fields, keys, behind, start = _read_fields(path, outside_data=outside_data)
    count = fields.dimension("dimension")
    sizes = fields.sizes("sizes", count)
    if len(fields.text("sizes").split()) > count:
        raise fields.damage_error("sizes")
    is_labels = any(key.startswith("segment0_") for key in keys)  # as 3D Slicer names them
    domain, listed = _domain_axes(fields, sizes, allow_several=allow_several, is_labels=is_labels)
    extent = drop_unit_axes([*(sizes[axis] for axis in domain), *((listed,) if len(domain) > 2 else ())])
    shape, volumes = require_volumes(extent, path, allow_several=allow_several)
    affine, warnings = find_affine(fields, domain, sizes)
    payload = _payload(fields, sizes, shape, behind, start)
    storage = Storage(payload.dtype.newbyteorder("="))
    warnings = (*warnings, *find_result_warnings([fields.values.get("content", ""), *keys.values()]))
    return VolumeHeader(Format.NRRD, affine, payload, storage, warnings, is_labels, volumes)


def _read_fields(path: Path, *, outside_data: bool) -> tuple[Fields, dict[str, str], list[str], int]:
    """Fields, keys (names in lower case) with their values, the lines behind the header, and where it ends."""
    lines, start = read_lines(path, "")
    if not lines or not VERSION.fullmatch(lines[0].strip()):
        word = quote_text(lines[0] if lines else "")
        raise UnreadableError(f"{path}: its first line is {word}, which is not a version of NRRD from 1 to 6")
    values: dict[str, str] = {}
    keys: dict[str, str] = {}
    behind: list[str] = []
    for number, line in enumerate(lines[1:], 1):
        name, separator, value = line.partition(":")
        name = " ".join(name.lower().split())
        if line.startswith("#"):
            continue
        if value.startswith("="):
            keys[name] = value.removeprefix("=")
            continue
        name = SYNONYMS.get(name, name)
        if not separator or name not in FIELDS:
            raise UnreadableError(
                f"{path}: line {number + 1} of the header is not a field of NRRD; the file is damaged"
            )
        if name in values:
            raise UnreadableError(f"{path}: the header gives {name} twice; remove one of the lines")
        values[name] = value.removeprefix(" ") if name == "data file" else value.strip()
        if name == "data file" and value.split()[:1] == ["LIST"]:
            behind = [*lines[number + 1 :], *read_trailing_lines(path, start)]
            break
    return Fields(path, Format.NRRD, values, outside_data=outside_data), keys, behind, start


def _domain_axes(
    fields: Fields, sizes: tuple[int, ...], *, allow_several: bool, is_labels: bool
) -> tuple[list[int], int]:
    """The axes along which voxels lie, and how many volumes are listed along others.

    Raises:
        UnreadableError: there are several values per voxel. GeometryError: one of the first three axes is time.
    """
    kinds = fields.text("kinds", "").lower().split() or ["???"] * len(sizes)
    if len(kinds) != len(sizes):
        raise fields.damage_error("kinds")
    for kind, size in zip(kinds, sizes, strict=True):
        if kind in DOMAIN_KINDS or size == 1:
            continue
        shape = geometry.format_shape(sizes)
        if kind == "complex":
            raise UnreadableError(f"{fields.path}: complex image, not a CT/MR volume; export its magnitude first")
        if kind in COLOURS:
            raise UnreadableError(f"{fields.path}: colour image or vectors ({shape}), not a CT/MR volume")
        if kind == "list" and allow_several:
            continue
        hint = f"{size} values per voxel, kind {quote_text(kind)}; split it into 3-D volumes first"
        if is_labels:
            hint = format_layers(size)
        raise UnreadableError(f"{fields.path}: {shape} image with {hint}")
    listed = math.prod(size for kind, size in zip(kinds, sizes, strict=True) if kind == "list")
    domain = [axis for axis, kind in enumerate(kinds) if kind in DOMAIN_KINDS]
    if any(kinds[axis] == "time" for axis in domain[:3]):
        shape = geometry.format_shape(sizes)
        hint = "time is no direction of a volume; save each time point as a volume of its own"
        raise GeometryError(f"{fields.path}: {shape} image, kinds {', '.join(kinds)}: {hint}")
    return domain, listed


def _payload(
    fields: Fields, sizes: tuple[int, ...], shape: tuple[int, int, int], behind: list[str], start: int
) -> Payload:
    encoding = ENCODINGS.get(fields.text("encoding").lower())
    if encoding is None:
        known = "raw, gzip, bzip2, text and hex"
        name = quote_text(fields.text("encoding"))
        raise UnreadableError(f"{fields.path}: NRRD encoding {name} is not supported; saint reads {known}")
    files, axes = _files(fields, sizes, behind)
    file_packing = read_packing(fields.path) if files == (fields.path,) else Packing.NONE
    start = start if files == (fields.path,) else 0
    if axes and (math.prod(sizes[axes:]) != len(files) if axes < len(sizes) else sizes[-1] % len(files)):
        counts = f"{format_count(len(files), 'data file')} for {geometry.format_shape(sizes)} voxels"
        raise UnreadableError(f"{fields.path}: {counts}; the header is damaged or files are missing from its list")
    line_skip = fields.integers("line skip", 1, default="0")[0]
    if not 0 <= line_skip <= MAX_SKIPPED_LINES:
        raise fields.damage_error("line skip")
    byte_skip = fields.integers("byte skip", 1, default="0")[0]
    if byte_skip < 0 and encoding in (Encoding.TEXT, Encoding.HEX):
        raise UnreadableError(f"{fields.path}: byte skip {byte_skip} in text is not supported; write it as raw")
    return Payload(files, start, _dtype(fields, encoding), shape, encoding, line_skip, byte_skip, file_packing)


def _files(fields: Fields, sizes: tuple[int, ...], behind: list[str]) -> tuple[tuple[Path, ...], int]:
    """The files that hold the voxels, and how many axes each of several holds; 0 for one file."""
    name = fields.values.get("data file")
    if name is None or name.strip().upper() == "LOCAL":
        return (fields.path,), 0
    words = name.split()
    if words[:1] == ["LIST"] and len(words) < 3:
        axes = int(words[1]) if words[1:] and words[1].isascii() and words[1].isdigit() and len(words[1]) < 3 else 0
        return data_files.find_data_files(fields.path, behind, outside=fields.outside_data), _part(fields, axes, sizes)
    if not data_files.has_data_file(fields.path, name):
        pattern = data_files.expand_file_pattern(fields.path, name)
        if pattern is not None:
            return data_files.find_data_files(fields.path, pattern[0], outside=fields.outside_data), _part(
                fields, pattern[1], sizes
            )
    return (data_files.find_data_file(fields.path, name, outside=fields.outside_data),), 0


def _part(fields: Fields, axes: int, sizes: tuple[int, ...]) -> int:
    """How many axes each of several files holds: all but the last unless the header says otherwise."""
    if not 0 <= axes <= len(sizes):
        raise fields.damage_error("data file")
    return axes or len(sizes) - 1


def _dtype(fields: Fields, encoding: Encoding) -> np.dtype:
    name = " ".join(fields.text("type").lower().split())
    if name == "block":
        raise UnreadableError(f"{fields.path}: NRRD of blocks, not a CT/MR volume")
    if name not in DTYPES:
        raise fields.damage_error("type")
    dtype = np.dtype(DTYPES[name])
    if dtype.itemsize == 1 or encoding is Encoding.TEXT:
        return dtype
    endian = fields.text("endian").lower()
    if endian not in ("little", "big"):
        raise fields.damage_error("endian")
    return dtype.newbyteorder("<" if endian == "little" else ">")
