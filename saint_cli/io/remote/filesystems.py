"""The file systems of URLs, opened through fsspec; what they raise becomes one line.

fsspec, and the package of the URL's protocol, are imported when a URL is given. Messages show only the type of what
they raise, whose text may quote keys.
"""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from saint_cli.errors import OutputError, RemoteError, UsageError
from saint_cli.errors.plain_text import WEB_PROTOCOLS
from saint_cli.io.remote.urls import encode_url, has_query, is_web, public_url

OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "r2")
"""Protocols in whose stores an object appears when its upload is complete, and renaming would copy it."""

INSTALL_HINT = "pip install 'saint-cli[remote]' brings those of s3, http and https; docs/cluster.md names others"

ACCESS_DENIED = "access denied; are credentials set in the environment or a configuration file (docs/cluster.md)?"

TIMEOUT_S = 60.0
"""How long a web server may send nothing."""


def open_filesystem(url: str) -> tuple[Any, str]:
    """The file system of a URL, its memory of earlier listings empty, and the path in it.

    Raises:
        UsageError: no such protocol, or its package is missing.
    """
    protocol = url.split("://", 1)[0]
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it would quote the URL of what failed unheard
    try:
        from fsspec.core import url_to_fs

        if has_query(url):  # else the library would write it anew
            system, path = url_to_fs(encode_url(url), encoded=True, **_timeout_options(url))
        else:
            system, path = url_to_fs(url, **_timeout_options(url))
    except ImportError:
        raise UsageError(f"{public_url(url)}: for {protocol}:// a package is missing; {INSTALL_HINT}") from None
    except ValueError as error:
        known = "" if "rotocol not known" in str(error) else f" ({type(error).__name__})"
        raise UsageError(f"{public_url(url)}: {protocol}:// is not a protocol that fsspec knows{known}") from None
    system.invalidate_cache()
    return system, str(path)


def _timeout_options(url: str) -> dict[str, Any]:
    """No limit to how long a web server may take to send a file, as long as it sends; unless the user set one."""
    from fsspec.config import conf

    theirs = {
        key: value for name in WEB_PROTOCOLS for key, value in conf.get(name, {}).get("client_kwargs", {}).items()
    }
    if not is_web(url) or "timeout" in theirs:
        return {}
    from aiohttp import ClientTimeout

    ours = ClientTimeout(total=None, sock_connect=TIMEOUT_S, sock_read=TIMEOUT_S)
    return {"client_kwargs": {**theirs, "timeout": ours}}


def is_object_store(system: Any) -> bool:
    """Whether a file system is a store whose objects appear whole."""
    protocols = (system.protocol,) if isinstance(system.protocol, str) else system.protocol
    return any(protocol in OBJECT_STORES for protocol in protocols)


@contextmanager
def connect(url: str, action: str, name: str = "") -> Iterator[tuple[Any, str]]:
    """The file system of a URL and the path in it; ``action`` and ``name`` (else the URL) are for error messages.

    Raises:
        UsageError: no such protocol, or its package is missing.
        RemoteError: whatever the file system raises meanwhile.
    """
    with convert_remote_errors(name or url, action):
        yield open_filesystem(url)


@contextmanager
def convert_remote_errors(url: str, action: str) -> Iterator[None]:
    """Turn whatever a file system raises into one line that quotes none of it: the URL "cannot be ``action``".

    Raises:
        RemoteError: instead of it.
    """
    try:
        yield
    except (UsageError, OutputError, RemoteError, MemoryError):
        raise
    except FileNotFoundError as error:
        if _is_denied(error.__cause__):  # so fsspec reports it of a web server
            raise RemoteError(f"{public_url(url)}: {ACCESS_DENIED}") from None
        raise RemoteError(f"{public_url(url)}: no such file, folder or bucket") from None
    except Exception as error:  # every file system has errors of its own
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise OutputError(
                f"{public_url(url)}: the disk is full; TMPDIR names the folder for scans on their way"
            ) from None
        kind, status = type(error).__name__, getattr(error, "status", None)
        if isinstance(error, PermissionError) or "Credential" in kind or "Auth" in kind or _is_denied(error):
            raise RemoteError(f"{public_url(url)}: {ACCESS_DENIED}") from None
        what = kind if status is None else f"{kind}, status {status}"
        raise RemoteError(f"{public_url(url)}: cannot be {action} ({what})") from None


def _is_denied(error: BaseException | None) -> bool:
    """Whether a web server refuses the reader."""
    return getattr(error, "status", None) in (401, 403)
