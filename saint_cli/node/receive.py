"""The part of the node that listens: C-STORE, C-ECHO and storage commitment, by pynetdicom (PS3.4 A, B, J).

An instance goes to disk as it arrives, and is not decoded; of its data set two UIDs are read.
"""

import gc
import re
import sqlite3
import ssl
import threading
from itertools import count
from typing import Any

from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, _config, dimse_messages, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]

from saint_cli.errors import OutputError
from saint_cli.errors.plain_text import format_count, make_printable
from saint_cli.io.dicom.bounded_parse import read_header
from saint_cli.io.error_conversion import convert_exceptions
from saint_cli.jobs.announcements import MessageCallback
from saint_cli.node.commitment import Committer
from saint_cli.node.completion import Arrivals
from saint_cli.node.incoming import IncomingFile, bound_association
from saint_cli.node.options import NodeOptions
from saint_cli.node.spool import Spool
from saint_cli.node.tls import TlsContexts

SUCCESS, NO_RESOURCES, NO_MATCH, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xA900, 0xC000
"""Statuses of C-STORE (PS3.4 B.2.3)."""

TIMEOUT_S = 60.0
"""After which a caller that says nothing is disconnected; also for each step of the negotiation."""

UID = re.compile(r"[0-9.]{1,64}")
"""Of what a UID consists; where zeros may stand in it, not every manufacturer heeds."""

UID_TAGS = ["SOPInstanceUID", "SeriesInstanceUID"]


class Receiver:
    """Listens until it is closed, and puts every instance into the queue.

    Raises:
        OutputError: the address cannot be listened on.
    """

    def __init__(
        self,
        options: NodeOptions,
        spool: Spool,
        arrivals: Arrivals,
        on_message: MessageCallback,
        tls: TlsContexts | None = None,
    ) -> None:
        self._spool, self._arrivals, self._on_message = spool, arrivals, on_message
        self._numbers, self._lock = count(1), threading.Lock()
        self._open: dict[Association, _Caller] = {}
        _config.STORE_RECV_CHUNKED_DATASET = True  # to a file, as it arrives
        _config.LOG_HANDLER_LEVEL = "none"  # its log holds what is received
        vars(dimse_messages)["NamedTemporaryFile"] = spool.open_file
        self._node = _make_node(options)
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, self._bound),
            (evt.EVT_ACCEPTED, self._accept),
            (evt.EVT_REJECTED, self._report_rejected),
            (evt.EVT_C_ECHO, lambda event: SUCCESS),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_ACTION, Committer(options, spool, on_message, tls).answer),
        ]
        try:
            context = None if tls is None else tls.server
            address = options.host, options.port
            self._server = self._node.start_server(address, block=False, ssl_context=context, evt_handlers=handlers)
        except OSError as error:
            raise OutputError(
                f"{options.host}:{options.port}: cannot be listened on ({error.strerror or error}); "
                "choose another --port or --host"
            ) from None

    def notice_ended(self) -> None:
        """Find the associations that ended; to be called every now and then."""
        with self._lock:
            ended = [one for one in self._open if not one.is_alive()]
            callers = [(one.is_released, self._open.pop(one)) for one in ended]
            ended.clear()
        if not all(is_released for is_released, _ in callers):
            gc.collect()  # closes and removes what had arrived in part
        for is_released, caller in callers:
            self._spool.set_released(self._arrivals.close(caller.number, is_released=is_released))
            end = "" if is_released else ", and broke off"
            self._on_message(f"association {caller.number}: {format_count(caller.stored, 'instance')} stored{end}")

    def close(self) -> None:
        """Listen no more; associations are aborted, and instances that arrive are given up.

        A caller that has asked for no association yet is hung up on: pynetdicom raises where that one is aborted.
        """
        for association in self._node.active_associations:
            if association.is_established:
                association.abort()
            else:
                association.dul.kill_dul()
                if association.dul.socket is not None:
                    association.dul.socket.close()
        if self._server is not None:
            self._server.shutdown()
        for association in list(self._open):
            association.join(TIMEOUT_S)

    def _bound(self, event: Any) -> None:
        """Bound what a connection brings, and log one whose TLS fails."""
        bound_association(event)
        socket: Any = event.assoc.dul.socket
        receive, address = socket.recv, event.address[0]

        def receive_or_report(size: int) -> Any:
            try:
                return receive(size)
            except ssl.SSLError as error:
                self._on_message(f"connection refused: from {address}: TLS failed ({error.reason or 'no reason'})")
                raise

        socket.recv = receive_or_report

    def _accept(self, event: Any) -> None:
        with self._lock:
            caller = self._open[event.assoc] = _Caller(next(self._numbers))
        self._on_message(f"association {caller.number}: from {_describe_caller(event.assoc)}")

    def _report_rejected(self, event: Any) -> None:
        self._on_message(f"association refused: from {_describe_caller(event.assoc)}")

    def _store(self, event: Any) -> int:
        """Answer a C-STORE: success only for what is on disk."""
        file: IncomingFile = event.request._dataset_file
        caller = self._open[event.assoc]
        if file.failure:
            return self._refuse(caller, file.failure)
        uids = _read_uids(file)
        if uids is None:
            return self._refuse(caller, "not a data set with a SeriesInstanceUID", NOT_UNDERSTOOD)
        sop_uid, series_uid = uids
        if sop_uid != event.request.AffectedSOPInstanceUID:
            return self._refuse(caller, "another instance than was announced", NO_MATCH)
        self._arrivals.note(series_uid, caller.number)
        try:
            series = self._spool.add_instance(file, series_uid, sop_uid)
        except (OSError, sqlite3.Error) as error:
            return self._refuse(caller, getattr(error, "strerror", None) or str(error))
        caller.stored += 1
        if caller.is_first(series.number):
            self._on_message(f"association {caller.number}: {series.name} begins or goes on")
        return SUCCESS

    def _refuse(self, caller: "_Caller", reason: str, status: int = NO_RESOURCES) -> int:
        """Log that an instance is refused, each reason once an association; the status."""
        if caller.is_first(reason):
            self._on_message(f"association {caller.number}: instance refused: {reason}")
        return status


