"""Series go through the queue: computed, sent, tried again, given up."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from node.queues import add, move, open_queue

from saint_cli.node import work
from saint_cli.node.completion import Arrivals
from saint_cli.node.derive import Ending, Outcome
from saint_cli.node.forward import Reasons
from saint_cli.node.options import NodeOptions
from saint_cli.node.records import QueuedSeries, SeriesState
from saint_cli.node.spool import Spool
from saint_cli.node.work import Steps, backoff_s

S = SeriesState


@dataclass
class Shelf:
    """A destination that takes so many files of the next sendings, then all."""

    takes: list[int] = field(default_factory=list)
    sent: list[list[Path]] = field(default_factory=list)
    name: str = "SHELF@127.0.0.1:1"

    def send(self, paths: Sequence[Path]) -> Reasons:
        """Take files."""
        count = self.takes.pop(0) if self.takes else len(paths)
        self.sent.append(list(paths[:count]))
        return dict.fromkeys(paths[count:], "the shelf is full")


class Stub:
    """In place of a worker: outcomes in their order, and what happens meanwhile."""

    def __init__(self, *outcomes: Outcome, meanwhile: object = None) -> None:
        self.outcomes, self.meanwhile = list(outcomes), meanwhile

    def derive(self, source: Path, target: Path) -> Outcome:
        """The next outcome; done, with a file of four bytes, after them."""
        if callable(self.meanwhile):
            self.meanwhile()
        outcome = self.outcomes.pop(0) if self.outcomes else Outcome(Ending.DONE, size=4)
        if outcome.ending is Ending.DONE:
            (target / "1").mkdir(parents=True)
            (target / "1" / "IM00001.dcm").write_bytes(b"fine")
        return outcome


@dataclass
class Bench:
    """The steps of a node, with all that they need."""

    steps: Steps
    spool: Spool
    shelf: Shelf
    log: list[str]
    failures: list[str]

    def compute(self, *outcomes: Outcome, meanwhile: object = None) -> bool:
        """Compute the next series with such outcomes."""
        return self.steps.compute(Stub(*outcomes, meanwhile=meanwhile))  # type: ignore[arg-type]

    def ready(self, series: str = "1.2") -> QueuedSeries:
        """A series that waits to be computed."""
        return move(self.spool, add(self.spool, 1, series=series), S.READY)


def make_bench(folder: Path, max_bytes: int = 10**9, keep_days: float = 0.0) -> Bench:
    """Steps that nobody repeats."""
    shelf, log, failures = Shelf(), list[str](), list[str]()
    spool = open_queue(folder, max_bytes)
    options = NodeOptions(keep_days=keep_days, tries=3)
    steps = Steps(options, shelf, spool, Arrivals(1), log.append, failures.append)
    return Bench(steps, spool, shelf, log, failures)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A node that keeps nothing."""
    return make_bench(tmp_path)


def test_a_series_is_computed_sent_and_removed(bench: Bench) -> None:
    series = bench.ready()
    assert bench.compute()
    assert bench.spool.get(series.number).state is S.DONE
    assert bench.spool.budget.used_bytes == len(b"content") + len(b"fine")
    assert bench.steps.send()
    assert bench.spool.get(series.number).state is S.FORWARDED
    assert [path.name for path in bench.shelf.sent[0]] == ["IM00001.dcm"]
    assert (series.folder.exists(), bench.spool.budget.used_bytes) == (False, 0)
    assert not bench.compute()
    assert not bench.steps.send()


def test_what_is_kept_is_removed_after_its_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make_bench(tmp_path, keep_days=2)
    series = bench.ready()
    bench.compute()
    bench.steps.send()
    bench.steps.prune()
    assert series.folder.exists()
    monkeypatch.setattr(bench.steps, "options", replace(bench.steps.options, keep_days=0.0))
    bench.steps.pruned_at = -1e9
    bench.steps.prune()
    assert (series.folder.exists(), bench.spool.budget.used_bytes) == (False, 0)


def test_a_failed_series_stays_for_inspection_and_goes_after_its_days(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = bench.ready()
    bench.compute(Outcome(Ending.FAILED, "slices are missing", "GeometryError"))
    failed = bench.spool.get(series.number)
    assert (failed.state, failed.reason) == (S.FAILED, "slices are missing")
    assert bench.log == ["series 1: failed: slices are missing"]
    assert bench.failures == ["GeometryError"]
    bench.steps.prune()
    assert failed.source_folder.exists()
    monkeypatch.setattr(bench.steps, "options", replace(bench.steps.options, keep_failed_days=0.0))
    bench.steps.pruned_at = -1e9
    bench.steps.prune()
    assert not failed.folder.exists()
    assert bench.spool.list_series() == []


def test_what_no_rule_matches_is_skipped_with_its_reason_and_removed(bench: Bench) -> None:
    series = bench.ready()
    bench.compute(Outcome(Ending.SKIPPED, "it is a single slice"))
    assert bench.spool.get(series.number).reason == "it is a single slice"
    assert bench.log == ["series 1: skipped: it is a single slice"]
    assert not series.folder.exists()
    assert bench.failures == []


def test_a_failure_that_may_pass_is_tried_again_so_often_and_then_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "FIRST_WAIT_S", 0.0)
    killed, series = Outcome(Ending.BROKEN_OFF, "killed", "WorkerKilledError"), bench.ready()
    for tries in (1, 2):
        assert bench.compute(killed)
        assert (bench.spool.get(series.number).state, bench.spool.get(series.number).tries) == (S.READY, tries)
    assert bench.compute(killed)
    failed = bench.spool.get(series.number)
    assert (failed.state, failed.reason) == (S.FAILED, "killed (tried 3 times)")


