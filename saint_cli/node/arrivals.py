"""Which series still arrive: by open associations, or until none of their instances came for a while."""

import threading
import time
from dataclasses import dataclass, field

BROKEN_FACTOR = 10
"""Times as long as after an orderly end a series waits whose association broke off, for the sender will connect anew
and go on, or whose association stays open, as that of a router may for days."""


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
