"""Only regular files are opened, whatever leads to them; what would block or never end is one line."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fabricate
import pytest

from saint_cli.errors import OutputError, UnreadableError
from saint_cli.io import describe, output_checks, read_volume, regular_files, write_volume


@pytest.fixture
def places(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """What looks like a file and is none, by kind."""
    found = {"pipe": tmp_path / "pipe.nii.gz", "socket": tmp_path / "socket.nii", "device": Path("/dev/zero")}
    os.mkfifo(found["pipe"])
    for kind in ("pipe", "device"):
        found[f"link to {kind}"] = tmp_path / f"link to {kind}.nrrd"
        found[f"link to {kind}"].symlink_to(found[kind])
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(found["socket"]))
        yield found


KINDS = ("pipe", "socket", "device", "link to pipe", "link to device")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_regular_file_is_never_read(places: dict[str, Path], kind: str) -> None:
    for act in (regular_files.open_regular, read_volume, describe):
        with pytest.raises(UnreadableError, match="not a regular file but a pipe, socket or device") as caught:
            act(places[kind])
        assert "\n" not in str(caught.value)


def test_a_file_that_becomes_a_pipe_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, pipe = tmp_path / "plain", tmp_path / "pipe"
    plain.write_bytes(b"x")
    os.mkfifo(pipe)
    monkeypatch.setattr(Path, "stat", lambda path, stat=Path.stat: stat(plain))
    with pytest.raises(UnreadableError, match="not a regular file"):
        regular_files.open_regular(pipe)


def test_links_to_regular_files_are_read(tmp_path: Path) -> None:
    write_volume(fabricate.volume(), tmp_path / "a.nii")
    (tmp_path / "link").symlink_to("a.nii")
    assert read_volume(tmp_path / "link").shape == fabricate.volume().shape


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("member", ["slice.dcm", "slice"])
def test_folders_pass_over_what_is_no_regular_file(places: dict[str, Path], kind: str, member: str) -> None:
    folder = fabricate.save(fabricate.slices(), places["pipe"].parent / "series")
    (folder / member).symlink_to(places[kind])
    assert describe(folder).named == {"pipe, socket or device": [member]}
    assert read_volume(folder).shape == (16, 12, 6)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_regular_file_is_not_replaced(places: dict[str, Path], kind: str) -> None:
    if not places[kind].name.endswith((".nii", ".nii.gz", ".nrrd")):
        return
    with pytest.raises(OutputError, match="is a pipe, socket or device"):
        output_checks.check_target_path(places[kind], overwrite=True)


def test_standard_input_is_refused_in_one_line() -> None:
    command = [sys.executable, "-m", "saint_cli", "info", "/dev/stdin"]
    done = subprocess.run(command, input=b"NRRD0004\n", capture_output=True, timeout=60, check=False)
    assert done.returncode == 3
    assert b"save its content to a file first" in done.stderr
