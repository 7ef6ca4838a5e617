"""URLs: what may be shown of them, what is listed, fetched and uploaded. ``file://`` stands for any file system."""

import errno
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from saint_cli.errors import OutputError, RemoteError, UsageError
from saint_cli.io import partial_names
from saint_cli.io.remote import filesystems, transfer, urls
from saint_cli.runtime.temporary import TemporaryFolder


def filled(folder: Path, *names: str) -> str:
    """The URL of a folder with a small file of each name."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder.as_uri()


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
