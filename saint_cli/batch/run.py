"""A plan carried out on a cluster, each job recorded as it ends."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from saint_cli.batch.estimate import Clock
from saint_cli.batch.ledger import Ledger
from saint_cli.batch.plan import STARTING, Plan, Task, failure
from saint_cli.batch.records import Record
from saint_cli.batch.work import work
from saint_cli.engine import Ended, Fleet, Started, Told
from saint_cli.errors import DeadlyJobError, EngineError
from saint_cli.progress import Countdown


@dataclass
class Running:
    """A job that runs: when it began, and what it told last and when (seconds of ``time.monotonic``)."""

    task: Task
    began: float
    stage: str = ""
    fraction: float | None = None
    seconds_left: float | None = None
    told: float | None = None

    def computed(self, now: float) -> float:
        """Seconds that the job has run; none while its worker loads what it needs."""
        return 0.0 if self.stage == STARTING else now - self.began

    def is_measured(self, clock: Clock) -> bool:
        """Whether its time rests on more than an assumption."""
        return self.seconds_left is not None or clock.is_measured

    def expected(self, clock: Clock) -> float:
        """Seconds that the job will have taken."""
        if self.told is None or self.seconds_left is None:
            return clock.seconds(self.task)
        return self.told - self.began + self.seconds_left


@dataclass
class Progress:
    """Where a run stands: the records so far, and the jobs that run; those of ``waiting`` have no record yet."""

    plan: Plan
    clock: Clock
    records: list[Record] = field(default_factory=list)
    running: dict[str, Running] = field(default_factory=dict)
    waiting: dict[str, Task] = field(default_factory=dict)
    workers: int = 0
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._countdown = Countdown()
        self._assumed = {target: self.clock.assumed(task) for target, task in self.waiting.items()}

    def count(self, status: str) -> int:
        """How many jobs of this run ended so."""
        return sum(record["status"] == status for record in self.records)

    def at_work(self) -> list[Running]:
        """The jobs that workers have in hand, longest first, for some of those handed to the cluster still wait."""
        jobs = sorted(self.running.values(), key=lambda job: (job.told is None, job.began))
        return jobs[: max(self.workers, sum(job.told is not None for job in jobs))]

    def left_s(self) -> float | None:
        """Predicted seconds until the end, None before anything was measured; may be asked from another thread."""
        now, at_work = self.now(), self.at_work()
        self.clock.presume((job.task, job.expected(self.clock)) for job in at_work if job.seconds_left is not None)
        ahead = [max(0.0, job.expected(self.clock) - job.computed(now)) for job in at_work]
        held = {job.task.target for job in at_work}
        waiting = [seconds for target, seconds in list(self._assumed.items()) if target not in held]
        warm = bool(self.records) or any(job.stage not in ("", STARTING) for job in at_work)
        if not self.clock.is_measured:
            return None
        return self._countdown.steadied(self.clock.left_of(waiting, ahead, warm=warm), now)

    def start(self, task: Task) -> None:
        """A job was handed to the cluster."""
        self.running[task.target] = Running(task, self.now())

    def hear(self, task: Task, message: Any) -> None:
        """A job told where it stands: stage, fraction and seconds left, None if not known, and seconds so far."""
        job = self.running[task.target]
        job.stage, job.fraction, job.seconds_left, so_far = message
        job.told = self.now()
        job.began = job.told - so_far  # before, it waited for its worker

    def end(self, task: Task, record: Record) -> None:
        """A job ended."""
        self.clock.learn(record)
        self.records.append(record)
        self.waiting.pop(task.target)
        self._assumed.pop(task.target)
        self.running.pop(task.target, None)


def run(plan: Plan, ledger: Ledger, fleet: Fleet, clock: Clock) -> Iterator[tuple[Progress, Record | None]]:
    """Run the tasks of a plan; tells now and then where the run stands, and the record if one was made.

    Raises:
        EngineError: the cluster is gone; what had ended is recorded, and a later run goes on from there.
    """
    progress = Progress(plan, clock, waiting={task.target: task for task in plan.tasks})
    for event in fleet.run(plan.tasks, work):
        progress.workers = clock.workers = fleet.workers()
        record = None
        match event:
            case Started():
                progress.start(event.task)
            case Told():
                progress.hear(event.task, event.message)
            case Ended():
                record = _record(event)
                ledger.append(record)
                progress.end(event.task, record)
        yield progress, record


def _record(event: "Ended[Task, Record]") -> Record:
    if event.result is not None:
        return event.result
    if isinstance(event.error, DeadlyJobError):
        return failure(event.task.entry, DeadlyJobError(f"{event.error}; it may need more memory than there is"))
    return failure(event.task.entry, EngineError(f"the worker failed ({type(event.error).__name__})"))
