"""Which URLs are read, and what messages may show of them."""

import re
from pathlib import Path
from urllib.parse import quote

from saint_cli.errors import UsageError
from saint_cli.errors.plain_text import SECRET_QUERY, WEB_PROTOCOLS
from saint_cli.io.folder_walk import resolve_path

URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")

PROTOCOL_ALIASES = {"local": "file", "s3a": "s3", "gcs": "gs", "az": "abfs", "abfss": "abfs"}
"""Protocols that are other names of one."""


def is_url(text: str) -> bool:
    """Whether this is a URL, not a path."""
    return URL.match(text) is not None


SECRET = re.compile(r"[^/@]*:(?!\d+(/|$))[^@]*@")
"""A user with a password, which may hold slashes, before an @; a port is no password."""

UNENCODED = "%/:?#[]@!$&'()*+,;=~"
"""Characters that a URL may hold beside letters, digits and ``-._``."""


def check_url(url: str) -> str:
    """The URL, if it may stand in a manifest.

    Raises:
        UsageError: it holds a password, or is chained of several.
    """
    if _without_user(url) != url or (not is_web(url) and SECRET_QUERY.search(url)):
        raise UsageError(
            f"{public_url(url)}: a URL must hold no user, password or signature; give them in the environment or a "
            "configuration file (docs/cluster.md)"
        )
    if "::" in url:
        raise UsageError(f"{public_url(url)}: chained URLs are not read; copy the scan out of its archive first")
    return url


def public_url(url: str) -> str:
    """The URL without password, without a query that may be a signature, and without slash at its end."""
    bare = _without_user(url)
    return (re.split("[?#]", bare)[0] if is_web(url) or SECRET_QUERY.search(bare) else bare).rstrip("/")


def _without_user(url: str) -> str:
    """The URL with a dash in place of user and password; a name alone (``sftp://me@host``) stays, but on the web."""
    protocol, rest = url.split("://", 1)
    if SECRET.match(rest):
        return f"{protocol}://-@{rest[rest.index('@') + 1 :]}"
    host, slash, path = rest.partition("/")
    _, at, bare = host.rpartition("@")
    return f"{protocol}://-@{bare}{slash}{path}" if at and is_web(url) else url


def normalize_location(text: str) -> str:
    """The same for all names of a file: its whole path on this machine, else its public URL."""
    protocol, _, path = text.partition("://") if is_url(text) else ("file", "", text)
    protocol = PROTOCOL_ALIASES.get(protocol.lower(), protocol.lower())
    return str(resolve_path(Path(path))) if protocol == "file" else public_url(f"{protocol}://{path}")


def is_pattern(url: str) -> bool:
    """Whether the URL is a pattern for others."""
    return any(sign in url.partition("?")[0] for sign in "*[") or ("?" in url and not is_web(url))


def has_query(url: str) -> bool:
    """Whether a request to a web server has more than a path; the rest may be a signature of this file alone."""
    return is_web(url) and "?" in url


def encode_url(url: str) -> str:
    """The URL with what no URL may hold encoded, and everything else as it is: a signature signs every sign of it."""
    return quote(url, safe=UNENCODED)


def is_web(url: str) -> bool:
    """Whether a web server is meant, not a store of files."""
    return url.split("://", 1)[0].lower() in WEB_PROTOCOLS
