"""Where paths lead, however they are spelled: links, hard links, bind mounts, ``..``, letters of either case."""

import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from saint_cli.errors import UsageError
from saint_cli.io.entries import identity

Place = tuple[int | str, ...]
"""Device and inode; of what does not exist yet those of the nearest folder above, then the names below it."""


def place_of(path: Path) -> Place:
    """What all spellings of a path have in common; of names that differ in case or accents alone, too."""
    real, below = os.path.realpath(path), list[str]()
    while True:
        try:
            about = os.stat(real)  # noqa: PTH116  (as text, which a loop of links leaves as it is)
            return (about.st_dev, about.st_ino, *reversed(below))
        except (OSError, ValueError):
            above, name = os.path.split(real)
            if above == real:
                return (real, *reversed(below))
            below.append(plain(name))
            real = above


def slot_of(path: Path) -> Place:
    """What all spellings of an entry of a folder have in common: hard links are entries of their own, and so are links.

    That which is written whole takes an entry, so that two of one slot would take each other's.
    """
    return (*place_of(Path(path).absolute().parent), plain(path.name))


def plain(name: str) -> str:
    """What spellings of a name have in common that some file systems take for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two paths are names of one file or folder."""
    return place_of(one) == place_of(other)


def lies_in(path: Path, folder: Path) -> bool:
    """Whether a path leads into a folder, or to the folder itself."""
    home, place = place_of(folder), place_of(path)
    return place[: len(home)] == home or any(identity(one) == home for one in _with_parents(os.path.realpath(path)))


def _with_parents(real: str) -> Iterator[str]:
    """A path without links and the folders above it, as text: a thousand path objects of a deep one take seconds."""
    yield real
    while (above := os.path.dirname(real)) != real:  # noqa: PTH120
        yield (real := above)


def check_distinct(outputs: Sequence[tuple[str, Path]], inputs: Mapping[Path, str]) -> None:
    """Refuse outputs that are inputs, or each other, under whatever name.

    outputs: what asks for each and names it, such as ``--figure a.png``; inputs: what is read, and what each is.

    Raises:
        UsageError: two are one file.
    """
    taken = {place_of(path): what for path, what in inputs.items()}
    for named, path in outputs:
        place = place_of(path)
        if place in taken:
            raise UsageError(f"{named} is {taken[place]}; name another file")
        taken[place] = f"also what {named.removesuffix(f' {path}')} names"
