"""What NRRD and MetaImage headers have in common: the lines of text, the image they describe, where its voxels lie."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np

from saint_cli.errors import UnreadableError
from saint_cli.io.packed import Packing, naming_damage, open_unpacked
from saint_cli.io.sniff import Format
from saint_cli.io.units import shown

LONGEST_HEADER = 1 << 20
"""Bytes of text read before a file is refused as having no end of header."""

MOST_DIMENSIONS = 16
"""NRRD's own limit; MetaImage has 10."""

LARGEST_COUNT = 1 << 62
"""No axis, and no file, is longer."""


class Encoding(Enum):
    """How voxels are written; the compressed ones with their :class:`~saint_cli.io.packed.Packing`."""

    RAW = Packing.NONE
    GZIP = Packing.GZIP
    BZIP2 = Packing.BZIP2
    TEXT = "text"
    HEX = "hex"


@dataclass(frozen=True)
class Payload:
    """Where the voxels of a NRRD or MetaImage volume lie.

    files: in order, each with an equal part of the voxels. start: byte at which they begin in each file (for one
    that is packed as a whole, header and all, after unpacking it). dtype: in the file's byte order. line_skip: lines
    passed over from there. byte_skip: bytes passed over of what ``encoding`` unpacks to; -n means that n - 1 bytes
    follow the voxels. outer: how the file is packed as a whole.
    """

    files: tuple[Path, ...]
    start: int
    dtype: np.dtype
    encoding: Encoding
    line_skip: int = 0
    byte_skip: int = 0
    outer: Packing = Packing.NONE

    @property
    def inner(self) -> Packing:
        """How the voxels are packed."""
        return self.encoding.value if isinstance(self.encoding.value, Packing) else Packing.NONE

    @property
    def is_packed(self) -> bool:
        """Whether the files may be shorter than their voxels."""
        return self.inner is not Packing.NONE or self.outer is not Packing.NONE


@dataclass(frozen=True)
class ImageHeader:
    """The header of a NRRD or MetaImage volume, checked.

    shape: number of voxels along x, y, z. affine_lps: 4x4 float64, mm. payload: where the voxels are.
    is_labels: its header lists segments, as 3D Slicer writes them.
    volumes: how many the file holds, each of ``shape``; more than one cannot be read, but described.
    """

    format: Format
    shape: tuple[int, int, int]
    affine_lps: np.ndarray
    payload: Payload
    warnings: tuple[str, ...]
    is_labels: bool = False
    volumes: int = 1

    @property
    def dtype(self) -> np.dtype:
        """Type of the stored voxels, in this machine's byte order."""
        return self.payload.dtype.newbyteorder("=")


def read_lines(path: Path, last: str) -> tuple[list[str], int]:
    """The lines of a text header, and the byte at which it ends.

    An empty line ends the header, or one that starts with ``last`` (in lower case) if that is not empty.

    Raises:
        UnreadableError: the header is longer than ``LONGEST_HEADER``, or cannot be read.
    """
    lines: list[str] = []
    end = 0
    with naming_damage(path), open_unpacked(path) as file:
        while raw := file.readline(LONGEST_HEADER + 1 - end):
            end += len(raw)
            if end > LONGEST_HEADER:
                raise UnreadableError(f"{path}: the header does not end within {LONGEST_HEADER} bytes; it is damaged")
            line = _decoded(raw)
            if not last and not line.strip():
                break
            lines.append(line)
            if last and line.lower().lstrip("\ufeff \t").startswith(last):
                break
    return lines, end


def read_behind(path: Path, start: int) -> list[str]:
    """The lines behind a detached header, from byte ``start`` on: names of data files."""
    with naming_damage(path), open_unpacked(path) as file:
        file.read(start)
        return [_decoded(raw) for raw in file.read(LONGEST_HEADER).split(b"\n")]


def _decoded(raw: bytes) -> str:
    return raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "surrogateescape")


class Fields:
    """Fields of a text header by their names in lower case, and their values as numbers; errors name file and field.

    outside_data: whether the data files that they name may lie outside the header's folder.
    """

    def __init__(self, path: Path, form: Format, values: dict[str, str], *, outside_data: bool = False) -> None:
        self.path, self.form, self.values, self.outside_data = path, form, values, outside_data

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def text(self, name: str, default: str | None = None) -> str:
        """The value of a field as it is written, stripped."""
        value = self.values.get(name, default)
        if value is None:
            raise UnreadableError(f"{self.path}: the {self.form.value} header has no field {name}; it is damaged")
        return value.strip()

    def damaged(self, name: str) -> UnreadableError:
        """The error of a field whose value cannot be understood."""
        value = shown(self.values.get(name, ""))
        return UnreadableError(f"{self.path}: the {self.form.value} header's {name} is {value}; it is damaged")

    def integers(self, name: str, count: int, *, default: str | None = None) -> list[int]:
        """The first ``count`` whole numbers of a field."""
        words = self.text(name, default).split()[:count]
        if len(words) < count or any(not _is_whole(word) for word in words):
            raise self.damaged(name)
        return [int(word) for word in words]

    def numbers(self, name: str, count: int) -> list[float]:
        """The first ``count`` numbers of a field; not-a-number and infinity are numbers here."""
        words = self.text(name).split()[:count]
        if len(words) < count:
            raise self.damaged(name)
        return [self.number(name, word) for word in words]

    def number(self, name: str, word: str) -> float:
        """One number out of a field."""
        try:
            return float(word) if word.isascii() and "_" not in word else float("x")
        except ValueError:
            raise self.damaged(name) from None

    def sizes(self, name: str, count: int) -> tuple[int, ...]:
        """Numbers of voxels, each at least 1, whose product is one that a file can have."""
        sizes = self.integers(name, count)
        if min(sizes) < 1 or math.prod(sizes) > LARGEST_COUNT:
            raise self.damaged(name)
        return tuple(sizes)

    def dimension(self, name: str) -> int:
        """The number of axes."""
        (count,) = self.integers(name, 1)
        if not 1 <= count <= MOST_DIMENSIONS:
            raise self.damaged(name)
        return count


def _is_whole(word: str) -> bool:
    digits = word[1:] if word[:1] in "+-" else word
    return digits.isascii() and digits.isdigit() and len(digits) < 19


def without_last_ones(sizes: Sequence[int]) -> tuple[int, ...]:
    """Sizes without axes of length one beyond the third."""
    shape = list(sizes)
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    return tuple(shape)
