"""How many bytes the queue may hold, those that are arriving included."""

import shutil
import threading
from pathlib import Path

RESERVE_BYTES, RESERVE_SHARE = 32 * 2**20, 0.05
"""Left free on the disk, or this share of a small one, so that the database of the queue can always be written."""


class DiskBudget:
    """A count of bytes on disk under a limit; all methods may be called by any thread."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder, self.max_bytes = folder, max_bytes
        self._lock = threading.Lock()
        self._reserve = min(RESERVE_BYTES, round(RESERVE_SHARE * shutil.disk_usage(folder).total))
        self.used_bytes = self._refused_bytes = 0

    def take(self, size: int, written: int = 0) -> bool:
        """Count bytes that are about to be written; False, and nothing is counted, where there is no room for them.

        written: bytes of the same file, counted already, which are given up if it is refused.
        """
        with self._lock:
            has_room = self._has_room(size)
            self._refused_bytes = self._refused_bytes if has_room else written + size
            self.used_bytes += size if has_room else 0
            return has_room

    def add(self, size: int) -> None:
        """Count bytes that are there already; negative ones are gone."""
        with self._lock:
            self.used_bytes += size

    @property
    def is_refusing(self) -> bool:
        """Whether there is still no room for the last file that was refused."""
        return self._refused_bytes > 0 and not self._has_room(self._refused_bytes)

    def _has_room(self, size: int) -> bool:
        return self.used_bytes + size <= self.max_bytes and self.free_bytes() >= size + self._reserve

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached."""
        return self.used_bytes >= self.max_bytes

    def free_bytes(self) -> int:
        """Of the disk."""
        return shutil.disk_usage(self._folder).free
