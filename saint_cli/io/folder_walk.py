"""What paths lead to, found out without opening them, so that none can block; and walks through folders."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from saint_cli.io.regular_files import SPECIAL_FILE


def explain_unusable(path: Path) -> str:
    """Why a directory entry is no file that could be opened, without opening it; "" if it is one."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "broken link" if path.is_symlink() else "gone since the folder was listed"
    except OSError as error:
        return f"that cannot be opened, {(error.strerror or type(error).__name__).lower()}"
    return "" if stat.S_ISREG(mode) else SPECIAL_FILE


def identify_folder(folder: str | Path) -> tuple[int, int] | None:
    """Device and inode of a folder, the same however it was reached; None if it is gone or closed."""
    status = _status(folder)
    return None if status is None else (status.st_dev, status.st_ino)


def is_folder(path: Path) -> bool:
    """Whether there is a folder; False if that is unknown, as of a name that no file can have."""
    status = _status(path)
    return status is not None and stat.S_ISDIR(status.st_mode)


def is_file(path: Path) -> bool:
    """Whether there is a regular file; False if that is unknown."""
    status = _status(path)
    return status is not None and stat.S_ISREG(status.st_mode)


def is_there(path: Path) -> bool:
    """Whether anything is there; False if that is unknown, and for a broken link."""
    return _status(path) is not None


def explain_absence(path: Path) -> str:
    """Why there is nothing at a path."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return "no such file or folder"
    except OSError as error:
        return f"cannot be opened ({error.strerror or type(error).__name__})"
    return "was not there a moment ago"


def is_link(path: str | Path) -> bool:
    """Whether the last part of a path is a link; False if that is unknown."""
    return os.path.islink(path)  # noqa: PTH114 - which no name makes fail, however long


def resolve_path(path: Path) -> Path:
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
    root: Path, enter: Callable[[str, str], bool], on_error: Callable[[OSError], None]
) -> Iterator[tuple[str, list[str]]]:
    """Every folder below ``root`` before those in it, by name, each once and links followed, with what else is there.

    However deep folders are nested, nothing recurses. ``enter`` decides by a path and its last part whether to go into
    a folder; ``on_error`` gets the error of each that cannot be listed, or not to its end.
    """
    visited: set[tuple[int, int]] = set()
    waiting = [str(root)]
    while waiting:
        folder = waiting.pop()
        key = identify_folder(folder)
        if key in visited:
            continue
        if key is not None:
            visited.add(key)
        folders, others = _list_folder(folder, on_error)
        yield folder, others
        below = ((os.path.join(folder, name), name) for name in reversed(folders))  # noqa: PTH118 - millions of them
        waiting += [path for path, name in below if enter(path, name)]


def _list_folder(folder: str, on_error: Callable[[OSError], None]) -> tuple[list[str], list[str]]:
    """The names of folders, and of all else, in a folder; sorted."""
    folders: list[str] = []
    others: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                (folders if _leads_to_folder(entry) else others).append(entry.name)
    except OSError as error:
        error.filename = error.filename or folder  # the system names none where a listing breaks off
        on_error(error)
    return sorted(folders), sorted(others)


def _leads_to_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links in a circle, and denied access: a file that cannot be opened
        return False
