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

PROCESSED = (SeriesState.FORWARDED, SeriesState.SKIPPED)
"""States in which a series is not looked at again, unless other instances come."""

WITH_RESULT = (SeriesState.DONE, SeriesState.SENDING, SeriesState.FORWARDED)
"""States in which the derived files of a series are of use; in others there are none."""


@dataclass(frozen=True)
class QueuedSeries:
    """One series of the queue.

    number: counts from 1, names the series in log, health and folders. folder: holds ``instances/`` and ``derived/``.
    series_uid: never in log or health. instances, size: received files and their bytes. changes: grows with each
    instance that was added or replaced. tries: how often computing or sending failed since it last went on.
    reason: one line without patient text; empty unless something went wrong or was skipped. derived_bytes: of the
    derived series. is_released: whether the association that brought its last instance ended in order.
    """

    number: int
    folder: Path
    series_uid: str
    state: SeriesState
    instances: int
    size: int
    changes: int
    tries: int
    reason: str
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
    """A received instance.

    series: number of the one of the queue that it is in. digest: sha256 of its file. file: name of that, None once it
    was removed. size: its bytes.
    """

    series: int
    digest: str
    file: str | None
    size: int


@dataclass(frozen=True)
class Result:
    """What became of a series: its next state, and why it did not go on as it should.

    error_class: of a failure, such as ``GeometryError``. derived_bytes: None for as many as there are.
    tries: failures since it last went on. delay_s: until the next try.
    """

    state: SeriesState
    reason: str = ""
    error_class: str = ""
    derived_bytes: int | None = None
    tries: int = 0
    delay_s: float = 0.0
