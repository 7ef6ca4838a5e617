"""Bounds on what a caller makes pynetdicom hold in memory, from before it has said its name."""

from typing import Any

from pynetdicom.association import Association

MAX_PDU_BYTES = 2**20
"""Of one PDU (PS3.8 9.3): many times the length that the node names for data, and enough for the request of an
association with all presentation contexts there may be."""

MAX_MESSAGE_BYTES = 2**25
"""Of a message that is received into memory, as all are but the data sets of C-STORE."""

MAX_WAITING_MESSAGES = 16
"""Requests that a caller sends before the first of them is answered."""


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
