"""Voxels that are written as text: numbers in decimal, or bytes in hexadecimal."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from saint_cli.errors import UnreadableError
from saint_cli.io.decompress import MAX_TRAILING_BYTES
from saint_cli.io.label_maps import iterate_values
from saint_cli.io.volume_header import Encoding, Payload

TEXT_BLOCK = 1 << 18
"""Bytes of text that are turned into numbers at a time."""

MAX_MEAN_LENGTH = 64
"""Characters that a number takes at most on average, blanks beside it counted."""

MAX_NUMBER_LENGTH = 400
"""Characters: the largest double has 309 digits before its point."""


def read_numbers(path: Path, file: BinaryIO, payload: Payload, count: int) -> Iterator[np.ndarray]:
    """The first ``count`` stored values of a text, block by block, in the byte order of the file.

    Raises:
        UnreadableError: the text ends early, or holds something else than numbers that fit the type.
    """
    done = 0
    text = _blocks(path, file, MAX_TRAILING_BYTES + MAX_MEAN_LENGTH * count * payload.dtype.itemsize)
    if payload.encoding is Encoding.HEX:
        parsed = iterate_values(_hex_bytes(path, text, payload.dtype), payload.dtype, count)
    else:
        parsed = _decimal_values(path, text, payload.dtype, count)
    for values in parsed:
        done += len(values)
        yield values
    if done < count:
        raise UnreadableError(f"{path}: file is truncated: expected {count} numbers of voxels, got {done}")


def _blocks(path: Path, file: BinaryIO, most: int) -> Iterator[bytes]:
    """The text block by block.

    Raises:
        UnreadableError: it goes on for more than ``most`` bytes.
    """
    while block := file.read(TEXT_BLOCK):
        most -= len(block)
        if most < 0:
            raise UnreadableError(f"{path}: the text of the voxels is mostly empty; the file is damaged")
        yield block


def _hex_bytes(path: Path, text: Iterator[bytes], dtype: np.dtype) -> Iterator[bytes]:
    rest = b""
    for block in text:
        digits = b"".join((rest + block).split())
        even = len(digits) // 2 * 2
        rest = digits[even:]
        try:
            data = bytes.fromhex(digits[:even].decode("ascii"))
        except ValueError:
            raise _not_numbers(path, dtype) from None
        if data:
            yield data


def _decimal_values(path: Path, text: Iterator[bytes], dtype: np.dtype, count: int) -> Iterator[np.ndarray]:
    done, rest = 0, b""
    for block in text:
        joint = rest + block
        end = 1 + max(joint.rfind(mark) for mark in (b" ", b"\n", b"\t", b"\r", b","))
        whole, rest = joint[:end], joint[end:]
        if len(rest) > MAX_NUMBER_LENGTH:
            raise _not_numbers(path, dtype)
        values = _parse(path, whole, dtype)[: count - done]
        done += len(values)
        if len(values):
            yield values
        if done >= count:
            return
    if done < count and rest:
        yield _parse(path, rest, dtype)[: count - done]


def _parse(path: Path, text: bytes, dtype: np.dtype) -> np.ndarray:
    words = text.replace(b",", b" ").split()
    try:
        if max(map(len, words), default=0) > MAX_NUMBER_LENGTH:
            raise ValueError
        if dtype.kind == "f":
            return np.array(words, dtype=np.float64).astype(dtype)
        return np.array([_whole_number(word) for word in words], dtype=dtype)
    except (ValueError, OverflowError):
        raise _not_numbers(path, dtype) from None


def _not_numbers(path: Path, dtype: np.dtype) -> UnreadableError:
    return UnreadableError(f"{path}: the voxels are not text of numbers that fit {dtype.name}; damaged")


def _whole_number(word: bytes) -> int:
    """A whole number, which writers of text may give a decimal point."""
    if word.lstrip(b"+-").isdigit() and len(word) < 32:
        return int(word)
    number = float(word)
    if not number.is_integer():
        raise ValueError(word)
    return int(number)
