"""What the node refuses, and that nothing of it is left."""

import socket
import struct
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import fabricate
import pydicom
import pytest
from node.archives import wait_until
from node.queues import contents
from node.receivers import COMMITMENT, Node, request_commitment, run_receiver, store
from pydicom import uid
from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode

from saint_cli.node import incoming

pytestmark = pytest.mark.usefixtures("collected_sockets")


FULL, NO_MATCH, NOT_UNDERSTOOD = 0xA700, 0xA900, 0xC000


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
