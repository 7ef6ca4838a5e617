"""What may be told of a URL, and which URLs are read at all."""

import re
from pathlib import Path
from urllib.parse import quote

from saint_cli.errors import UsageError
from saint_cli.io.entries import real_path
from saint_cli.plain_text import SIGNED, WEB

URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")

SAME = {"local": "file", "s3a": "s3", "gcs": "gs", "az": "abfs", "abfss": "abfs"}
"""Protocols that are other names of one."""


def is_url(text: str) -> bool:
    """Whether this is a URL, not a path."""
    return URL.match(text) is not None


SECRET = re.compile(r"[^/@]*:(?!\d+(/|$))[^@]*@")
"""A user with a password, which may hold slashes, before an @; a port is no password."""

SENT = "%/:?#[]@!$&'()*+,;=~"
"""What stands in a URL beside letters, digits, ``-._`` and what is encoded."""


def check(url: str) -> str:
    """The URL, if it may stand in a manifest.

    Raises:
        UsageError: it holds a password, or is chained of several.
    """
    if _without_user(url) != url or (not is_web(url) and SIGNED.search(url)):
        raise UsageError(
            f"{shown(url)}: a URL must hold no user, password or signature; give them in the environment or a "
            "configuration file (docs/cluster.md)"
        )
    if "::" in url:
        raise UsageError(f"{shown(url)}: chained URLs are not read; copy the scan out of its archive first")
    return url


def shown(url: str) -> str:
    """The URL as it may be told: without password, without a query that may be a signature, or slash at its end."""
    bare = _without_user(url)
    return (re.split("[?#]", bare)[0] if is_web(url) or SIGNED.search(bare) else bare).rstrip("/")


def _without_user(url: str) -> str:
    """The URL with a dash in place of user and password; a name alone (``sftp://me@host``) stays, but on the web."""
    protocol, rest = url.split("://", 1)
    if SECRET.match(rest):
        return f"{protocol}://-@{rest[rest.index('@') + 1 :]}"
    host, slash, path = rest.partition("/")
    _, at, bare = host.rpartition("@")
    return f"{protocol}://-@{bare}{slash}{path}" if at and is_web(url) else url


def place(text: str) -> str:
    """What all names of a file have in common: its whole path on this machine, else the URL as it may be told."""
    protocol, _, path = text.partition("://") if is_url(text) else ("file", "", text)
    protocol = SAME.get(protocol.lower(), protocol.lower())
    return str(real_path(Path(path))) if protocol == "file" else shown(f"{protocol}://{path}")


def is_pattern(url: str) -> bool:
    """Whether the URL stands for all that match it."""
    return any(sign in url.partition("?")[0] for sign in "*[") or ("?" in url and not is_web(url))


def has_query(url: str) -> bool:
    """Whether a web server is asked by more than a path; the rest may be a signature of this file alone."""
    return is_web(url) and "?" in url


def as_sent(url: str) -> str:
    """The URL with what no URL may hold encoded, and everything else as it is: a signature signs every sign of it."""
    return quote(url, safe=SENT)


def is_web(url: str) -> bool:
    """Whether a web server is meant, not a store of files."""
    return url.split("://", 1)[0].lower() in WEB
