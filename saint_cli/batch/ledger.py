"""The folder of results keeps its own books: ``manifest.jsonl``, a lock, and receipts of jobs not yet in the manifest.

Receipts are written by workers, the manifest by the one process that holds the lock. A job leaves a receipt when it
begins and writes what came of it when it ends; its line in the manifest replaces the receipt. So a job that ended while
nobody was left to write the manifest is not lost, and a result without a record is known to be this batch's own.
Records that are damaged count for nothing; whoever takes the lock sets them aside, so that no later run meets them.
"""

import fcntl
import hashlib
import io
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO

from saint_cli.batch.records import LONGEST_LINE, Record, parse_record
from saint_cli.errors import OutputError, RemoteError, UnreadableError
from saint_cli.files import open_regular
from saint_cli.io import partial
from saint_cli.io.atomic import complete_or_absent
from saint_cli.io.entries import is_file
from saint_cli.io.skipped import list_first

MANIFEST = "manifest.jsonl"
DAMAGED_LINES = "manifest.damaged.jsonl"
HIDDEN = ".saint"
LOCK = "lock"
RECEIPTS = "receipts"
DAMAGED_RECEIPTS = "damaged"


@dataclass
class Books:
    """The last record of each target, and the targets that jobs of this folder wrote, or were at work on at the end.

    damaged: what is wrong with records that count for nothing, each with its line or file.
    """

    latest: dict[str, Record] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)
    damaged: list[str] = field(default_factory=list)

    def add(self, record: Record) -> None:
        """Take in a record that is later than all before; what was done stays so when its source is out of reach."""
        if record["status"] in ("done", "begun"):
            self.written.add(record["target"])
        kept = self.latest.get(record["target"])
        passing = record["status"] == "failed" and (record.get("error") or {}).get("class") == RemoteError.__name__
        if record["status"] != "begun" and not (passing and kept is not None and kept["status"] == "done"):
            self.latest[record["target"]] = record


def read(home: Path) -> Books:
    """What the manifest and the receipts of a folder tell; a last line that is not whole may be being written.

    Raises:
        OutputError: the manifest cannot be read.
    """
    books = Books()
    path = home / MANIFEST
    try:
        for line in _lines_of(path):
            if line.record is not None:
                books.add(line.record)
            elif line.is_ended:
                books.damaged.append(f"line {line.number} of {MANIFEST}: {line.problem}")
    except UnreadableError:
        raise _not_regular(path) from None
    except OSError as error:
        raise OutputError(f"{path}: cannot be read ({error.strerror or error}); move it away") from None
    for record in _receipts(home, books.damaged):
        books.add(record)
    return books


def list_damaged(damaged: Sequence[str], fate: str) -> str | None:
    """One sentence of the first damaged records, how many there are and what becomes of them; None of none."""
    if not damaged:
        return None
    count = f"{len(damaged):,} damaged {'record' if len(damaged) == 1 else 'records'} of earlier runs {fate}"
    where = f"{DAMAGED_LINES} and {HIDDEN}/{DAMAGED_RECEIPTS}"
    return f"{count} in {where} ({list_first(damaged)}); --overwrite makes their results again"


@dataclass(frozen=True)
class _Line:
    """A line of the manifest, or a part of one that is too long; its record, or what is wrong with it."""

    number: int
    text: bytes
    is_ended: bool
    record: Record | None = None
    problem: str = ""


def _lines_of(path: Path) -> Iterator[_Line]:
    """The lines that are not empty, whichever system ended them; parts of one that is too long share its number."""
    if not os.path.lexists(path):  # a link that leads nowhere is told
        return
    number, is_ended = 0, True
    with io.TextIOWrapper(open_regular(path), encoding="latin-1", newline=None) as text:
        while piece := text.readline(LONGEST_LINE):
            number += is_ended
            is_part, is_ended = not is_ended, piece.endswith("\n")
            line = piece.rstrip("\n").encode("latin-1")
            if is_part or (not is_ended and len(piece) == LONGEST_LINE):
                yield _Line(number, line, is_ended, problem=f"longer than {LONGEST_LINE:,} bytes")
            elif line.strip():
                try:
                    yield _Line(number, line, is_ended, parse_record(line))
                except ValueError as problem:
                    yield _Line(number, line, is_ended, problem=str(problem))


def _receipt_paths(home: Path) -> list[Path]:
    """What workers wrote of jobs that are not in the manifest."""
    try:
        return sorted(path for path in (home / HIDDEN / RECEIPTS).iterdir() if path.name.endswith(".json"))
    except OSError:
        return []


def _receipts(home: Path, damaged: list[str] | None = None) -> Iterator[Record]:
    """The records in sound receipts; ``damaged`` takes what is wrong with the others."""
    for path in _receipt_paths(home):
        try:
            yield _read_receipt(path)
        except ValueError as problem:
            if damaged is not None:
                damaged.append(f"receipt {path.name}: {problem}")


