"""Receipts: what a worker leaves of its job until the manifest has a line of it."""

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from saint_cli.batch.job_records import MAX_LINE_BYTES, JobRecord
from saint_cli.batch.state_files import DAMAGED_RECEIPTS, RECEIPTS
from saint_cli.errors import UnreadableError
from saint_cli.io.atomic import open_atomic_file
from saint_cli.io.regular_files import open_regular


def receipt_path(state_dir: Path, target: str) -> Path:
    """Where the receipt of a job lies."""
    return state_dir / RECEIPTS / _receipt_name(target)


def write_receipt(state_dir: Path, record: JobRecord) -> None:
    """Write a job's receipt, whole or not at all; it replaces an earlier one."""
    path = receipt_path(state_dir, record.target)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_atomic_file(path) as file:
        file.write(record.to_line())


def read_receipt(state_dir: Path, target: str) -> JobRecord | None:
    """The receipt of one job, if there is a sound one."""
    with suppress(ValueError):
        return _read(receipt_path(state_dir, target))
    return None


def read_receipts(state_dir: Path, damaged: list[str], *, set_aside: bool = False) -> Iterator[JobRecord]:
    """The records in all sound receipts; ``damaged`` takes what is wrong with the others.

    set_aside: move damaged receipts to where no later run reads them.
    """
    try:
        paths = sorted(path for path in (state_dir / RECEIPTS).iterdir() if path.name.endswith(".json"))
    except OSError:
        return
    for path in paths:
        try:
            yield _read(path)
        except ValueError as problem:
            damaged.append(f"receipt {path.name}: {problem}")
            if set_aside:
                aside = state_dir / DAMAGED_RECEIPTS / f"{path.stem[:32]}-{secrets.token_hex(4)}.json"
                aside.parent.mkdir(exist_ok=True)
                path.rename(aside)


def _read(path: Path) -> JobRecord:
    """The record in a receipt.

    Raises:
        ValueError: it is damaged, is of another job than its name says, or cannot be read.
    """
    try:
        with open_regular(path) as file:
            record = JobRecord.from_line(file.read(MAX_LINE_BYTES + 1))
    except UnreadableError:
        raise ValueError("not a regular file") from None
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror or error})") from None
    if _receipt_name(record.target) != path.name:
        raise ValueError("of another job")
    return record


def _receipt_name(target: str) -> str:
    return f"{hashlib.sha256(target.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}.json"
