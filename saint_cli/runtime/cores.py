"""How many CPU threads a job uses: the cores that this process may use, less those that are busy. No torch.

Threads of one network wait for each other at every layer. A thread that shares its core with another program, even one
of the lowest priority, delays all others: with one of two cores busy, two threads took 1.4 to 2.7 times as long as one.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from saint_cli.errors.parameter_names import adapt_message
from saint_cli.errors.plain_text import format_count
from saint_cli.runtime import control_groups

MIN_OBSERVATION_S = 0.2
"""Other programs are observed for at least so long; the system counts in hundredths of a second."""

COUNT_VALID_S = 30.0
"""Age up to which the last count serves the next job of the same process."""

IDLE_TIMES = ("idle", "iowait", "guest", "guest_nice")
"""Fields of ``psutil.cpu_times`` that are no work, or part of another field."""


@dataclass(frozen=True)
class ThreadChoice:
    """Threads to use, cores that this process may use, and the sentence to show where threads are fewer."""

    count: int
    cores: int
    note: str | None = None


def count_usable_cores() -> int:
    """Cores by affinity and by the control groups' quota, at least 1; a quota of 1.5 cores counts as 1."""
    return max(1, int(min([len(_allowed_cores()), *_quotas()])))


def limit_threads(requested: int, cores: int) -> ThreadChoice:
    """The threads that a user wants, at most one per core."""
    if requested <= cores:
        return ThreadChoice(requested, cores)
    available = f"{format_count(cores, 'core')} can be used here; taking {cores}"
    return ThreadChoice(cores, cores, adapt_message(f"`threads={requested}`: {available}"))


class CoreLoad:
    """How busy other programs keep the cores, observed from its creation on."""

    _last: ClassVar[tuple[float, float] | None] = None
    """The last count of this process: its time (``time.perf_counter``), and how many cores were busy."""

    def __init__(self) -> None:
        self._began, self._own, self._work = time.perf_counter(), time.process_time(), _work_s()

    def choose_threads(self, requested: int | None = None, most: int | None = None) -> ThreadChoice:
        """The wanted threads, else those of ``OMP_NUM_THREADS``, else one for each idle core.

        most: what suits an idle machine, None for all cores.
        """
        cores = count_usable_cores()
        if requested is not None:
            return limit_threads(requested, cores)
        openmp = read_openmp_threads()
        return self.choose_idle(most) if openmp is None else ThreadChoice(min(openmp, cores), cores)

    def choose_idle(self, most: int | None = None, option: str = "--threads") -> ThreadChoice:
        """One thread for each idle core, at least one; option: the flag to raise their number."""
        cores = min(count_usable_cores(), most or 1 << 20)
        count = max(1, min(cores, round(len(_allowed_cores()) - self._busy_cores())))
        busy = cores - count
        are = "is" if busy == 1 else "are"
        note = f"{busy} of {format_count(cores, 'core')} {are} busy; {option} {cores} would use all"
        return ThreadChoice(count, cores, note if busy else None)

    def _busy_cores(self) -> float:
        """How many cores other programs keep busy, on average; 0 where that cannot be read."""
        if (last := CoreLoad._last) is not None and time.perf_counter() - last[0] < COUNT_VALID_S:
            return last[1]
        time.sleep(max(0.0, MIN_OBSERVATION_S - (time.perf_counter() - self._began)))
        now, own, work = time.perf_counter(), time.process_time() - self._own, _work_s() - self._work
        busy = max(0.0, (work - own) / (now - self._began))
        CoreLoad._last = now, busy
        return busy


def _allowed_cores() -> list[int]:
    """Numbers of the cores that the process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _work_s() -> float:
    """Seconds that the cores of this process have worked since the machine started, for any program."""
    import psutil  # only here: the networks then run where it is not installed

    try:
        every = psutil.cpu_times(percpu=True)
    except (OSError, RuntimeError, ValueError, IndexError):  # a sandbox without /proc/stat
        return 0.0
    chosen = [every[i] for i in _allowed_cores() if i < len(every)]
    return float(sum(s for times in chosen for name, s in times._asdict().items() if name not in IDLE_TIMES))


def read_openmp_threads() -> int | None:
    """The number that ``OMP_NUM_THREADS`` gives, the first of a list; None where it is not a positive whole number."""
    word = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(word) if word.isdecimal() and int(word) > 0 else None


def _quotas() -> Iterator[float]:
    """Cores that each control group of the process allows, from its own to the root."""
    for group, version in control_groups.find_groups("cpu", ("cpu", "cpu,cpuacct")):
        with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
            yield _quota(group, version)


def _quota(group: Path, version: int) -> float:
    """Cores of one group; ValueError where it has no limit ("max", or -1 in version 1)."""
    if version == 2:
        quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
    else:
        quota, period = ((group / f"cpu.cfs_{n}_us").read_text(encoding="ascii") for n in ("quota", "period"))
    if int(quota) <= 0:
        raise ValueError
    return int(quota) / int(period)
