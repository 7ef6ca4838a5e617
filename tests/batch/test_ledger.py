import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from saint_cli.batch import ledger
from saint_cli.errors import OutputError
from saint_cli.io import partial


def record(target: str, status: str = "done", key: str = "k") -> ledger.Record:
    return {"target": target, "status": status, "key": key}


def test_the_last_record_of_a_target_counts_and_torn_lines_do_not(tmp_path: Path) -> None:
    lines = [record("a", "failed"), record("b"), record("a")]
    text = "\n".join(map(json.dumps, lines)) + '\n{"target": "b", "stat'
    (tmp_path / ledger.MANIFEST).write_text(text)
    books = ledger.read(tmp_path)
    assert {target: one["status"] for target, one in books.latest.items()} == {"a": "done", "b": "done"}
    with ledger.open_ledger(tmp_path) as opened:
        opened.append(record("c"))
    assert set(ledger.read(tmp_path).latest) == {"a", "b", "c"}


def test_a_second_batch_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    def second() -> None:
        with ledger.open_ledger(tmp_path):
            pass

    with ledger.open_ledger(tmp_path), pytest.raises(OutputError, match="another saint batch"):
        second()
    second()


def test_what_ended_while_nobody_kept_the_books_is_not_lost(tmp_path: Path) -> None:
    with ledger.open_ledger(tmp_path):
        pass
    ledger.write_receipt(tmp_path, record("ended"))
    ledger.write_receipt(tmp_path, record("begun", "begun"))
    assert ledger.read(tmp_path).written == {"ended", "begun"}
    with ledger.open_ledger(tmp_path):
        assert list(ledger.read(tmp_path).latest) == ["ended"]
    assert ledger.receipt(tmp_path, "ended") is None
    assert ledger.receipt(tmp_path, "begun") is not None


def test_a_record_takes_the_place_of_the_receipt(tmp_path: Path) -> None:
    with ledger.open_ledger(tmp_path) as opened:
        ledger.write_receipt(tmp_path, record("a"))
        opened.append(record("a"))
        assert ledger.receipt(tmp_path, "a") is None


def test_a_record_whose_receipt_outlived_a_crash_is_not_written_twice(tmp_path: Path) -> None:
    with ledger.open_ledger(tmp_path) as opened:
        opened.append(record("a"))
        ledger.write_receipt(tmp_path, record("a"))  # as if killed before the receipt was dropped
    with ledger.open_ledger(tmp_path):
        assert ledger.receipt(tmp_path, "a") is None
    assert (tmp_path / ledger.MANIFEST).read_bytes().count(b"\n") == 1


def test_a_source_out_of_reach_does_not_undo_what_was_done(tmp_path: Path) -> None:
    out_of_reach = {**record("a", "failed"), "error": {"class": "RemoteError"}}
    broken = {**record("b", "failed"), "error": {"class": "UnreadableError"}}
    with ledger.open_ledger(tmp_path) as opened:
        for one in (record("a"), record("b"), out_of_reach, broken):
            opened.append(one)
    found = ledger.read(tmp_path).latest
    assert {name: one["status"] for name, one in found.items()} == {"a": "done", "b": "failed"}


def test_partial_files_of_processes_that_are_gone_are_removed_and_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    alive = tmp_path / "a" / partial.name_for(tmp_path / "a" / "x.nii")
    monkeypatch.setattr(os, "getpid", lambda: gone.pid)
    dead, old = (tmp_path / "a" / partial.name_for(tmp_path / "a" / "y", kind) for kind in ("partial", "old"))
    monkeypatch.undo()
    for folder in (dead, old):
        folder.mkdir(parents=True)
        (folder / "slice.dcm").touch()
    alive.touch()
    with ledger.open_ledger(tmp_path):
        assert not dead.exists()
        assert not old.exists()
        assert alive.exists()


def test_workers_on_other_machines_keep_their_partial_files_until_they_are_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "node", lambda: "elsewhere")
    monkeypatch.setattr(os, "getpid", lambda: 999_999_999)
    elsewhere = tmp_path / partial.name_for(tmp_path / "x.nii")
    monkeypatch.undo()
    elsewhere.touch()
    with ledger.open_ledger(tmp_path):
        assert elsewhere.exists()
    os.utime(elsewhere, (0, 0))
    with ledger.open_ledger(tmp_path):
        assert not elsewhere.exists()


def test_errors_of_what_the_books_are_open_for_are_not_blamed_on_the_folder(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), ledger.open_ledger(tmp_path):
        raise BrokenPipeError
