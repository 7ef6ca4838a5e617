import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from make_jobs import make_record

from saint_cli.batch import manifest, receipts
from saint_cli.batch.job_records import JobFailure, JobRecord, JobStatus
from saint_cli.errors import OutputError
from saint_cli.io import partial_names


def record(target: str, status: str = "done", error_class: str = "UnreadableError") -> JobRecord:
    """A record with what every record holds, and no more."""
    return make_record(target, JobStatus(status), error=JobFailure(error_class, "", 3) if status == "failed" else None)


def test_the_last_record_of_a_target_counts_and_torn_lines_do_not(tmp_path: Path) -> None:
    lines = [record("a", "failed"), record("b"), record("a")]
    text = b"".join(line.to_line() for line in lines) + b'{"target": "b", "stat'
    (tmp_path / manifest.MANIFEST).write_bytes(text)
    state = manifest.read_state(tmp_path)
    assert {target: one.status for target, one in state.latest.items()} == {"a": "done", "b": "done"}
    with manifest.open_manifest(tmp_path) as opened:
        opened.append(record("c"))
    assert set(manifest.read_state(tmp_path).latest) == {"a", "b", "c"}


def test_a_failure_for_another_reason_is_not_what_was_said() -> None:
    state = manifest.ManifestState()
    state.add(record("a", "failed"))
    assert state.says(record("a", "failed"))
    assert not state.says(record("a", "failed", "GeometryError"))


def test_a_second_batch_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    def second() -> None:
        with manifest.open_manifest(tmp_path):
            pass

    with manifest.open_manifest(tmp_path), pytest.raises(OutputError, match="another saint batch"):
        second()
    second()


def test_jobs_that_ended_after_the_batch_was_killed_are_not_lost(tmp_path: Path) -> None:
    with manifest.open_manifest(tmp_path):
        pass
    receipts.write_receipt(tmp_path, record("ended"))
    receipts.write_receipt(tmp_path, record("begun", "begun"))
    assert set(manifest.read_state(tmp_path).writers) == {"ended", "begun"}
    with manifest.open_manifest(tmp_path):
        assert list(manifest.read_state(tmp_path).latest) == ["ended"]
    assert receipts.read_receipt(tmp_path, "ended") is None
    assert receipts.read_receipt(tmp_path, "begun") is not None


def test_a_record_takes_the_place_of_the_receipt(tmp_path: Path) -> None:
    with manifest.open_manifest(tmp_path) as opened:
        receipts.write_receipt(tmp_path, record("a"))
        opened.append(record("a"))
        assert receipts.read_receipt(tmp_path, "a") is None


def test_a_record_whose_receipt_outlived_a_crash_is_not_written_twice(tmp_path: Path) -> None:
    with manifest.open_manifest(tmp_path) as opened:
        opened.append(record("a"))
        receipts.write_receipt(tmp_path, record("a"))  # as if killed before the receipt was dropped
    with manifest.open_manifest(tmp_path):
        assert receipts.read_receipt(tmp_path, "a") is None
    assert (tmp_path / manifest.MANIFEST).read_bytes().count(b"\n") == 1


def test_a_source_out_of_reach_does_not_undo_what_was_done(tmp_path: Path) -> None:
    out_of_reach, broken = record("a", "failed", "RemoteError"), record("b", "failed")
    with manifest.open_manifest(tmp_path) as opened:
        for one in (record("a"), record("b"), out_of_reach, broken):
            opened.append(one)
    found = manifest.read_state(tmp_path).latest
    assert {name: one.status for name, one in found.items()} == {"a": "done", "b": "failed"}


def test_partial_files_of_processes_that_are_gone_are_removed_and_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    alive = tmp_path / "a" / partial_names.make_partial_name(tmp_path / "a" / "x.nii")
    monkeypatch.setattr(os, "getpid", lambda: gone.pid)
    dead, old = (
        tmp_path / "a" / partial_names.make_partial_name(tmp_path / "a" / "y", kind) for kind in ("partial", "old")
    )
    monkeypatch.undo()
    for folder in (dead, old):
        folder.mkdir(parents=True)
        (folder / "slice.dcm").touch()
    alive.touch()
    with manifest.open_manifest(tmp_path):
        assert not dead.exists()
        assert not old.exists()
        assert alive.exists()


def test_partial_files_of_other_machines_and_of_living_processes_stay_however_old_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    living = tmp_path / partial_names.make_partial_name(tmp_path / "y.nii")
    monkeypatch.setattr(platform, "node", lambda: "elsewhere")
    monkeypatch.setattr(os, "getpid", lambda: 999_999_999)
    elsewhere = tmp_path / partial_names.make_partial_name(tmp_path / "x.nii")
    monkeypatch.undo()
    for one in (living, elsewhere):
        one.touch()
        os.utime(one, (0, 0))
    with manifest.open_manifest(tmp_path):
        pass
    assert living.exists()
    assert elsewhere.exists()


def test_errors_while_the_manifest_is_open_are_not_blamed_on_the_folder(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), manifest.open_manifest(tmp_path):
        raise BrokenPipeError


