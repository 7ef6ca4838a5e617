"""The queue on disk: instances as files, the state of each series in a database; it survives a kill at any moment.

``queue.sqlite``, ``incoming/`` and ``series/NUMBER/`` with ``instances/`` and ``derived/``. No name is made of anything
that was received. An instance is written under ``incoming/``, flushed, renamed, and entered in the database, which is
flushed too: then it is acknowledged. What a kill leaves between these steps was not, and is removed at the next start.
"""

import itertools
import os
import shutil
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from saint_cli.errors import OutputError
from saint_cli.io.error_conversion import convert_os_errors
from saint_cli.node.database import Database
from saint_cli.node.disk_budget import DiskBudget
from saint_cli.node.incoming import IncomingFile
from saint_cli.node.queue_folder import DATABASE, check_folder, lock_folder, recover, series_folder, sync_folder
from saint_cli.node.records import OPEN, WITH_RESULT, Instance, QueuedSeries, Result, SeriesState

SELECT = """
SELECT number, uid AS series_uid, state, changes, tries, reason, derived_bytes, released AS is_released,
    COUNT(file) AS instances, SUM(CASE WHEN file IS NULL THEN 0 ELSE size END) AS size
FROM series LEFT JOIN instances ON series = number
"""
"""The fields of ``QueuedSeries``, but for its folder."""


