"""Seconds of short work on a machine that others may use."""

import time
from collections.abc import Callable


def measure_seconds(work: Callable[[], object]) -> float:
    """Of one run, by the clock."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure_least(work: Callable[[], object], repeats: int) -> float:
    """The least of several runs after one that is not counted."""
    work()
    return min(measure_seconds(work) for _ in range(repeats))