def _read_receipt(path: Path) -> Record:
    """The record in a receipt.

    Raises:
        ValueError: it is damaged, is of another job than its name says, or cannot be read.
    """
    try:
        with open_regular(path) as file:
            found = parse_record(file.read(LONGEST_LINE + 1))
    except UnreadableError:
        raise ValueError("not a regular file") from None
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror or error})") from None
    if _receipt_name(found["target"]) != path.name:
        raise ValueError("of another job")
    return found


def receipt(home: Path, target: str) -> Record | None:
    """The receipt of one job, if there is one that is sound."""
    with suppress(ValueError):
        return _read_receipt(_receipt_path(home, target))
    return None


def write_receipt(home: Path, record: Mapping[str, object]) -> None:
    """Write a job's receipt in place of what was there, whole or not at all."""
    path = _receipt_path(home, str(record["target"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    with complete_or_absent(path) as file:
        file.write(_line(record))


class Ledger:
    """The manifest of a folder of results, open for writing; see :func:`open_ledger`.

    damaged: what is wrong with the records that were set aside when it was opened.
    """

    def __init__(self, home: Path, file: IO[bytes], damaged: list[str]) -> None:
        self.home, self._file, self.damaged = home, file, damaged

    def append(self, record: Mapping[str, object]) -> None:
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

    def settle(self, records: Iterable[Mapping[str, object]]) -> None:
        """Take up receipts of jobs that ended while nobody kept the books, or whose line alone was written in time."""
        missing = {_line(record): record for record in records}
        self._file.seek(0)
        for line in self._file if missing else ():
            if line in missing:
                self._drop_receipt(missing.pop(line))
        for record in missing.values():
            self.append(record)

    def _drop_receipt(self, record: Mapping[str, object]) -> None:
        _receipt_path(self.home, str(record["target"])).unlink(missing_ok=True)


@contextmanager
def open_ledger(home: Path) -> Iterator[Ledger]:
    """The books of a folder of results, for one process at a time; what a crash left is set right.

    Raises:
        OutputError: another batch writes to the folder, or it cannot be written.
    """
    with ExitStack() as files:
        try:
            (home / HIDDEN / RECEIPTS).mkdir(parents=True, exist_ok=True)
            lock = files.enter_context(_open_to_append(home / HIDDEN / LOCK))
            _take(lock, home)
            _sweep(home)
            _check_regular(home / MANIFEST)
            damaged = _set_aside(home)
            ledger = Ledger(home, files.enter_context(_open_to_append(home / MANIFEST)), damaged)
            ledger.settle(record for record in _receipts(home) if record["status"] != "begun")
        except OSError as error:
            hint = "; move it away" if isinstance(error, FileExistsError | NotADirectoryError) else ""
            place = error.filename or home
            raise OutputError(f"{place}: cannot be written ({error.strerror or error}){hint}") from None
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
        partial.remove_all_stale(home)


def _open_to_append(path: Path) -> BinaryIO:
    """A regular file, made if it is missing; nothing else is opened."""
    _check_regular(path)
    return path.open("a+b")


def _check_regular(path: Path) -> None:
    if os.path.lexists(path) and not is_file(path):
        raise _not_regular(path)


def _not_regular(path: Path) -> OutputError:
    return OutputError(f"{path}: is no regular file, but saint keeps its records there; move it away")


def _set_aside(home: Path) -> list[str]:
    """Move damaged lines of the manifest, and damaged receipts, to where no later run reads them; what is wrong."""
    path, damaged, is_whole = home / MANIFEST, dict[int, str](), True
    for line in _lines_of(path):
        is_whole = line.is_ended
        if line.record is None:
            damaged[line.number] = f"line {line.number} of {MANIFEST}: {line.problem}"
    if damaged or not is_whole:
        with ExitStack() as files:
            good = files.enter_context(complete_or_absent(path))
            bad = files.enter_context(_open_to_append(home / DAMAGED_LINES)) if damaged else good
            for line in _lines_of(path):
                (bad if line.record is None else good).write(line.text + b"\n")
            bad.flush()
            os.fsync(bad.fileno())  # before the manifest takes its name
    told = list(damaged.values())
    for receipt_path in _receipt_paths(home):
        try:
            _read_receipt(receipt_path)
        except ValueError as problem:
            told.append(f"receipt {receipt_path.name}: {problem}")
            aside = home / HIDDEN / DAMAGED_RECEIPTS / f"{receipt_path.stem[:32]}-{secrets.token_hex(4)}.json"
            aside.parent.mkdir(exist_ok=True)
            receipt_path.rename(aside)
    return told


def _receipt_path(home: Path, target: str) -> Path:
    return home / HIDDEN / RECEIPTS / _receipt_name(target)


def _receipt_name(target: str) -> str:
    return f"{hashlib.sha256(target.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}.json"


def _line(record: Mapping[str, object]) -> bytes:
    return json.dumps(record, allow_nan=False).encode("ascii") + b"\n"
