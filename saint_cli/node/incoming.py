"""The file that an instance arrives in, as pynetdicom writes it: within bounds, and flushed to disk in the end."""

import hashlib
import itertools
import os
import weakref
from pathlib import Path
from typing import Any

from saint_cli.node.disk_budget import DiskBudget

NO_ROOM = "no room on disk"

TOO_LARGE = "larger than an instance may be"


class IncomingFile:
    """What pynetdicom takes for a ``NamedTemporaryFile``, and writes an instance to as it arrives.

    It raises nothing, for an exception there would end the association without an answer: the first failure is kept as
    ``failure``, and what comes after it is dropped. The file is removed with the object, unless it was kept.
    """

    def __init__(self, path: Path, budget: DiskBudget, max_bytes: int) -> None:
        self.path, self.name, self.failure = path, str(path), ""
        self.size, self._budget, self._max_bytes = 0, budget, max_bytes
        self._hash = hashlib.sha256()
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            self._descriptor, self.failure = -1, error.strerror or NO_ROOM
        counted = self._counted = [0]
        self._finalizer = weakref.finalize(self, _remove, self._descriptor, path, budget, counted)

    @property
    def file(self) -> "IncomingFile":
        """The object whose ``flush`` pynetdicom calls after each piece."""
        return self

    def flush(self) -> None:
        """Nothing: pieces are written at once."""

    def write(self, data: bytes) -> int:
        """Write a piece, unless something went wrong before."""
        if not self.failure:
            try:
                self._write(data)
            except OSError as error:
                self.failure = error.strerror or NO_ROOM
        return len(data)

    def _write(self, data: bytes) -> None:
        if self.size + len(data) > self._max_bytes:
            self.failure = TOO_LARGE
        elif not self._budget.take(len(data), self.size):
            self.failure = NO_ROOM
        else:
            self._counted[0] += len(data)
            self.size += len(data)
            self._hash.update(data)
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]

    @property
    def digest(self) -> str:
        """The sha256 of what was written."""
        return self._hash.hexdigest()

    def sync(self) -> None:
        """Flush it to disk.

        Raises:
            OSError: it cannot be.
        """
        os.fsync(self._descriptor)

    def keep(self) -> None:
        """Leave the file, which has another name now, where it is, and its bytes counted."""
        self._counted[0] = 0

    def close(self) -> None:
        """Close it; unless it was kept, it is removed."""
        self._finalizer()


def _remove(descriptor: int, path: Path, budget: DiskBudget, counted: list[int]) -> None:
    """Close a file; one that was not kept is removed, and its bytes are free again."""
    if descriptor >= 0:
        os.close(descriptor)
    path.unlink(missing_ok=True)
    budget.add(-counted[0])


class IncomingFolder:
    """The folder that instances arrive in; emptied at the start."""

    def __init__(self, folder: Path, budget: DiskBudget, max_instance_bytes: int) -> None:
        self._folder, self._budget, self._max_bytes = folder, budget, max_instance_bytes
        self._numbers = itertools.count(1)
        for left in folder.iterdir():
            left.unlink()

    def open(self, *_: Any, **__: Any) -> IncomingFile:
        """A new file; the arguments are those of ``NamedTemporaryFile``."""
        return IncomingFile(self._folder / f"{next(self._numbers)}.part", self._budget, self._max_bytes)
