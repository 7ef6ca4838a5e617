"""The folder of results keeps its own books: ``manifest.jsonl``, a lock, and receipts of jobs not yet in the manifest.

Receipts are written by workers, the manifest by the one process that holds the lock. A job leaves a receipt when it
begins and writes what came of it when it ends; its line in the manifest replaces the receipt. So a job that ended while
nobody was left to write the manifest is not lost, and a result without a record is known to be this batch's own.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from saint_cli.errors import OutputError, RemoteError
from saint_cli.io import partial
from saint_cli.io.atomic import complete_or_absent

MANIFEST = "manifest.jsonl"
HIDDEN = ".saint"
LOCK = "lock"
RECEIPTS = "receipts"

STALE_S = 3600.0
"""A partial file that nobody wrote to for so long belongs to nobody."""

Record = dict[str, Any]


@dataclass
class Books:
    """The last record of each target, and the targets that jobs of this folder wrote, or were at work on at the end."""

    latest: dict[str, Record] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)

    def add(self, record: Record) -> None:
        """Take in a record that is later than all before; what was done stays so when its source is out of reach."""
        if record["status"] in ("done", "begun"):
            self.written.add(record["target"])
        kept = self.latest.get(record["target"])
        passing = record["status"] == "failed" and (record.get("error") or {}).get("class") == RemoteError.__name__
        if record["status"] != "begun" and not (passing and kept is not None and kept["status"] == "done"):
            self.latest[record["target"]] = record


def read(home: Path) -> Books:
    """What the manifest and the receipts of a folder tell; lines that a crash tore are passed over.

    Raises:
        OutputError: the manifest cannot be read.
    """
    books = Books()
    try:
        lines = (home / MANIFEST).read_bytes().splitlines() if (home / MANIFEST).exists() else []
    except OSError as error:
        raise OutputError(f"{home / MANIFEST}: cannot be read ({error.strerror})") from None
    for record in (*map(_record, lines), *_receipts(home)):
        if record is not None:
            books.add(record)
    return books


def _receipts(home: Path) -> list[Record]:
    """What workers wrote of jobs that are not in the manifest."""
    found = (_record(path.read_bytes()) for path in sorted((home / HIDDEN / RECEIPTS).glob("*.json")))
    return [record for record in found if record is not None]


def receipt(home: Path, target: str) -> Record | None:
    """The receipt of one job, if there is one."""
    path = _receipt_path(home, target)
    return _record(path.read_bytes()) if path.exists() else None


def write_receipt(home: Path, record: Mapping[str, Any]) -> None:
    """Write a job's receipt in place of what was there, whole or not at all."""
    path = _receipt_path(home, record["target"])
    path.parent.mkdir(parents=True, exist_ok=True)
    with complete_or_absent(path) as file:
        file.write(_line(record))


class Ledger:
    """The manifest of a folder of results, open for writing; see :func:`open_ledger`."""

    def __init__(self, home: Path, file: IO[bytes]) -> None:
        self.home, self._file = home, file

    def append(self, record: Mapping[str, Any]) -> None:
        """Write a record to disk as the last line, then drop the job's receipt.

        Raises:
            OutputError: the disk is full, or gone.
        """
        try:
            self._file.write(_line(record))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OutputError(f"{self.home / MANIFEST}: cannot be written ({error.strerror or error})") from None
        self._drop_receipt(record)

    def settle(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Take up receipts of jobs that ended while nobody kept the books, or whose line alone was written in time."""
        self._file.seek(0)
        lines = set(self._file)
        for record in records:
            if _line(record) in lines:
                self._drop_receipt(record)
            else:
                self.append(record)

    def _drop_receipt(self, record: Mapping[str, Any]) -> None:
        _receipt_path(self.home, record["target"]).unlink(missing_ok=True)


@contextmanager
def open_ledger(home: Path) -> Iterator[Ledger]:
    """The books of a folder of results, for one process at a time; what a crash left is set right.

    Raises:
        OutputError: another batch writes to the folder, or it cannot be written.
    """
    with ExitStack() as files:
        try:
            (home / HIDDEN).mkdir(parents=True, exist_ok=True)
            lock = files.enter_context((home / HIDDEN / LOCK).open("a+b"))
            _take(lock, home)
            manifest = files.enter_context((home / MANIFEST).open("a+b"))
            _sweep(home)
            _end_last_line(manifest)
            ledger = Ledger(home, manifest)
            ledger.settle([record for record in _receipts(home) if record["status"] != "begun"])
        except OSError as error:
            raise OutputError(f"{home}: cannot be written ({error.strerror or error})") from None
        yield ledger
        _sweep(home)


def is_home(home: Path) -> bool:
    """Whether a batch keeps its books here, seen from this machine."""
    return (home / HIDDEN / LOCK).is_file()


def _take(lock: IO[bytes], home: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputError(f"{home}: another saint batch writes there; let it end or choose another folder") from None


def _sweep(home: Path) -> None:
    """Remove what processes left half-written that are gone."""
    with suppress(OSError):
        partial.remove_all_stale(home, STALE_S)


def _end_last_line(file: IO[bytes]) -> None:
    """Close a line that a crash tore, so that the next record stands on its own."""
    if file.tell():
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")


def _receipt_path(home: Path, target: str) -> Path:
    digest = hashlib.sha256(target.encode("utf-8", "surrogateescape")).hexdigest()
    return home / HIDDEN / RECEIPTS / f"{digest[:32]}.json"


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, allow_nan=False).encode("ascii") + b"\n"


def _record(line: bytes) -> Record | None:
    found = _parsed(line)
    return found if found is not None and {"target", "key", "status"} <= set(found) else None


def _parsed(line: bytes) -> Record | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