class _Caller:
    """An open association: its number, how many instances were stored, and what was logged of it."""

    def __init__(self, number: int) -> None:
        self.number, self.stored = number, 0
        self._noted: set[int | str] = set()

    def is_first(self, what: int | str) -> bool:
        """Whether a series, by its number, or the reason of a failure comes for the first time."""
        is_first = what not in self._noted
        self._noted.add(what)
        return is_first


def _make_node(options: NodeOptions) -> AE:
    """The node before it listens: whom it accepts, for what, and for how long."""
    node = AE(options.aet)
    node.require_called_aet = True
    node.require_calling_aet = [peer.aet for peer in options.allowed or ()]
    node.maximum_associations = options.max_associations
    node.acse_timeout = node.dimse_timeout = node.network_timeout = TIMEOUT_S
    for context in AllStoragePresentationContexts:
        node.add_supported_context(context.abstract_syntax or "", ALL_TRANSFER_SYNTAXES)
    node.add_supported_context(Verification)
    node.add_supported_context(StorageCommitmentPushModel)
    return node


def _read_uids(file: IncomingFile) -> tuple[str, str] | None:
    """SOPInstanceUID and SeriesInstanceUID of a data set; None where it has none, or cannot be read."""
    try:
        with convert_exceptions(file.path):
            data, _ = read_header(file.path, UID_TAGS)
            sop_uid, series_uid = (str(data.get(tag) or "") for tag in UID_TAGS)
    except Exception:
        return None
    return (sop_uid, series_uid) if UID.fullmatch(sop_uid) and UID.fullmatch(series_uid) else None


def _describe_caller(association: Association) -> str:
    title, address = association.requestor.ae_title, association.requestor.address
    return f'"{make_printable(title)[:64]}" at {address}'
