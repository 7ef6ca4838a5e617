"""The most memory that a piece of work holds beyond what its program held before (Linux)."""

import time
from collections.abc import Callable
from pathlib import Path

from saint_cli.runtime import memory

PEAK, RESIDENT = "VmHWM:", "VmRSS:"

RESET = Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""What resets the peak to the present (man proc)."""


def measure_work(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of processor time, which other programs hardly lengthen, and peak memory in MB beyond that before.

    MB: 10^6 bytes, of resident memory.
    """
    memory.trim_memory()
    RESET.write_text(RESET_PEAK)
    before, began = _read_kb(RESIDENT), time.process_time()
    work()
    return time.process_time() - began, (_read_kb(PEAK) - before) * 1024 / 1e6


def _read_kb(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))
