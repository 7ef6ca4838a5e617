"""Zip files unpack to what a study takes, whatever their members and their directory claim."""

import shutil
import zipfile
from pathlib import Path

import fabricate
import pytest

from saint_cli.errors import UnreadableError
from saint_cli.io import describe, read_volume, unzip

KINDS = {"deflate": zipfile.ZIP_DEFLATED, "bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}


def zipped(path: Path, members: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as packed:
        for name, data in members.items():
            packed.writestr(name, data)
    return path


def study(folder: Path) -> dict[str, bytes]:
    series = fabricate.save(fabricate.slices(), folder / "series")
    return {file.name: file.read_bytes() for file in series.iterdir()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_zip_of_any_kind_unpacks_to_no_more_than_studies_do(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unzip, "SPARE_BYTES", 1 << 16)
    members = study(tmp_path)
    assert read_volume(zipped(tmp_path / "a.zip", members, KINDS[kind])).shape == (16, 12, 6)
    path = zipped(tmp_path / "b.zip", {**members, "z": bytes(1 << 24)}, KINDS[kind])
    with pytest.raises(UnreadableError, match="times its size"):
        describe(path)


def test_a_directory_that_claims_less_than_members_hold_is_damage(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a": bytes(1 << 20)})
    path.write_bytes(path.read_bytes().replace((1 << 20).to_bytes(4, "little"), (1000).to_bytes(4, "little")))
    with pytest.raises(UnreadableError, match="damaged"):
        describe(path)


def test_more_members_than_a_study_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "a.zip", study(tmp_path))
    monkeypatch.setattr(unzip, "MAX_MEMBERS", 6)
    assert describe(path).stacks[0].shape == (16, 12, 6)
    monkeypatch.setattr(unzip, "MAX_MEMBERS", 5)
    with pytest.raises(UnreadableError, match="lists 6 files"):
        describe(path)


@pytest.mark.parametrize("zip64", [False, True])
def test_a_list_of_millions_of_members_is_refused_unparsed(
    tmp_path: Path, zip64: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if zip64:
        monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    path = zipped(tmp_path / "a.zip", {str(number): b"" for number in range(600)})
    monkeypatch.setattr(unzip, "MAX_DIRECTORY_BYTES", 1 << 14)
    with pytest.raises(UnreadableError, match="its list of files takes"):
        describe(path)


def test_the_disk_for_temporary_files_is_never_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "a.zip", study(tmp_path))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=unzip.KEPT_FREE_BYTES + 100))
    with pytest.raises(UnreadableError, match="are free"):
        describe(path)


def test_names_of_members_are_shortened(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {**study(tmp_path), "x" * 60_000 + ".dcm": b"no image"})
    assert max(map(len, unzip.extract_zip(path).names.values())) == unzip.MAX_MEMBER_NAME
