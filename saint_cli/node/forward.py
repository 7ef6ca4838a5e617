"""Send derived series to an archive: by C-STORE to a DICOM node, or by STOW-RS to a DICOMweb server.

Sending the same files again is harmless: an archive knows instances by their SOPInstanceUID, and those of a derived
series depend only on its source and on how it was made. So a sender that is killed, or whose answers are lost, sends
everything again, and the archive holds each instance once.
"""

import re
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context

from saint_cli.errors import UsageError
from saint_cli.io.remote.urls import public_url
from saint_cli.node import stow
from saint_cli.node.options import parse_address
from saint_cli.node.stow import NO_CONNECTION
from saint_cli.node.tls import TlsContexts

CONNECTION_TIMEOUT_S = 10.0

ANSWER_TIMEOUT_S = 120.0
"""Seconds within which an archive must answer one request; slow ones index before they answer."""

MAX_REQUEST_BYTES = 32 * 2**20
"""Of the files in one STOW-RS request, which lies in memory; a larger file goes alone."""

NO_TLS = f"{NO_CONNECTION}, or one side does not accept the other's TLS or certificate"

WARNINGS = range(0xB000, 0xC000)
"""Statuses of a C-STORE that stored the instance, with a remark (PS3.4 B.2.3)."""


Reasons = dict[Path, str]
"""Files that were not sent, each with the reason in words without patient text."""


class Destination(Protocol):
    """An archive that series are sent to."""

    @property
    def name(self) -> str:
        """How messages call it, without secrets."""

    def send(self, paths: Sequence[Path]) -> Reasons:
        """Send DICOM files once, in their order; those that the archive did not confirm to hold. Nothing is raised."""


def parse_destination(text: str, aet: str, tls: TlsContexts | None = None) -> Destination:
    """The archive that AET@HOST:PORT or the URL of a DICOMweb service names.

    aet: the AE title of the sender. tls: of connections to a node; a URL says itself what it takes.

    Raises:
        UsageError: neither, or a URL that holds a password or a query.
    """
    if re.match("https?://", text, re.IGNORECASE):
        if not stow.is_service_url(text):
            raise UsageError(
                f"--forward {public_url(text)}: a URL without user, password or query, such as "
                "https://archive.example/dicom-web; a password belongs into ~/.netrc"
            )
        return WebDestination(text.rstrip("/"))
    peer = parse_address(text)
    if peer is None:
        raise UsageError(f"--forward {text}: neither AET@HOST:PORT nor the URL of a DICOMweb service (https://…)")
    return NodeDestination(peer.aet, peer.host, peer.port, aet, None if tls is None else tls.client)


@dataclass(frozen=True)
class NodeDestination:
    """A DICOM node that takes C-STORE (PS3.4 B), with TLS or None; ``aet`` is the AE title of the sender."""

    title: str
    host: str
    port: int
    aet: str
    tls: ssl.SSLContext | None = None

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"{self.title}@{self.host}:{self.port}"

    def send(self, paths: Sequence[Path]) -> Reasons:
        """Send files over one association; see ``Destination``."""
        contexts, reasons = _propose_contexts(paths)
        files = [path for path in paths if path not in reasons]
        if not files:
            return reasons
        node = AE(self.aet)
        node.connection_timeout, node.acse_timeout = CONNECTION_TIMEOUT_S, ANSWER_TIMEOUT_S
        node.dimse_timeout = node.network_timeout = ANSWER_TIMEOUT_S
        tls = None if self.tls is None else (self.tls, self.host)
        try:
            association = node.associate(self.host, self.port, contexts, ae_title=self.title, tls_args=tls)
        except (OSError, ValueError):  # of a name that is no host's, or of none at the moment
            return reasons | dict.fromkeys(files, NO_CONNECTION)
        if self.tls is not None and not (association.is_established or association.is_rejected):
            return reasons | dict.fromkeys(files, NO_TLS)
        try:
            return reasons | {path: reason for path in files if (reason := _store(association, path))}
        finally:
            if association.is_established:
                association.release()


def _propose_contexts(paths: Sequence[Path]) -> tuple[list[PresentationContext], Reasons]:
    """One presentation context for each SOP class and transfer syntax of the files; the files that have none.

    The archive chooses among the syntaxes of one context, so each syntax that files are in needs its own. What is not
    compressed may also go in the default syntax, which every archive knows (PS3.5 10.1); pynetdicom encodes it anew.
    """
    kinds: dict[tuple[str, str], None] = {}
    unreadable: Reasons = {}
    for path in paths:
        try:
            meta = read_file_meta_info(path)
            kinds[meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID] = None
            if not meta.TransferSyntaxUID.is_compressed:
                kinds[meta.MediaStorageSOPClassUID, ImplicitVRLittleEndian] = None
        except (OSError, InvalidDicomError, AttributeError, ValueError) as error:
            unreadable[path] = f"cannot be read ({type(error).__name__})"
    return [build_context(sop_class, syntax) for sop_class, syntax in kinds], unreadable


def _store(association: Association, path: Path) -> str:
    """Why the archive did not store a file; "" if it did."""
    if association.is_rejected:
        return "the archive refused the association; is this AE title known to it?"
    if association.rejected_contexts and not association.accepted_contexts:
        return "the archive takes none of these SOP classes"
    if not association.is_established:
        return NO_CONNECTION
    data = _load(path)
    if not isinstance(data, Dataset):
        return data
    if data.SOPClassUID not in {context.abstract_syntax for context in association.accepted_contexts}:
        return f"the archive does not take {data.SOPClassUID.name}"
    try:
        answer = association.send_c_store(data)
    except RuntimeError:  # the connection ended since it was asked for
        return NO_CONNECTION
    except ValueError:
        return "the archive does not take its transfer syntax"
    status = answer.get("Status")
    if status is None:
        return "no answer within the time, or the connection ended"
    return "" if status == 0 or status in WARNINGS else f"refused with status 0x{status:04X}"


@dataclass(frozen=True)
class WebDestination:
    """A DICOMweb server that takes STOW-RS (PS3.18 10.5); ``url`` is that of the service, above ``/studies``."""

    url: str

    @property
    def name(self) -> str:
        """How messages call it."""
        return public_url(self.url)

    def send(self, paths: Sequence[Path]) -> Reasons:
        """Send files in requests of bounded size; see ``Destination``."""
        reasons: Reasons = {}
        for group in _group_by_size(paths):
            reasons |= _post(self.url, group)
        return reasons


def _group_by_size(paths: Sequence[Path]) -> Iterator[list[Path]]:
    group: list[Path] = []
    total = 0
    for path in paths:
        size = path.stat().st_size if path.exists() else 0
        if group and total + size > MAX_REQUEST_BYTES:
            yield group
            group, total = [], 0
        group.append(path)
        total += size
    if group:
        yield group


def _post(url: str, paths: Sequence[Path]) -> Reasons:
    """Send files in one request."""
    loaded = {path: _load(path) for path in paths}
    datasets = [data for data in loaded.values() if isinstance(data, Dataset)]
    refused = stow.store(url, datasets) if datasets else {}
    reasons = {
        path: refused.get(data.SOPInstanceUID, "") if isinstance(data, Dataset) else data
        for path, data in loaded.items()
    }
    return {path: reason for path, reason in reasons.items() if reason}


def _load(path: Path) -> Dataset | str:
    """The data set of a file, or why it cannot be sent."""
    try:
        data = dcmread(path)
    except (OSError, InvalidDicomError) as error:
        return f"cannot be read ({type(error).__name__})"
    return data if "SOPInstanceUID" in data and "SOPClassUID" in data else "is no DICOM instance"
