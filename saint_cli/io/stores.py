"""The file systems of URLs: opened through fsspec, and what they raise told in one line.

fsspec, and the package of the URL's protocol, are imported here, when a URL was given. Of what they raise only the kind
is told, for their sentences may quote keys.
"""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from saint_cli.errors import OutputError, RemoteError, UsageError
from saint_cli.io.urls import as_sent, has_query, is_web, shown
from saint_cli.plain_text import WEB

OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "r2")
"""Protocols in whose stores an object appears when its upload is complete, and renaming would copy it."""

EXTRA = "pip install 'saint-cli[remote]' brings those of s3, http and https; docs/cluster.md names others"

DENIED = "access denied; are credentials set in the environment or a configuration file (docs/cluster.md)?"

SILENCE_S = 60.0
"""How long a web server may send nothing."""


def opened(url: str) -> tuple[Any, str]:
    """The file system of a URL, its memory of earlier listings empty, and the path in it.

    Raises:
        UsageError: no such protocol, or its package is missing.
    """
    protocol = url.split("://", 1)[0]
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it would quote the URL of what failed unheard
    try:
        from fsspec.core import url_to_fs

        if has_query(url):  # else the library would write it anew
            system, path = url_to_fs(as_sent(url), encoded=True, **_patience(url))
        else:
            system, path = url_to_fs(url, **_patience(url))
    except ImportError:
        raise UsageError(f"{shown(url)}: for {protocol}:// a package is missing; {EXTRA}") from None
    except ValueError as error:
        known = "" if "rotocol not known" in str(error) else f" ({type(error).__name__})"
        raise UsageError(f"{shown(url)}: {protocol}:// is no protocol that fsspec knows{known}") from None
    system.invalidate_cache()
    return system, str(path)


def _patience(url: str) -> dict[str, Any]:
    """No limit to how long a web server may take to send a file, as long as it sends; unless the user set one."""
    from fsspec.config import conf

    theirs = {key: value for name in WEB for key, value in conf.get(name, {}).get("client_kwargs", {}).items()}
    if not is_web(url) or "timeout" in theirs:
        return {}
    from aiohttp import ClientTimeout

    ours = ClientTimeout(total=None, sock_connect=SILENCE_S, sock_read=SILENCE_S)
    return {"client_kwargs": {**theirs, "timeout": ours}}


def is_object_store(system: Any) -> bool:
    """Whether a file system is a store whose objects appear whole."""
    protocols = (system.protocol,) if isinstance(system.protocol, str) else system.protocol
    return any(protocol in OBJECT_STORES for protocol in protocols)


@contextmanager
def told(url: str, done: str) -> Iterator[None]:
    """Whatever a file system raises as one line that quotes none of it; ``done`` is what cannot be done.

    Raises:
        RemoteError: instead of it.
    """
    try:
        yield
    except (UsageError, OutputError, RemoteError, MemoryError):
        raise
    except FileNotFoundError as error:
        if _is_denied(error.__cause__):  # so fsspec tells it of a web server
            raise RemoteError(f"{shown(url)}: {DENIED}") from None
        raise RemoteError(f"{shown(url)}: no such file, folder or bucket") from None
    except Exception as error:  # every file system has errors of its own
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise OutputError(
                f"{shown(url)}: the disk is full; TMPDIR names the folder for scans on their way"
            ) from None
        kind, status = type(error).__name__, getattr(error, "status", None)
        if isinstance(error, PermissionError) or "Credential" in kind or "Auth" in kind or _is_denied(error):
            raise RemoteError(f"{shown(url)}: {DENIED}") from None
        what = kind if status is None else f"{kind}, status {status}"
        raise RemoteError(f"{shown(url)}: cannot be {done} ({what})") from None


def _is_denied(error: BaseException | None) -> bool:
    """Whether a web server asks for who wants to know."""
    return getattr(error, "status", None) in (401, 403)
