"""Voxels of NIfTI files, read by their declared length: what the header claims is what the file must hold."""

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from saint_cli.coding import Coding
from saint_cli.errors import UnreadableError
from saint_cli.io import labels, packed
from saint_cli.io.nifti_header import NiftiHeader, read_header
from saint_cli.io.nifti_place import UNKNOWN_SPACE
from saint_cli.io.scaling import unscale
from saint_cli.volume import Header, Volume

BLOCK = 1 << 24
"""Bytes read or skipped at a time."""


def read(path: Path, volume: int | None = None) -> Volume:
    """Read a NIfTI volume; ``volume`` chooses, from 1, of a 4-D file.

    Raises:
        UsageError: no such volume.
        UnreadableError: not NIfTI, truncated, corrupt, a colour or complex image, or half of a pair.
        GeometryError: not a 3-D volume of at least two slices along every axis, or placed nowhere.
    """
    header = read_header(path, volume)
    check_length(header)
    stored = _read_voxels(header)
    voxels, storage = unscale(stored, header.storage)
    code = header.space_code or UNKNOWN_SPACE
    scaled = storage.dtype.kind in "iu" and not storage.is_identity
    codings = (Coding.of_dtype(storage.dtype, storage.slope, storage.intercept),) if scaled else ()
    told = Header(None, "NIfTI", storage, code, header.warnings, codings=codings, is_labels=header.is_labels)
    return Volume(voxels, header.affine_lps, told)


def count_labels(header: NiftiHeader) -> int:
    """Number of distinct values if the voxels look like labels, else 0; of an image, few voxels are read.

    A file that is damaged where it is read counts as an image: ``read`` tells what is wrong with it.
    """
    dtype, storage = header.storage.dtype, header.storage

    def values() -> Iterator[np.ndarray]:
        with packed.naming_damage(header.data), packed.open_unpacked(header.data) as file:
            _skip(file, header.offset)
            chunks = iter(partial(file.read, labels.BLOCK), b"")
            for stored in labels.joined(chunks, dtype, math.prod(header.shape)):
                yield stored if storage.is_identity else stored * storage.slope + storage.intercept

    try:
        return labels.count_in(values())
    except UnreadableError:
        return 0


def check_length(header: NiftiHeader) -> None:
    """Refuse a header that claims more bytes than its file can hold, before anything is allocated."""
    need = header.offset + math.prod(header.shape) * header.storage.dtype.itemsize
    size = header.data.stat().st_size
    kind = packed.packing(header.data)
    if kind is not packed.Packing.NONE:
        if need > size * kind.most_ratio:
            raise UnreadableError(f"{header.data}: the header claims {need} bytes, more than its {size} can unpack to")
    elif need > size:
        raise UnreadableError(f"{header.data}: file is truncated: expected {need} bytes, got {size}")


def _read_voxels(header: NiftiHeader) -> np.ndarray:
    """Stored values [x, y, z] in native byte order; a packed file is read to its end, to test its checksum."""
    count = math.prod(header.shape)
    stored = np.empty(count, dtype=header.storage.dtype)
    target = memoryview(stored.data).cast("B")
    done = 0
    with packed.naming_damage(header.data), packed.open_unpacked(header.data) as file:
        _skip(file, header.offset)
        while done < len(target) and (step := file.readinto(target[done : done + BLOCK])):  # type: ignore[attr-defined]
            done += step
        while file.read(BLOCK):
            pass
    if done < len(target):
        raise UnreadableError(f"{header.data}: file is truncated: expected {len(target)} bytes of voxels, got {done}")
    if not stored.dtype.isnative:
        stored = stored.byteswap(inplace=True).view(stored.dtype.newbyteorder("="))
    return stored.reshape(header.shape, order="F")


def _skip(file: BinaryIO, count: int) -> None:
    while count > 0 and (got := len(file.read(min(count, BLOCK)))):
        count -= got
