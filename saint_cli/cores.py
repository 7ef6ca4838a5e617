"""How many CPU threads a job takes: the cores that this process may use, less those that are busy. No torch.

Threads of one network wait for each other at every layer. One that shares its core with another program, also one of
the lowest priority, holds up all the others: with one of two cores busy, two threads took 1.4 to 2.7 times as long as
one.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import psutil

from saint_cli import control_groups

WINDOW_S = 0.2
"""How long other programs are observed at least; the system counts in hundredths of a second."""

HOLDS_S = 30.0
"""How long a count holds for the next job of the same process."""

"""Where Linux tells which control groups a process is in, and where these are mounted."""

IDLE = ("idle", "iowait", "guest", "guest_nice")
"""Times of ``psutil.cpu_times`` that are no work, or counted under another name too."""


@dataclass(frozen=True)
class Threads:
    """How many threads to use, of how many cores that this process may use, and the sentence to show if fewer."""

    count: int
    cores: int
    note: str | None = None


def usable_cores() -> int:
    """Cores by affinity and by the control groups' quota, at least 1; a quota of 1.5 cores counts as 1."""
    return max(1, int(min([len(_affinity()), *_quotas()])))


def asked_threads(asked: int, cores: int) -> Threads:
    """The threads that a user asked for, at most one a core."""
    if asked <= cores:
        return Threads(asked, cores)
    return Threads(cores, cores, f"--threads {asked}: {_cores(cores)} can be used here; taking {cores}")


class Observation:
    """Counts what other programs take of the cores from when it is made until it is asked."""

    _last: ClassVar[tuple[float, float] | None] = None
    """The last count of this process: when (``time.perf_counter``), and how many cores were busy."""

    def __init__(self) -> None:
        self._began, self._own, self._work = time.perf_counter(), time.process_time(), _work_s()

    def threads(self, asked: int | None = None, most: int | None = None) -> Threads:
        """As asked for, else as ``OMP_NUM_THREADS`` says, else one for each core that nothing else uses.

        most: what suits an idle machine, None for all cores.
        """
        cores = usable_cores()
        if asked is not None:
            return asked_threads(asked, cores)
        wanted = openmp_threads()
        return self.free(most) if wanted is None else Threads(min(wanted, cores), cores)

    def free(self, most: int | None = None, option: str = "--threads") -> Threads:
        """One thread for each core that nothing else uses, at least one; option: what could ask for more."""
        cores = min(usable_cores(), most or 1 << 20)
        count = max(1, min(cores, round(len(_affinity()) - self._busy_cores())))
        busy = cores - count
        note = f"{busy} of {_cores(cores)} {'is' if busy == 1 else 'are'} busy; {option} {cores} would use all"
        return Threads(count, cores, note if busy else None)

    def _busy_cores(self) -> float:
        """How many cores other programs keep busy, as a mean; 0 where the system does not tell."""
        if (last := Observation._last) is not None and time.perf_counter() - last[0] < HOLDS_S:
            return last[1]
        time.sleep(max(0.0, WINDOW_S - (time.perf_counter() - self._began)))
        now, own, work = time.perf_counter(), time.process_time() - self._own, _work_s() - self._work
        busy = max(0.0, (work - own) / (now - self._began))
        Observation._last = now, busy
        return busy


def _affinity() -> list[int]:
    """Numbers of the cores that the process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _work_s() -> float:
    """Seconds that the cores of this process have worked since the machine started, whoever they worked for."""
    try:
        every = psutil.cpu_times(percpu=True)
    except (OSError, RuntimeError, ValueError, IndexError):  # a sandbox without /proc/stat
        return 0.0
    chosen = [every[i] for i in _affinity() if i < len(every)]
    return float(sum(s for times in chosen for name, s in times._asdict().items() if name not in IDLE))


def openmp_threads() -> int | None:
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


def _cores(count: int) -> str:
    return "1 core" if count == 1 else f"{count} cores"
