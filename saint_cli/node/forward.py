"""Send derived series to an archive: by C-STORE to a DICOM node, or by STOW-RS to a DICOMweb server.

Sending the same files again is harmless: an archive knows instances by their SOPInstanceUID, and those of a derived
series depend only on its source and on how it was made. So a sender that is killed, or whose answers are lost, sends
everything again, and the archive holds each instance once.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

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

ADDRESS = re.compile(r"(?P<title>[^@\\]+)@(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>\d{1,5})")
"""AET@HOST:PORT; an IPv6 address stands in brackets."""

MAX_TITLE_LENGTH, MAX_PORT = 16, 65535

CONNECTION_TIMEOUT_S = 10.0

ANSWER_TIMEOUT_S = 120.0
"""Seconds within which an archive must answer one request; slow ones index before they answer."""

MAX_REQUEST_BYTES = 32 * 2**20
"""Of the files in one STOW-RS request, which lies in memory; a larger file goes alone."""

NO_CONNECTION = "there is no connection, or it ended"

WARNINGS = range(0xB000, 0xC000)
"""Statuses of a C-STORE that stored the instance, with a remark (PS3.4 B.2.3)."""


@dataclass(frozen=True)
class SendResult:
    """What an archive confirmed to hold, and the other files, each with the reason in words without patient text."""

    sent: tuple[Path, ...]
    failed: tuple[tuple[Path, str], ...] = ()


class Destination(Protocol):
    """An archive that series are sent to."""

    @property
    def name(self) -> str:
        """How messages call it, without secrets."""

    def send(self, paths: Sequence[Path]) -> SendResult:
        """Send DICOM files once, in their order; whatever goes wrong is in the result, and nothing is raised."""


def parse_destination(text: str, aet: str) -> Destination:
    """The archive that AET@HOST:PORT or the URL of a DICOMweb service names.

    aet: the AE title of the sender.

    Raises:
        UsageError: neither, or a URL that holds a password or a query.
    """
    if re.match("https?://", text, re.IGNORECASE):
        if not _is_service_url(text):
            raise UsageError(
                f"--forward {public_url(text)}: a URL without user, password or query, such as "
                "https://archive.example/dicom-web; a password belongs into ~/.netrc"
            )
        return WebDestination(text.rstrip("/"))
    match = ADDRESS.fullmatch(text)
    if match is None or not 0 < int(match["port"]) <= MAX_PORT:
        raise UsageError(f"--forward {text}: neither AET@HOST:PORT nor the URL of a DICOMweb service (https://…)")
    return NodeDestination(check_title(match["title"]), match["host"].strip("[]"), int(match["port"]), aet)


def _is_service_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        plain = bool(url.hostname) and url.port != 0
    except ValueError:  # of host or port
        return False
    return plain and not (url.query or url.fragment or "@" in url.netloc) and stow.is_service_url(text)


def check_title(title: str) -> str:
    """The AE title without spaces around it.

    Raises:
        UsageError: it is none: 1 to 16 characters of ASCII, no backslash, no control characters (PS3.5 6.2, VR AE).
    """
    bare = title.strip(" ")
    if not 0 < len(bare) <= MAX_TITLE_LENGTH or not (bare.isascii() and bare.isprintable()) or "\\" in bare:
        raise UsageError(f"AE title {title!r}: 1 to {MAX_TITLE_LENGTH} ASCII characters, no backslash")
    return bare


@dataclass(frozen=True)
class NodeDestination:
    """A DICOM node that takes C-STORE (PS3.4 B); ``aet`` is the AE title of the sender."""

    title: str
    host: str
    port: int
    aet: str

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"{self.title}@{self.host}:{self.port}"

    def send(self, paths: Sequence[Path]) -> SendResult:
        """Send files over one association; see ``Destination``."""
        contexts, unreadable = _propose_contexts(paths)
        files = [path for path in paths if path not in unreadable]
        if not files:
            return _gather(paths, unreadable)
        node = AE(self.aet)
        node.connection_timeout, node.acse_timeout = CONNECTION_TIMEOUT_S, ANSWER_TIMEOUT_S
        node.dimse_timeout = node.network_timeout = ANSWER_TIMEOUT_S
        try:
            association = node.associate(self.host, self.port, contexts, ae_title=self.title)
        except (OSError, ValueError):  # of a name that is no host's, or of none at the moment
            return _gather(paths, unreadable | dict.fromkeys(files, NO_CONNECTION))
        try:
            reasons = {path: _store(association, path) for path in files}
        finally:
            if association.is_established:
                association.release()
        return _gather(paths, unreadable | {path: reason for path, reason in reasons.items() if reason is not None})


def _propose_contexts(paths: Sequence[Path]) -> tuple[list[PresentationContext], dict[Path, str]]:
    """One presentation context for each SOP class and transfer syntax of the files; the files that have none.

    The archive chooses among the syntaxes of one context, so each syntax that files are in needs its own. What is not
    compressed may also go in the default syntax, which every archive knows (PS3.5 10.1); pynetdicom encodes it anew.
    """
    kinds: dict[tuple[str, str], None] = {}
    unreadable: dict[Path, str] = {}
    for path in paths:
        try:
            meta = read_file_meta_info(path)
            kinds[meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID] = None
            if not meta.TransferSyntaxUID.is_compressed:
                kinds[meta.MediaStorageSOPClassUID, ImplicitVRLittleEndian] = None
        except (OSError, InvalidDicomError, AttributeError, ValueError) as error:
            unreadable[path] = f"cannot be read ({type(error).__name__})"
    return [build_context(sop_class, syntax) for sop_class, syntax in kinds], unreadable


def _store(association: Association, path: Path) -> str | None:
    """Why the archive did not store a file; None if it did."""
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
    return None if status == 0 or status in WARNINGS else f"refused with status 0x{status:04X}"


@dataclass(frozen=True)
class WebDestination:
    """A DICOMweb server that takes STOW-RS (PS3.18 10.5); ``url`` is that of the service, above ``/studies``."""

    url: str

    @property
    def name(self) -> str:
        """How messages call it."""
        return public_url(self.url)

    def send(self, paths: Sequence[Path]) -> SendResult:
        """Send files in requests of bounded size; see ``Destination``."""
        reasons: dict[Path, str] = {}
        for group in _group_by_size(paths):
            reasons |= _post(self.url, group)
        return _gather(paths, reasons)


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


def _post(url: str, paths: Sequence[Path]) -> dict[Path, str]:
    """Send files in one request; the files that the server did not confirm, each with the reason."""
    loaded = {path: _load(path) for path in paths}
    datasets = [data for data in loaded.values() if isinstance(data, Dataset)]
    answer = stow.store(url, datasets) if datasets else stow.StowAnswer()
    reasons: dict[Path, str] = {}
    for path, data in loaded.items():
        if not isinstance(data, Dataset):
            reasons[path] = data
        elif data.SOPInstanceUID not in answer.stored:
            reasons[path] = answer.refused.get(data.SOPInstanceUID, answer.failure)
    return reasons


def _load(path: Path) -> Dataset | str:
    """The data set of a file, or why it cannot be sent."""
    try:
        data = dcmread(path)
    except (OSError, InvalidDicomError) as error:
        return f"cannot be read ({type(error).__name__})"
    return data if "SOPInstanceUID" in data and "SOPClassUID" in data else "is no DICOM instance"


def _gather(paths: Sequence[Path], reasons: dict[Path, str]) -> SendResult:
    sent = tuple(path for path in paths if path not in reasons)
    return SendResult(sent, tuple((path, reasons[path]) for path in paths if path in reasons))
