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
    """A record with what every record holds, and no more."""
    error = {"class": "UnreadableError", "message": "", "exit_code": 3} if status == "failed" else None
    own = {"target": target, "status": status, "key": key, "error": error}
    return {**own, "name": target, "source": target, "model": "fast", "options": {}}


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
    out_of_reach, broken = record("a", "failed"), record("b", "failed")
    out_of_reach["error"]["class"] = "RemoteError"
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


def test_partial_files_of_other_machines_and_of_living_processes_stay_however_old_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    living = tmp_path / partial.name_for(tmp_path / "y.nii")
    monkeypatch.setattr(platform, "node", lambda: "elsewhere")
    monkeypatch.setattr(os, "getpid", lambda: 999_999_999)
    elsewhere = tmp_path / partial.name_for(tmp_path / "x.nii")
    monkeypatch.undo()
    for one in (living, elsewhere):
        one.touch()
        os.utime(one, (0, 0))
    with ledger.open_ledger(tmp_path):
        pass
    assert living.exists()
    assert elsewhere.exists()


def test_errors_of_what_the_books_are_open_for_are_not_blamed_on_the_folder(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), ledger.open_ledger(tmp_path):
        raise BrokenPipeError


def line(name: str, **other: object) -> bytes:
    """A line of the manifest, with other values in place of its own."""
    return json.dumps({**record(name), **other}).encode("ascii")


