"""Text from outside (names of files, series and models, messages of libraries) made safe to print on one line.

Also how messages write several numbers.
"""

import re
from collections.abc import Sequence
from unicodedata import category

BLANK_CATEGORY = "Zs"
"""The Unicode category of spaces of every width, which names in Japanese and French contain."""


def make_printable(text: str) -> str:
    """The text on one line; control, invisible and undecodable characters are written as Python escapes them.

    So are line ends and characters that reverse the direction of text: no name can move the cursor, colour the
    terminal, or look like another line.
    """
    return escape_controls(text.strip())


def escape_controls(text: str) -> str:
    """The same, with the spaces at both ends."""
    return text if text.isprintable() else "".join(map(_escape_character, text))


def _escape_character(character: str) -> str:
    if character.isprintable() or category(character) == BLANK_CATEGORY:
        return character
    return character.encode("unicode_escape").decode("ascii")


URL = re.compile(r"\b(?P<protocol>[a-z][a-z0-9+.-]*):/+(?P<rest>\S+)", re.IGNORECASE)

USER = re.compile(r"[^/@]*:(?!\d+(/|$))[^@]*@|[^/@]*@")
"""A user, perhaps with a password, which may contain slashes; a port is not a password."""

QUERY = re.compile(r"[?#].*?(?=[\])}>'\",;:.]*$)")
"""The query of a URL, which may hold a signature or a token; not the punctuation of the sentence after it."""

SECRET_QUERY = re.compile(r"[?&][^=&]*(sig|token|secret|passw|pwd|key|credential|auth)[^=&]*=", re.IGNORECASE)
"""A query whose names say that it holds a signature or another secret, whatever the protocol."""

WEB_PROTOCOLS = ("http", "https")
"""Protocols that cannot be written, whose query belongs to the address, and whose folders are index pages."""


def hide_secrets(text: str) -> str:
    """The text with a dash in place of users and passwords in its URLs, and without queries that may be secret.

    A safeguard for messages that quote what a user typed; for a text that is a URL use ``io.remote.urls.public_url``.
    """
    return URL.sub(_hide_secret, text) if ":/" in text else text


def _hide_secret(url: "re.Match[str]") -> str:
    protocol, rest = url["protocol"].lower(), url["rest"]
    user = USER.match(rest)
    if user is not None and (protocol in WEB_PROTOCOLS or ":" in user[0]):
        rest = f"-@{rest[user.end() :]}"
    if protocol in WEB_PROTOCOLS or SECRET_QUERY.search(rest):
        rest = QUERY.sub("", rest, count=1)
    return f"{url[0][: url.start('rest') - url.start()]}{rest}"


EN_DASH = "\N{EN DASH}"
"""Between the first and the last of several numbers."""


def format_ranges(numbers: Sequence[int]) -> str:
    """Numbers in ascending order, and of runs only the first and the last."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    texts = (f"{run[0]}{EN_DASH}{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
    return ", ".join(texts)


def list_first(texts: Sequence[str], most: int, separator: str = ", ") -> str:
    """The first of many texts, and how many more there are, as in ``a, b and 3 more``."""
    more = f"{separator.strip(', ')} and {len(texts) - most:,} more" if len(texts) > most else ""
    return f"{separator.join(texts[:most])}{more}"


def format_count(count: int, noun: str) -> str:
    """As in ``1 job`` and ``2 jobs``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
