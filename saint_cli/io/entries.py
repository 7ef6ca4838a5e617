"""Entries of directories as they are met on a walk, told without opening them, so that none can block."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from saint_cli.files import NO_FILE


def explain_unusable(path: Path) -> str:
    """Why a directory entry is no file that could be opened, without opening it; "" if it is one."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "broken link" if path.is_symlink() else "gone since the folder was listed"
    except OSError as error:
        return f"that cannot be opened, {(error.strerror or type(error).__name__).lower()}"
    return "" if stat.S_ISREG(mode) else NO_FILE


def identity(folder: str | Path) -> tuple[int, int] | None:
    """What tells a folder from all others, however it was reached; None if it is gone or closed."""
    found = _status(folder)
    return None if found is None else (found.st_dev, found.st_ino)


def is_folder(path: Path) -> bool:
    """Whether there is a folder; no where that cannot be found out, as of a name that no file can have."""
    found = _status(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def is_file(path: Path) -> bool:
    """Whether there is a regular file; no where that cannot be found out."""
    found = _status(path)
    return found is not None and stat.S_ISREG(found.st_mode)


def is_there(path: Path) -> bool:
    """Whether anything is there; no where that cannot be found out, and of a broken link."""
    return _status(path) is not None


def explain_absence(path: Path) -> str:
    """Why a path leads to nothing that could be looked at."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return "no such file or folder"
    except OSError as error:
        return f"cannot be opened ({error.strerror or type(error).__name__})"
    return "was not there a moment ago"


def is_link(path: str | Path) -> bool:
    """Whether the last part of a path is a link; no where that cannot be found out."""
    return os.path.islink(path)  # noqa: PTH114 - which no name makes fail, however long


def real_path(path: Path) -> Path:
    """The whole path without links; as it is written where it leads nowhere, as of links in a circle."""
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError):
        return path.absolute()


def _status(path: str | Path) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 - of text too: a path object of a thousand folders takes a millisecond
    except (OSError, ValueError):
        return None


def walk_folders(
    root: Path, enter: Callable[[str, str], bool], on_closed: Callable[[OSError], None]
) -> Iterator[tuple[str, list[str]]]:
    """Every folder below ``root`` before those in it, by name, each once and links followed, with what else is there.

    However deep folders are nested, nothing recurses. ``enter`` says of a path and its last part whether to go into a
    folder; ``on_closed`` is told of each that cannot be listed, or not to its end.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [str(root)]
    while waiting:
        folder = waiting.pop()
        key = identity(folder)
        if key in seen:
            continue
        if key is not None:
            seen.add(key)
        folders, others = _list_folder(folder, on_closed)
        yield folder, others
        below = ((os.path.join(folder, name), name) for name in reversed(folders))  # noqa: PTH118 - millions of them
        waiting += [path for path, name in below if enter(path, name)]


def _list_folder(folder: str, on_closed: Callable[[OSError], None]) -> tuple[list[str], list[str]]:
    """The names of folders, and of all else, in a folder; sorted."""
    folders: list[str] = []
    others: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                (folders if _leads_to_folder(entry) else others).append(entry.name)
    except OSError as error:
        error.filename = error.filename or folder  # the system names none where a listing breaks off
        on_closed(error)
    return sorted(folders), sorted(others)


def _leads_to_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links in a circle, and what cannot be looked at: told as a file that cannot be opened
        return False