def line(name: str, **other: object) -> bytes:
    """A line of the manifest, with other values in place of its own."""
    return json.dumps({**record(name).to_json(), **other}).encode("ascii")


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
    "no name of a source": (line("b", source="b\0"), "'source' that no file can have"),
    "no name of a file": (line("b", target="b\0"), "'target' outside the output folder"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_line_is_reported_by_its_number_and_set_aside_once_and_good_ones_are_kept(
    name: str, tmp_path: Path
) -> None:
    text, reason = DAMAGED[name]
    (tmp_path / manifest.MANIFEST).write_bytes(b"\n".join([line("a"), text, line("c"), b""]))
    before = manifest.read_state(tmp_path)
    assert (list(before.latest), list(before.writers)) == (["a", "c"], ["a", "c"])
    (problem,) = before.damaged
    assert problem.startswith(f"line 2 of {manifest.MANIFEST}: {reason}")
    with manifest.open_manifest(tmp_path) as opened:
        assert opened.damaged == before.damaged
        opened.append(record("d"))
    assert (tmp_path / manifest.MANIFEST).read_bytes().splitlines() == [line("a"), line("c"), line("d")]
    assert (tmp_path / manifest.DAMAGED_LINES).read_bytes().replace(b"\n", b"") == text
    with manifest.open_manifest(tmp_path) as again:
        assert again.damaged == []
    assert len((tmp_path / manifest.DAMAGED_LINES).read_bytes()) <= len(text) + 3


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\n\n"])
def test_line_ends_and_marks_of_other_systems_are_no_damage(tmp_path: Path, end: bytes, start: bytes) -> None:
    (tmp_path / manifest.MANIFEST).write_bytes(start + end.join([line("a"), line("b")]))
    with manifest.open_manifest(tmp_path) as opened:
        opened.append(record("c"))
    assert opened.damaged == []
    assert list(manifest.read_state(tmp_path).latest) == ["a", "b", "c"]
    assert not (tmp_path / manifest.DAMAGED_LINES).exists()


def test_damaged_lines_are_on_disk_elsewhere_before_the_manifest_loses_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = line("a") + b"\ngarbage\n"
    (tmp_path / manifest.MANIFEST).write_bytes(whole)

    def fail(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OutputError, match="No space left"), manifest.open_manifest(tmp_path):
        pass
    assert (tmp_path / manifest.MANIFEST).read_bytes() == whole
    assert (tmp_path / manifest.DAMAGED_LINES).read_bytes() == b"garbage\n"


@pytest.mark.parametrize("text", [b"", b"[" * 100_000, line("a")[:-5], line("another job"), line("a", error=5)])
def test_a_damaged_receipt_is_set_aside_and_counts_for_nothing(tmp_path: Path, text: bytes) -> None:
    with manifest.open_manifest(tmp_path):
        receipts.write_receipt(tmp_path, record("a"))
    receipts.receipt_path(tmp_path, "a").write_bytes(text)
    assert receipts.read_receipt(tmp_path, "a") is None
    with manifest.open_manifest(tmp_path) as opened:
        assert len(opened.damaged) == 1
    assert not receipts.receipt_path(tmp_path, "a").exists()
    (aside,) = (tmp_path / manifest.DAMAGED_RECEIPTS).iterdir()
    assert aside.read_bytes() == text
    with manifest.open_manifest(tmp_path) as again:
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


@pytest.mark.parametrize("name", [manifest.MANIFEST, manifest.LOCK])
@pytest.mark.parametrize("kind", INSTEAD)
def test_what_stands_in_place_of_the_manifest_or_the_lock_is_reported_and_never_waited_for(
    tmp_path: Path, name: str, kind: str
) -> None:
    (tmp_path / manifest.LOCK).parent.mkdir()
    INSTEAD[kind](tmp_path / name)
    with pytest.raises(OutputError, match="move it away"), manifest.open_manifest(tmp_path):
        pass
    if name == manifest.MANIFEST:
        with pytest.raises(OutputError, match="move it away"):
            manifest.read_state(tmp_path)


@pytest.mark.parametrize("kind", INSTEAD)
def test_what_stands_in_place_of_a_receipt_is_set_aside(tmp_path: Path, kind: str) -> None:
    with manifest.open_manifest(tmp_path):
        pass
    INSTEAD[kind](receipts.receipt_path(tmp_path, "a"))
    assert receipts.read_receipt(tmp_path, "a") is None
    with manifest.open_manifest(tmp_path) as opened:
        assert len(opened.damaged) == 1
        receipts.write_receipt(tmp_path, record("a"))
    assert receipts.read_receipt(tmp_path, "a") == record("a")


@pytest.mark.parametrize("text", [b"", b"garbage", b"4711\n"])
def test_what_a_lock_holds_does_not_matter(tmp_path: Path, text: bytes) -> None:
    (tmp_path / manifest.LOCK).parent.mkdir()
    (tmp_path / manifest.LOCK).write_bytes(text)
    with manifest.open_manifest(tmp_path) as opened:
        opened.append(record("a"))
    assert list(manifest.read_state(tmp_path).latest) == ["a"]


def test_damage_is_reported_in_one_sentence_of_the_first_and_their_count() -> None:
    assert manifest.describe_damaged([], "set aside") is None
    sentence = manifest.describe_damaged([f"line {n}: not JSON" for n in range(1, 1201)], "set aside")
    assert sentence is not None
    assert sentence.startswith("1,200 damaged records of earlier runs set aside")
    assert "line 3: not JSON; and 1,197 more" in sentence
    assert "line 4" not in sentence


def test_a_receipt_of_the_longest_name_is_set_aside_too(tmp_path: Path) -> None:
    with manifest.open_manifest(tmp_path):
        pass
    (tmp_path / manifest.RECEIPTS / f"{'a' * 250}.json").write_text("{}")
    with manifest.open_manifest(tmp_path) as opened:
        assert len(opened.damaged) == 1
    with manifest.open_manifest(tmp_path) as again:
        assert again.damaged == []


def test_a_folder_without_a_manifest_has_an_empty_state(tmp_path: Path) -> None:
    assert manifest.read_state(tmp_path / "nowhere") == manifest.ManifestState()
