"""How long jobs will take and how much memory, before they run; how many workers fit a machine."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psutil

from saint_cli import memory, shipped
from saint_cli.batch.plan import DONE, Task
from saint_cli.batch.records import Record
from saint_cli.cores import Observation, Threads
from saint_cli.engine import Crew

CORE_SECONDS = {"base": 30e-6, "fast": 2.7e-6}
"""Seconds of one core per output voxel at x4 (an AMD EPYC without AVX-512): what is assumed until a job has ended."""

JOB_S = 0.1
"""Seconds of a job that do not depend on its size."""

START_S = 5.0
"""Seconds until a worker computes: its process starts, and its first job imports torch."""

PAGE_S, PAGE_SHARE = 0.3, 0.2
"""What a page adds to a job: seconds, and a share of its work (measured: an eighth of large scans, more of small)."""

GPU_SPEEDUP = 50.0
"""How much faster than one core a GPU is assumed to be, until a job has ended."""

EMPTY_MB = 600.0
"""Resident memory of a worker without a scan: Python, torch, weights."""

BYTES_PER_VOXEL = 14.0
"""Memory per output voxel: half-precision residuals of both directions and of the fusion, input, result, a copy."""

TTA, FOUR = 4.0, 2.0
"""Times the work with ``--tta`` and with ``--directions 4``."""

UNKNOWN_VOXELS = 512 * 512 * 200
"""Output voxels of a scan whose header could not tell its size."""


RECENT, FEW = 50, 3
"""Jobs whose times count; while fewer of this run have ended, jobs that run and earlier runs count too."""


@dataclass(frozen=True)
class Machine:
    """What this process may use of its machine: cores that no other program uses (``cores``), free megabytes."""

    cores: Threads
    free_mb: float

    @staticmethod
    def here(seen: Observation) -> "Machine":
        """Cores that were free while they were observed; memory as jobs count it."""
        free = memory.available_bytes()
        return Machine(
            seen.free(option="--workers"), (psutil.virtual_memory().available if free is None else free) / 1e6
        )


class Clock:
    """Seconds that jobs will take: assumed at first, then scaled by what jobs took, of this run if it has some.

    workers: how many there are; a cluster tells once it is connected; is_measured: whether any job was learnt from.
    """

    def __init__(self, crew: Crew, records: Iterable[Record] = ()) -> None:
        self._crew = crew
        self.workers = crew.workers
        self._earlier = [ratio for record in records if (ratio := self._ratio_of(record)) is not None]
        self._ratios: list[float] = []
        self.is_measured = bool(self._earlier)
        self._ratio = statistics.median(self._earlier[-RECENT:]) if self._earlier else 1.0

    def learn(self, record: Record) -> None:
        """Take in how long a job of this run took."""
        ratio = self._ratio_of(record)
        if ratio is not None:
            self._ratios.append(ratio)
            self._ratio, self.is_measured = self._median(()), True

    def presume(self, running: Iterable[tuple[Task, float]]) -> None:
        """Take in how long jobs that run will have taken by what they tell themselves, until enough have ended."""
        if len(self._ratios) < FEW:
            told = [seconds / self.assumed(task) for task, seconds in running]
            if told or self._ratios:
                self._ratio, self.is_measured = self._median(told), True

    def _median(self, told: Iterable[float]) -> float:
        """Of this run's jobs; with those of earlier runs while there are few."""
        own = [*self._ratios[-RECENT:], *told]
        missing = max(0, FEW - len(own))
        return float(statistics.median([*(self._earlier[-missing:] if missing else ()), *own]))

    def _ratio_of(self, record: Record) -> float | None:
        """How much longer than assumed a finished job took on this kind of device."""
        on_gpu = str(record.get("device")).startswith("cuda")
        if record["status"] != DONE or not record.get("seconds") or on_gpu != bool(self._crew.gpus):
            return None
        assumed = self._assumed(record, record.get("threads") or 1, page=record.get("page") is not None)
        return float(record["seconds"] / assumed)

    def assumed(self, task: Task) -> float:
        """Seconds of one job on one worker before anything was learnt."""
        return self._assumed(task.entry, self._crew.threads, page=task.job.page is not None)

    def seconds(self, task: Task) -> float:
        """Predicted seconds of one job on one worker."""
        return self.assumed(task) * self._ratio

    def left(self, tasks: Sequence[Task], running: Sequence[float] = (), *, warm: bool = False) -> float:
        """Predicted seconds until all has ended: the tasks, and jobs that run and still need so many seconds each.

        warm: the workers have begun to compute.
        """
        return self.left_of(list(map(self.assumed, tasks)), running, warm=warm)

    def left_of(self, assumed: Sequence[float], running: Sequence[float], *, warm: bool) -> float:
        """The same of tasks whose ``assumed`` seconds are known."""
        count = len(assumed) + len(running)
        if not count:
            return 0.0
        longest = max([self._ratio * max(assumed, default=0.0), *running])
        whole = self._ratio * sum(assumed) + sum(running)
        return (0.0 if warm else START_S) + max(longest, whole / max(1, min(self.workers, count)))

    def _assumed(self, entry: Record, threads: int, *, page: bool) -> float:
        options, voxels = entry["options"], entry.get("voxels_after") or UNKNOWN_VOXELS
        model = shipped.resolve(entry["model"], self._crew.device)
        work = CORE_SECONDS.get(model, CORE_SECONDS["base"]) * voxels
        work *= (TTA if options.get("tta") else 1.0) * (FOUR if options.get("directions") == 4 else 1.0)
        work *= 1.0 + (PAGE_SHARE if page else 0.0)
        fixed = JOB_S + (PAGE_S if page else 0.0)
        return fixed + float(work / (GPU_SPEEDUP if self._crew.gpus else max(1, threads)))


def memory_mb(task: Task) -> float:
    """Predicted peak memory of a worker that runs the job."""
    return EMPTY_MB + (task.voxels or UNKNOWN_VOXELS) * BYTES_PER_VOXEL / 1e6


def _voxels_before(task: Task) -> int:
    """Voxels of the scan, which take at least a byte each; 0 where unknown."""
    return math.prod(task.entry.get("shape_before") or (0,))


def crew_for(tasks: Sequence[Task], cores: int, free_mb: float, gpus: int = 0) -> Crew:
    """Workers for this machine: one per GPU, else one per core as far as memory goes; the cores are shared out.

    Scans whose voxels alone exceed the free memory do not count: they are refused before they are read.
    """
    largest = max((memory_mb(task) for task in tasks if _voxels_before(task) <= 1e6 * free_mb), default=EMPTY_MB)
    fitting = max(1, int(free_mb // largest))
    workers = max(1, min(gpus or cores, fitting, len(tasks)))
    return Crew(workers, max(1, cores // workers), gpus)
