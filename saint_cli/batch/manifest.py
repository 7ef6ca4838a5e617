"""The manifest of a batch, ``manifest.jsonl``: a line for each job that ended, written by one process at a time.

That process holds a lock. Workers leave receipts (``receipts``): one when a job begins, replaced by its record when it
ends; the line in the manifest replaces the receipt. So a job that ends after the batch was killed is not lost, and a
result without a record is known to be of this batch. Damaged records count for nothing; whoever takes the lock sets
them aside, so that no later run meets them.
"""

import fcntl
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO

from saint_cli.batch import receipts
from saint_cli.batch.job_keys import is_same_scan
from saint_cli.batch.job_records import MAX_LINE_BYTES, JobRecord, JobStatus
from saint_cli.batch.state_files import DAMAGED_LINES, DAMAGED_RECEIPTS, LOCK, MANIFEST, RECEIPTS
from saint_cli.errors import OutputError, RemoteError, UnreadableError
from saint_cli.errors.plain_text import format_count
from saint_cli.io import partial_names
from saint_cli.io.atomic import open_atomic_file
from saint_cli.io.error_conversion import convert_os_errors, explain_os_error
from saint_cli.io.folder_walk import is_file
from saint_cli.io.regular_files import open_regular
from saint_cli.io.skipped_files import format_first


@dataclass
class ManifestState:
    """The last record of each target, and of each file that jobs of this folder have written or begun to write.

    refused: the last failure of each target that left a result done. writers: by the path of a result or of labels
    below the output folder. damaged: what is wrong with records that count for nothing, each with its line or file.
    """

    latest: dict[str, JobRecord] = field(default_factory=dict)
    refused: dict[str, JobRecord] = field(default_factory=dict)
    writers: dict[str, JobRecord] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)

    def add(self, record: JobRecord) -> None:
        """Add a record that is later than all before.

        A result stays done where its source is out of reach, and where the scan that failed is another of the same
        name, before its job began.
        """
        if record.has_begun:
            self.writers |= dict.fromkeys((record.target, record.labels_target or record.target), record)
        earlier = self.latest.get(record.target)
        if earlier is not None and earlier.status is JobStatus.DONE and _leaves_done(record, earlier):
            self.refused[record.target] = record
        elif record.status is not JobStatus.BEGUN:
            self.latest[record.target] = record

    def says(self, record: JobRecord) -> bool:
        """Whether the last record of a target, or its last failure, says the same, so that it need not be repeated."""
        known = filter(None, (self.latest.get(record.target), self.refused.get(record.target)))
        said = [(one.key, one.status, one.error) for one in known]
        return (record.key, record.status, record.error) in said


def _leaves_done(record: JobRecord, done: JobRecord) -> bool:
    """Whether a result stays done after a later record of its name."""
    is_out_of_reach = record.error is not None and record.error.error_class == RemoteError.__name__
    return record.status is JobStatus.FAILED and (is_out_of_reach or is_refused_beside(record, done))


def is_refused_beside(record: JobRecord, done: JobRecord) -> bool:
    """Whether a failure is of another scan of the same name, whose job never began: the result is what it was."""
    return record.status is JobStatus.FAILED and not (record.has_begun or is_same_scan(record, done))


def read_state(state_dir: Path) -> ManifestState:
    """What the manifest and the receipts of a folder say; a last line without end may be one that is being written.

    Raises:
        OutputError: the manifest cannot be read.
    """
    state = ManifestState()
    path = state_dir / MANIFEST
    try:
        for line in _read_lines(path):
            if line.record is not None:
                state.add(line.record)
            elif line.is_ended:
                state.damaged.append(line.describe_problem())
    except UnreadableError:
        raise _not_regular_error(path) from None
    except OSError as error:
        raise OutputError(f"{path}: cannot be read ({error.strerror or error}); move it away") from None
    for record in receipts.read_receipts(state_dir, state.damaged):
        state.add(record)
    return state


def merge_states(states: Sequence[ManifestState]) -> ManifestState:
    """One state of several that have no target in common."""
    merged = ManifestState()
    for state in states:
        merged.latest |= state.latest
        merged.refused |= state.refused
        merged.writers |= state.writers
        merged.damaged += state.damaged
    return merged


def describe_damaged(damaged: Sequence[str], outcome: str) -> str | None:
    """One sentence on damaged records: how many, what becomes of them (``outcome``), the first ones; None if none."""
    if not damaged:
        return None
    count = f"{format_count(len(damaged), 'damaged record')} of earlier runs {outcome}"
    where = f"{DAMAGED_LINES} and {DAMAGED_RECEIPTS}"
    return f"{count} in {where} ({format_first(damaged)}); --overwrite makes their results again"


@dataclass(frozen=True)
class _Line:
    """A line of the manifest, or a part of one that is too long; its record, or what is wrong with it."""

    number: int
    text: bytes
    is_ended: bool
    record: JobRecord | None = None
    problem: str = ""

    def describe_problem(self) -> str:
        return f"line {self.number} of {MANIFEST}: {self.problem}"


