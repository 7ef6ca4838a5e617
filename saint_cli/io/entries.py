"""Entries of directories as they are met on a walk, told without opening them, so that none can block."""

import stat
from pathlib import Path

NO_FILE = "pipe, socket or device"


def explain_unusable(path: Path) -> str:
    """Why a directory entry is no file that could be opened, without opening it; "" if it is one."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "broken link" if path.is_symlink() else "gone since the folder was listed"
    except OSError as error:
        return f"that cannot be opened, {(error.strerror or type(error).__name__).lower()}"
    return "" if stat.S_ISREG(mode) else NO_FILE


def identity(folder: Path) -> tuple[int, int] | None:
    """What tells a folder from all others, however it was reached; None if it is gone or closed."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
