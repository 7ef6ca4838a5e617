"""What ``saint serve`` is told: its options, each with its default, and the addresses of other nodes."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from saint_cli.errors import UsageError
from saint_cli.options.fields import Option, Panel, count_option
from saint_cli.options.values import parse_memory

ADDRESS = re.compile(r"(?P<title>[^@\\]+)@(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>\d{1,5})")
"""AET@HOST:PORT; an IPv6 address stands in brackets."""

MAX_TITLE_LENGTH, MAX_PORT = 16, 65535

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Peer:
    """Another DICOM node: its AE title, and its address, which is empty where it is not known."""

    aet: str
    host: str = ""
    port: int = 0


def check_title(title: str) -> str:
    """The AE title without spaces around it.

    Raises:
        UsageError: it is none: 1 to 16 characters of ASCII, no backslash, no control characters (PS3.5 6.2, VR AE).
    """
    bare = title.strip(" ")
    if not 0 < len(bare) <= MAX_TITLE_LENGTH or not (bare.isascii() and bare.isprintable()) or "\\" in bare:
        raise UsageError(f"AE title {title!r}: 1 to {MAX_TITLE_LENGTH} ASCII characters, no backslash")
    return bare


def parse_address(text: str) -> Peer | None:
    """The node that AET@HOST:PORT names; None where a text is no such address.

    Raises:
        UsageError: what stands before the @ is no AE title.
    """
    match = ADDRESS.fullmatch(text)
    if match is None or not 0 < int(match["port"]) <= MAX_PORT:
        return None
    return Peer(check_title(match["title"]), match["host"].strip("[]"), int(match["port"]))


def parse_peers(text: str) -> tuple[Peer, ...]:
    """The nodes of a list of AET and AET@HOST:PORT, each once.

    Raises:
        UsageError: one is neither.
    """
    return tuple(dict.fromkeys(_parse_peer(word.strip()) for word in text.split(",")))


def _parse_peer(text: str) -> Peer:
    peer = parse_address(text) if "@" in text else Peer(check_title(text))
    if peer is None:
        raise UsageError(f"--allow {text}: neither AET nor AET@HOST:PORT")
    return peer


def _accept(flag: str, is_accepted: Callable[[float], bool], kind: str) -> Callable[[Any], Any]:
    """A parser of numbers of a kind."""

    def parse(number: float) -> float:
        if not is_accepted(number):
            raise UsageError(f"{flag} {number:.12g} is not {kind}")
        return number

    return parse


def _port_option(flag: str, text: str, panel: Panel, default: int | None) -> Option:
    parse = _accept(flag, lambda port: 0 < port <= MAX_PORT, f"a port from 1 to {MAX_PORT}")
    return Option(flag, text, panel, int, default, "PORT", parse=parse)


def _days_option(flag: str, text: str, default: float) -> Option:
    parse = _accept(flag, lambda days: 0 <= days < float("inf"), "a number from 0 on")
    return Option(flag, text, Panel.OUTPUT, float, default, "DAYS", parse=parse)


def _size_option(flag: str, text: str, default: str) -> Option:
    return Option(flag, text, Panel.MACHINE, str, default, "SIZE", parse=partial(parse_memory, name=f"{flag} {{}}"))


@dataclass(frozen=True)
class NodeOptions:
    """Who may send what, how much of it is kept, and for how long; times are in s or days, sizes in bytes."""

    aet: str = Option("--aet", "AE title of this node.", Panel.INPUT, str, "SAINT", "AET", parse=check_title).as_field()
    host: str = Option(
        "--host", "Address to listen on; 0.0.0.0: every one of this machine.", Panel.INPUT, str, LOOPBACK, "ADDRESS"
    ).as_field()
    port: int = _port_option("--port", "Port to listen on.", Panel.INPUT, 11112).as_field()
    allowed: tuple[Peer, ...] | None = Option(
        "--allow", "AE titles that may send: AET, or AET@HOST:PORT for storage commitment.", Panel.INPUT, str, None,
        "LIST", parse=parse_peers,
    ).as_field()  # fmt: skip
    quiet_s: float = Option(
        "--quiet", "Seconds without a new instance after which a series is complete.", Panel.INPUT, float, 30.0,
        "SECONDS", parse=_accept("--quiet", lambda seconds: 0 < seconds < float("inf"), "a positive number"),
    ).as_field()  # fmt: skip
    keep_days: float = _days_option("--keep", "Keep forwarded and skipped series this many days.", 0.0).as_field()
    keep_failed_days: float = _days_option("--keep-failed", "Keep failed series this many days.", 14.0).as_field()
    max_bytes: int = _size_option("--max-disk", "Refuse instances beyond this size of the queue.", "20GB").as_field()
    max_instance_bytes: int = _size_option("--max-instance", "Refuse a larger instance.", "2GB").as_field()
    max_associations: int = count_option(
        "--associations", "Associations at a time.", Panel.MACHINE, default=10
    ).as_field()
    tries: int = count_option("--tries", "Attempts to compute a series.", Panel.RUN, default=5).as_field()
    health_port: int | None = _port_option(
        "--health", "Serve a health page at http://127.0.0.1:PORT/health.", Panel.RUN, None
    ).as_field()
