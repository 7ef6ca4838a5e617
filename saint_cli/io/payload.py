"""Voxels of NRRD and MetaImage files in every encoding, bounded by what the files can hold."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from saint_cli.errors import UnreadableError
from saint_cli.io.image_header import Encoding, ImageHeader, Payload
from saint_cli.io.labels import joined
from saint_cli.io.packed import BLOCK, naming_damage, unpack

TEXT_BLOCK = 1 << 20
"""Bytes of text that are turned into numbers at a time."""


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
    for path in payload.files:
        try:
            size = path.stat().st_size
        except OSError as error:
            raise UnreadableError(f"{path}: cannot be opened ({error.strerror or error})") from None
        if payload.is_packed:
            if need > size * payload.inner.most_ratio * payload.outer.most_ratio:
                raise UnreadableError(f"{path}: the header claims {need} bytes, more than its {size} can unpack to")
            continue
        whole = need + payload.start + (payload.byte_skip if payload.byte_skip >= 0 else -1 - payload.byte_skip)
        if whole > size:
            raise UnreadableError(f"{path}: file is truncated: expected {whole} bytes, got {size}; copy it again")


def read_voxels(header: ImageHeader) -> np.ndarray:
    """Stored values [x, y, z], in this machine's byte order; packed data are read to their checksums.

    Raises:
        UnreadableError: truncated or corrupt.
    """
    check_length(header)
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
    if payload.byte_skip < 0 or payload.encoding in (Encoding.TEXT, Encoding.HEX):
        yield read_voxels(header).ravel(order="F")
        return
    for path in payload.files:
        with naming_damage(path), _open(path, payload) as file:
            _skip(file, payload.byte_skip)
            blocks = iter(partial(file.read, BLOCK), b"")
            yield from joined(blocks, payload.dtype, math.prod(header.shape) // len(payload.files))


def _read_part(path: Path, payload: Payload, target: np.ndarray) -> None:
    skip = payload.byte_skip
    if skip < 0:
        behind = -1 - skip
        skip = _length(path, payload) - target.nbytes - behind
        if skip < 0:
            raise UnreadableError(f"{path}: file is truncated: {-skip} bytes of voxels are missing; copy it again")
    with naming_damage(path), _open(path, payload) as file:
        _skip(file, skip)
        if payload.encoding in (Encoding.TEXT, Encoding.HEX):
            _read_text(path, file, payload.encoding, target)
            return
        got = _fill(memoryview(target.view("u1").data), file)
        while payload.is_packed and file.read(BLOCK):  # to the checksum
            pass
    if got < target.nbytes:
        raise UnreadableError(f"{path}: file is truncated: expected {target.nbytes} bytes of voxels, got {got}")


@contextmanager
def _open(path: Path, payload: Payload) -> Iterator[BinaryIO]:
    """What the voxels unpack to, from the first byte behind the header and the lines to pass over."""
    with path.open("rb") as packed:
        file = unpack(packed, payload.outer)
        _skip(file, payload.start)
        for _ in range(payload.line_skip):
            if not _skip_line(file):
                break
        yield unpack(file, payload.inner)


def _length(path: Path, payload: Payload) -> int:
    """Bytes of voxels and what lies before and behind them, after unpacking."""
    with naming_damage(path), _open(path, payload) as file:
        count = 0
        while block := file.read(BLOCK):
            count += len(block)
        return count


def _fill(target: memoryview, file: BinaryIO) -> int:
    done = 0
    while done < len(target) and (step := file.readinto(target[done : done + 16 * BLOCK])):  # type: ignore[attr-defined]
        done += step
    return done


def _skip(file: BinaryIO, count: int) -> None:
    while count > 0 and (got := len(file.read(min(count, BLOCK)))):
        count -= got


def _skip_line(file: BinaryIO) -> bool:
    while line := file.readline(BLOCK):
        if line.endswith(b"\n"):
            return True
    return False


def _read_text(path: Path, file: BinaryIO, encoding: Encoding, target: np.ndarray) -> None:
    """Numbers in decimal, or bytes in hexadecimal, until the target is full."""
    done, rest = 0, b""
    view = target if encoding is Encoding.TEXT else target.view("u1")
    while done < len(view) and (block := file.read(TEXT_BLOCK)):
        text, rest = _whole(rest + block, encoding)
        values = _values(path, text, encoding, view.dtype)[: len(view) - done]
        view[done : done + len(values)] = values
        done += len(values)
    if done < len(view) and rest:
        values = _values(path, rest, encoding, view.dtype)[: len(view) - done]
        view[done : done + len(values)] = values
        done += len(values)
    if done < len(view):
        word = "numbers" if encoding is Encoding.TEXT else "bytes"
        raise UnreadableError(f"{path}: file is truncated: expected {len(view)} {word} of voxels, got {done}")


def _whole(text: bytes, encoding: Encoding) -> tuple[bytes, bytes]:
    """Text up to the last word or byte that is certainly whole, and the rest."""
    if encoding is Encoding.HEX:
        digits = b"".join(text.split())
        even = len(digits) // 2 * 2
        return digits[:even], digits[even:]
    end = max(text.rfind(mark) for mark in (b" ", b"\n", b"\t", b"\r", b","))
    if end < 0 and len(text) > TEXT_BLOCK:
        end = len(text) - 1  # no number is so long; it is refused as a word
    return text[: end + 1], text[end + 1 :]


def _values(path: Path, text: bytes, encoding: Encoding, dtype: np.dtype) -> np.ndarray:
    try:
        if encoding is Encoding.HEX:
            return np.frombuffer(bytes.fromhex(text.decode("ascii")), dtype=np.uint8)
        words = text.replace(b",", b" ").split()
        if dtype.kind == "f":
            return np.array(words, dtype=np.float64).astype(dtype)
        return np.array([_whole_number(word) for word in words], dtype=dtype)
    except (ValueError, OverflowError):
        raise UnreadableError(f"{path}: the voxels are not text of numbers that fit {dtype.name}; damaged") from None


def _whole_number(word: bytes) -> int:
    """A whole number, which writers of text may give a decimal point."""
    if word.lstrip(b"+-").isdigit() and len(word) < 32:
        return int(word)
    number = float(word)
    if not number.is_integer():
        raise ValueError(word)
    return int(number)
