"""Storage commitment (PS3.4 J): which of the instances that a sender asks about are on disk now.

The node is no archive: it removes what it has sent on. Its answer says that an instance is on disk at that moment.
"""

import threading
import time
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, build_role
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from saint_cli.errors.plain_text import format_count
from saint_cli.jobs.announcements import MessageCallback
from saint_cli.node.options import NodeOptions, Peer
from saint_cli.node.spool import Spool
from saint_cli.node.tls import TlsContexts

SUCCESS, INVALID_ARGUMENT, NO_SUCH_ACTION, NO_RESOURCES = 0x0000, 0x0115, 0x0123, 0x0213
"""Statuses of N-ACTION (PS3.7 10.1.4)."""

REQUEST_COMMITMENT = 1
"""Action type (PS3.4 J.3.2)."""

ALL_STORED, SOME_FAILED = 1, 2
"""Event types (PS3.4 J.3.3)."""

NO_SUCH_INSTANCE = 0x0112
"""Failure reason (PS3.4 J.3.3)."""

MAX_REFERENCES = 100_000

MAX_REPORTS = 20
"""That wait to be sent at a time."""

TRIES, PAUSE_S, TIMEOUT_S = 3, 5.0, 30.0
"""Of one report: how often a known address is tried, and for how long."""


class Committer:
    """Answers requests; reports on a new association if the caller's address is known, else on its own."""

    def __init__(
        self, options: NodeOptions, spool: Spool, on_message: MessageCallback, tls: TlsContexts | None
    ) -> None:
        self._aet, self._spool, self._on_message, self._tls = options.aet, spool, on_message, tls
        self._peers = {peer.aet: peer for peer in options.allowed or () if peer.host}
        self._slots = threading.Semaphore(MAX_REPORTS)

    def answer(self, event: Any) -> tuple[int, None]:
        """Answer an N-ACTION, and report in another thread."""
        if event.request.ActionTypeID != REQUEST_COMMITMENT:
            return NO_SUCH_ACTION, None
        try:
            information = event.action_information
            items: Any = information.ReferencedSOPSequence
            references = [(str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID)) for item in items]
            transaction = UID(str(information.TransactionUID))
        except Exception:  # whatever the data set holds
            return INVALID_ARGUMENT, None
        if not transaction.is_valid or not 0 < len(references) <= MAX_REFERENCES:
            return INVALID_ARGUMENT, None
        report = _make_report(transaction, references, self._spool.find_on_disk([uid for _, uid in references]))
        if not self._slots.acquire(blocking=False):
            return NO_RESOURCES, None
        peer = self._peers.get(event.assoc.requestor.ae_title)
        threading.Thread(target=self._report, args=(event.assoc, peer, report), daemon=True).start()
        return SUCCESS, None

    def _report(self, association: Association, peer: Peer | None, report: Dataset) -> None:
        stored, failed = (len(report.get(name, ())) for name in ("ReferencedSOPSequence", "FailedSOPSequence"))
        try:
            is_sent = _send(association, report) if peer is None else self._send_to(peer, report)
        except Exception:  # the caller is gone, or answers nonsense
            is_sent = False
        finally:
            self._slots.release()
        end = "" if is_sent else "; the report did not reach the caller"
        self._on_message(f"storage commitment: {format_count(stored, 'instance')} on disk, {failed} not{end}")

    def _send_to(self, peer: Peer, report: Dataset) -> bool:
        """Report on an association that this node opens, as the provider of the service."""
        node = AE(self._aet)
        node.acse_timeout = node.dimse_timeout = node.network_timeout = node.connection_timeout = TIMEOUT_S
        node.add_requested_context(StorageCommitmentPushModel)
        role = build_role(StorageCommitmentPushModel, scu_role=False, scp_role=True)
        for number in range(TRIES):
            if number:
                time.sleep(PAUSE_S)
            tls = None if self._tls is None else (self._tls.client, peer.host)
            association = node.associate(peer.host, peer.port, ext_neg=[role], ae_title=peer.aet, tls_args=tls)
            if association.is_established:
                try:
                    return _send(association, report)
                finally:
                    association.release()
        return False


def _make_report(transaction: UID, references: list[tuple[str, str]], on_disk: set[str]) -> Dataset:
    """The event information of the report."""
    report = Dataset()
    report.TransactionUID = transaction
    stored, failed = [], []
    for sop_class, sop_uid in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_uid
        if sop_uid in on_disk:
            stored.append(item)
        else:
            item.FailureReason = NO_SUCH_INSTANCE
            failed.append(item)
    if stored:
        report.ReferencedSOPSequence = stored
    if failed:
        report.FailedSOPSequence = failed
    return report


def _send(association: Association, report: Dataset) -> bool:
    """Send a report; whether it was taken."""
    event_type = SOME_FAILED if "FailedSOPSequence" in report else ALL_STORED
    status, _ = association.send_n_event_report(
        report, event_type, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    )
    return bool(status) and status.Status == SUCCESS