def _read_lines(path: Path) -> Iterator[_Line]:
    """The lines that are not empty, whichever system ended them; parts of one that is too long share its number."""
    if not os.path.lexists(path):  # a link that leads nowhere is an error
        return
    number, is_ended = 0, True
    with io.TextIOWrapper(open_regular(path), encoding="latin-1", newline=None) as text:
        while piece := text.readline(MAX_LINE_BYTES):
            number += is_ended
            is_part, is_ended = not is_ended, piece.endswith("\n")
            line = piece.rstrip("\n").encode("latin-1")
            if is_part or (not is_ended and len(piece) == MAX_LINE_BYTES):
                yield _Line(number, line, is_ended, problem=f"longer than {MAX_LINE_BYTES:,} bytes")
            elif line.strip():
                try:
                    yield _Line(number, line, is_ended, JobRecord.from_line(line))
                except ValueError as problem:
                    yield _Line(number, line, is_ended, problem=str(problem))


class ManifestWriter:
    """The manifest of a folder, open for writing; see :func:`open_manifest`.

    damaged: what is wrong with the records that were set aside when it was opened.
    """

    def __init__(self, state_dir: Path, file: IO[bytes], damaged: list[str]) -> None:
        self.state_dir, self._file, self.damaged = state_dir, file, damaged

    def append(self, record: JobRecord) -> None:
        """Write a record to disk as the last line, then remove the job's receipt.

        Raises:
            OutputError: the disk is full, or gone.
        """
        with convert_os_errors(self.state_dir / MANIFEST, "written", OutputError):
            self._file.write(record.to_line())
            self._file.flush()
            os.fsync(self._file.fileno())
        self._remove_receipt(record)

    def add_receipts(self, records: Iterable[JobRecord]) -> None:
        """Append the records of receipts, but for those whose line was written before the receipt could be removed."""
        missing = {record.to_line(): record for record in records}
        self._file.seek(0)
        for line in self._file if missing else ():
            if line in missing:
                self._remove_receipt(missing.pop(line))
        for record in missing.values():
            self.append(record)

    def _remove_receipt(self, record: JobRecord) -> None:
        receipts.receipt_path(self.state_dir, record.target).unlink(missing_ok=True)


@contextmanager
def open_manifest(state_dir: Path) -> Iterator[ManifestWriter]:
    """The manifest of a folder, for one process at a time; what a crash left is put right first.

    Raises:
        OutputError: another batch writes to the folder, or it cannot be written.
    """
    with ExitStack() as files:
        try:
            (state_dir / RECEIPTS).mkdir(parents=True, exist_ok=True)
            _take_lock(files.enter_context(_open_to_append(state_dir / LOCK)), state_dir)
            _remove_abandoned(state_dir)
            _check_regular(state_dir / MANIFEST)
            damaged = _set_aside_damaged_lines(state_dir)
            records = list(receipts.read_receipts(state_dir, damaged, set_aside=True))
            writer = ManifestWriter(state_dir, files.enter_context(_open_to_append(state_dir / MANIFEST)), damaged)
            writer.add_receipts(record for record in records if record.status is not JobStatus.BEGUN)
        except OSError as error:
            hint = "; move it away" if isinstance(error, FileExistsError | NotADirectoryError) else ""
            path = Path(error.filename or state_dir)
            raise OutputError(f"{explain_os_error(path, 'written', error)}{hint}") from None
        yield writer
        _remove_abandoned(state_dir)


def _take_lock(lock: IO[bytes], state_dir: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputError(
            f"{state_dir}: another saint batch writes there; let it end or choose another folder"
        ) from None


def _open_to_append(path: Path) -> BinaryIO:
    """Open a regular file, made if it is missing; nothing else is opened."""
    _check_regular(path)
    return path.open("a+b")


def _check_regular(path: Path) -> None:
    if os.path.lexists(path) and not is_file(path):
        raise _not_regular_error(path)


def _not_regular_error(path: Path) -> OutputError:
    return OutputError(f"{path}: is not a regular file, but saint keeps its records there; move it away")


def _remove_abandoned(state_dir: Path) -> None:
    """Remove the partial files of processes that are gone."""
    with suppress(OSError):
        partial_names.remove_all_stale(state_dir)


def _set_aside_damaged_lines(state_dir: Path) -> list[str]:
    """Move damaged lines of the manifest to where no later run reads them; what is wrong with each."""
    path, damaged, is_whole = state_dir / MANIFEST, dict[int, str](), True
    for line in _read_lines(path):
        is_whole = line.is_ended
        if line.record is None:
            damaged[line.number] = line.describe_problem()
    if damaged or not is_whole:
        with ExitStack() as files:
            good = files.enter_context(open_atomic_file(path))
            bad = files.enter_context(_open_to_append(state_dir / DAMAGED_LINES)) if damaged else good
            for line in _read_lines(path):
                (bad if line.record is None else good).write(line.text + b"\n")
            bad.flush()
            os.fsync(bad.fileno())  # before the manifest gets its name
    return list(damaged.values())
