"""Voxels of NRRD and MetaImage files in every encoding, bounded by what the files can hold."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from saint_cli import memory
from saint_cli.errors import UnreadableError
from saint_cli.files import open_regular
from saint_cli.io import limits
from saint_cli.io.image_header import Encoding, ImageHeader, Payload
from saint_cli.io.labels import joined
from saint_cli.io.limits import ReadLimits
from saint_cli.io.packed import BLOCK, MOST_BEHIND, finish, naming_damage, unpack
from saint_cli.io.text_voxels import read_numbers

MOST_SKIPPED = 1 << 30
"""Bytes of packed data before the voxels, which have to be unpacked to be passed over."""


def check_length(header: ImageHeader) -> None:
    """Refuse a header that claims more voxels than its files can hold, before anything is allocated.

    Raises:
        UnreadableError: a file is too short, or cannot be opened.
    """
    payload = header.payload
    count = math.prod(header.shape) // len(payload.files)
    need = {Encoding.TEXT: 2 * count - 1, Encoding.HEX: 2 * count * payload.dtype.itemsize}.get(
        payload.encoding, count * payload.dtype.itemsize
    )
    whole = need + payload.start + (payload.byte_skip if payload.byte_skip >= 0 else -1 - payload.byte_skip)
    for path, size in zip(payload.files, _file_sizes(payload), strict=True):
        if payload.is_packed:
            skipped = max(payload.start, payload.byte_skip)
            if skipped > MOST_SKIPPED:
                raise UnreadableError(f"{path}: the header skips {skipped} bytes of packed data; it is damaged")
            if whole > size * payload.inner.most_ratio * payload.outer.most_ratio:
                raise UnreadableError(f"{path}: the header claims {whole} bytes, more than its {size} can unpack to")
        elif whole > size:
            raise UnreadableError(f"{path}: file is truncated: expected {whole} bytes, got {size}; copy it again")


def _file_sizes(payload: Payload) -> list[int]:
    sizes = []
    for path in payload.files:
        try:
            sizes.append(path.stat().st_size)
        except OSError as error:
            raise UnreadableError(f"{path}: cannot be opened ({error.strerror or error})") from None
    return sizes


def stored_size(header: ImageHeader) -> int:
    """Bytes of the voxels of one volume as they are held in memory."""
    return math.prod(header.shape) * header.payload.dtype.itemsize


def packed_size(header: ImageHeader) -> int | None:
    """Bytes of packed files, a file that is listed several times counted as often; None of what is not packed."""
    return sum(_file_sizes(header.payload)) if header.payload.is_packed else None


def read_voxels(header: ImageHeader, allowed: ReadLimits = limits.DEFAULT) -> np.ndarray:
    """Stored values [x, y, z], in this machine's byte order; packed data are read to their checksums.

    Raises:
        UnreadableError: truncated or corrupt.
        UsageError: too little memory for them.
    """
    check_length(header)
    limits.check_packed(header.payload.files[0], stored_size(header), packed_size(header))
    memory.check_voxels(header.payload.files[0], stored_size(header), allowed.max_memory)
    payload, count = header.payload, math.prod(header.shape)
    stored = np.empty(count, dtype=payload.dtype)
    part = count // len(payload.files)
    for index, path in enumerate(payload.files):
        _read_part(path, payload, stored[index * part : (index + 1) * part])
    if not stored.dtype.isnative:
        stored = stored.byteswap(inplace=True).view(header.dtype)
    return stored.reshape(header.shape, order="F")


def stream_voxels(header: ImageHeader) -> Iterator[np.ndarray]:
    """Stored values in the order of x, block by block, in the byte order of the file.

    Raises:
        UnreadableError: truncated or corrupt, as far as it is read.
    """
    payload = header.payload
    part = math.prod(header.shape) // len(payload.files)
    for path in payload.files:
        with naming_damage(path), _open_voxels(path, payload, part * payload.dtype.itemsize) as file:
            if payload.encoding in (Encoding.TEXT, Encoding.HEX):
                yield from read_numbers(path, file, payload, part)
            else:
                yield from joined(iter(partial(file.read, BLOCK), b""), payload.dtype, part)


def _read_part(path: Path, payload: Payload, target: np.ndarray) -> None:
    with naming_damage(path), _open_voxels(path, payload, target.nbytes) as file:
        if payload.encoding in (Encoding.TEXT, Encoding.HEX):
            done = 0
            for values in read_numbers(path, file, payload, len(target)):
                target[done : done + len(values)] = values
                done += len(values)
            return
        got = _fill(memoryview(target.view("u1").data), file)
        if payload.is_packed:
            finish(file, path)
    if got < target.nbytes:
        raise UnreadableError(f"{path}: file is truncated: expected {target.nbytes} bytes of voxels, got {got}")


@contextmanager
def _open_voxels(path: Path, payload: Payload, size: int) -> Iterator[BinaryIO]:
    """What the voxels unpack to, from the first of their ``size`` bytes on; raises as :func:`_read_part`."""
    skip = payload.byte_skip
    if skip < 0:
        behind = -1 - skip
        skip = _length(path, payload, size + behind + MOST_BEHIND) - size - behind
        if skip < 0:
            raise UnreadableError(f"{path}: file is truncated: {-skip} bytes of voxels are missing; copy it again")
    with _open(path, payload) as file:
        file.seek(skip, 1)
        yield file


@contextmanager
def _open(path: Path, payload: Payload) -> Iterator[BinaryIO]:
    """What the voxels unpack to, from the first byte behind the header and the lines to pass over."""
    with open_regular(path) as packed:
        file = unpack(packed, payload.outer)
        file.seek(payload.start)
        left = MOST_BEHIND
        for _ in range(payload.line_skip):
            length = _skip_line(file, left)
            left -= length
            if not left:
                raise UnreadableError(f"{path}: the lines to skip take over {MOST_BEHIND >> 20} MB; it is damaged")
            if not length:
                break
        yield unpack(file, payload.inner)


def _length(path: Path, payload: Payload, most: int) -> int:
    """Bytes of voxels and what lies before and behind them, after unpacking.

    Raises:
        UnreadableError: a packed file holds more than ``most``.
    """
    with naming_damage(path), _open(path, payload) as file:
        if not payload.is_packed:
            return -file.tell() + file.seek(0, 2)
        count = 0
        while block := file.read(BLOCK):
            count += len(block)
            if count > most:
                raise UnreadableError(f"{path}: unpacks to over {most} bytes, far more than its voxels; it is damaged")
        return count


def _fill(target: memoryview, file: BinaryIO) -> int:
    done = 0
    while done < len(target) and (step := file.readinto(target[done : done + 16 * BLOCK])):  # type: ignore[attr-defined]
        done += step
    return done


def _skip_line(file: BinaryIO, most: int) -> int:
    """Go behind the next line, or ``most`` bytes of it; how many bytes that was."""
    done = 0
    while done < most and (line := file.readline(min(BLOCK, most - done))):
        done += len(line)
        if line.endswith(b"\n"):
            break
    return done
