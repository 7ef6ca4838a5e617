"""Seconds of short work on a machine that others may use."""

import timeit
from collections.abc import Callable


def measure_least(work: Callable[[], object], repeats: int) -> float:
    """The least of several runs, by the clock, after one that is not counted."""
    work()
    return min(timeit.repeat(work, number=1, repeat=repeats))
