"""What NRRD and MetaImage headers have in common: lines of text, and fields with numbers."""

import math
from pathlib import Path

from saint_cli.errors import UnreadableError
from saint_cli.io.decompress import convert_damage, open_unpacked
from saint_cli.io.formats import Format
from saint_cli.io.length_units import quote_text

MAX_HEADER_BYTES = 1 << 20
"""Bytes of text read before a file is refused as having no end of header."""

MAX_DIMENSIONS = 16
"""NRRD's own limit; MetaImage has 10."""

MAX_COUNT = 1 << 62
"""No axis, and no file, is longer."""


def read_lines(path: Path, last: str) -> tuple[list[str], int]:
    """The lines of a text header, and the byte at which it ends.

    An empty line ends the header, or one that starts with ``last`` (in lower case) if that is not empty.

    Raises:
        UnreadableError: the header is longer than ``MAX_HEADER_BYTES``, or cannot be read.
    """
    lines: list[str] = []
    end = 0
    with convert_damage(path), open_unpacked(path) as file:
        while raw := file.readline(MAX_HEADER_BYTES + 1 - end):
            end += len(raw)
            if end > MAX_HEADER_BYTES:
                raise UnreadableError(f"{path}: the header does not end within {MAX_HEADER_BYTES} bytes; it is damaged")
            line = _decode_line(raw)
            if not last and not line.strip():
                break
            lines.append(line)
            if last and line.lower().lstrip("\ufeff \t").startswith(last):
                break
    return lines, end


def read_trailing_lines(path: Path, start: int) -> list[str]:
    """The lines behind a detached header, from byte ``start`` on: names of data files."""
    with convert_damage(path), open_unpacked(path) as file:
        file.read(start)
        return [_decode_line(raw) for raw in file.read(MAX_HEADER_BYTES).split(b"\n")]


def _decode_line(raw: bytes) -> str:
    return raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "surrogateescape")


class Fields:
    """Fields of a text header by their names in lower case, and their values as numbers; errors name file and field.

    outside_data: whether the data files that they name may lie outside the header's folder.
    """

    def __init__(self, path: Path, file_format: Format, values: dict[str, str], *, outside_data: bool) -> None:
        self.path, self.file_format, self.values, self.outside_data = path, file_format, values, outside_data

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def text(self, name: str, default: str | None = None) -> str:
        """The value of a field as it is written, stripped."""
        value = self.values.get(name, default)
        if value is None:
            raise UnreadableError(
                f"{self.path}: the {self.file_format.value} header has no field {name}; it is damaged"
            )
        return value.strip()

    def damage_error(self, name: str) -> UnreadableError:
        """The error of a field whose value cannot be understood."""
        value = quote_text(self.values.get(name, ""))
        return UnreadableError(f"{self.path}: the {self.file_format.value} header's {name} is {value}; it is damaged")

    def integers(self, name: str, count: int, *, default: str | None = None) -> list[int]:
        """The first ``count`` whole numbers of a field."""
        words = self.text(name, default).split()[:count]
        if len(words) < count or any(not _is_whole(word) for word in words):
            raise self.damage_error(name)
        return [int(word) for word in words]

    def numbers(self, name: str, count: int) -> list[float]:
        """The first ``count`` numbers of a field; not-a-number and infinity are numbers here."""
        words = self.text(name).split()[:count]
        if len(words) < count:
            raise self.damage_error(name)
        return [self.number(name, word) for word in words]

    def number(self, name: str, word: str) -> float:
        """One number out of a field."""
        try:
            return float(word) if word.isascii() and "_" not in word else float("x")
        except ValueError:
            raise self.damage_error(name) from None

    def sizes(self, name: str, count: int) -> tuple[int, ...]:
        """Numbers of voxels, each at least 1, whose product is one that a file can have."""
        sizes = self.integers(name, count)
        if min(sizes) < 1 or math.prod(sizes) > MAX_COUNT:
            raise self.damage_error(name)
        return tuple(sizes)

    def dimension(self, name: str) -> int:
        """The number of axes."""
        (count,) = self.integers(name, 1)
        if not 1 <= count <= MAX_DIMENSIONS:
            raise self.damage_error(name)
        return count


def _is_whole(word: str) -> bool:
    digits = word[1:] if word[:1] in "+-" else word
    return digits.isascii() and digits.isdigit() and len(digits) < 19
