"""Temporary folders go away with their user, with the process, or after a kill with the next command."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import saint_cli
from saint_cli.runtime import process_identity, temporary
from saint_cli.runtime.temporary import TemporaryFolder

NOBODY = 2**22 + 1
"""A process number that Linux never gives."""

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(saint_cli.__file__).parents[1])}


@pytest.fixture(autouse=True)
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def left(top: Path, *, named: bool = True) -> Path:
    """What a process that was killed leaves."""
    name = f"saint-{process_identity.own_mark()}-0a1b2c3d".replace(f"-{os.getpid()}-", f"-{NOBODY}-")
    (top / name / "files").mkdir(parents=True)
    (top / name / "files" / "000000").write_text("patient")
    if named:
        (top / name / "owner").write_text(name)
    return top / name


def test_a_temporary_folder_goes_with_its_user_and_with_the_process(top: Path) -> None:
    with TemporaryFolder() as folder:
        (folder / "a").touch()
        assert folder.stat().st_mode & 0o077 == 0
    assert not list(top.iterdir())
    program = "from saint_cli.runtime.temporary import TemporaryFolder as T; kept = T(); print(kept.path)"
    environment = {**ENVIRONMENT, "TMPDIR": str(top)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(top))
    assert not list(top.iterdir())


def test_every_command_removes_what_a_killed_process_left(top: Path) -> None:
    environment = {**ENVIRONMENT, "TMPDIR": str(top)}
    program = (
        "import os; from saint_cli.runtime.temporary import TemporaryFolder as T; kept = T(); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(top.iterdir())) == 1
    subprocess.run([sys.executable, "-m", "saint_cli", "models"], env=environment, capture_output=True, check=True)
    assert not list(top.iterdir())


def test_what_lives_and_what_is_not_certainly_its_own_is_never_swept(top: Path) -> None:
    living = TemporaryFolder()
    unnamed, more, link = left(top, named=False), top / "kept", top / "link"
    unnamed.rename(top / unnamed.name.replace("0a1b2c3d", "00000000"))
    stranger = left(top)
    (stranger / "notes.txt").touch()  # somebody put it there
    stranger.rename(more)
    more.rename(top / stranger.name.replace("0a1b2c3d", "11111111"))
    link.symlink_to(top)
    link.rename(top / stranger.name.replace("0a1b2c3d", "22222222"))
    (top / "saint-").mkdir()
    (top / "saint-k3v2x_1b").mkdir()
    (top / stranger.name.replace("0a1b2c3d", "33333333")).write_text("a file")
    kept = {entry.name for entry in top.iterdir()}
    gone = left(top)
    temporary.remove_abandoned()
    assert not gone.exists()
    assert {entry.name for entry in top.iterdir()} == kept
    assert living.path.exists()


def test_an_empty_folder_of_a_process_killed_at_once_is_swept(top: Path) -> None:
    place = left(top)
    (place / "files" / "000000").unlink()
    (place / "files").rmdir()
    (place / "owner").unlink()
    temporary.remove_abandoned()
    assert not place.exists()


def test_a_process_that_is_dead_but_still_listed_is_gone() -> None:
    program = "from saint_cli.runtime import process_identity as p; print(p.own_mark())"
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert child.stdout is not None
    mark = child.stdout.read().strip()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process_identity.is_gone(mark)
    child.stdout.close()
    child.wait()


def test_without_a_list_of_processes_a_living_one_is_known_by_its_number(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(process_identity, "PROC", tmp_path)
    mark = process_identity.own_mark()
    assert not process_identity.is_gone(mark)
    pid, start = mark.split("-")[1:3]
    assert int(start) > 0
    assert process_identity.is_gone(mark.replace(f"-{pid}-", f"-{NOBODY}-"))
    assert process_identity.is_gone(mark.replace(f"-{start}-", f"-{int(start) + 1}-"))