class Spool:
    """The queue in a folder that no other node uses at the same time; all methods may be called by any thread.

    Raises:
        OutputError: the folder cannot be made or written, holds other files, is another node's, or is damaged.
    """

    def __init__(self, folder: Path, max_bytes: int, max_instance_bytes: int) -> None:
        self.folder, self._max_instance_bytes, self._arrived = folder, max_instance_bytes, itertools.count(1)
        with convert_os_errors(folder, "written", OutputError):
            check_folder(folder)
            for place in (folder, folder / "incoming", folder / "series"):
                place.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = lock_folder(folder)
            self.budget = DiskBudget(folder, max_bytes)
            for left in (folder / "incoming").iterdir():
                left.unlink()
            try:
                self._database = Database(folder / DATABASE)
                self.budget.add(recover(folder / "series", self._database))
            except sqlite3.Error as error:
                raise OutputError(
                    f"{folder / DATABASE}: cannot be used ({error}); repair it, or move the whole folder away"
                ) from None

    def open_file(self, *_: Any, **__: Any) -> IncomingFile:
        """A new file for an instance to arrive in; the arguments are those of ``NamedTemporaryFile``."""
        path = self.folder / "incoming" / f"{next(self._arrived)}.part"
        return IncomingFile(path, self.budget, self._max_instance_bytes)

    def add_instance(self, file: IncomingFile, series_uid: str, sop_uid: str) -> QueuedSeries:
        """Take over a file that arrived; when this returns it is on disk, with its name and its row.

        The same instance again is kept once; with other content it replaces the former. A series that waits, is
        computed or failed is received again; of one that is sent or ended, a new series of the queue begins.

        Raises:
            OSError, sqlite3.Error: it could not be stored; nothing of it remains.
        """
        file.sync()
        target: Path | None = None
        try:
            with self._database.change() as connection:
                number = self._find_open(connection, series_uid)
                series = self.get(number)
                old = self._read_instances("series = ? AND sop_uid = ?", number, sop_uid).get(sop_uid)
                is_same = old is not None and old.digest == file.digest
                if not is_same:
                    target = series.source_folder / f"{series.changes + 1:06d}.dcm"
                    _store(connection, file, target, number, sop_uid)
                if not is_same or series.state is SeriesState.FAILED:
                    connection.execute(
                        "UPDATE series SET state = ?, changes = changes + 1, released = 0, tries = 0, not_before = 0, "
                        "changed = ? WHERE number = ?",
                        (SeriesState.RECEIVING, time.time(), number),
                    )
        except BaseException:
            if target is not None:
                target.unlink(missing_ok=True)
            raise
        if target is not None:
            file.keep()
            if old is not None and old.file is not None:
                (series.source_folder / old.file).unlink(missing_ok=True)
                self.budget.add(-old.size)
        return self.get(number)

    def _find_open(self, connection: sqlite3.Connection, series_uid: str) -> int:
        """The number of the series of the queue that takes instances of a series; a new one where there is none."""
        last = connection.execute(
            "SELECT number, state FROM series WHERE uid = ? ORDER BY number DESC LIMIT 1", (series_uid,)
        ).fetchone()
        if last is not None and last["state"] in OPEN:
            return int(last["number"])
        values = (series_uid, SeriesState.RECEIVING, time.time())
        added = connection.execute("INSERT INTO series (uid, state, changed) VALUES (?, ?, ?)", values)
        number = int(added.lastrowid or 0)
        folder = self._folder_of(number)
        (folder / "instances").mkdir(mode=0o700, parents=True, exist_ok=True)
        for changed in (folder, folder.parent):
            sync_folder(changed)
        return number

    def get(self, number: int) -> QueuedSeries:
        """A series.

        Raises:
            KeyError: there is none of this number.
        """
        found = self._select("number = ?", number)
        if not found:
            raise KeyError(number)
        return found[0]

    def list_series(self, *states: SeriesState) -> list[QueuedSeries]:
        """Series in these states, or all, oldest first."""
        return self._select(_is_one_of(states), *states) if states else self._select("TRUE")

    def list_expired(self, *states: SeriesState, before: float, on_disk: bool) -> list[QueuedSeries]:
        """Series that came into one of these states before a time (s since 1970), with files on disk or without."""
        return self._select(f"{_is_one_of(states)} AND changed <= ? AND on_disk = ?", *states, before, on_disk)

    def list_earlier(self, series: QueuedSeries) -> list[QueuedSeries]:
        """Those of the same received series that came before this one, oldest first."""
        return self._select("uid = ? AND number < ?", series.series_uid, series.number)

    def find_receiving(self, series_uid: str) -> QueuedSeries | None:
        """The series of the queue that is being received of a series."""
        return next(iter(self._select("uid = ? AND state = ?", series_uid, SeriesState.RECEIVING)), None)

    def _select(self, condition: str, *values: object) -> list[QueuedSeries]:
        """The series for which an SQL condition holds, oldest first."""
        query = f"{SELECT} WHERE {condition} GROUP BY number ORDER BY number"
        return [self._make_series(dict(row)) for row in self._database.read(query, *values)]

    def _make_series(self, row: dict[str, Any]) -> QueuedSeries:
        row |= {"state": SeriesState(row["state"]), "is_released": bool(row["is_released"])}
        return QueuedSeries(folder=self._folder_of(row["number"]), **row)

    def list_instances(self, number: int) -> dict[str, Instance]:
        """The instances of a series by their UIDs, those that were removed from disk too."""
        return self._read_instances("series = ?", number)

    def _read_instances(self, condition: str, *values: object) -> dict[str, Instance]:
        query = f"SELECT sop_uid, series, digest, file, size FROM instances WHERE {condition}"
        return {uid: Instance(*rest) for uid, *rest in self._database.read(query, *values)}

    def find_on_disk(self, sop_uids: Sequence[str]) -> set[str]:
        """Those of the instances whose files are on disk."""
        query = "SELECT 1 FROM instances WHERE sop_uid = ? AND file IS NOT NULL LIMIT 1"
        return {uid for uid in sop_uids if self._database.read(query, uid)}

    def count_states(self) -> dict[SeriesState, int]:
        """How many series are in each state."""
        counts = dict.fromkeys(SeriesState, 0)
        for row in self._database.read("SELECT state, COUNT(*) AS count FROM series GROUP BY state"):
            counts[SeriesState(row["state"])] = row["count"]
        return counts

    def set_released(self, series_uids: Sequence[str]) -> None:
        """Note that the associations of these series ended in order."""
        values = [(uid, SeriesState.RECEIVING) for uid in series_uids]
        with self._database.change() as connection:
            connection.executemany("UPDATE series SET released = 1 WHERE uid = ? AND state = ?", values)

    def claim(self, before: SeriesState, after: SeriesState) -> QueuedSeries | None:
        """Move the oldest series that waits in one state to another; None where none may be tried now.

        For one thread at a time: what is in the second state already was given up by an unforeseen failure.
        """
        query = "SELECT number FROM series WHERE state = ? AND not_before <= ? ORDER BY number LIMIT 1"
        with self._database.change() as connection:
            connection.execute("UPDATE series SET state = ? WHERE state = ?", (before, after))
            row = connection.execute(query, (before, time.time())).fetchone()
            if row is None:
                return None
            connection.execute("UPDATE series SET state = ? WHERE number = ?", (after, row["number"]))
            return self.get(row["number"])

    def finish(self, series: QueuedSeries, result: Result) -> bool:
        """Write what became of a series; False, and nothing is written, where it changed in the meantime.

        Derived files that are of no use in the new state are removed.
        """
        now, derived = time.time(), 0
        if result.state in WITH_RESULT:
            derived = series.derived_bytes if result.derived_bytes is None else result.derived_bytes
        not_before = now + result.delay_s if result.delay_s else 0
        with self._database.change() as connection:
            changed = connection.execute(
                "UPDATE series SET state = ?, reason = ?, derived_bytes = ?, tries = ?, not_before = ?, changed = ? "
                "WHERE number = ? AND state = ? AND changes = ?",
                (
                    *(result.state, result.reason, derived, result.tries, not_before, now),
                    *(series.number, series.state, series.changes),
                ),
            ).rowcount
        if not changed:
            return False
        self.budget.add(derived - series.derived_bytes)
        if result.state not in WITH_RESULT:
            shutil.rmtree(series.derived_folder, ignore_errors=True)
        return True

    def copy_instances(self, target: QueuedSeries, chosen: Mapping[str, Instance]) -> None:
        """Add instances of other series of the queue to one, but not those that it has by now.

        chosen: by their UIDs; their files are on disk.

        Raises:
            OSError, sqlite3.Error: they cannot be added.
        """
        rows = []
        for uid, instance in chosen.items():
            name = f"{instance.series}-{instance.file}"
            (target.source_folder / name).unlink(missing_ok=True)
            os.link(self._folder_of(instance.series) / "instances" / str(instance.file), target.source_folder / name)
            rows.append((target.number, uid, instance.digest, name, instance.size))
        sync_folder(target.source_folder)
        with self._database.change() as connection:
            query = "INSERT OR IGNORE INTO instances VALUES (?, ?, ?, ?, ?)"
            added = [connection.execute(query, row).rowcount == 1 for row in rows]
        for (*_, name, size), is_added in zip(rows, added, strict=True):
            if is_added:
                self.budget.add(size)
            else:  # came again since it was looked for
                (target.source_folder / name).unlink(missing_ok=True)

    def remove_files(self, series: QueuedSeries) -> None:
        """Remove the files of a series that ended; what its instances were is remembered."""
        query = "UPDATE series SET derived_bytes = 0, on_disk = 0 WHERE number = ? AND on_disk = 1"
        with self._database.change() as connection:
            connection.execute("UPDATE instances SET file = NULL WHERE series = ?", (series.number,))
            removed = connection.execute(query, (series.number,))
        shutil.rmtree(series.folder, ignore_errors=True)
        if removed.rowcount:
            self.budget.add(-series.size - series.derived_bytes)

    def forget(self, series: QueuedSeries) -> None:
        """Remove a series that ended, with its files, from disk and database; not one that is received again."""
        with self._database.change() as connection:
            values = (series.number, series.state, series.changes)
            gone = connection.execute("DELETE FROM series WHERE number = ? AND state = ? AND changes = ?", values)
        if gone.rowcount:
            shutil.rmtree(series.folder, ignore_errors=True)
            self.budget.add(-series.size - series.derived_bytes)

    def close(self) -> None:
        """Leave the folder to another node."""
        self._database.close()
        os.close(self._lock)

    def _folder_of(self, number: int) -> Path:
        return series_folder(self.folder / "series", number)


def _store(connection: sqlite3.Connection, file: IncomingFile, target: Path, number: int, sop_uid: str) -> None:
    """Give a file its name, and enter it."""
    file.path.rename(target)
    sync_folder(target.parent)
    connection.execute(
        "INSERT OR REPLACE INTO instances (series, sop_uid, digest, file, size) VALUES (?, ?, ?, ?, ?)",
        (number, sop_uid, file.digest, target.name, file.size),
    )


def _is_one_of(states: Sequence[SeriesState]) -> str:
    """The condition in SQL."""
    return f"state IN ({', '.join('?' * len(states))})"
