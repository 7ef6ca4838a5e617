"""The queue on disk: instances as files, the state of each series in a database; it survives a kill at any moment.

``queue.sqlite``, ``incoming/`` and ``series/NUMBER/`` with ``instances/`` and ``derived/``. No name is made of anything
that was received. An instance is written under ``incoming/``, flushed, renamed, and entered in the database, which is
flushed too: then it is acknowledged. What a kill leaves between these steps was not, and is removed at the next start.
"""

import os
import shutil
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from saint_cli.errors import OutputError
from saint_cli.io.error_conversion import convert_os_errors
from saint_cli.node import recovery
from saint_cli.node.database import Database
from saint_cli.node.disk_budget import DiskBudget
from saint_cli.node.incoming import IncomingFile, IncomingFolder
from saint_cli.node.queue_folder import DATABASE, check_folder, lock_folder, sync_folder
from saint_cli.node.records import OPEN, Instance, QueuedSeries, Result, SeriesState

SELECT = """
SELECT series.*, COUNT(instances.file) AS instances, TOTAL(CASE WHEN file IS NULL THEN 0 ELSE size END) AS size
FROM series LEFT JOIN instances ON instances.series = series.number
"""


class Spool:
    """The queue in a folder that no other node uses at the same time; all methods may be called by any thread.

    Raises:
        OutputError: the folder cannot be made or written, holds other files, is another node's, or is damaged.
    """

    def __init__(self, folder: Path, max_bytes: int, max_instance_bytes: int) -> None:
        self.folder = folder
        with convert_os_errors(folder, "written", OutputError):
            check_folder(folder)
            for place in (folder, folder / "incoming", folder / "series"):
                place.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = lock_folder(folder)
            self.budget = DiskBudget(folder, max_bytes)
            self.incoming = IncomingFolder(folder / "incoming", self.budget, max_instance_bytes)
            try:
                self._database = Database(folder / DATABASE)
                self.budget.add(recovery.recover(folder / "series", self._database))
            except sqlite3.Error as error:
                raise OutputError(
                    f"{folder / DATABASE}: cannot be used ({error}); repair it, or move the whole folder away"
                ) from None

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
                old = self._find_instance(number, sop_uid)
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
                self._remove(series.source_folder / old.file, old.size)
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

    def _remove(self, file: Path, size: int) -> None:
        file.unlink(missing_ok=True)
        self.budget.add(-size)

    def get(self, number: int) -> QueuedSeries:
        """A series.

        Raises:
            KeyError: there is none of this number.
        """
        rows = self._database.read(f"{SELECT} WHERE series.number = ? GROUP BY series.number", number)
        if not rows:
            raise KeyError(number)
        return self._make_series(rows[0])

    def list_series(self, *states: SeriesState) -> list[QueuedSeries]:
        """Series in these states, or all, oldest first."""
        states = states or tuple(SeriesState)
        marks = ", ".join("?" * len(states))
        query = f"{SELECT} WHERE state IN ({marks}) GROUP BY series.number ORDER BY series.number"
        return [self._make_series(row) for row in self._database.read(query, *states)]

    def list_instances(self, number: int) -> dict[str, Instance]:
        """The instances of a series by their UIDs, those that were removed from disk too."""
        rows = self._database.read("SELECT sop_uid, digest, file, size FROM instances WHERE series = ?", number)
        return {row["sop_uid"]: Instance(row["digest"], row["file"], row["size"]) for row in rows}

    def _find_instance(self, number: int, sop_uid: str) -> Instance | None:
        query = "SELECT digest, file, size FROM instances WHERE series = ? AND sop_uid = ?"
        rows = self._database.read(query, number, sop_uid)
        return Instance(*rows[0]) if rows else None

    def list_earlier(self, series: QueuedSeries, *states: SeriesState) -> list[QueuedSeries]:
        """Those in these states of the same received series that came before this one, oldest first."""
        found = self._database.read("SELECT number FROM series WHERE uid = ? ORDER BY number", series.series_uid)
        earlier = [self.get(row["number"]) for row in found if row["number"] < series.number]
        return [one for one in earlier if one.state in states]

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

    def list_expired(self, *states: SeriesState, before: float, on_disk: bool) -> list[QueuedSeries]:
        """Series that came into one of these states before a time (s since 1970), with files on disk or without."""
        marks = ", ".join("?" * len(states))
        query = f"{SELECT} WHERE state IN ({marks}) AND changed <= ? AND on_disk = ? GROUP BY series.number"
        return [self._make_series(row) for row in self._database.read(query, *states, before, on_disk)]

    def find_receiving(self, series_uid: str) -> QueuedSeries | None:
        """The series of the queue that is being received of a series."""
        query = f"{SELECT} WHERE uid = ? AND state = ? GROUP BY series.number"
        rows = self._database.read(query, series_uid, SeriesState.RECEIVING)
        return self._make_series(rows[0]) if rows else None

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
        """Write what became of a series; False, and nothing is written, where it changed in the meantime."""
        now = time.time()
        derived = series.derived_bytes if result.derived_bytes is None else result.derived_bytes
        values = (
            *(result.state, result.reason, result.error_class, result.rule or series.rule, derived),
            *(result.tries, now + result.delay_s if result.delay_s else 0, now),
        )
        with self._database.change() as connection:
            changed = connection.execute(
                "UPDATE series SET state = ?, reason = ?, error_class = ?, rule = ?, derived_bytes = ?, tries = ?, "
                "not_before = ?, changed = ? WHERE number = ? AND state = ? AND changes = ?",
                (*values, series.number, series.state, series.changes),
            )
        if changed.rowcount:
            self.budget.add(derived - series.derived_bytes)
        return bool(changed.rowcount)

    def copy_instances(self, source: QueuedSeries, target: QueuedSeries, chosen: Mapping[str, Instance]) -> None:
        """Add instances of one series of the queue to another, but not those that it has by now.

        chosen: by their UIDs.

        Raises:
            OSError, sqlite3.Error: they cannot be added.
        """
        rows = []
        for uid, instance in chosen.items():
            assert instance.file is not None
            name = f"{source.number}-{instance.file}"
            (target.source_folder / name).unlink(missing_ok=True)
            os.link(source.source_folder / instance.file, target.source_folder / name)
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
        return recovery.series_folder(self.folder / "series", number)

    def _make_series(self, row: sqlite3.Row) -> QueuedSeries:
        names = ("number", "changes", "tries", "not_before", "reason", "error_class", "rule", "changed", "instances")
        return QueuedSeries(
            folder=self._folder_of(row["number"]),
            series_uid=row["uid"],
            state=SeriesState(row["state"]),
            size=int(row["size"]),
            derived_bytes=row["derived_bytes"],
            is_released=bool(row["released"]),
            **{name: row[name] for name in names},
        )


def _store(connection: sqlite3.Connection, file: IncomingFile, target: Path, number: int, sop_uid: str) -> None:
    """Give a file its name, and enter it."""
    file.path.rename(target)
    sync_folder(target.parent)
    connection.execute(
        "INSERT OR REPLACE INTO instances (series, sop_uid, digest, file, size) VALUES (?, ?, ?, ?, ?)",
        (number, sop_uid, file.digest, target.name, file.size),
    )
