"""Where paths lead, however they are spelled: links, hard links, bind mounts, ``..``, letters of either case."""

import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from saint_cli.errors import UsageError
from saint_cli.io.folder_walk import identify_folder

PathIdentity = tuple[int | str, ...]
"""Device and inode; of what does not exist yet those of the nearest folder above, then the names below it."""


def identify_path(path: Path) -> PathIdentity:
    """The same for all spellings of a path, and for names that differ in case or accents alone."""
    real, below = os.path.realpath(path), list[str]()
    while True:
        try:
            status = os.stat(real)  # noqa: PTH116  (as text, which a loop of links leaves as it is)
            return (status.st_dev, status.st_ino, *reversed(below))
        except (OSError, ValueError):
            above, name = os.path.split(real)
            if above == real:
                return (real, *reversed(below))
            below.append(fold_name(name))
            real = above


def identify_entry(path: Path) -> PathIdentity:
    """The same for all spellings of an entry of a folder; links and hard links are entries of their own.

    A complete file takes an entry, so two files of one entry would replace each other.
    """
    return (*identify_path(Path(path).absolute().parent), fold_name(path.name))


def fold_name(name: str) -> str:
    """The same for all spellings of a name that some file systems take for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two paths are names of one file or folder."""
    return identify_path(one) == identify_path(other)


def lies_in(path: Path, folder: Path) -> bool:
    """Whether a path leads into a folder, or to the folder itself."""
    home, place = identify_path(folder), identify_path(path)
    return place[: len(home)] == home or any(
        identify_folder(one) == home for one in _with_parents(os.path.realpath(path))
    )


def _with_parents(real: str) -> Iterator[str]:
    """A path without links and the folders above it, as text: a thousand path objects of a deep one take seconds."""
    yield real
    while (above := os.path.dirname(real)) != real:  # noqa: PTH120
        yield (real := above)


def check_distinct(outputs: Sequence[tuple[str, Path]], inputs: Mapping[Path, str]) -> None:
    """Refuse outputs that are inputs, or each other, under any name.

    outputs: what asks for each and names it, such as ``--figure a.png``; inputs: what is read, and a word for each.

    Raises:
        UsageError: two are one file.
    """
    taken = {identify_path(path): what for path, what in inputs.items()}
    for named, path in outputs:
        place = identify_path(path)
        if place in taken:
            raise UsageError(f"{named} is {taken[place]}; name another file")
        taken[place] = f"also what {named.removesuffix(f' {path}')} names"
