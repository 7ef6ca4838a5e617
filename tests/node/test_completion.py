"""When a series is complete, and what becomes of it then."""

from pathlib import Path

import pytest
from node.queues import add, contents, move, open_queue

from saint_cli.node import completion
from saint_cli.node.completion import BROKEN_FACTOR, Arrivals, settle
from saint_cli.node.records import QueuedSeries, SeriesState
from saint_cli.node.spool import Spool

S = SeriesState


class Clock:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """The time, s."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of arrivals."""
    clock = Clock()
    monkeypatch.setattr(completion, "time", clock)
    return clock


def take_all(arrivals: Arrivals) -> list[str]:
    """The series that are complete, each once."""
    return list(iter(arrivals.take_complete, None))


def test_a_series_is_complete_once_its_association_ended_and_nothing_came_for_a_while(clock: Clock) -> None:
    arrivals = Arrivals(10)
    arrivals.note("1.2", 1)
    clock.now += 99
    assert take_all(arrivals) == [], "the association is open"
    assert arrivals.close(1, is_released=True) == ["1.2"]
    clock.now += 9.9
    assert take_all(arrivals) == []
    clock.now += 0.2
    assert take_all(arrivals) == ["1.2"]
    assert take_all(arrivals) == []


def test_every_association_that_brought_instances_must_have_ended(clock: Clock) -> None:
    arrivals = Arrivals(10)
    arrivals.note("1.2", 1)
    arrivals.note("1.2", 2)
    arrivals.note("1.3", 2)
    assert arrivals.close(1, is_released=True) == []
    clock.now += 99
    assert take_all(arrivals) == []
    assert arrivals.close(2, is_released=True) == ["1.2", "1.3"]
    clock.now += 11
    assert sorted(take_all(arrivals)) == ["1.2", "1.3"]


def test_a_series_is_complete_though_its_association_stays_open_without_another_instance_of_it(clock: Clock) -> None:
    arrivals = Arrivals(10)
    arrivals.note("1.2", 1)
    clock.now += 60
    arrivals.note("1.3", 1)
    clock.now += 10 * BROKEN_FACTOR - 59
    assert take_all(arrivals) == ["1.2"]


def test_a_new_instance_begins_the_wait_again(clock: Clock) -> None:
    arrivals = Arrivals(10)
    arrivals.note("1.2", 1)
    arrivals.close(1, is_released=True)
    clock.now += 9
    arrivals.note("1.2", 2)
    arrivals.close(2, is_released=True)
    clock.now += 9
    assert take_all(arrivals) == []


@pytest.mark.parametrize("is_restarted", [False, True])
def test_after_a_broken_association_or_a_killed_node_the_sender_gets_more_time(
    clock: Clock, is_restarted: bool
) -> None:
    arrivals = Arrivals(10)
    if is_restarted:
        arrivals.expect("1.2", is_released=False)
    else:
        arrivals.note("1.2", 1)
        assert arrivals.close(1, is_released=False) == []
    clock.now += 11
    assert take_all(arrivals) == []
    clock.now += 10 * BROKEN_FACTOR
    assert take_all(arrivals) == ["1.2"]


def test_a_series_of_which_nothing_came_before_is_computed(tmp_path: Path) -> None:
    spool = open_queue(tmp_path)
    result = settle(spool, add(spool, 1))
    assert result is not None
    assert result.state is S.READY


def forwarded(spool: Spool, *, is_kept: bool = False) -> QueuedSeries:
    """A series of three instances that was forwarded, its files kept or not."""
    for instance in (1, 2, 3):
        series = add(spool, instance, b"%d" % instance)
    series = move(spool, series, S.FORWARDED)
    if not is_kept:
        spool.remove_files(series)
    return series


def settled(spool: Spool, series: QueuedSeries) -> tuple[S, str]:
    """The next state and the reason."""
    result = settle(spool, series)
    assert result is not None
    return result.state, result.reason


def test_some_instances_again_of_a_series_that_was_forwarded_are_skipped(tmp_path: Path) -> None:
    spool = open_queue(tmp_path)
    forwarded(spool)
    state, reason = settled(spool, add(spool, 2, b"2"))
    assert (state, reason) == (S.SKIPPED, "1 instance came again of series 1, which is done")


