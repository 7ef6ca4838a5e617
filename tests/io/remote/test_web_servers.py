"""Web servers: signed URLs, passwords and headers."""

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from saint_cli.errors import RemoteError, UsageError
from saint_cli.io.remote import filesystems, transfer, urls
from saint_cli.runtime.temporary import TemporaryFolder


def test_headers_that_the_user_set_for_web_servers_leave_the_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.config import conf

    monkeypatch.setitem(conf, "http", {"client_kwargs": {"headers": {"X": "y"}}})
    options = filesystems._timeout_options("https://h/x.nii")["client_kwargs"]
    assert (options["headers"], options["timeout"].sock_read) == ({"X": "y"}, filesystems.TIMEOUT_S)
    monkeypatch.setitem(conf, "http", {"client_kwargs": {"timeout": 3}})
    assert filesystems._timeout_options("https://h/x.nii") == {}


SIGNATURE = "token=SECRET%2Fa+b%20c%3D&X-Amz-Signature=SE%2fCRET*[1]~"


class Guarded(http.server.SimpleHTTPRequestHandler):
    """Sends files to who signs every request, and lists folders to nobody."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.headers.get("Authorization") == "Bearer SECRET" or self.path.endswith(f"?{SIGNATURE}"):
            super().do_GET()
        else:
            self.send_error(401)

    do_HEAD = do_GET

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    """The address of a server of two files."""
    (tmp_path / "srv").mkdir()
    for name in ("a b.nii", "packed.nii.xz"):
        (tmp_path / "srv" / name).write_text("voxels")
    Guarded.asked.clear()
    serve = functools.partial(Guarded, directory=str(tmp_path / "srv"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("name", ["a%20b.nii", "a b.nii"])
def test_a_signed_url_is_asked_for_as_it_is_and_not_shown(guarded: str, name: str) -> None:
    found = transfer.list_source(urls.check_url(f"http://{guarded}/{name}?{SIGNATURE}"))
    assert (found.main, found.public_url) == ("a b.nii", f"http://{guarded}/a b.nii")
    with TemporaryFolder() as folder:
        assert transfer.fetch(found, folder).read_text() == "voxels"
    assert transfer.read_heads(found, found.items, 3) == [b"vox"]
    assert set(Guarded.asked) == {f"/a%20b.nii?{SIGNATURE}"}
    assert not urls.is_pattern(f"http://{guarded}/a.nii?{SIGNATURE}")


def test_a_signed_url_of_a_packed_file_needs_no_other_file(guarded: str) -> None:
    found = transfer.list_source(f"http://{guarded}/packed.nii.xz?{SIGNATURE}")
    assert [item.name for item in found.items] == ["packed.nii.xz"]


@pytest.mark.parametrize("path", ["", "study/", "study", "a.mhd", "IM0001"])
def test_a_query_that_cannot_sign_all_that_is_needed_is_refused(guarded: str, path: str) -> None:
    with pytest.raises(UsageError, match=r"a URL with a query names one file .* configuration file") as caught:
        transfer.list_source(f"http://{guarded}/{path}?{SIGNATURE}")
    assert "SECRET" not in str(caught.value)
    assert Guarded.asked == []


def test_a_server_that_asks_who_reads_is_reported_as_one(guarded: str) -> None:
    for url in (f"http://{guarded}/a%20b.nii", f"http://{guarded}/a%20b.nii?sig=SECRET", f"http://{guarded}/"):
        with pytest.raises(RemoteError, match="access denied; are credentials set") as caught:
            transfer.list_source(url)
        assert "SECRET" not in str(caught.value)
    with pytest.raises(UsageError, match="no user, password or signature; give them in"):
        urls.check_url(f"http://me:SECRET@{guarded}/a%20b.nii")


def test_a_header_of_the_configuration_opens_a_server(guarded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.config import conf

    monkeypatch.setitem(conf, "http", {"client_kwargs": {"headers": {"Authorization": "Bearer SECRET"}}})
    assert [item.name for item in transfer.list_source(f"http://{guarded}/a%20b.nii").items] == ["a b.nii"]
