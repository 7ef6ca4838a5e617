"""A plan carried out on a cluster, each job recorded as it ends."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from saint_cli.batch.estimate import Clock
from saint_cli.batch.ledger import Ledger, Record
from saint_cli.batch.plan import Plan, Task, failure
from saint_cli.batch.work import work
from saint_cli.engine import Ended, Fleet, Started
from saint_cli.errors import DeadlyJobError, EngineError


@dataclass
class Progress:
    """Where a run stands: the records so far, when each running job began (seconds of ``time.monotonic``)."""

    plan: Plan
    clock: Clock
    records: list[Record] = field(default_factory=list)
    running: dict[str, float] = field(default_factory=dict)
    waiting: dict[str, Task] = field(default_factory=dict)
    workers: int = 0

    def count(self, status: str) -> int:
        """How many jobs of this run ended so."""
        return sum(record["status"] == status for record in self.records)

    def left_s(self) -> float:
        """Predicted seconds until the end."""
        now = time.monotonic()
        spent = sum(now - began for began in self.running.values())
        return self.clock.left(list(self.waiting.values()), spent, warm=bool(self.records))


def run(plan: Plan, ledger: Ledger, fleet: Fleet, clock: Clock) -> Iterator[tuple[Progress, Record | None]]:
    """Run the tasks of a plan; after each start or end tells where the run stands, and the record if one was made.

    Raises:
        EngineError: the cluster is gone; what had ended is recorded, and a later run goes on from there.
    """
    progress = Progress(plan, clock, waiting={task.target: task for task in plan.tasks})
    for event in fleet.run(plan.tasks, work):
        progress.workers = clock.workers = fleet.workers()
        if isinstance(event, Started):
            progress.running[event.task.target] = time.monotonic()
            yield progress, None
            continue
        record = _record(event)
        ledger.append(record)
        clock.learn(record)
        progress.records.append(record)
        progress.waiting.pop(event.task.target)
        progress.running.pop(event.task.target, None)
        yield progress, record


def _record(event: "Ended[Task, Record]") -> Record:
    if event.result is not None:
        return event.result
    if isinstance(event.error, DeadlyJobError):
        return failure(event.task.entry, DeadlyJobError(f"{event.error}; it may need more memory than there is"))
    return failure(event.task.entry, EngineError(f"the worker failed ({type(event.error).__name__})"))
