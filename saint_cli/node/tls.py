"""TLS of all DICOM connections of a node (PS3.15 B.9): the contexts that its certificates make."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saint_cli.errors import UnreadableError
from saint_cli.io.error_conversion import convert_os_errors
from saint_cli.io.regular_files import open_regular

TIMEOUT_S = 60.0
"""That a caller may take for one step, be it of the handshake."""


@dataclass(frozen=True)
class TlsContexts:
    """For connections that callers open, and for those that the node opens."""

    server: ssl.SSLContext
    client: ssl.SSLContext


def make_tls(certificate: Path, key: Path | None, authorities: Path | None) -> TlsContexts:
    """The contexts of a node with this certificate, by which it shows who it is to both sides.

    All files are PEM. key: private, without a password; None if it is in the file of the certificate. authorities:
    certificates by which every caller and archive must be signed; None: those that this machine trusts sign archives,
    and callers need no certificate.

    Raises:
        UnreadableError: a file that is missing, no such file, or a key of another certificate.
    """
    for path in filter(None, (certificate, key, authorities)):
        with convert_os_errors(path, "read"), open_regular(path) as file:
            file.read(1)
    contexts = TlsContexts(_LateHandshakeContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    for context in (contexts.server, contexts.client):
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(certificate, key, password=lambda: "")  # without it, OpenSSL asks at the terminal
        except (ssl.SSLError, ValueError):
            beside = f" with {key}" if key is not None else ""
            raise UnreadableError(
                f"{certificate}{beside}: not a PEM certificate and its private key without a password"
            ) from None
        if authorities is not None:
            try:
                context.load_verify_locations(authorities)
            except ssl.SSLError:
                raise UnreadableError(f"{authorities}: holds no PEM certificate") from None
    if authorities is None:
        contexts.client.load_default_certs()
    else:
        contexts.server.verify_mode = ssl.CERT_REQUIRED
    return contexts


class _LateHandshakeContext(ssl.SSLContext):
    """Leaves the handshake to the thread of the association, so that a silent caller keeps no other one waiting."""

    def wrap_socket(self, sock: Any, *arguments: Any, **more: Any) -> ssl.SSLSocket:
        """The socket of a caller; what it reads first is the handshake."""
        sock.settimeout(TIMEOUT_S)
        return super().wrap_socket(sock, *arguments, **more | {"do_handshake_on_connect": False})
