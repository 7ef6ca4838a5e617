"""Voxels of NIfTI files, read by their declared length: what the header claims is what the file must hold."""

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from saint_cli import memory
from saint_cli.coding import Coding
from saint_cli.errors import UnreadableError
from saint_cli.io import labels, limits, packed
from saint_cli.io.file_stamps import unchanged
from saint_cli.io.limits import ReadLimits
from saint_cli.io.nifti_header import NiftiHeader, read_header
from saint_cli.io.nifti_place import UNKNOWN_SPACE
from saint_cli.io.scaling import unscale
from saint_cli.volume import Header, Storage, Volume

BLOCK = 1 << 24
"""Bytes read at a time."""


def read(path: Path, volume: int | None = None, allowed: ReadLimits = limits.DEFAULT) -> Volume:
    """Read a NIfTI volume; ``volume`` chooses, from 1, of a 4-D file.

    Raises:
        UsageError: no such volume, or too little memory for it.
        UnreadableError: not NIfTI, truncated, corrupt, a colour or complex image, or half of a pair.
        GeometryError: not a 3-D volume of at least two slices along every axis, or placed nowhere.
    """
    header = read_header(path, volume, outside_data=allowed.outside_data)
    with unchanged([header.data]):
        check_length(header)
        limits.check_packed(path, header.offset + size(header), packed_size(header))
        memory.check_voxels(path, size(header), allowed.max_memory)
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
            file.seek(header.offset)
            chunks = iter(partial(file.read, labels.BLOCK), b"")
            for stored in labels.joined(chunks, dtype, math.prod(header.shape)):
                yield stored if storage.is_identity else _scaled(stored, storage)

    try:
        return labels.count_in(values(), labels.MOST_VOXELS)
    except UnreadableError:
        return 0


def _scaled(stored: np.ndarray, storage: Storage) -> np.ndarray:
    """Scanner values, infinite where they overflow: they are compared with each other, and nothing else."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(stored * storage.slope + storage.intercept)


def check_length(header: NiftiHeader) -> None:
    """Refuse a header that claims more bytes than its file can hold, before anything is allocated."""
    need = header.offset + size(header)
    got = header.data.stat().st_size
    kind = packed.packing(header.data)
    if kind is not packed.Packing.NONE:
        if need > got * kind.most_ratio:
            raise UnreadableError(f"{header.data}: the header claims {need} bytes, more than its {got} can unpack to")
    elif need > got:
        raise UnreadableError(f"{header.data}: file is truncated: expected {need} bytes, got {got}; copy it again")


def size(header: NiftiHeader) -> int:
    """Bytes of the voxels as they are stored."""
    return math.prod(header.shape) * header.storage.dtype.itemsize


def packed_size(header: NiftiHeader) -> int | None:
    """Bytes of a packed file; None of a file that is not packed."""
    return None if packed.packing(header.data) is packed.Packing.NONE else header.data.stat().st_size


def _read_voxels(header: NiftiHeader) -> np.ndarray:
    """Stored values [x, y, z] in native byte order; a packed file is read to its end, to test its checksum."""
    count = math.prod(header.shape)
    stored = np.empty(count, dtype=header.storage.dtype)
    target = memoryview(stored.data).cast("B")
    done = 0
    with packed.naming_damage(header.data), packed.open_unpacked(header.data) as file:
        file.seek(header.offset)
        while done < len(target) and (step := file.readinto(target[done : done + BLOCK])):  # type: ignore[attr-defined]
            done += step
        packed.finish(file, header.data, (header.volumes - 1) * len(target))
    if done < len(target):
        raise UnreadableError(f"{header.data}: file is truncated: expected {len(target)} bytes of voxels, got {done}")
    if not stored.dtype.isnative:
        stored = stored.byteswap(inplace=True).view(stored.dtype.newbyteorder("="))
    return stored.reshape(header.shape, order="F")