def test_a_corrected_instance_of_a_forwarded_series_is_computed_with_the_rest(tmp_path: Path) -> None:
    spool = open_queue(tmp_path)
    forwarded(spool, is_kept=True)
    corrected = add(spool, 2, b"corrected")
    assert settled(spool, corrected)[0] is S.READY
    assert contents(corrected) == [b"1", b"3", b"corrected"]


def test_all_of_a_forwarded_series_again_is_computed_again(tmp_path: Path) -> None:
    spool = open_queue(tmp_path)
    forwarded(spool)
    for instance in (3, 1, 2):
        series = add(spool, instance, b"%d" % instance)
    assert settled(spool, series)[0] is S.READY


@pytest.mark.parametrize(("instance", "content"), [(4, b"4"), (2, b"changed")])
def test_late_instances_without_the_rest_are_not_taken_for_a_series(
    tmp_path: Path, instance: int, content: bytes
) -> None:
    spool = open_queue(tmp_path)
    forwarded(spool)
    state, reason = settled(spool, add(spool, instance, content))
    assert state is S.FAILED
    assert reason == (
        "1 instance came after the rest of the series was done as series 1 and removed; send the whole series again"
    )


def test_late_instances_join_the_rest_where_that_is_kept(tmp_path: Path) -> None:
    spool = open_queue(tmp_path)
    forwarded(spool, is_kept=True)
    late = add(spool, 4, b"4")
    assert settled(spool, late)[0] is S.READY
    late = spool.get(late.number)
    assert contents(late) == [b"1", b"2", b"3", b"4"]
    assert late.instances == 4
    spool.close()
    assert open_queue(tmp_path).get(late.number) == late


def test_the_whole_series_after_a_late_part_is_computed(tmp_path: Path) -> None:
    spool = open_queue(tmp_path)
    forwarded(spool)
    move(spool, add(spool, 4, b"4"), S.FAILED)
    for instance in (1, 2, 3):
        series = add(spool, instance, b"%d" % instance)
    assert settled(spool, series)[0] is S.READY
    assert contents(series) == [b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize("state", [S.DONE, S.SENDING])
def test_what_comes_while_a_series_is_sent_waits_for_it(tmp_path: Path, state: S) -> None:
    spool = open_queue(tmp_path)
    move(spool, add(spool, 1), state)
    assert settle(spool, add(spool, 2)) is None


def test_late_instances_after_a_repetition_are_not_taken_for_the_whole_series(tmp_path: Path) -> None:
    spool = open_queue(tmp_path)
    forwarded(spool)
    again = move(spool, add(spool, 2, b"2"), S.SKIPPED)
    spool.remove_files(again)
    add(spool, 4, b"4")
    state, reason = settled(spool, add(spool, 5, b"5"))
    assert (state, reason.partition(";")[0]) == (
        S.FAILED,
        "2 instances came after the rest of the series was done as series 1 and removed",
    )


@pytest.mark.parametrize("is_kept", [False, True])
def test_the_rest_of_a_series_whose_first_part_was_skipped_is_not_computed_without_it(
    tmp_path: Path, is_kept: bool
) -> None:
    spool = open_queue(tmp_path)
    first = move(spool, add(spool, 1, b"1"), S.SKIPPED)
    if not is_kept:
        spool.remove_files(first)
    for instance in (2, 3):
        series = add(spool, instance, b"%d" % instance)
    assert settled(spool, series)[0] is (S.READY if is_kept else S.FAILED)
    assert contents(series) == ([b"1", b"2", b"3"] if is_kept else [b"2", b"3"])


def test_what_came_in_three_parts_is_joined_from_all_of_them(tmp_path: Path) -> None:
    spool = open_queue(tmp_path)
    move(spool, add(spool, 1, b"1"), S.SKIPPED)
    move(spool, add(spool, 2, b"2"), S.FORWARDED)
    late = add(spool, 3, b"3")
    assert settled(spool, late)[0] is S.READY
    assert contents(late) == [b"1", b"2", b"3"]
    assert spool.budget.used_bytes == sum(series.size for series in spool.list_series()) == 5


def test_a_corrected_instance_that_comes_meanwhile_stays(tmp_path: Path) -> None:
    spool = open_queue(tmp_path)
    source = forwarded(spool, is_kept=True)
    late = add(spool, 4, b"4")
    missing = spool.list_instances(source.number)
    add(spool, 2, b"corrected")
    spool.copy_instances(late, missing)
    assert contents(late) == [b"1", b"3", b"4", b"corrected"]
    assert spool.budget.used_bytes == sum(series.size for series in spool.list_series())
