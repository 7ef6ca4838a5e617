"""The database of the queue: which series there are, where each is, and the instances of each."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS series (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    uid TEXT NOT NULL,
    state TEXT NOT NULL,
    changes INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    derived_bytes INTEGER NOT NULL DEFAULT 0,
    released INTEGER NOT NULL DEFAULT 0,
    on_disk INTEGER NOT NULL DEFAULT 1,
    changed REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS series_by_uid ON series (uid);
CREATE INDEX IF NOT EXISTS series_by_state ON series (state);
CREATE TABLE IF NOT EXISTS instances (
    series INTEGER NOT NULL REFERENCES series (number) ON DELETE CASCADE,
    sop_uid TEXT NOT NULL,
    digest TEXT NOT NULL,
    file TEXT,
    size INTEGER NOT NULL,
    PRIMARY KEY (series, sop_uid)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS instances_by_uid ON instances (sop_uid);
"""
"""not_before: time (s since 1970) before which a series is not tried again. changed: that of its last change of state.
on_disk: whether it has files. released: whether the association that brought its last instance ended in order.
file: name in ``instances/``, NULL once it was removed."""

VERSION = 1

WAL_PAGES = 100
"""Of 4 KiB, after which what was written goes to the database proper: little, for it must fit a disk that is full."""


class Database:
    """A connection that threads share; what a ``with database.change()`` block writes is on disk when it ends."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its other files the same mode
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self._connection.row_factory = sqlite3.Row
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            f"wal_autocheckpoint = {WAL_PAGES}",
        ):
            self._connection.execute(f"PRAGMA {pragma}")
        found = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, VERSION):
            raise sqlite3.DatabaseError(f"made by another version of saint (format {found}, not {VERSION})")
        self._connection.executescript(SCHEMA)
        self._connection.execute(f"PRAGMA user_version = {VERSION}")

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """A transaction, on disk when the block ends; undone where it raises.

        Raises:
            sqlite3.Error: it cannot be written.
        """
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def read(self, query: str, *values: object) -> list[sqlite3.Row]:
        """The rows of a query."""
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()
