"""Work shared out among seats, which stand for devices."""

import threading
import time

import pytest
import torch

from saint_cli.spread import WAITING, spread


@pytest.mark.parametrize("seats", [1, 2, 5])
def test_results_come_in_the_order_of_the_pieces(seats: int) -> None:
    def work(seat: int, piece: int) -> int:
        time.sleep(0.001 * (piece % 3))
        return piece * piece

    assert list(spread(range(seats), range(40), work)) == [(n, n * n) for n in range(40)]


def test_a_seat_has_one_piece_at_a_time_and_all_seats_work() -> None:
    busy, used, together = set(), set(), threading.Barrier(3, timeout=30)

    def work(seat: int, piece: int) -> None:
        assert seat not in busy
        busy.add(seat)
        if piece < 3:
            together.wait()  # only passes if three are at work at once
        used.add(seat)
        busy.remove(seat)

    list(spread(range(3), range(30), work))
    assert used == {0, 1, 2}


def test_no_more_results_wait_than_memory_is_meant_for() -> None:
    begun = []
    results = spread(range(2), range(100), lambda _, piece: begun.append(piece))
    next(results)
    results.close()
    assert len(begun) <= WAITING * 2 + 1


@pytest.mark.parametrize("seats", [1, 2])
def test_a_failure_reaches_the_caller_and_ends_the_work(seats: int) -> None:
    begun = []

    def work(_: int, piece: int) -> None:
        begun.append(piece)
        if piece == 3:
            raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        list(spread(range(seats), range(100), work))
    assert len(begun) < 100


@pytest.mark.parametrize("wanted", [True, False])
def test_the_threads_keep_the_callers_inference_mode(wanted: bool) -> None:
    with torch.inference_mode(wanted):
        found = [mode for _, mode in spread(range(2), range(4), lambda *_: torch.is_inference_mode_enabled())]
    assert found == [wanted] * 4
