"""Queues, and instances that arrive in them without a network."""

from pathlib import Path

from saint_cli.node.incoming import IncomingFile
from saint_cli.node.records import QueuedSeries, Result, SeriesState
from saint_cli.node.spool import Spool

LARGE = 10**12


def open_queue(folder: Path, max_bytes: int = LARGE, max_instance_bytes: int = LARGE) -> Spool:
    """A queue, new or as it was left."""
    return Spool(folder / "queue", max_bytes, max_instance_bytes)


def receive(spool: Spool, content: bytes) -> IncomingFile:
    """A file that arrived."""
    file = spool.open_file()
    file.write(content)
    return file


def add(spool: Spool, instance: int | str, content: bytes = b"content", series: str = "1.2") -> QueuedSeries:
    """An instance that was stored and acknowledged."""
    file = receive(spool, content)
    stored = spool.add_instance(file, series, f"1.2.{instance}")
    file.close()
    return stored


def move(spool: Spool, series: QueuedSeries, *states: SeriesState) -> QueuedSeries:
    """The series after these states, one after another."""
    for state in states:
        assert spool.finish(spool.get(series.number), Result(state))
    return spool.get(series.number)


def contents(series: QueuedSeries) -> list[bytes]:
    """The content of its files."""
    return sorted(file.read_bytes() for file in series.source_folder.iterdir())
