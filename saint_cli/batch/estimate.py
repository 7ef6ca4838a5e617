"""How long jobs will take and how much memory, before they run; how many workers fit a machine."""

import math
import statistics
from collections.abc import Iterable, Sequence

import psutil

from saint_cli.batch.dask_client import ClusterSpec
from saint_cli.batch.job_records import JobRecord, JobStatus
from saint_cli.batch.plan import Task
from saint_cli.models import shipped
from saint_cli.runtime import memory

CORE_SECONDS = {"base": 30e-6, "medium": 3.6e-6, "fast": 2.7e-6}
"""Seconds of one core per output voxel at x4 (an AMD EPYC without AVX-512; ``medium`` by its ratio to ``fast`` on an
Intel Xeon): what is assumed until a job has ended."""

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
"""Output voxels of a scan whose header does not say its size."""

RECENT, FEW = 50, 3
"""Jobs whose times count; while fewer of this run have ended, jobs that run count too."""


def measure_free_mb() -> float:
    """Free memory of this machine in megabytes, as jobs count it."""
    free = memory.measure_available_bytes()
    return (psutil.virtual_memory().available if free is None else free) / 1e6


class TimeEstimator:
    """Seconds that jobs will take: assumed at first, then scaled by what jobs took, of this run if it has some.

    Earlier runs count until the first job of this run has ended or reported: the machine may be busier now.

    workers: how many there are; of a cluster that is known once it is connected. is_measured: whether any job was
    learnt from.
    """

    def __init__(self, spec: ClusterSpec, records: Iterable[JobRecord] = ()) -> None:
        self._spec = spec
        self.workers = spec.workers
        earlier = [ratio for record in records if (ratio := self._compute_ratio(record)) is not None]
        self._ratios: list[float] = []
        self.is_measured = bool(earlier)
        self._ratio = statistics.median(earlier[-RECENT:]) if earlier else 1.0

    def learn(self, record: JobRecord) -> None:
        """Learn from how long a job of this run took."""
        ratio = self._compute_ratio(record)
        if ratio is not None:
            self._ratios.append(ratio)
            self._ratio, self.is_measured = statistics.median(self._ratios[-RECENT:]), True

    def learn_from_running(self, running: Iterable[tuple[Task, float]]) -> None:
        """Learn from how long running jobs expect to take in all, until enough have ended."""
        if len(self._ratios) < FEW:
            ratios = [*self._ratios, *(seconds / self.assumed_seconds(task) for task, seconds in running)]
            if ratios:
                self._ratio, self.is_measured = statistics.median(ratios), True

    def _compute_ratio(self, record: JobRecord) -> float | None:
        """How much longer than assumed a finished job took on this kind of device."""
        on_gpu = str(record.device).startswith("cuda")
        is_like = record.status is JobStatus.DONE and not record.is_without_networks  # which take no time
        if not is_like or not record.seconds or on_gpu != bool(self._spec.gpus):
            return None
        return record.seconds / self._assume(record, record.threads or 1, has_page=record.page is not None)

    def assumed_seconds(self, task: Task) -> float:
        """Seconds of one job on one worker before anything was learnt."""
        return self._assume(task.record, self._spec.threads, has_page=task.job.page is not None)

    def seconds(self, task: Task) -> float:
        """Predicted seconds of one job on one worker."""
        return self.assumed_seconds(task) * self._ratio

    def seconds_left(self, tasks: Iterable[Task]) -> float:
        """Predicted seconds until all tasks have ended, of which none has begun."""
        return self.seconds_until_end([self.assumed_seconds(task) for task in tasks], (), warm=False)

    def seconds_until_end(self, assumed: Sequence[float], running: Sequence[float], *, warm: bool) -> float:
        """Predicted seconds until all has ended.

        assumed: seconds of each task that waits, before anything was learnt; running: seconds that each running job
        still needs; warm: the workers have begun to compute.
        """
        count = len(assumed) + len(running)
        if not count:
            return 0.0
        longest = max([self._ratio * max(assumed, default=0.0), *running])
        total = self._ratio * sum(assumed) + sum(running)
        return (0.0 if warm else START_S) + max(longest, total / max(1, min(self.workers, count)))

    def _assume(self, record: JobRecord, threads: int, *, has_page: bool) -> float:
        model = shipped.remove_prefix(shipped.resolve_name(record.model))  # MR models are as fast
        work = CORE_SECONDS.get(model, CORE_SECONDS["base"]) * (record.voxels_after or UNKNOWN_VOXELS)
        work *= record.volumes or 1
        work *= (TTA if record.options.get("tta") else 1.0) * (FOUR if record.options.get("directions") == 4 else 1.0)
        work *= 1.0 + (PAGE_SHARE if has_page else 0.0)
        fixed = JOB_S + (PAGE_S if has_page else 0.0)
        return fixed + work / (GPU_SPEEDUP if self._spec.gpus else max(1, threads))


def estimate_memory_mb(task: Task) -> float:
    """Predicted peak memory of a worker that runs the job."""
    return EMPTY_MB + (task.record.voxels_after or UNKNOWN_VOXELS) * BYTES_PER_VOXEL / 1e6


def size_workers(tasks: Sequence[Task], cores: int, free_mb: float, gpus: int = 0) -> ClusterSpec:
    """Workers for this machine: one per GPU, else one per core as far as memory goes; the cores are shared out.

    Scans whose voxels alone exceed the free memory do not count: they are refused before they are read.
    """
    fit = [task for task in tasks if math.prod(task.record.shape_before or (0,)) <= 1e6 * free_mb]  # a byte a voxel
    largest = max(map(estimate_memory_mb, fit), default=EMPTY_MB)
    fitting = max(1, int(free_mb // largest))
    workers = max(1, min(gpus or cores, fitting, len(tasks)))
    return ClusterSpec(workers, max(1, cores // workers), gpus)