def test_a_series_that_waits_for_its_next_try_does_not_hold_up_others(bench: Bench) -> None:
    first, second = bench.ready("1.2"), bench.ready("1.3")
    assert bench.compute(Outcome(Ending.BROKEN_OFF, "killed", "WorkerKilledError"))
    assert bench.compute()
    assert not bench.compute()
    assert [bench.spool.get(one.number).state for one in (first, second)] == [S.READY, S.DONE]


def test_a_result_of_a_series_that_grew_meanwhile_is_dropped(bench: Bench) -> None:
    series = bench.ready()
    assert bench.compute(meanwhile=lambda: add(bench.spool, 2))
    grown = bench.spool.get(series.number)
    assert (grown.state, grown.instances) == (S.RECEIVING, 2)
    assert not grown.derived_folder.exists()
    assert "changed while it was computed" in bench.log[-1]


def test_what_was_not_taken_whole_is_sent_again_whole(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "FIRST_WAIT_S", 0.0)
    series, bench.shelf.takes = bench.ready(), [0]
    bench.compute()
    assert bench.steps.send()
    waiting = bench.spool.get(series.number)
    assert (waiting.state, waiting.tries) == (S.DONE, 1)
    assert waiting.reason == "1 of 1 instances were not taken: the shelf is full"
    assert bench.steps.send()
    assert bench.spool.get(series.number).state is S.FORWARDED
    assert [len(files) for files in bench.shelf.sent] == [0, 1]


def test_what_sending_is_given_up_of_leaves_no_derived_files(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "SENDING_TRIES", 1)
    series, bench.shelf.takes = bench.ready(), [0]
    bench.compute()
    bench.steps.send()
    assert bench.spool.get(series.number).state is S.FAILED
    assert not series.derived_folder.exists()
    assert bench.spool.budget.used_bytes == len(b"content")


def test_a_full_disk_counts_no_try(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "LONGEST_WAIT_S", 0.0)
    series = bench.ready()
    for _ in range(10):
        assert bench.compute(Outcome(Ending.NO_ROOM, "no space left", "OutputError"))
    waiting = bench.spool.get(series.number)
    assert (waiting.state, waiting.tries, waiting.reason) == (S.READY, 0, "no space left")
    assert bench.compute()
    assert bench.spool.get(series.number).state is S.DONE


@pytest.mark.parametrize(("error", "tries"), [(ZeroDivisionError("SECRET"), 1), (sqlite3.OperationalError("full"), 0)])
def test_a_series_whose_computing_raises_waits_and_the_next_is_computed(
    bench: Bench, error: Exception, tries: int
) -> None:
    def fail() -> None:
        raise error

    first, second = bench.ready("1.2"), bench.ready("1.3")
    with pytest.raises(type(error)):
        bench.compute(meanwhile=fail)
    waiting = bench.spool.get(first.number)
    assert (waiting.state, waiting.tries, waiting.reason) == (S.READY, tries, type(error).__name__)
    assert "SECRET" not in "".join(bench.log)
    assert bench.compute()
    assert bench.spool.get(second.number).state is S.DONE


def test_a_series_whose_sending_raises_waits_and_the_next_is_sent(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Sequence[Path]) -> Reasons:
        raise ZeroDivisionError("SECRET")

    first, second = bench.ready("1.2"), bench.ready("1.3")
    assert bench.compute()
    assert bench.compute()
    with monkeypatch.context() as patch:
        patch.setattr(bench.shelf, "send", fail)
        with pytest.raises(ZeroDivisionError):
            bench.steps.send()
    waiting = bench.spool.get(first.number)
    assert (waiting.state, waiting.tries, waiting.reason) == (S.DONE, 1, "ZeroDivisionError")
    assert bench.steps.send()
    assert bench.spool.get(second.number).state is S.FORWARDED


@pytest.mark.parametrize("method", ["list_instances", "finish"])
@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk I/O error"), OSError(28, "No space left")])
def test_an_error_while_series_are_completed_loses_none_of_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, method: str, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(bench.steps, "arrivals", Arrivals(0))
    for series_uid in ("1.2", "1.3"):
        add(bench.spool, 1, series=series_uid)
        bench.steps.arrivals.expect(series_uid, is_released=True)
    with monkeypatch.context() as patch:
        patch.setattr(bench.spool, method, fail)
        with pytest.raises(type(error)):
            bench.steps.complete()
    bench.steps.complete()
    assert bench.spool.count_states()[S.READY] == 2


def test_a_derived_series_that_lost_files_is_computed_again(bench: Bench) -> None:
    series = bench.ready()
    bench.compute()
    next(series.derived_folder.rglob("*.dcm")).write_bytes(b"")
    assert bench.steps.send()
    assert bench.spool.get(series.number).state is S.READY
    assert bench.shelf.sent == []


def test_nothing_more_is_computed_while_the_disk_is_full_of_what_waits_to_be_sent(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, max_bytes=15)
    bench.ready("1.2"), bench.ready("1.3")
    assert bench.compute()
    assert bench.spool.budget.is_full
    assert not bench.compute()
    assert bench.steps.send()
    assert bench.compute()


def test_waits_between_tries_grow_up_to_a_limit() -> None:
    waits = [backoff_s(tries) for tries in range(1, 30)]
    assert waits[:4] == [2, 4, 8, 16]
    assert waits == sorted(waits)
    assert waits[-1] == work.LONGEST_WAIT_S
