"""Files that a detached header names: found in its folder or below, and only ever regular files."""

import re
import stat
from pathlib import Path

from saint_cli.errors import UnreadableError
from saint_cli.io.length_units import quote_text

NUMBERED = re.compile(r"(?P<name>.*%[0 +-]{0,3}\d{0,3}[du].*?)(?P<range>(?:\s+[+-]?\d{1,9}){0,4})\s*")
"""``slice%03d.raw 1 20 1``: a printf pattern, then first, last, step, and for NRRD how many axes each file holds."""

CONVERSION = re.compile(r"%[0 +-]{0,3}\d{0,3}[du]")

MAX_FILES = 1 << 14

MAX_PATTERN_LENGTH = 4096
"""As long as a path may be."""


def find_data_file(header: Path, name: str, *, outside: bool) -> Path:
    """The data file ``name`` of a header, with or without the blanks around it.

    outside: whether it may lie elsewhere than in the header's folder or below it.

    Raises:
        UnreadableError: missing, not a regular file, or outside without leave.
    """
    if not outside and not _leads_below(name.strip()):
        raise _outside_error(header, name)
    for spelling in dict.fromkeys((name, name.lstrip(), name.strip())):
        path = header.parent / spelling
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError):
            continue
        check_inside(header, path, outside=outside)
        if stat.S_ISREG(mode):
            return path
        if spelling:
            raise UnreadableError(f"{header}: its data file {spelling} is not a regular file")
    raise UnreadableError(f"{header}: its data file {_quote_name(name)} is missing; put it beside the header")


def check_inside(header: Path, path: Path, *, outside: bool) -> None:
    """Refuse a file that a link leads to outside the folder of ``header``, unless it may be there.

    Raises:
        UnreadableError: it is outside.
    """
    homes = (header.parent.resolve(), header.resolve().parent)  # of a header that is a link, both
    if not outside and not any(path.resolve().is_relative_to(home) for home in homes):
        raise _outside_error(header, str(path.relative_to(header.parent)))


def _leads_below(name: str) -> bool:
    """Whether a name leads nowhere but below its folder, links apart."""
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts


def _outside_error(header: Path, name: str) -> UnreadableError:
    return UnreadableError(
        f"{header}: its data file {_quote_name(name)} lies outside the header's folder; put it beside the header (of "
        "git-annex and DataLad: unlock it), or, if you trust the header, pass `outside_data=True`"
    )


def _quote_name(name: str) -> str:
    name = name.strip()
    return name if name.isprintable() and len(name) <= 255 else quote_text(name)


def has_data_file(header: Path, name: str) -> bool:
    """Whether there is a regular file of this very name, in the header's folder or below it."""
    try:
        return _leads_below(name.strip()) and (header.parent / name.strip()).is_file()
    except (OSError, ValueError):
        return False


def find_data_files(header: Path, names: list[str], *, outside: bool) -> tuple[Path, ...]:
    """The data files of a list, without empty lines; errors as for ``find_data_file``."""
    kept = [name for name in names if name.strip()]
    if not kept or len(kept) > MAX_FILES:
        raise UnreadableError(f"{header}: its list of data files has {len(kept)} lines; it is damaged")
    return tuple(find_data_file(header, name, outside=outside) for name in kept)


def expand_file_pattern(header: Path, pattern: str, last: int | None = None) -> tuple[list[str], int] | None:
    """Names that a pattern with its range stands for, and the axes per file (0 if unknown); None if it is no pattern.

    Without a range it runs from 1 to ``last``; without ``last`` it is no pattern then.

    Raises:
        UnreadableError: the range holds no files, or too many.
    """
    match = NUMBERED.fullmatch(pattern) if len(pattern) <= MAX_PATTERN_LENGTH else None
    numbers = [int(word) for word in match["range"].split()] if match else []
    if match is None or (last is None and len(numbers) < 3):
        return None
    low, high, step, axes = (*numbers, *(1, last or 1, 1, 0)[len(numbers) :])
    count = (high - low) // step + 1 if step else 0
    if not 1 <= count <= MAX_FILES:
        raise UnreadableError(f"{header}: its pattern of data files {quote_text(pattern)} stands for no files")
    numbered = range(low, low + step * count, step)
    return [CONVERSION.sub(lambda hit, n=n: hit[0] % n, match["name"], count=1) for n in numbered], axes
