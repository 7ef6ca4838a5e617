"""URLs: what may be shown of them, what is listed, fetched and uploaded. ``file://`` stands for any file system."""

import errno
import functools
import http.server
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fsspec.implementations.local import LocalFileSystem

from saint_cli.errors import OutputError, RemoteError, UsageError
from saint_cli.io import partial_names
from saint_cli.io.remote import filesystems, transfer, urls
from saint_cli.runtime.temporary import TemporaryFolder


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(transfer, "PAUSES_S", (0.0,))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def filled(folder: Path, *names: str) -> str:
    """The URL of a folder with a small file of each name."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder.as_uri()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://bucket/a b/", "s3://bucket/a b"),
        ("https://h/scan.nii?X-Amz-Signature=SECRET", "https://h/scan.nii"),
        ("s3://bucket/what?.nii", "s3://bucket/what?.nii"),
        ("https://me:SECRET@h/scan.nii", "https://-@h/scan.nii"),
        ("https://SECRET@h/scan.nii", "https://-@h/scan.nii"),
        ("sftp://me:SECRET@h/scan.nii", "sftp://-@h/scan.nii"),
        ("sftp://me@h/scan.nii", "sftp://me@h/scan.nii"),
    ],
)
def test_what_is_shown_of_a_url_holds_no_secret(url: str, expected: str) -> None:
    assert urls.public_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "https://me:SECRET@h/x",
        "s3://key:SECRET@bucket/x",
        "s3://AKIA:ab/SECRET@bucket/x",
        "sftp://me:pa/SECRET@h/x",
        "abfs://box/x?sv=1&sig=SECRET@",
        "https://SECRET@h/x",
        "zip://x::s3://b/SECRET@.zip",
    ],
)
def test_urls_with_passwords_and_chains_of_urls_are_refused(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        urls.check_url(url)
    assert "SECRET@" not in str(caught.value)


@pytest.mark.parametrize("path", ["scan.nii", "/data/a:b/c", "C:/scan.nii", "a//b"])
def test_paths_are_no_urls(path: str) -> None:
    assert not urls.is_url(path)


def test_a_folder_is_listed_with_all_below_it_and_names_that_count_from_its_own(tmp_path: Path) -> None:
    found = transfer.list_source(filled(tmp_path / "study", "p0/a.nii", "b.mha"))
    assert [(item.name, item.size) for item in found.items] == [("study/b.mha", 5), ("study/p0/a.nii", 8)]
    assert (found.main, found.is_file, found.public_url) == ("study", False, (tmp_path / "study").as_uri())


def test_a_file_is_listed_alone_and_a_header_with_its_voxels(tmp_path: Path) -> None:
    url = filled(tmp_path, "a.nii.gz", "a.mhd", "a.raw", "b.raw")
    assert [item.name for item in transfer.list_source(f"{url}/a.nii.gz").items] == ["a.nii.gz"]
    assert {"a.mhd", "a.raw"} <= {item.name for item in transfer.list_source(f"{url}/a.mhd").items}
    assert transfer.list_source(f"{url}/a.mhd").is_file
    assert "b.raw" not in {item.name for item in transfer.list_source(f"{url}/a.mhd").items}


def test_what_changes_is_found_by_the_listing(tmp_path: Path) -> None:
    url = filled(tmp_path / "in", "a.nii")
    (before,) = transfer.list_source(url).items
    assert transfer.list_source(url).items == (before,)
    os.utime(tmp_path / "in" / "a.nii", (1, 1))
    assert transfer.list_source(url).items[0].stamp != before.stamp


def test_patterns_stand_for_what_matches_them(tmp_path: Path) -> None:
    url = filled(tmp_path, "p1/ct.nii", "p2/ct.nii", "p2/mr.nii")
    assert transfer.expand_pattern(f"{url}/p*/ct.nii") == [f"{url}/p1/ct.nii", f"{url}/p2/ct.nii"]
    assert [urls.is_pattern(u) for u in (url, f"{url}/*", "https://h/x?a=1", "s3://b/x?")] == [
        False,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize("name", ["../x.nii", "a/../../x.nii", "a//x.nii", "/x.nii", "..", "", "a\\..\\x.nii"])
def test_names_that_lead_elsewhere_are_skipped(name: str) -> None:
    assert not transfer._is_safe_name(name)


def test_only_what_is_asked_for_is_fetched_under_its_own_name(tmp_path: Path) -> None:
    found = transfer.list_source(filled(tmp_path / "study", "p0/0001.dcm", "p0/0002.dcm", "p1/0001.dcm"))
    part = found.part("study/p0", [item for item in found.items if "/p0/" in item.name])
    with TemporaryFolder() as folder:
        place = transfer.fetch(part, folder)
        assert place == folder / "study" / "p0"
        assert sorted(p.name for p in folder.rglob("*.dcm")) == ["0001.dcm", "0002.dcm"]
        assert (place / "0002.dcm").read_text() == "p0/0002.dcm"
    assert not folder.exists()


def test_what_changes_between_listing_and_fetching_is_reported(tmp_path: Path) -> None:
    found = transfer.list_source(filled(tmp_path / "study", "a.nii"))
    (tmp_path / "study" / "a.nii").write_text("longer than before")
    with TemporaryFolder() as folder, pytest.raises(RemoteError, match=r"a\.nii changed while it was read \(5 bytes"):
        transfer.fetch(found, folder)


@pytest.mark.parametrize("listed", ["study", "study/a.nii"])
def test_what_is_replaced_by_as_many_bytes_after_listing_is_reported(listed: str, tmp_path: Path) -> None:
    filled(tmp_path / "study", "a.nii")
    found = transfer.list_source((tmp_path / listed).as_uri())
    with TemporaryFolder() as folder:
        transfer.fetch(found, folder)
    os.utime(tmp_path / "study" / "a.nii", (1, 1))
    with TemporaryFolder() as folder, pytest.raises(RemoteError, match=r"a\.nii changed since it was listed; run"):
        transfer.fetch(found, folder)


def test_what_does_not_fit_the_disk_is_refused_before_it_is_fetched(tmp_path: Path) -> None:
    found = transfer.list_source(filled(tmp_path / "study", "a.nii"))
    huge = found.part(found.main, [transfer.RemoteFile("study/a.nii", found.items[0].path, 1 << 60, "")])
    with TemporaryFolder() as folder, pytest.raises(OutputError, match="TMPDIR"):
        transfer.fetch(huge, folder)


def test_a_file_appears_at_its_url_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "new").write_text("new")
    target = tmp_path / "out" / "a" / "scan.nii"
    transfer.upload(tmp_path / "new", target.as_uri())
    assert target.read_text() == "new"
    (tmp_path / "new").write_text("newer")
    tries = []

    def torn(self: Any, source: str, place: str, **kwargs: Any) -> None:
        tries.append(place)
        Path(place).write_text("half")
        raise ConnectionError("SECRET")

    monkeypatch.setattr(LocalFileSystem, "put_file", torn)
    with pytest.raises(OutputError, match="cannot be written") as caught:
        transfer.upload(tmp_path / "new", target.as_uri())
    assert "SECRET" not in str(caught.value)
    assert len(tries) == 2
    assert [(p.name, p.read_text()) for p in target.parent.iterdir()] == [("scan.nii", "new")]


def test_what_a_killed_upload_left_is_removed_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "new").write_text("new")
    target = tmp_path / "out" / "scan.nii"
    target.parent.mkdir()
    left = target.parent / partial_names.make_partial_name(target).replace(f"-{os.getpid()}-", "-4194999-")
    left.touch()
    transfer.upload(tmp_path / "new", target.as_uri())
    assert [p.name for p in target.parent.iterdir()] == ["scan.nii"]


def test_an_existing_file_is_only_replaced_when_asked_for(tmp_path: Path) -> None:
    url = filled(tmp_path, "a.nii")
    transfer.check_target(f"{url}/a.nii", overwrite=True)
    transfer.check_target(f"{url}/b.nii", overwrite=False)
    with pytest.raises(OutputError, match="`overwrite=True`"):
        transfer.check_target(f"{url}/a.nii", overwrite=False)
    with pytest.raises(UsageError, match="must end in"):
        transfer.check_target(f"{url}/a.dcm", overwrite=False)
    with pytest.raises(UsageError, match="http"):
        transfer.check_target("https://localhost/a.nii", overwrite=True)


def test_failures_are_one_line_that_quotes_no_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = filled(tmp_path, "a/b.nii")
    with pytest.raises(RemoteError, match="no such file"):
        transfer.list_source(f"{url}/none")
    with pytest.raises(UsageError, match="is not a protocol"):
        transfer.list_source("nosuch://bucket/x")

    def denied(*args: Any, **kwargs: Any) -> None:
        raise PermissionError("key SECRET has no access")

    monkeypatch.setattr(LocalFileSystem, "find", denied)
    with pytest.raises(RemoteError, match="access denied") as caught:
        transfer.list_source(f"{url}/a")
    assert "SECRET" not in str(caught.value)


def test_a_missing_package_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(UsageError, match=r"gs:// a package is missing; pip install 'saint-cli\[remote\]'"):
        transfer.list_source("gs://bucket/x.nii")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(UsageError, match=r"saint-cli\[remote\]"):
        transfer.list_source("s3://bucket/x.nii")


def test_a_full_disk_is_reported_as_one_and_no_memory_as_none(tmp_path: Path) -> None:
    def fails(error: Exception) -> None:
        with filesystems.convert_remote_errors("s3://bucket/x", "read"):
            raise error

    with pytest.raises(OutputError, match="the disk is full"):
        fails(OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(MemoryError):
        fails(MemoryError())


class Store(LocalFileSystem):
    """A store of objects that fails in its own way when asked for a bucket."""

    protocol = "s3"
    error: Exception = FileNotFoundError()

    def info(self, path: str, **kwargs: Any) -> Any:
        raise self.error


def test_only_a_bucket_that_is_known_to_be_absent_is_reported_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystems, "open_filesystem", lambda url: (Store(), "bucket/out"))
    with pytest.raises(OutputError, match="no bucket bucket"):
        transfer.check_store("s3://bucket/out")
    monkeypatch.setattr(Store, "error", PermissionError())  # who may write need not be allowed to look
    transfer.check_store("s3://bucket/out")
    monkeypatch.setattr(Store, "error", ConnectionError())
    with pytest.raises(RemoteError, match="ConnectionError"):
        transfer.check_store("s3://bucket/out")


@pytest.mark.parametrize(
    ("one", "other"),
    [("s3://b/x.nii", "s3a://b/x.nii"), ("s3://b/x", "s3://b/x/"), ("file:///a/x", "/a/x"), ("/a/b/../x", "/a/x")],
)
def test_names_of_one_file_have_one_place(one: str, other: str) -> None:
    assert urls.normalize_location(one) == urls.normalize_location(other)


def test_headers_that_the_user_set_for_web_servers_leave_the_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.config import conf

    monkeypatch.setitem(conf, "http", {"client_kwargs": {"headers": {"X": "y"}}})
    options = filesystems._timeout_options("https://h/x.nii")["client_kwargs"]
    assert (options["headers"], options["timeout"].sock_read) == ({"X": "y"}, filesystems.TIMEOUT_S)
    monkeypatch.setitem(conf, "http", {"client_kwargs": {"timeout": 3}})
    assert filesystems._timeout_options("https://h/x.nii") == {}


def test_what_is_logged_of_a_job_holds_no_signature() -> None:
    item = transfer.RemoteFile("x.nii", "https://h/x.nii?sig=SECRET", 3, "")
    assert "SECRET" not in repr(transfer.RemoteSource("https://h/x.nii?sig=SECRET", "https://h", "x.nii", (item,)))


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
    """The address of a server of one file."""
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv" / "a b.nii").write_text("voxels")
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
