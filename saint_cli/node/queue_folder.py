"""The folder of a queue: its lock, its names flushed to disk, and what a node that was killed left in it."""

import fcntl
import os
import shutil
from pathlib import Path

from saint_cli.errors import OutputError
from saint_cli.node.database import Database
from saint_cli.node.records import INTERRUPTED, WITH_RESULT, SeriesState

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


def series_folder(folder: Path, number: int) -> Path:
    """The folder of a series of the queue."""
    return folder / f"{number:06d}"


def recover(folder: Path, database: Database) -> int:
    """Go on where a node was that was killed: make files and rows agree; the bytes of all files that remain.

    folder: with a folder for each series. Files without a row were not acknowledged and are removed, and so are those
    whose removal was not finished; rows without a file, as after somebody removed it, too, so that the instance is
    taken again, for which every series gets its folder back.

    Raises:
        OSError, sqlite3.Error: they cannot be read or changed.
    """
    with database.change() as connection:
        for before, after in INTERRUPTED.items():
            connection.execute("UPDATE series SET state = ? WHERE state = ?", (after, before))
        connection.execute("UPDATE series SET derived_bytes = 0 WHERE state NOT IN (?, ?, ?)", WITH_RESULT)
    rows = database.read("SELECT number, state, derived_bytes FROM series WHERE on_disk = 1")
    known = {series_folder(folder, row["number"]).name: row for row in rows}
    for place in folder.iterdir():
        if place.name not in known:
            shutil.rmtree(place, ignore_errors=True)
    used = 0
    for name, row in known.items():
        (folder / name / "instances").mkdir(mode=0o700, parents=True, exist_ok=True)
        used += _recover_files(folder / name / "instances", database, row["number"])
        if SeriesState(row["state"]) in WITH_RESULT:
            used += row["derived_bytes"]
        else:
            shutil.rmtree(folder / name / "derived", ignore_errors=True)
    return used


def _recover_files(folder: Path, database: Database, number: int) -> int:
    """Make the files and rows of one series agree; the bytes of its files."""
    rows = database.read("SELECT sop_uid, file, size FROM instances WHERE series = ? AND file IS NOT NULL", number)
    present = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    for name in present - {row["file"] for row in rows}:
        (folder / name).unlink()
    lost = [(number, row["sop_uid"]) for row in rows if row["file"] not in present]
    if lost:
        with database.change() as connection:
            connection.executemany("DELETE FROM instances WHERE series = ? AND sop_uid = ?", lost)
    return sum(row["size"] for row in rows if row["file"] in present)
