"""The folder of a queue: whether it is one, the lock of the node that uses it, and its names flushed to disk."""

import fcntl
import os
from pathlib import Path

from saint_cli.errors import OutputError

DATABASE = "queue.sqlite"


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to disk.

    Raises:
        OSError: they cannot be.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_folder(folder: Path) -> None:
    """Refuse a folder that is no queue and not empty, for what is not of the queue would be removed.

    Raises:
        OutputError: it holds other files.
        OSError: it cannot be listed.
    """
    if (folder / DATABASE).exists() or not folder.exists():
        return
    for entry in folder.iterdir():
        is_of_a_start = entry.name in ("incoming", "series") and entry.is_dir() and not any(entry.iterdir())
        if not is_of_a_start and entry.name not in ("lock", "worker.lock", "lost+found"):
            raise OutputError(f"{folder}: holds other files, and no {DATABASE}; name a new or an empty folder")


def lock_folder(folder: Path) -> int:
    """Take the lock of a folder, which ends with the process; its descriptor.

    Raises:
        OutputError: another node has it.
    """
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise OutputError(f"{folder}: another saint serve uses it; stop that one, or choose another folder") from None
    return descriptor
