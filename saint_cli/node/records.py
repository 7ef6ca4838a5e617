"""What the queue knows of a series."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class SeriesState(StrEnum):
    """Where a series of the queue is.

    RECEIVING: instances may still come. READY: complete, waits to be computed. WORKING: is computed. DONE: its derived
    series is on disk and waits to be sent. SENDING: is sent. FORWARDED: the destination confirmed every instance.
    SKIPPED: no rule matches, or nothing is to be done. FAILED: cannot be done; its files stay for inspection.
    """

    RECEIVING = "receiving"
    READY = "ready"
    WORKING = "working"
    DONE = "done"
    SENDING = "sending"
    FORWARDED = "forwarded"
    SKIPPED = "skipped"
    FAILED = "failed"


INTERRUPTED = {SeriesState.WORKING: SeriesState.READY, SeriesState.SENDING: SeriesState.DONE}
"""Where a series goes on that was worked on when the node ended."""

OPEN = (SeriesState.RECEIVING, SeriesState.READY, SeriesState.WORKING, SeriesState.FAILED)
"""States in which a series takes more instances; in others, these become another series of the queue."""

ENDED = (SeriesState.FORWARDED, SeriesState.SKIPPED, SeriesState.FAILED)
"""States in which nothing more is done, unless instances come."""


@dataclass(frozen=True)
class QueuedSeries:
    """One series of the queue.

    number: counts from 1, names the series in log, health and folders. folder: holds ``instances/`` and ``derived/``.
    series_uid: never in log or health. instances, size: received files and their bytes. changes: grows with each
    instance that was added or replaced. tries: how often computing or sending failed since it last went on.
    not_before: time (s since 1970) before which it is not tried again. reason: one line without patient text; empty
    unless something went wrong or was skipped. error_class: of the last failure, such as ``GeometryError``.
    rule: the rule that matched. changed: time of the last change. derived_bytes: of the derived series.
    is_released: whether the association that brought its last instance ended in order.
    """

    number: int
    folder: Path
    series_uid: str
    state: SeriesState
    instances: int
    size: int
    changes: int
    tries: int
    not_before: float
    reason: str
    error_class: str
    rule: str
    changed: float
    derived_bytes: int
    is_released: bool

    @property
    def source_folder(self) -> Path:
        """Where its instances lie."""
        return self.folder / "instances"

    @property
    def derived_folder(self) -> Path:
        """Where the derived series of each stack lies, in a folder of the stack's number."""
        return self.folder / "derived"

    @property
    def name(self) -> str:
        """How log lines call it."""
        return f"series {self.number}"


@dataclass(frozen=True)
class Instance:
    """A received instance: the sha256 of its file, the file's name (None once it was removed), its bytes."""

    digest: str
    file: str | None
    size: int


@dataclass(frozen=True)
class Result:
    """What became of a series: its next state, and what is written to its row.

    derived_bytes: None for as many as there are. tries: failures since it last went on. delay_s: until the next.
    """

    state: SeriesState
    reason: str = ""
    error_class: str = ""
    rule: str = ""
    derived_bytes: int | None = None
    tries: int = 0
    delay_s: float = 0.0
