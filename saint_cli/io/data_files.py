"""Files that a detached header names: found beside it, and only ever regular files."""

import os
import re
import stat
from pathlib import Path

from saint_cli.errors import UnreadableError
from saint_cli.io.units import shown

NUMBERED = re.compile(r"(?P<name>.*%[0 +-]{0,3}\d{0,3}[du].*?)(?P<range>(?:\s+[+-]?\d{1,9}){0,4})\s*")
"""``slice%03d.raw 1 20 1``: a printf pattern, then first, last, step, and for NRRD how many axes each file holds."""

CONVERSION = re.compile(r"%[0 +-]{0,3}\d{0,3}[du]")

MOST_FILES = 1 << 16

LONGEST_PATTERN = 4096
"""As long as a path may be."""


def find(header: Path, name: str) -> Path:
    """The data file ``name`` of a header, with or without the blanks around it.

    Raises:
        UnreadableError: missing, or not a regular file.
    """
    for spelling in dict.fromkeys((name, name.lstrip(), name.strip())):
        path = header.parent / spelling
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError):
            continue
        if stat.S_ISREG(mode):
            return path
        if spelling:
            raise UnreadableError(f"{header}: its data file {spelling} is not a regular file")
    name = name.strip()
    told = name if name.isprintable() and len(name) <= 255 else shown(name)
    raise UnreadableError(f"{header}: its data file {told} is missing; put it beside the header")


def exists(header: Path, name: str) -> bool:
    """Whether there is a regular file of this very name."""
    try:
        return (header.parent / name.strip()).is_file()
    except (OSError, ValueError):
        return False


def find_all(header: Path, names: list[str]) -> tuple[Path, ...]:
    """The data files of a list, empty lines passed over; errors as for ``find``."""
    kept = [name for name in names if name.strip()]
    if not kept or len(kept) > MOST_FILES:
        raise UnreadableError(f"{header}: its list of data files has {len(kept)} lines; it is damaged")
    return tuple(find(header, name) for name in kept)


def numbered(header: Path, pattern: str, last: int | None = None) -> tuple[list[str], int] | None:
    """Names that a pattern with its range stands for, and the axes per file (0 if not told); None if it is no pattern.

    Without a range it runs from 1 to ``last``; without ``last`` it is no pattern then.

    Raises:
        UnreadableError: the range holds no files, or too many.
    """
    found = NUMBERED.fullmatch(pattern) if len(pattern) <= LONGEST_PATTERN else None
    given = [int(word) for word in found["range"].split()] if found else []
    if found is None or (last is None and len(given) < 3):
        return None
    low, high, step, axes = (*given, *(1, last or 1, 1, 0)[len(given) :])
    count = (high - low) // step + 1 if step else 0
    if not 1 <= count <= MOST_FILES:
        raise UnreadableError(f"{header}: its pattern of data files {shown(pattern)} stands for no files")
    numbers = (low + step * index for index in range(count))
    return [CONVERSION.sub(lambda hit, n=n: hit[0] % n, found["name"], count=1) for n in numbers], axes


def warnings(header: Path, files: tuple[Path, ...]) -> tuple[str, ...]:
    """A sentence if voxels are read from beside the header's folder."""
    folder = os.path.abspath(header.parent)  # noqa: PTH100 - as written: links, as of DataLad, lead anywhere
    outside = [f for f in files if os.path.commonpath([folder, os.path.abspath(f)]) != folder]  # noqa: PTH100
    return (f"the voxels are read from {outside[0]}, outside the header's folder",) if outside else ()
