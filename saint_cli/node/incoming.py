"""What callers send, within bounds: a message in memory, and an instance in the file that pynetdicom writes it to."""

import hashlib
import os
import weakref
from pathlib import Path
from typing import Any

from pynetdicom.association import Association

from saint_cli.node.disk_budget import DiskBudget

MAX_PDU_BYTES = 2**20
"""Of one PDU (PS3.8 9.3): many times the length that the node names for data, and enough for the request of an
association with all presentation contexts there may be."""

MAX_MESSAGE_BYTES = 2**25
"""Of a message that is received into memory, as all are but the data sets of C-STORE."""

MAX_WAITING_MESSAGES = 16
"""Requests that a caller sends before the first of them is answered."""

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


class TooLargeError(OSError):
    """A caller sent more than is taken."""


def bound_association(event: Any) -> None:
    """End an association, for ``evt.EVT_CONN_OPEN``, whose caller sends more than the bounds, when it begins to."""
    association: Association = event.assoc
    socket: Any = association.dul.socket
    receive = socket.recv

    def receive_bounded(size: int) -> bytearray:
        _check(association, size)
        return receive(size)  # type: ignore[no-any-return]

    socket.recv = receive_bounded


def _check(association: Association, size: int) -> None:
    """Raise TooLargeError, by which pynetdicom closes the connection, where a caller sends too much."""
    dimse = association.dimse
    if size > MAX_PDU_BYTES or dimse.msg_queue.qsize() > MAX_WAITING_MESSAGES:
        raise TooLargeError
    message = dimse.message
    if message is not None:
        parts: tuple[Any, ...] = (message.encoded_command_set, message.data_set)
        if sum(part.tell() for part in parts) > MAX_MESSAGE_BYTES:
            raise TooLargeError
