"""A plan carried out on a cluster, each job recorded as it ends."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from saint_cli.batch.cluster import Cluster, TaskEnded, TaskMessage, TaskStarted
from saint_cli.batch.estimate import TimeEstimator
from saint_cli.batch.job_records import JobRecord, JobStatus
from saint_cli.batch.plan import STARTING, Plan, Task, make_failure
from saint_cli.batch.worker import run_task
from saint_cli.errors import ClusterError, WorkerKilledError
from saint_cli.progress import Countdown


@dataclass
class RunningJob:
    """A job that runs: when it began, and what its last message said and when (seconds of ``time.monotonic``)."""

    task: Task
    began: float
    stage: str = ""
    fraction: float | None = None
    seconds_left: float | None = None
    last_message: float | None = None

    def seconds_computed(self, now: float) -> float:
        """Seconds that the job has run; none while its worker loads what it needs."""
        return 0.0 if self.stage == STARTING else now - self.began

    def is_measured(self, estimator: TimeEstimator) -> bool:
        """Whether its time rests on more than an assumption."""
        return self.seconds_left is not None or estimator.is_measured

    def expected_seconds(self, estimator: TimeEstimator) -> float:
        """Seconds that the whole job is expected to take."""
        if self.last_message is None or self.seconds_left is None:
            return estimator.seconds(self.task)
        return self.last_message - self.began + self.seconds_left


@dataclass
class BatchProgress:
    """Where a run stands: the records so far, the jobs that run, and all jobs without a record (``waiting``)."""

    plan: Plan
    estimator: TimeEstimator
    records: list[JobRecord] = field(default_factory=list)
    running: dict[str, RunningJob] = field(default_factory=dict)
    waiting: dict[str, Task] = field(default_factory=dict)
    workers: int = 0
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._countdown = Countdown()
        self._assumed = {target: self.estimator.assumed_seconds(task) for target, task in self.waiting.items()}

    def count(self, status: JobStatus) -> int:
        """How many jobs of this run ended so."""
        return sum(record.status is status for record in self.records)

    def active_jobs(self) -> list[RunningJob]:
        """The jobs that workers run, longest first; others that were handed to the cluster still wait there."""
        jobs = sorted(self.running.values(), key=lambda job: (job.last_message is None, job.began))
        return jobs[: max(self.workers, sum(job.last_message is not None for job in jobs))]

    def seconds_left(self) -> float | None:
        """Predicted seconds until the end, None before anything was measured; may be asked from another thread."""
        now, estimator, jobs = self.now(), self.estimator, self.active_jobs()
        estimator.learn_from_running(
            (job.task, job.expected_seconds(estimator)) for job in jobs if job.seconds_left is not None
        )
        left = [max(0.0, job.expected_seconds(estimator) - job.seconds_computed(now)) for job in jobs]
        targets = {job.task.target for job in jobs}
        waiting = [seconds for target, seconds in list(self._assumed.items()) if target not in targets]
        warm = bool(self.records) or any(job.stage not in ("", STARTING) for job in jobs)
        if not estimator.is_measured:
            return None
        return self._countdown.smooth(estimator.seconds_until_end(waiting, left, warm=warm), now)

    def start(self, task: Task) -> None:
        """A job was handed to the cluster."""
        self.running[task.target] = RunningJob(task, self.now())

    def update(self, task: Task, message: tuple[str, float | None, float | None, float]) -> None:
        """A job sent its stage, fraction and seconds left, None if not known, and how many seconds it has run."""
        job = self.running[task.target]
        job.stage, job.fraction, job.seconds_left, seconds = message
        job.last_message = self.now()
        job.began = job.last_message - seconds  # until then it waited for its worker

    def end(self, task: Task, record: JobRecord) -> None:
        """A job ended."""
        self.estimator.learn(record)
        self.records.append(record)
        self.waiting.pop(task.target)
        self._assumed.pop(task.target)
        self.running.pop(task.target, None)


def run_plan(
    plan: Plan, write: Callable[[JobRecord], None], cluster: Cluster, estimator: TimeEstimator
) -> Iterator[tuple[BatchProgress, JobRecord | None]]:
    """Run the tasks of a plan; yields where the run stands whenever that changes, and the record of a job that ended.

    write: puts a record where later runs find it.

    Raises:
        ClusterError: the cluster is gone; what had ended is recorded, and a later run goes on from there.
    """
    progress = BatchProgress(plan, estimator, waiting={task.target: task for task in plan.tasks})
    for event in cluster.run(plan.tasks, run_task):
        progress.workers = estimator.workers = cluster.count_workers()
        record = None
        match event:
            case TaskStarted():
                progress.start(event.task)
            case TaskMessage():
                progress.update(event.task, event.message)
            case TaskEnded():
                record = _make_record(event)
                write(record)
                progress.end(event.task, record)
        yield progress, record


def _make_record(event: "TaskEnded[Task, JobRecord]") -> JobRecord:
    if event.result is not None:
        return event.result
    if isinstance(event.error, WorkerKilledError):
        error: ClusterError = WorkerKilledError(f"{event.error}; it may need more memory than there is")
    else:
        error = ClusterError(f"the worker failed ({type(event.error).__name__})")
    return make_failure(event.task.record, error)
