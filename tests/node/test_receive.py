"""What the node answers to those who call it, and what is on disk then."""

import re
import socket
import sqlite3
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import fabricate
import pydicom
import pytest
from node.archives import free_port, wait_until
from node.queues import contents, open_queue
from pydicom import uid
from pydicom.dataset import Dataset
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    Verification,
)

from saint_cli.errors import OutputError
from saint_cli.node import incoming
from saint_cli.node.commitment import MAX_REPORTS
from saint_cli.node.completion import Arrivals
from saint_cli.node.options import NodeOptions, parse_peers
from saint_cli.node.receive import Receiver
from saint_cli.node.records import QueuedSeries
from saint_cli.node.spool import Spool

pytestmark = pytest.mark.usefixtures("collected_sockets")

FULL, NO_MATCH, NOT_UNDERSTOOD = 0xA700, 0xA900, 0xC000


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
def run_receiver(folder: Path, *allowed: str, **limits: int) -> Iterator[Node]:
    """A node that receives, and does nothing else."""
    spool = open_queue(folder, limits.pop("max_bytes", 10**9), limits.pop("max_instance_bytes", 10**8))
    arrivals, log = Arrivals(0.1), list[str]()
    peers = parse_peers(",".join(allowed)) if allowed else None
    options = NodeOptions(port=free_port(), allowed=peers, **limits)
    receiver = Receiver(options, spool, arrivals, log.append)
    try:
        yield Node(receiver, spool, arrivals, options.port, log)
    finally:
        receiver.close()
        spool.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node that takes instances of everybody."""
    with run_receiver(tmp_path) as running:
        yield running


def store(association: Association, data: Dataset) -> int:
    """The status that a C-STORE is answered with; -1 for none."""
    return int(association.send_c_store(data).get("Status", -1))


def test_success_is_answered_for_what_is_on_disk_bit_by_bit(node: Node) -> None:
    sent = fabricate.slices(3)
    association = node.call()
    for count, data in enumerate(sent, 1):
        assert store(association, data) == 0
        (series,) = node.series
        assert series.instances == count
    association.release()
    stored = {data.SOPInstanceUID: data for data in map(pydicom.dcmread, series.source_folder.iterdir())}
    for data in sent:
        same = stored[data.SOPInstanceUID]
        assert same == data
        assert same.file_meta.TransferSyntaxUID == data.file_meta.TransferSyntaxUID


def test_compressed_instances_are_stored_as_they_come(node: Node, tmp_path: Path) -> None:
    (data,) = fabricate.slices(1)
    fabricate.compress_gdcm(data, tmp_path)
    syntax = data.file_meta.TransferSyntaxUID
    association = node.call(contexts=[build_context(uid.CTImageStorage, syntax)])
    assert store(association, data) == 0
    association.release()
    (file,) = node.series[0].source_folder.iterdir()
    stored = pydicom.dcmread(file)
    assert (stored.file_meta.TransferSyntaxUID, stored.PixelData) == (syntax, data.PixelData)


@pytest.mark.parametrize(
    "syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.DeflatedExplicitVRLittleEndian]
)
def test_other_encodings_of_the_data_set_are_taken(node: Node, syntax: uid.UID) -> None:
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID, data.SeriesInstanceUID = uid.CTImageStorage, "1.2.3", "1.2"
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.set_original_encoding(syntax.is_implicit_VR, syntax.is_little_endian)
    association = node.call(contexts=[build_context(uid.CTImageStorage, syntax)])
    assert store(association, data) == 0
    assert pydicom.dcmread(next(node.series[0].source_folder.iterdir())).SeriesInstanceUID == "1.2"


def test_an_echo_is_answered(node: Node) -> None:
    association = node.call(contexts=[build_context(Verification)])
    assert association.send_c_echo().Status == 0
    association.release()


def test_only_allowed_callers_that_name_the_node_get_in_and_refusals_are_logged(tmp_path: Path) -> None:
    with run_receiver(tmp_path, "CALLER") as node:
        for title, called in (("STRANGER", "SAINT"), ("CALLER", "OTHER"), ("caller", "SAINT")):
            assert not node.call(title, called).is_established
        allowed = node.call()
        assert allowed.is_established
        allowed.release()
        assert len([line for line in node.log if "association refused" in line]) == 3
        assert '"STRANGER"' in "".join(node.log)


def test_more_associations_than_allowed_are_refused(tmp_path: Path) -> None:
    with run_receiver(tmp_path, max_associations=2) as node:
        associations = [node.call() for _ in range(3)]
        assert [one.is_established for one in associations] == [True, True, False]
        for one in associations[:2]:
            one.release()


def test_a_full_queue_answers_out_of_resources_and_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    sent = fabricate.slices(4)
    with run_receiver(tmp_path, max_bytes=3000) as node:
        association = node.call()
        statuses = [store(association, data) for data in sent]
        assert statuses[0] == 0
        assert statuses[-1] == FULL
        assert node.series[0].instances == statuses.count(0) == len(contents(node.series[0]))
        assert sum("no room" in line for line in node.log) == 1, "said once an association"
        association.release()


def test_an_instance_beyond_the_limit_is_refused_and_the_next_is_taken(tmp_path: Path) -> None:
    small, large = fabricate.slices(2)
    fabricate.set_pixels(large, fabricate.np.zeros((300, 300), "u2"))
    with run_receiver(tmp_path, max_instance_bytes=20_000) as node:
        association = node.call()
        assert [store(association, large), store(association, small)] == [FULL, 0]
        association.release()
        assert not list((node.spool.folder / "incoming").iterdir())


def test_a_database_that_cannot_be_written_is_answered_and_nothing_is_left(node: Node) -> None:
    with node.spool._database.change() as connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON instances BEGIN SELECT RAISE(ABORT, 'full'); END")
    association = node.call()
    assert store(association, fabricate.slices(1)[0]) == FULL
    association.release()
    assert not list(node.spool.folder.rglob("*.dcm"))


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("SeriesInstanceUID", None, NOT_UNDERSTOOD),
        ("SeriesInstanceUID", "", NOT_UNDERSTOOD),
        ("SeriesInstanceUID", "../../evil", NOT_UNDERSTOOD),
        ("SeriesInstanceUID", "1." * 40, NOT_UNDERSTOOD),
    ],
)
def test_data_sets_without_a_series_are_refused(node: Node, name: str, value: Any, status: int) -> None:
    (data,) = fabricate.slices(1)
    if value is None:
        del data[name]
    else:
        data[name].value = value
    association = node.call()
    assert store(association, data) == status
    association.release()
    assert not node.series


def test_an_instance_that_is_not_the_announced_one_is_refused(node: Node) -> None:
    (data,) = fabricate.slices(1)
    association = node.call()
    body = encode(data, is_implicit_vr=False, is_little_endian=True)
    assert body is not None
    assert send_bytes(association, body, "1.2.3") == NO_MATCH
    assert send_bytes(association, body, data.SOPInstanceUID) == 0
    association.release()


@pytest.mark.parametrize("body", [b"\xff" * 1000, b"text", bytes(1)])
def test_bytes_that_are_no_data_set_are_refused_and_the_next_instance_is_taken(node: Node, body: bytes) -> None:
    association = node.call()
    assert send_bytes(association, body) == NOT_UNDERSTOOD
    assert store(association, fabricate.slices(1)[0]) == 0
    association.release()


@pytest.mark.parametrize("sop_uid", ["../../evil", "1.02.3", "é", "x" * 64])
def test_an_announced_uid_that_is_none_makes_no_file_and_leaves_the_node_at_work(node: Node, sop_uid: str) -> None:
    association = node.call()
    assert send_bytes(association, b"\x08\x00\x18\x00UI\x02\x001\x00", sop_uid) != 0
    association.abort()
    assert not node.series
    other = node.call()
    assert store(other, fabricate.slices(1)[0]) == 0
    other.release()


def send_bytes(association: Association, body: bytes, sop_uid: str = "1.2.3") -> int:
    """The status that a C-STORE of these bytes as a data set is answered with; -1 for none."""
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID = uid.CTImageStorage
    request._affected_sop_instance_uid = uid.UID(sop_uid, validation_mode=pydicom.config.IGNORE)
    request.DataSet = BytesIO(body)
    association._reactor_checkpoint.clear()
    while not association._is_paused:
        time.sleep(0.01)
    association.dimse.send_msg(request, association.accepted_contexts[0].context_id or 0)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    return -1 if not isinstance(answer, C_STORE) or answer.Status is None else answer.Status


def test_a_sender_that_vanishes_leaves_what_it_was_answered_and_no_half_file(node: Node) -> None:
    association, (first, second) = node.call(), fabricate.slices(2)
    assert store(association, first) == 0
    used = node.spool.budget.used_bytes
    send_half(association, second)
    wait_until(lambda: any((node.spool.folder / "incoming").iterdir()))
    association.abort()
    wait_until(node.is_left)
    assert "broke off" in node.log[-1]
    assert not any((node.spool.folder / "incoming").iterdir())
    assert node.spool.budget.used_bytes == used
    assert [series.instances for series in node.series] == [1]
    assert not node.series[0].is_released


def send_half(association: Association, data: Dataset) -> None:
    """Send the command of a C-STORE and the first piece of its data set, and no more."""
    request = C_STORE()
    request.MessageID, request.Priority = 9, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
    request.DataSet = BytesIO(encode(data, is_implicit_vr=False, is_little_endian=True) or b"")
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    pieces = list(message.encode_msg(association.accepted_contexts[0].context_id or 0, 200))
    assert len(pieces) > 3
    for piece in pieces[:3]:
        association.dul.send_pdu(piece)


def test_an_orderly_end_is_remembered_over_a_restart(tmp_path: Path) -> None:
    with run_receiver(tmp_path) as node:
        association = node.call()
        assert store(association, fabricate.slices(1)[0]) == 0
        association.release()
        wait_until(node.is_left)
    assert open_queue(tmp_path).list_series()[0].is_released


def test_the_log_holds_neither_uids_nor_what_was_received(node: Node) -> None:
    association = node.call()
    for data in fabricate.slices(2):
        store(association, data)
    store(association, fabricate.changed(fabricate.slices(1), lambda _, data: data.pop("SeriesInstanceUID"))[0])
    association.release()
    wait_until(node.is_left)
    log = "\n".join(node.log)
    assert "series 1" in log
    assert "2 instances stored" in log
    assert not re.search(r"SECRET|\d\.\d+\.\d+\.\d+\.\d+", log)


def test_a_port_that_is_taken_is_named(tmp_path: Path, node: Node) -> None:
    options = NodeOptions(port=node.port)
    with pytest.raises(OutputError, match=f"127.0.0.1:{node.port}: cannot be listened on"):
        Receiver(options, node.spool, node.arrivals, node.log.append)


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


class Reports:
    """What a caller is told of its requests."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, set[str], set[str]]] = []

    def take(self, event: Any) -> tuple[int, None]:
        """Take a report."""
        data = event.event_information
        names = ("ReferencedSOPSequence", "FailedSOPSequence")
        stored, failed = ({str(item.ReferencedSOPInstanceUID) for item in data.get(name, ())} for name in names)
        self.reports.append((event.event_type, stored, failed))
        return 0, None


