"""What may be told of a URL, and which URLs are read at all."""

import re

from saint_cli.errors import UsageError

URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")

WEB = ("http", "https")
"""Protocols that cannot be written, whose query belongs to the address, and whose folders are index pages."""


def is_url(text: str) -> bool:
    """Whether this is a URL, not a path."""
    return URL.match(text) is not None


def check(url: str) -> str:
    """The URL, if it may stand in a manifest.

    Raises:
        UsageError: it holds a password, or is chained of several.
    """
    if _without_user(url) != url:
        raise UsageError(
            f"{shown(url)}: a URL must hold no user and password; give them in the environment or a configuration file "
            "(docs/cluster.md)"
        )
    if "::" in url:
        raise UsageError(f"{shown(url)}: chained URLs are not read; copy the scan out of its archive first")
    return url


def shown(url: str) -> str:
    """The URL as it may be told: without password, without the query, which may be a signature, or slash at its end."""
    bare = _without_user(url)
    return (re.split("[?#]", bare)[0] if is_web(url) else bare).rstrip("/")


def _without_user(url: str) -> str:
    """The URL with a dash in place of user and password; a name alone (``sftp://me@host``) stays, but on the web."""
    protocol, rest = url.split("://", 1)
    host, slash, path = rest.partition("/")
    user, at, bare = host.rpartition("@")
    secret = at and (":" in user or is_web(url))
    return f"{protocol}://-@{bare}{slash}{path}" if secret else url


def is_pattern(url: str) -> bool:
    """Whether the URL stands for all that match it."""
    return any(sign in url for sign in "*[") or ("?" in url and not is_web(url))


def is_web(url: str) -> bool:
    """Whether a web server is meant, not a store of files."""
    return url.split("://", 1)[0].lower() in WEB
