"""Files that come from outside are opened here, and only regular ones, so that nothing waits for ever."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from saint_cli.errors import UnreadableError

SPECIAL_FILE = "pipe, socket or device"
"""What a directory entry is that is neither a regular file nor a folder."""


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file, or a link to one, for reading.

    Pipes block whoever opens them, and some devices never end, so the entry is checked before it is opened, and again
    afterwards, for it may have been replaced in between.

    Raises:
        UnreadableError: a pipe, socket or device.
        OSError: missing, a folder, or it cannot be opened.
    """
    _check(path, path.stat().st_mode)
    file = open(path, "rb", opener=_open_at_once)  # noqa: SIM115 - Path.open knows no opener
    try:
        _check(path, os.fstat(file.fileno()).st_mode)
    except BaseException:
        file.close()
        raise
    return file


def _check(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a folder fails in the system's words
        raise UnreadableError(f"{path}: not a regular file but a {SPECIAL_FILE}; save its content to a file first")


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting for a writer, should the file have become a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
