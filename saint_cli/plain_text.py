"""Text from outside (names of files, of series, of models; what libraries raise) as text that any line can show."""

import re
from unicodedata import category

BLANK = "Zs"
"""The Unicode category of blanks of every width, which names in Japanese and French have."""


def printable(text: str) -> str:
    """The text on one line; control, invisible and undecodable characters are shown as Python writes them.

    So are those that turn the direction of what follows, and ends of lines: no name can move the cursor, colour the
    terminal, or look like another line.
    """
    return escaped(text.strip())


def escaped(text: str) -> str:
    """The same with the blanks at both ends."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isprintable() or category(character) == BLANK:
        return character
    return character.encode("unicode_escape").decode("ascii")


URL = re.compile(r"\b(?P<protocol>[a-z][a-z0-9+.-]*):/+(?P<rest>\S+)", re.IGNORECASE)

USER = re.compile(r"[^/@]*:(?!\d+(/|$))[^@]*@|[^/@]*@")
"""A user, perhaps with a password, which may hold slashes; a port is none."""

QUERY = re.compile(r"[?#].*?(?=[\])}>'\",;:.]*$)")
"""What may sign a URL or hold a token; not the punctuation of the sentence after it."""

SIGNED = re.compile(r"[?&][^=&]*(sig|token|secret|passw|pwd|key|credential|auth)[^=&]*=", re.IGNORECASE)
"""A query that signs the address or holds another secret, by its names; whatever the protocol."""

WEB = ("http", "https")
"""Protocols that cannot be written, whose query belongs to the address, and whose folders are index pages."""


def without_secrets(text: str) -> str:
    """The text with a dash in place of users and passwords of URLs in it, and without queries that may be secret.

    A safeguard for whatever quotes what a user typed; who knows that a text is a URL asks ``io.urls.shown``.
    """
    return URL.sub(_without_secret, text) if ":/" in text else text


def _without_secret(url: "re.Match[str]") -> str:
    protocol, rest = url["protocol"].lower(), url["rest"]
    user = USER.match(rest)
    if user is not None and (protocol in WEB or ":" in user[0]):
        rest = f"-@{rest[user.end() :]}"
    if protocol in WEB or SIGNED.search(rest):
        rest = QUERY.sub("", rest, count=1)
    return f"{url[0][: url.start('rest') - url.start()]}{rest}"
