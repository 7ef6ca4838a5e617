"""DICOM over TLS: callers and archives prove who they are, and others get no association."""

import datetime
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

import fabricate
import pytest
from node import archives
from node.archives import wait_until
from node.receivers import run_receiver, store
from pydicom import uid
from pydicom.dataset import Dataset
from pynetdicom import AE, build_context
from pynetdicom.association import Association

from saint_cli.errors import UnreadableError
from saint_cli.node.forward import NO_TLS, parse_destination
from saint_cli.node.tls import TlsContexts, make_tls

x509 = pytest.importorskip("cryptography.x509", reason="cryptography makes the certificates")

pytestmark = pytest.mark.usefixtures("collected_sockets")


@dataclass(frozen=True)
class Identity:
    """Files of a certificate and its private key."""

    certificate: Path
    key: Path

    def tls(self, authorities: Path | None = None) -> TlsContexts:
        """Its contexts, with those who sign the other side."""
        return make_tls(self.certificate, self.key, authorities)


def make_identity(folder: Path, name: str, host: str = "127.0.0.1") -> Identity:
    """A self-signed certificate of a host, which is its own authority."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
    builder = builder.add_extension(address, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    identity = Identity(folder / f"{name}.pem", folder / f"{name}.key")
    pem = serialization.Encoding.PEM
    identity.certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(pem))
    bare = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    identity.key.write_bytes(key.private_bytes(pem, *bare))
    return identity


@pytest.fixture
def saint(tmp_path: Path) -> Identity:
    """The node."""
    return make_identity(tmp_path, "saint")


@pytest.fixture
def other(tmp_path: Path) -> Identity:
    """A scanner, or an archive."""
    return make_identity(tmp_path, "other")


def call(port: int, tls: ssl.SSLContext | None) -> Association:
    """An association with the node, established or refused."""
    entity = AE("CALLER")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = 20
    contexts = [build_context(uid.CTImageStorage, uid.ExplicitVRLittleEndian)]
    return entity.associate("127.0.0.1", port, contexts, "SAINT", tls_args=None if tls is None else (tls, "127.0.0.1"))


def test_a_caller_whose_certificate_is_known_may_send_and_no_other(
    tmp_path: Path, saint: Identity, other: Identity
) -> None:
    slices = fabricate.slices(2, shape=(700, 600))  # of more bytes than one record of TLS has
    with (
        run_receiver(tmp_path / "queue", tls=saint.tls(other.certificate)) as node,
        socket.create_connection(("127.0.0.1", node.port)),  # which is silent, and keeps no other caller waiting
    ):
        association = call(node.port, other.tls(saint.certificate).client)
        assert association.is_established
        assert [store(association, data) for data in slices] == [0, 0]
        association.release()
        stranger = make_identity(tmp_path, "stranger").tls(saint.certificate).client
        nobody = ssl.create_default_context(cafile=saint.certificate)
        for count, tls in enumerate((stranger, nobody, None), 1):
            assert not call(node.port, tls).is_established
            wait_until(lambda count=count: sum("TLS failed" in line for line in node.log) == count)
        assert node.series[0].instances == 2


def test_without_authorities_callers_need_no_certificate_and_are_encrypted(tmp_path: Path, saint: Identity) -> None:
    with run_receiver(tmp_path / "queue", tls=saint.tls()) as node:
        association = call(node.port, ssl.create_default_context(cafile=saint.certificate))
        assert association.is_established
        association.release()
        assert not call(node.port, None).is_established


def test_results_go_to_an_archive_that_proves_who_it_is_and_to_no_other(
    tmp_path: Path, saint: Identity, other: Identity
) -> None:
    files = sorted(fabricate.save(fabricate.slices(), tmp_path / "series").iterdir())
    elsewhere = make_identity(tmp_path, "elsewhere", "127.0.0.2")
    for known, shown, reason in ((other, other, None), (saint, other, NO_TLS), (elsewhere, elsewhere, NO_TLS)):
        with archives.run_archive(tls=shown.tls(saint.certificate).server) as archive:
            place = f"ARCHIVE@127.0.0.1:{archive.port}"
            assert parse_destination(place, "SAINT", saint.tls(known.certificate)).send(files) == (
                {} if reason is None else dict.fromkeys(files, reason)
            )
            assert len(archive.arrivals) == (len(files) if reason is None else 0)
    with archives.run_archive() as archive:  # which speaks no TLS
        place = f"ARCHIVE@127.0.0.1:{archive.port}"
        reasons = parse_destination(place, "SAINT", saint.tls(other.certificate)).send(files)
        assert reasons == dict.fromkeys(files, NO_TLS)


def test_storage_commitment_is_reported_over_tls(tmp_path: Path, saint: Identity, other: Identity) -> None:
    from pynetdicom import evt
    from pynetdicom.sop_class import (  # type: ignore[attr-defined]
        StorageCommitmentPushModel,
        StorageCommitmentPushModelInstance,
    )

    (data,), reports = fabricate.slices(1), list[Dataset]()
    listener = AE("CALLER")
    listener.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    port = archives.free_port()
    handlers = [(evt.EVT_N_EVENT_REPORT, lambda event: (reports.append(event.event_information) or 0x0000, None))]
    context = other.tls(saint.certificate).server
    server = listener.start_server(("127.0.0.1", port), block=False, ssl_context=context, evt_handlers=handlers)
    allowed = f"CALLER@127.0.0.1:{port}"
    try:
        with run_receiver(tmp_path / "queue", allowed, tls=saint.tls(other.certificate)) as node:
            entity = AE("CALLER")
            entity.add_requested_context(StorageCommitmentPushModel)
            tls = other.tls(saint.certificate).client, "127.0.0.1"
            association = entity.associate("127.0.0.1", node.port, ae_title="SAINT", tls_args=tls)
            request, item = Dataset(), Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
            request.TransactionUID, request.ReferencedSOPSequence = uid.generate_uid(), [item]
            kind = StorageCommitmentPushModel, StorageCommitmentPushModelInstance
            status, _ = association.send_n_action(request, 1, *kind)
            assert status.Status == 0
            wait_until(lambda: reports)
            association.release()
    finally:
        server.shutdown()
    assert len(reports[0].FailedSOPSequence) == 1


def test_files_that_make_no_tls_are_refused_by_name(tmp_path: Path, saint: Identity, other: Identity) -> None:
    (tmp_path / "text.pem").write_text("no certificate")
    locked = tmp_path / "locked.key"
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(saint.key.read_bytes(), None)
    secret = serialization.BestAvailableEncryption(b"password")
    locked.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret))
    text = tmp_path / "text.pem"
    for files, named in (
        ((tmp_path / "none.pem", None, None), r"none\.pem: cannot be read \(No such file"),
        ((text, None, None), r"text\.pem: not a PEM certificate"),
        ((saint.certificate, None, None), r"saint\.pem: not a PEM certificate and its private key"),
        ((saint.certificate, other.key, None), r"saint\.pem with .*other\.key: not a PEM"),
        ((saint.certificate, locked, None), r"locked\.key: .*without a password"),
        ((saint.certificate, saint.key, text), r"text\.pem: holds no PEM certificate"),
    ):
        with pytest.raises(UnreadableError, match=named):
            make_tls(*files)
    both = tmp_path / "both.pem"
    both.write_bytes(saint.certificate.read_bytes() + saint.key.read_bytes())
    assert make_tls(both, None, None).server.verify_mode is ssl.CERT_NONE