DAMAGED = {
    "torn": (line("b")[:-9], "not JSON"),
    "no JSON": (b"\x00\xff\xfe garbage", "not JSON"),
    "nested": (b"[" * 100_000, "nested too deeply"),
    "digits": (b'{"target": ' + b"9" * 1_000_000 + b"}", "not JSON"),
    "long": (b'"' + b"x" * 3_000_000 + b'"', "longer than"),
    "list": (b"[1]", "not a JSON object"),
    "a name twice": (line("b")[:-1] + b', "key": "other"}', "the same name twice"),
    "NaN": (line("b", seconds=float("nan")), "NaN as a number"),
    "infinite": (line("b", seconds=7).replace(b"7", b"1e999"), "an infinite number"),
    "without a field": (b'{"target": "b", "key": "k", "status": "done"}', "without 'name'"),
    "key": (line("b", key=None), "'key' of a wrong type"),
    "status": (line("b", status="finished"), "'status' of a wrong type"),
    "failed without reason": (line("b", status="failed"), "'error' of a wrong type"),
    "failed with text": (line("b", status="failed", error="full"), "'error' of a wrong type"),
    "truth for a number": (line("b", seconds=True), "'seconds' of a wrong type"),
    "text for a number": (line("b", threads="2"), "'threads' of a wrong type"),
    "negative": (line("b", seconds=-1), "a negative number"),
    "beyond all size": (line("b", voxels_after=10**300), "'voxels_after' of a wrong type"),
    "shape": (line("b", shape_before=[1, 2]), "'shape_before' of a wrong type"),
    "warnings": (line("b", warnings="one"), "'warnings' of a wrong type"),
    "outside": (line("b", target="../b"), "'target' outside the output folder"),
    "no name of a file": (line("b", target="b\0"), "'target' outside the output folder"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_line_is_told_by_its_number_and_set_aside_once_and_good_ones_are_kept(
    name: str, tmp_path: Path
) -> None:
    text, reason = DAMAGED[name]
    (tmp_path / ledger.MANIFEST).write_bytes(b"\n".join([line("a"), text, line("c"), b""]))
    before = ledger.read(tmp_path)
    assert (list(before.latest), before.written) == (["a", "c"], {"a", "c"})
    (told,) = before.damaged
    assert told.startswith(f"line 2 of {ledger.MANIFEST}: {reason}")
    with ledger.open_ledger(tmp_path) as opened:
        assert opened.damaged == before.damaged
        opened.append(record("d"))
    assert (tmp_path / ledger.MANIFEST).read_bytes().splitlines() == [line("a"), line("c"), line("d")]
    assert (tmp_path / ledger.DAMAGED_LINES).read_bytes().replace(b"\n", b"") == text
    with ledger.open_ledger(tmp_path) as again:
        assert again.damaged == []
    assert len((tmp_path / ledger.DAMAGED_LINES).read_bytes()) <= len(text) + 3


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\n\n"])
def test_line_ends_and_marks_of_other_systems_are_no_damage(tmp_path: Path, end: bytes, start: bytes) -> None:
    (tmp_path / ledger.MANIFEST).write_bytes(start + end.join([line("a"), line("b")]))
    with ledger.open_ledger(tmp_path) as opened:
        opened.append(record("c"))
    assert opened.damaged == []
    assert list(ledger.read(tmp_path).latest) == ["a", "b", "c"]
    assert not (tmp_path / ledger.DAMAGED_LINES).exists()


def test_damaged_lines_are_on_disk_elsewhere_before_the_manifest_loses_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = line("a") + b"\ngarbage\n"
    (tmp_path / ledger.MANIFEST).write_bytes(whole)

    def fail(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OutputError, match="No space left"), ledger.open_ledger(tmp_path):
        pass
    assert (tmp_path / ledger.MANIFEST).read_bytes() == whole
    assert (tmp_path / ledger.DAMAGED_LINES).read_bytes() == b"garbage\n"


@pytest.mark.parametrize("text", [b"", b"[" * 100_000, line("a")[:-5], line("another job"), line("a", error=5)])
def test_a_damaged_receipt_is_set_aside_and_counts_for_nothing(tmp_path: Path, text: bytes) -> None:
    with ledger.open_ledger(tmp_path):
        ledger.write_receipt(tmp_path, record("a"))
    ledger._receipt_path(tmp_path, "a").write_bytes(text)
    assert ledger.receipt(tmp_path, "a") is None
    with ledger.open_ledger(tmp_path) as opened:
        assert len(opened.damaged) == 1
    assert not ledger._receipt_path(tmp_path, "a").exists()
    (aside,) = (tmp_path / ledger.HIDDEN / ledger.DAMAGED_RECEIPTS).iterdir()
    assert aside.read_bytes() == text
    with ledger.open_ledger(tmp_path) as again:
        assert again.damaged == []


def make_folder(path: Path) -> None:
    (path / "inside").mkdir(parents=True)


INSTEAD = {
    "folder": make_folder,
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "circle": lambda path: path.symlink_to(path.name),
    "link that leads nowhere": lambda path: path.symlink_to("nowhere"),
}


@pytest.mark.parametrize("name", [ledger.MANIFEST, f"{ledger.HIDDEN}/{ledger.LOCK}"])
@pytest.mark.parametrize("kind", INSTEAD)
def test_what_stands_in_place_of_the_manifest_or_the_lock_is_told_and_never_waited_for(
    tmp_path: Path, name: str, kind: str
) -> None:
    (tmp_path / ledger.HIDDEN).mkdir()
    INSTEAD[kind](tmp_path / name)
    with pytest.raises(OutputError, match="move it away"), ledger.open_ledger(tmp_path):
        pass
    if name == ledger.MANIFEST:
        with pytest.raises(OutputError, match="move it away"):
            ledger.read(tmp_path)


@pytest.mark.parametrize("kind", INSTEAD)
def test_what_stands_in_place_of_a_receipt_is_set_aside(tmp_path: Path, kind: str) -> None:
    with ledger.open_ledger(tmp_path):
        pass
    INSTEAD[kind](ledger._receipt_path(tmp_path, "a"))
    assert ledger.receipt(tmp_path, "a") is None
    with ledger.open_ledger(tmp_path) as opened:
        assert len(opened.damaged) == 1
        ledger.write_receipt(tmp_path, record("a"))
    assert ledger.receipt(tmp_path, "a") == record("a")


@pytest.mark.parametrize("text", [b"", b"garbage", b"4711\n"])
def test_what_a_lock_holds_does_not_matter(tmp_path: Path, text: bytes) -> None:
    (tmp_path / ledger.HIDDEN).mkdir()
    (tmp_path / ledger.HIDDEN / ledger.LOCK).write_bytes(text)
    with ledger.open_ledger(tmp_path) as opened:
        opened.append(record("a"))
    assert list(ledger.read(tmp_path).latest) == ["a"]


def test_damage_is_told_in_one_sentence_of_the_first_and_their_count() -> None:
    assert ledger.list_damaged([], "set aside") is None
    told = ledger.list_damaged([f"line {n}: not JSON" for n in range(1, 1201)], "set aside")
    assert told is not None
    assert told.startswith("1,200 damaged records of earlier runs set aside")
    assert "line 3: not JSON; and 1,197 more" in told
    assert "line 4" not in told


def test_a_receipt_of_the_longest_name_is_set_aside_too(tmp_path: Path) -> None:
    with ledger.open_ledger(tmp_path):
        pass
    (tmp_path / ledger.HIDDEN / ledger.RECEIPTS / f"{'a' * 250}.json").write_text("{}")
    with ledger.open_ledger(tmp_path) as opened:
        assert len(opened.damaged) == 1
    with ledger.open_ledger(tmp_path) as again:
        assert again.damaged == []
