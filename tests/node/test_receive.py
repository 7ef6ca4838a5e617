"""What the node answers to those who call it, and what is on disk then."""

import re
import socket
import sqlite3
import threading
from pathlib import Path
from typing import Any

import fabricate
import pydicom
import pytest
from node.archives import free_port, wait_until
from node.queues import open_queue
from node.receivers import COMMITMENT, Node, request_commitment, run_receiver, store
from pydicom import uid
from pydicom.dataset import Dataset
from pynetdicom import AE, build_context, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    Verification,
)

from saint_cli.errors import OutputError
from saint_cli.node.commitment import MAX_REPORTS
from saint_cli.node.options import NodeOptions
from saint_cli.node.receive import Receiver

pytestmark = pytest.mark.usefixtures("collected_sockets")


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


def test_a_caller_that_is_silent_when_the_node_ends_is_hung_up_on(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with run_receiver(tmp_path) as node:
        silent = socket.create_connection(("127.0.0.1", node.port))
        wait_until(lambda: node.receiver._node.active_associations)
    wait_until(lambda: not [one for one in set(threading.enumerate()) - before if not one.daemon], 20)
    silent.close()


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
