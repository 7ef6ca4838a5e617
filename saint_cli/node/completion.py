"""When a series is complete, and what becomes of it then: it is computed, skipped, or fails for lack of instances."""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from saint_cli.errors.plain_text import format_count
from saint_cli.node.records import PROCESSED, Instance, QueuedSeries, Result, SeriesState
from saint_cli.node.spool import Spool

BROKEN_FACTOR = 10
"""Times as long as after an orderly end a series waits whose association broke off, for the sender will connect anew
and go on, or whose association stays open, as that of a router may for days."""

IN_PROGRESS = (SeriesState.DONE, SeriesState.SENDING)


@dataclass
class _Arrival:
    """Of one series: time of its last instance, open associations that brought some, and how the last one ended."""

    last_s: float
    associations: set[int] = field(default_factory=set)
    is_released: bool = False


class Arrivals:
    """Series by their UIDs; times of the monotonic clock of this process; all methods may be called by any thread."""

    def __init__(self, quiet_s: float) -> None:
        self._quiet_s, self._lock = quiet_s, threading.Lock()
        self._series: dict[str, _Arrival] = {}

    def note(self, series_uid: str, association: int) -> None:
        """An instance of a series is about to be stored that came by an association."""
        with self._lock:
            arrival = self._series.setdefault(series_uid, _Arrival(0.0))
            arrival.last_s, arrival.is_released = time.monotonic(), False
            arrival.associations.add(association)

    def expect(self, series_uid: str, *, is_released: bool) -> None:
        """A series was being received when the node ended, or is to be looked at again after a while."""
        with self._lock:
            self._series.setdefault(series_uid, _Arrival(time.monotonic(), is_released=is_released))

    def close(self, association: int, *, is_released: bool) -> list[str]:
        """An association ended, in order or not; the series whose last association that was, if in order."""
        with self._lock:
            ended = [uid for uid, one in self._series.items() if association in one.associations]
            for uid in ended:
                arrival = self._series[uid]
                arrival.associations.discard(association)
                arrival.last_s, arrival.is_released = time.monotonic(), is_released
            return [uid for uid in ended if is_released and not self._series[uid].associations]

    def take_complete(self) -> str | None:
        """A series that is complete, and no longer listed from now on; None where none is."""
        now = time.monotonic()
        with self._lock:
            complete = next((uid for uid, one in self._series.items() if self._is_complete(one, now)), None)
            if complete is not None:
                del self._series[complete]
        return complete

    def _is_complete(self, arrival: _Arrival, now: float) -> bool:
        is_over = arrival.is_released and not arrival.associations
        return now - arrival.last_s >= self._quiet_s * (1 if is_over else BROKEN_FACTOR)


def settle(spool: Spool, series: QueuedSeries) -> Result | None:
    """The next state of a series that is complete; None where one that came before it must be sent first.

    Usually it is computed. Where some of the same received series was forwarded or skipped earlier, it depends on what
    came now: all of it is computed again, and a part alone is a repetition of what was done; new instances make the
    series a larger one, for which the earlier ones must still be there, or come again.

    Raises:
        OSError, sqlite3.Error: earlier instances cannot be added.
    """
    earlier = spool.list_earlier(series)
    if any(one.state in IN_PROGRESS for one in earlier):
        return None
    before = _gather(spool.list_instances(one.number) for one in earlier if one.state in PROCESSED)
    now = spool.list_instances(series.number)
    missing = {uid: one for uid, one in before.items() if uid not in now}
    if not missing:
        return Result(SeriesState.READY)
    if all(uid in before and before[uid].digest == instance.digest for uid, instance in now.items()):
        came = _name(before[uid] for uid in now)
        return Result(SeriesState.SKIPPED, f"{format_count(len(now), 'instance')} came again of {came}, which is done")
    if all(instance.file is not None for instance in missing.values()):
        spool.copy_instances(series, missing)
        return Result(SeriesState.READY)
    done = _name(missing.values())
    return Result(
        SeriesState.FAILED,
        f"{format_count(len(now), 'instance')} came after the rest of the series was done as {done} and removed; "
        "send the whole series again",
        "LateInstances",
    )


def _gather(series: Iterable[dict[str, Instance]]) -> dict[str, Instance]:
    """The instances of series, oldest first: of each its latest content, where its file is if it is somewhere."""
    found: dict[str, Instance] = {}
    for instances in series:
        for uid, instance in instances.items():
            known = found.get(uid)
            if known is None or known.digest != instance.digest or (known.file is None and instance.file is not None):
                found[uid] = instance
    return found


def _name(instances: Iterable[Instance]) -> str:
    """How log lines call the series of instances."""
    return "series " + ", ".join(map(str, sorted({instance.series for instance in instances})))
