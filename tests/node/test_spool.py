"""The queue on disk: what was acknowledged is there, once, whatever happens."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from node.queues import add, contents, move, open_queue, receive

from saint_cli.errors import OutputError
from saint_cli.node import disk_budget
from saint_cli.node import spool as spool_module
from saint_cli.node.records import INTERRUPTED, Result, SeriesState
from saint_cli.node.spool import Spool

S = SeriesState


def test_what_was_stored_is_there_after_a_restart(tmp_path: Path) -> None:
    spool = open_queue(tmp_path)
    add(spool, 1, b"one")
    before = add(spool, 2, b"two")
    spool.close()
    again = open_queue(tmp_path).get(before.number)
    assert (again, contents(again)) == (before, [b"one", b"two"])
    assert again.state is S.RECEIVING


def test_the_same_instance_again_is_kept_once_and_changes_nothing(tmp_path: Path) -> None:
    spool = open_queue(tmp_path)
    first = add(spool, 1)
    used = spool.budget.used_bytes
    assert add(spool, 1) == first
    assert contents(first) == [b"content"]
    assert spool.budget.used_bytes == used == len(b"content")


def test_an_instance_with_other_content_replaces_the_former(tmp_path: Path) -> None:
    spool = open_queue(tmp_path)
    add(spool, 1, b"old one")
    series = add(spool, 1, b"new")
    assert contents(series) == [b"new"]
    assert (series.instances, spool.budget.used_bytes) == (1, 3)


def test_series_have_folders_of_their_own_named_by_numbers_alone(tmp_path: Path) -> None:
    spool = open_queue(tmp_path)
    numbers = [add(spool, "1", series=uid).number for uid in ("1.2", "../../evil", "1.2", "a/b")]
    assert numbers == [1, 2, 1, 3]
    assert sorted(place.name for place in (spool.folder / "series").iterdir()) == ["000001", "000002", "000003"]


@pytest.mark.parametrize("state", [S.READY, S.WORKING, S.FAILED])
def test_a_new_instance_opens_a_series_again_that_waits_is_computed_or_failed(tmp_path: Path, state: S) -> None:
    spool = open_queue(tmp_path)
    series = move(spool, add(spool, 1), state)
    again = add(spool, 2)
    assert (again.number, again.state, again.tries) == (series.number, S.RECEIVING, 0)
    assert not spool.finish(series, Result(S.DONE)), "a result of fewer instances"


@pytest.mark.parametrize("state", [S.DONE, S.SENDING, S.FORWARDED, S.SKIPPED])
def test_a_new_instance_of_a_series_that_is_sent_or_ended_begins_another_one(tmp_path: Path, state: S) -> None:
    spool = open_queue(tmp_path)
    series = move(spool, add(spool, 1), state)
    other = add(spool, 2)
    assert (other.number, spool.get(series.number).state) == (series.number + 1, state)
    assert spool.list_earlier(other) == [spool.get(series.number)]


def test_a_new_instance_voids_what_was_decided_without_it(tmp_path: Path) -> None:
    spool = open_queue(tmp_path)
    before = add(spool, 1)
    now = add(spool, 2)
    assert not spool.finish(before, Result(S.READY))
    assert spool.finish(now, Result(S.READY, tries=2))
    assert add(spool, 3).tries == 0


def test_sending_a_failed_series_again_tries_it_again(tmp_path: Path) -> None:
    spool = open_queue(tmp_path)
    move(spool, add(spool, 1), S.FAILED)
    assert add(spool, 1).state is S.RECEIVING


@pytest.mark.parametrize(("state", "after"), INTERRUPTED.items())
def test_what_was_worked_on_goes_on_after_a_restart(tmp_path: Path, state: S, after: S) -> None:
    spool = open_queue(tmp_path)
    series = move(spool, add(spool, 1), state)
    spool.close()
    assert open_queue(tmp_path).get(series.number).state is after


def test_files_that_were_not_acknowledged_are_gone_after_a_restart(tmp_path: Path) -> None:
    spool = open_queue(tmp_path)
    series = add(spool, 1)
    (series.source_folder / "000002.dcm").write_bytes(b"renamed, not entered")
    (spool.folder / "series" / "000009" / "instances").mkdir(parents=True)
    receive(spool, b"half").keep()
    spool.close()
    spool = open_queue(tmp_path)
    assert contents(series) == [b"content"]
    assert not list((spool.folder / "incoming").iterdir())
    assert [place.name for place in (spool.folder / "series").iterdir()] == ["000001"]
    assert spool.budget.used_bytes == len(b"content")


@pytest.mark.parametrize("removed", ["000001", "000001/instances"])
def test_an_instance_whose_file_somebody_removed_is_taken_again(tmp_path: Path, removed: str) -> None:
    spool = open_queue(tmp_path)
    add(spool, 1)
    spool.close()
    shutil.rmtree(spool.folder / "series" / removed)
    spool = open_queue(tmp_path)
    assert spool.find_on_disk(["1.2.1"]) == set()
    assert contents(add(spool, 1)) == [b"content"]


def test_an_instance_that_cannot_be_entered_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = open_queue(tmp_path)
    series = add(spool, 1)
    with spool._database.change() as connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON instances BEGIN SELECT RAISE(ABORT, 'full'); END")
    file = receive(spool, b"more")
    with pytest.raises(sqlite3.Error, match="full"):
        spool.add_instance(file, "1.2", "1.2.2")
    file.close()
    assert (spool.get(series.number), contents(series)) == (series, [b"content"])
    assert spool.budget.used_bytes == len(b"content")


def test_what_arrives_beyond_the_limit_is_refused_and_its_bytes_are_free_again(tmp_path: Path) -> None:
    spool = open_queue(tmp_path, max_bytes=20)
    add(spool, 1, bytes(15))
    file = receive(spool, bytes(4))
    assert not file.failure
    file.write(bytes(4))
    assert file.failure
    assert spool.budget.is_refusing
    file.close()
    assert spool.budget.used_bytes == 15
    assert not receive(spool, bytes(5)).failure
    assert not list((spool.folder / "incoming").iterdir()), "a file that nobody holds"


def test_a_large_instance_is_refused_while_it_arrives(tmp_path: Path) -> None:
    spool = open_queue(tmp_path, max_instance_bytes=10)
    file = receive(spool, bytes(10))
    assert not file.failure
    file.write(b"x")
    assert "larger" in file.failure
    assert file.path.stat().st_size == 10


def test_space_for_the_database_stays_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = open_queue(tmp_path)
    free = disk_budget.RESERVE_BYTES + 10
    monkeypatch.setattr(disk_budget.DiskBudget, "free_bytes", lambda self: free)
    assert not receive(spool, bytes(10)).failure
    assert receive(spool, bytes(11)).failure


def test_two_nodes_cannot_use_one_queue(tmp_path: Path) -> None:
    spool = open_queue(tmp_path)
    with pytest.raises(OutputError, match="another saint serve"):
        open_queue(tmp_path)
    spool.close()
    open_queue(tmp_path).close()


def test_a_folder_of_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "queue" / "series" / "mine.txt"
    precious.parent.mkdir(parents=True)
    precious.touch()
    with pytest.raises(OutputError, match="holds other files"):
        open_queue(tmp_path)
    assert precious.exists()
    precious.unlink()
    open_queue(tmp_path)


def test_a_series_given_up_by_a_failure_is_claimed_again(tmp_path: Path) -> None:
    spool = open_queue(tmp_path)
    move(spool, add(spool, 1), S.READY)
    first = spool.claim(S.READY, S.WORKING)
    assert spool.claim(S.READY, S.WORKING) == first


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    open_queue(tmp_path).close()
    (tmp_path / "queue" / "queue.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(OutputError, match=r"queue\.sqlite: cannot be used .*move the whole folder away"):
        open_queue(tmp_path)


def test_others_cannot_look_into_the_queue(tmp_path: Path) -> None:
    spool = open_queue(tmp_path)
    assert spool.folder.stat().st_mode & 0o077 == 0
    assert next(add(spool, 1).source_folder.iterdir()).stat().st_mode & 0o077 == 0
    databases = list(spool.folder.glob("queue.sqlite*"))
    assert len(databases) == 3
    assert all(file.stat().st_mode & 0o077 == 0 for file in databases)


def test_series_are_claimed_once_oldest_first_and_not_before_their_time(tmp_path: Path) -> None:
    spool = open_queue(tmp_path)
    for uid in "123":
        move(spool, add(spool, 1, series=uid), S.READY)
    late = spool.claim(S.READY, S.WORKING)
    assert late is not None
    assert spool.finish(late, Result(S.READY, "not yet", tries=1, delay_s=60))
    numbers = []
    while (one := spool.claim(S.READY, S.WORKING)) is not None:
        numbers.append(one.number)
        assert spool.finish(one, Result(S.DONE))
    assert numbers == [2, 3]


def test_removed_files_are_remembered_and_their_bytes_are_free(tmp_path: Path) -> None:
    spool = open_queue(tmp_path)
    series = move(spool, add(spool, 1), S.FORWARDED)
    spool.remove_files(series)
    assert (spool.budget.used_bytes, series.folder.exists()) == (0, False)
    assert list(spool.list_instances(series.number)) == ["1.2.1"]
    assert spool.find_on_disk(["1.2.1"]) == set()
    assert spool.list_expired(S.FORWARDED, before=time.time() + 1, on_disk=False)


def test_files_removed_twice_are_subtracted_once(tmp_path: Path) -> None:
    spool = open_queue(tmp_path)
    add(spool, 1, series="1.3")
    series = move(spool, add(spool, 1), S.FORWARDED)
    spool.remove_files(series)
    spool.remove_files(series)
    assert spool.budget.used_bytes == len(b"content")


def test_files_whose_removal_a_kill_cut_short_are_gone_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_queue(tmp_path)
    series = move(spool, add(spool, 1), S.FORWARDED)
    (series.derived_folder / "1").mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(spool_module, "shutil", SimpleNamespace(rmtree=lambda *_, **__: None))
        spool.remove_files(series)
    assert series.folder.exists()
    spool.close()
    spool = open_queue(tmp_path)
    assert (series.folder.exists(), spool.budget.used_bytes) == (False, 0)
    assert list(spool.list_instances(series.number)) == ["1.2.1"], "what they were is remembered"


def test_a_series_that_changed_is_not_forgotten(tmp_path: Path) -> None:
    spool = open_queue(tmp_path)
    failed = move(spool, add(spool, 1), S.FAILED)
    add(spool, 2)
    spool.forget(failed)
    assert len(contents(spool.get(failed.number))) == 2
    failed = move(spool, failed, S.FAILED)
    spool.forget(failed)
    with pytest.raises(KeyError):
        spool.get(failed.number)
    assert add(spool, 1).number == failed.number + 1, "numbers are not used twice"


STORE_FOREVER = """
import sys
from pathlib import Path
from saint_cli.node.spool import Spool
spool = Spool(Path(sys.argv[1]), 10**12, 10**12)
for number in range(10**6):
    file = spool.open_file()
    file.write(b"content %d" % number)
    spool.add_instance(file, f"1.{number // 4}", f"1.2.{number}")
    file.close()
    print(number, flush=True)
"""


def test_every_acknowledged_instance_survives_kill_9_exactly_once(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", STORE_FOREVER, str(tmp_path / "queue")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(30)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
    acknowledged = {f"content {int(line)}".encode() for line in lines if line.endswith("\n")}
    spool: Spool = open_queue(tmp_path)
    stored = [content for series in spool.list_series() for content in contents(series)]
    assert acknowledged <= set(stored)
    assert len(stored) == len(set(stored)) <= len(acknowledged) + 1
