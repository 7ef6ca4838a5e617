"""How a node is, as JSON over HTTP to programs on the same machine: ``GET http://127.0.0.1:PORT/health``."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from saint_cli.errors import OutputError
from saint_cli.node.options import LOOPBACK

PATH = "/health"

REQUEST_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Health:
    """How a node is: how many series are in which state, the latest errors, disk space in bytes.

    problem: why the node needs a person, in words; None while it works.
    last_errors: the latest reasons of failures, newest first, by kind alone: without names, UIDs or patient text.
    disk_limit: of the spool; None without one.
    """

    queue: Mapping[str, int]
    problem: str | None = None
    last_errors: tuple[str, ...] = ()
    disk_used: int = 0
    disk_limit: int | None = None
    disk_free: int = 0
    version: str = ""

    def as_json(self) -> bytes:
        """One JSON object with these fields and ``status``, "ok" or "problem"."""
        return json.dumps({"status": "problem" if self.problem else "ok", **asdict(self)}).encode() + b"\n"


@contextmanager
def serve_health(port: int, look: Callable[[], Health]) -> Iterator[int]:
    """Answer requests from a thread while the block runs; gives the port, which is a free one if ``port`` is 0.

    A healthy node answers with status 200, one with a problem, or whose state cannot be read, with 503.

    Raises:
        OutputError: the port cannot be listened at.
    """
    try:
        server = _Server((LOOPBACK, port), _make_handler(look))
    except (OSError, OverflowError) as error:
        raise OutputError(f"--health {port}: cannot listen at {LOOPBACK}:{port} ({error})") from None
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads, block_on_close = True, False

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that goes away."""


def _make_handler(look: Callable[[], Health]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_TIMEOUT_S
        server_version, sys_version = "saint", ""

        def do_GET(self) -> None:
            if self.path != PATH:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            try:
                health = look()
            except Exception as error:
                health = Health({}, problem=f"the state cannot be read ({type(error).__name__})")
            body = health.as_json()
            self.send_response(HTTPStatus.SERVICE_UNAVAILABLE if health.problem else HTTPStatus.OK)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *values: object) -> None:
            """Requests are not logged."""

    return Handler
