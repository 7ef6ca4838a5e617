"""Work shared out among devices."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

import torch

Seat = TypeVar("Seat")
Piece = TypeVar("Piece")
Result = TypeVar("Result")

WAITING = 2
"""Pieces per seat that are begun or done before the first of them is taken: what bounds their memory."""


def spread(
    seats: Sequence[Seat], pieces: Iterable[Piece], work: Callable[[Seat, Piece], Result]
) -> Iterator[tuple[Piece, Result]]:
    """What ``work`` makes of every piece, in their order; each seat (a device and what lies there) has one at a time.

    With one seat no thread is started. The caller's ``inference_mode`` is each thread's.
    """
    if len(seats) == 1:
        for piece in pieces:
            yield piece, work(seats[0], piece)
        return
    free: SimpleQueue[Seat] = SimpleQueue()
    for seat in seats:
        free.put(seat)
    inference = torch.is_inference_mode_enabled()

    def run(piece: Piece) -> Result:
        seat = free.get()
        try:
            with torch.inference_mode(inference):
                return work(seat, piece)
        finally:
            free.put(seat)

    begun: deque[tuple[Piece, Future[Result]]] = deque()
    with ThreadPoolExecutor(len(seats), "saint-device") as pool:
        try:
            for piece in pieces:
                begun.append((piece, pool.submit(run, piece)))
                if len(begun) > WAITING * len(seats):
                    done, result = begun.popleft()
                    yield done, result.result()
            while begun:
                done, result = begun.popleft()
                yield done, result.result()
        finally:
            pool.shutdown(cancel_futures=True)
