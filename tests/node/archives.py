"""Archives to send to and from on this machine: a pynetdicom node that counts, a web server, and Orthanc."""

import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification

os.environ["PATH"] += os.pathsep + "/usr/sbin"  # where Debian puts Orthanc

DICOMWEB_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")

SUCCESS = 0x0000


def free_port() -> int:
    """A port of this machine that nothing listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def connect(host: str, port: int) -> bool:
    """Connect and leave; True.

    Raises:
        OSError: nothing listens there.
    """
    socket.create_connection((host, port), 2).close()
    return True


def wait_until(is_ready: Callable[[], object], seconds: float = 60) -> None:
    """Wait until a call is true and does not fail to connect."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError):
            if is_ready():
                return
        time.sleep(0.1)
    raise TimeoutError(f"not within {seconds:g} s")


@dataclass
class Archive:
    """A DICOM node that keeps the instances it is sent: how often each came, of which series each is.

    statuses: to answer with, one an instance as they come; success after them.
    """

    port: int
    statuses: list[int] = field(default_factory=list)
    arrivals: Counter[str] = field(default_factory=Counter)
    series: dict[str, Dataset] = field(default_factory=dict)

    def store(self, event: evt.Event) -> int:
        """Take an instance, or refuse it with the next status."""
        status = self.statuses.pop(0) if self.statuses else SUCCESS
        if status == SUCCESS or status >> 12 == 0xB:
            data = event.dataset
            self.arrivals[data.SOPInstanceUID] += 1
            self.series[data.SOPInstanceUID] = data
        return status


@contextmanager
def run_archive(
    title: str = "ARCHIVE", contexts: Any = AllStoragePresentationContexts, tls: ssl.SSLContext | None = None
) -> Iterator[Archive]:
    """A node of this AE title that listens on the loopback interface, and refuses callers of other nodes."""
    node = AE(title)
    node.supported_contexts = contexts
    node.add_supported_context(Verification)
    node.require_called_aet = True
    archive = Archive(free_port())
    handlers: list[Any] = [(evt.EVT_C_STORE, archive.store)]
    server = node.start_server(("127.0.0.1", archive.port), block=False, ssl_context=tls, evt_handlers=handlers)
    try:
        yield archive
    finally:
        server.shutdown()


@contextmanager
def run_web_server(
    answer: Callable[[str, bytes], tuple[int, dict[str, str], bytes]],
    on_headers: Callable[[Any], object] = lambda _: None,
) -> Iterator[str]:
    """The URL of a server that answers each POST by (status, headers, body) for its path and body."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            on_headers(self.headers)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers, reply = answer(self.path, body)
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(reply))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, format: str, *values: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def require_orthanc(*, is_web: bool = False) -> None:
    """Skip the test where Orthanc, or its DICOMweb plugin, is not installed."""
    if shutil.which("Orthanc") is None or (is_web and not DICOMWEB_PLUGIN.exists()):
        pytest.skip("Orthanc is not installed (Debian packages orthanc, orthanc-dicomweb)")


@dataclass(frozen=True)
class Orthanc:
    """An Orthanc that runs: its AE title, the port of its DICOM node, and the URL of its REST interface."""

    title: str
    dicom_port: int
    url: str

    def ask(self, path: str, body: bytes | dict[str, Any] | None = None, method: str | None = None) -> Any:
        """The JSON that its REST interface answers; a dictionary is posted as JSON."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        request = urllib.request.Request(self.url + path, data=data, method=method)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=120) as answer:
            return json.loads(answer.read())


@contextmanager
def run_orthanc(folder: Path, title: str, settings: dict[str, Any] | None = None) -> Iterator[Orthanc]:
    """An empty Orthanc in a new folder; it answers this machine over HTTP, and listens to DICOM."""
    binary = shutil.which("Orthanc")
    assert binary is not None
    folder.mkdir(parents=True)
    http_port, dicom_port = free_port(), free_port()
    plugins = [str(DICOMWEB_PLUGIN)] if DICOMWEB_PLUGIN.exists() else []
    config = {"HttpPort": http_port, "RemoteAccessAllowed": False, "Plugins": plugins, "DicomAet": title}
    config |= {"DicomPort": dicom_port, "DicomCheckCalledAet": True, "AuthenticationEnabled": False}
    config |= {"StorageDirectory": str(folder / "store"), "IndexDirectory": str(folder / "store")}
    config |= {"DicomAlwaysAllowStore": True, "HttpVerbose": False} | (settings or {})
    (folder / "orthanc.json").write_text(json.dumps(config))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([binary, str(folder / "orthanc.json")], stdout=log, stderr=log)
        try:
            orthanc = Orthanc(title, dicom_port, f"http://127.0.0.1:{http_port}")
            wait_until(lambda: orthanc.ask("/system"))
            yield orthanc
        finally:
            process.terminate()
            process.wait(60)
