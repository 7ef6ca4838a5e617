"""Nodes that receive and do nothing else, and what callers ask of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node.archives import free_port
from node.queues import open_queue
from pydicom import uid
from pydicom.dataset import Dataset
from pynetdicom import AE, build_context
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from saint_cli.node.completion import Arrivals
from saint_cli.node.options import NodeOptions, parse_peers
from saint_cli.node.receive import Receiver
from saint_cli.node.records import QueuedSeries
from saint_cli.node.spool import Spool
from saint_cli.node.tls import TlsContexts

COMMITMENT = [
    build_context(StorageCommitmentPushModel),
    build_context(uid.CTImageStorage, uid.ExplicitVRLittleEndian),
]


@dataclass
class Node:
    """A receiver with its queue and its log."""

    receiver: Receiver
    spool: Spool
    arrivals: Arrivals
    port: int
    log: list[str] = field(default_factory=list)

    def call(
        self, title: str = "CALLER", called: str = "SAINT", contexts: Any = None, handlers: Any = ()
    ) -> Association:
        """An association, established or refused."""
        entity = AE(title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = 20
        contexts = contexts or [build_context(uid.CTImageStorage, uid.ExplicitVRLittleEndian)]
        return entity.associate("127.0.0.1", self.port, contexts, called, evt_handlers=list(handlers))

    def is_left(self) -> bool:
        """Whether no association is open, once those that ended were noticed."""
        self.receiver.notice_ended()
        return not self.receiver._open

    @property
    def series(self) -> list[QueuedSeries]:
        """Of the queue."""
        return self.spool.list_series()


@contextmanager
def run_receiver(folder: Path, *allowed: str, tls: TlsContexts | None = None, **limits: int) -> Iterator[Node]:
    """A node that receives, and does nothing else."""
    spool = open_queue(folder, limits.pop("max_bytes", 10**9), limits.pop("max_instance_bytes", 10**8))
    arrivals, log = Arrivals(0.1), list[str]()
    peers = parse_peers(",".join(allowed)) if allowed else None
    options = NodeOptions(port=free_port(), allowed=peers, **limits)
    receiver = Receiver(options, spool, arrivals, log.append, tls)
    try:
        yield Node(receiver, spool, arrivals, options.port, log)
    finally:
        receiver.close()
        spool.close()


def store(association: Association, data: Dataset) -> int:
    """The status that a C-STORE is answered with; -1 for none."""
    return int(association.send_c_store(data).get("Status", -1))


def ask(references: list[str]) -> Dataset:
    """The request to commit to instances."""
    request = Dataset()
    request.TransactionUID = "1.2.99"
    request.ReferencedSOPSequence = []
    for sop_uid in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = uid.CTImageStorage, sop_uid
        request.ReferencedSOPSequence.append(item)
    return request


def request_commitment(association: Association, references: list[str], action: int = 1) -> int:
    """The status that a request is answered with."""
    status, _ = association.send_n_action(
        ask(references), action, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    )
    return int(status.get("Status", -1))
