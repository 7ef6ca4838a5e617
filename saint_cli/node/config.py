"""What ``saint serve`` is told."""

from dataclasses import dataclass
from pathlib import Path

from saint_cli.errors import UsageError
from saint_cli.node.forward import ADDRESS, Destination, check_title
from saint_cli.node.rules import Rules


@dataclass(frozen=True)
class Peer:
    """A DICOM node that may call: its AE title, and where storage commitment is reported to, if that is known."""

    aet: str
    host: str | None = None
    port: int | None = None


def parse_peer(text: str) -> Peer:
    """The node that AET or AET@HOST:PORT names.

    Raises:
        UsageError: neither.
    """
    if "@" not in text:
        return Peer(check_title(text))
    match = ADDRESS.fullmatch(text)
    if match is None or not 0 < int(match["port"]) < 1 << 16:
        raise UsageError(f"--allow {text}: neither AET nor AET@HOST:PORT")
    return Peer(check_title(match["title"]), match["host"].strip("[]"), int(match["port"]))


@dataclass(frozen=True)
class ReceiveConfig:
    """What is accepted, and where.

    aet: the node's own title, which callers must name. host, port: to listen on. allowed: callers; of none everybody.
    max_bytes: of the queue on disk. max_instance_bytes: of one instance. max_associations: open at a time.
    """

    aet: str
    port: int
    host: str = "127.0.0.1"
    allowed: tuple[Peer, ...] = ()
    max_bytes: int = 20 * 10**9
    max_instance_bytes: int = 2 * 10**9
    max_associations: int = 10


@dataclass(frozen=True)
class NodeConfig:
    """A node: what it receives, what it does with it, and where results go.

    folder: holds the queue; one node at a time. quiet_s: without a new instance after which a series is complete.
    keep_days: for which forwarded and skipped series stay on disk; keep_failed_days: failed ones.
    tries: to compute a series. health_port: on loopback, None for none.
    """

    receive: ReceiveConfig
    folder: Path
    destination: Destination
    rules: Rules
    quiet_s: float = 30.0
    keep_days: float = 0.0
    keep_failed_days: float = 14.0
    tries: int = 5
    health_port: int | None = None