COMMITMENT = [
    build_context(StorageCommitmentPushModel),
    build_context(uid.CTImageStorage, uid.ExplicitVRLittleEndian),
]


def test_commitment_says_of_each_instance_whether_it_is_on_disk(node: Node) -> None:
    reports, (data, other) = Reports(), fabricate.slices(2)
    association = node.call(contexts=COMMITMENT, handlers=[(evt.EVT_N_EVENT_REPORT, reports.take)])
    assert store(association, data) == 0
    there, not_there = str(data.SOPInstanceUID), str(other.SOPInstanceUID)
    assert request_commitment(association, [there]) == 0
    wait_until(lambda: len(reports.reports) == 1)
    assert request_commitment(association, [there, not_there]) == 0
    wait_until(lambda: len(reports.reports) == 2)
    assert reports.reports == [(1, {there}, set()), (2, {there}, {not_there})]
    association.release()


def test_the_report_goes_to_the_address_of_the_caller_where_that_is_known(tmp_path: Path) -> None:
    reports, port = Reports(), free_port()
    entity = AE("CALLER")
    entity.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    server = entity.start_server(("127.0.0.1", port), False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, reports.take)])
    with run_receiver(tmp_path, f"CALLER@127.0.0.1:{port}") as node:
        association = node.call(contexts=COMMITMENT)
        assert request_commitment(association, ["1.2.3"]) == 0
        association.release()
        wait_until(lambda: bool(reports.reports))
    assert server is not None
    server.shutdown()
    assert reports.reports == [(2, set(), {"1.2.3"})]


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side closes it within seconds, whatever it says before."""
    connection.settimeout(20)
    try:
        while connection.recv(4096):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


def test_a_caller_that_announces_a_large_pdu_is_disconnected_before_it_is_sent(node: Node) -> None:
    with socket.create_connection(("127.0.0.1", node.port)) as connection:
        connection.sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFF0))
        assert is_closed(connection)
    association = node.call()
    assert association.is_established
    association.release()


def test_a_message_that_would_lie_in_memory_is_bounded(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    association = node.call(contexts=COMMITMENT)
    assert request_commitment(association, ["1.2.3"]) == 0
    monkeypatch.setattr(incoming, "MAX_MESSAGE_BYTES", 10_000)
    assert request_commitment(association, ["1.2.3"] * 1000) == -1
    wait_until(lambda: not association.is_established)
    association = node.call()
    assert store(association, fabricate.slices(1)[0]) == 0
    association.release()


def test_a_database_that_cannot_be_read_takes_no_slot_of_commitment(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: list[str]) -> set[str]:
        raise sqlite3.OperationalError

    association = node.call(contexts=COMMITMENT)
    with monkeypatch.context() as patch:
        patch.setattr(node.spool, "find_on_disk", fail)
        for _ in range(MAX_REPORTS + 1):
            assert request_commitment(association, ["1.2.3"]) == 0x0110
    assert request_commitment(association, ["1.2.3"]) == 0
    wait_until(lambda: "storage commitment" in node.log[-1])  # the report comes before the association may be released
    association.release()


@pytest.mark.parametrize(("references", "action", "status"), [(["1.2.3"], 7, 0x0123), ([], 1, 0x0115)])
def test_requests_that_make_no_sense_are_refused(node: Node, references: list[str], action: int, status: int) -> None:
    association = node.call(contexts=COMMITMENT)
    assert request_commitment(association, references, action) == status
    association.release()
