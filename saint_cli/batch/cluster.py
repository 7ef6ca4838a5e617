"""Any function over any number of tasks on a Dask cluster, each worker process running one at a time.

A task has all threads of its worker. Only as many tasks are with Dask as it can use, so that ten thousand of them cost
the client no more memory than ten. A task whose worker dies is sent again; it is given up when its third worker died,
and since tasks may wait at a worker that dies of another, the third attempt is alone.
"""

import queue
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from distributed import Client, Future, get_worker
from distributed.scheduler import KilledWorker

from saint_cli.batch.dask_client import SLOT_RESOURCE, ClusterSpec, open_client
from saint_cli.errors import ClusterError, WorkerKilledError

TOPIC = "saint-progress"
"""Of the messages of tasks; one for all runs, since a scheduler keeps some messages of each topic for good."""

TASK_LOCK = threading.Lock()
"""One task at a time in each process also where a cluster's workers run several."""

MAX_DEATHS = 3
"""Workers that may die of a task before it is given up."""

POLL_S = 2.0
"""How often the number of workers is requested: clusters grow and shrink."""

SHORT_S, SHORT_TASKS_PER_WORKER = 0.25, 8
"""Of tasks that take less than so many seconds, this many per worker are sent, so that none waits for the next."""

GONE = "the Dask scheduler is gone; run the same command again to go on"

NO_WORKER_S = 120.0
"""How long this machine may have no worker process at all before the run is given up."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class WorkerSlot:
    """What a task may use: how many threads, and which GPU of the machine (None: none assigned).

    send: sends a small message that JSON can hold, which arrives as ``TaskMessage``; it may be lost.
    """

    threads: int
    gpu: int | None = None
    send: Callable[[Any], None] = lambda message: None


@dataclass(frozen=True)
class TaskStarted(Generic[T]):
    """A task was handed to the cluster."""

    task: T


@dataclass(frozen=True)
class TaskMessage(Generic[T]):
    """A running task sent a message."""

    task: T
    message: Any


@dataclass(frozen=True)
class TaskEnded(Generic[T, R]):
    """A task came back with its result, or with the error that ended it."""

    task: T
    result: R | None = None
    error: BaseException | None = None


@dataclass
class _Attempt(Generic[T]):
    """A task that is run: how many workers died of it so far, and the number of its submission, 0 before the first."""

    task: T
    deaths: int = 0
    number: int = 0


class _Queue(Generic[T]):
    """Tasks to send: those whose worker died, then new ones, and when nothing else runs those that must be alone."""

    def __init__(self, tasks: Iterable[T]) -> None:
        self._new = map(_Attempt, tasks)
        self._again, self._alone = deque[_Attempt[T]](), deque[_Attempt[T]]()

    def take(self, running: int, window: int) -> _Attempt[T] | None:
        """The next task, where ``running`` tasks run and at most ``window`` may; None if there is none for now."""
        attempt = None
        if running < window:
            attempt = self._again.popleft() if self._again else next(self._new, None)
        if attempt is None and not running and self._alone:
            attempt = self._alone.popleft()
        return attempt

    def retry(self, attempt: _Attempt[T]) -> None:
        """Send a task again; the last attempt is alone."""
        (self._again if attempt.deaths < MAX_DEATHS - 1 else self._alone).append(attempt)


@contextmanager
def open_cluster(spec: ClusterSpec) -> Iterator["Cluster"]:
    """A cluster for as long as the context lasts.

    Raises:
        ClusterError: as ``open_client``.
    """
    with open_client(spec) as client:
        yield Cluster(client, spec)


class Cluster:
    """The workers of an open cluster; see :func:`open_cluster`."""

    def __init__(self, client: Client, spec: ClusterSpec) -> None:
        self._client, self._spec = client, spec
        self._strikes = 1 + int(client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.allowed_failures))
        self._ended: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self._messages: deque[tuple[int, Any]] = deque()
        self._blamed: dict[str, _Attempt[Any]] = {}
        self._name, self._submitted = f"saint-{uuid.uuid4().hex[:8]}", 0
        self._workers, self._counted_at, self._last_manned = 0, -POLL_S, time.monotonic()
        client.subscribe_topic(TOPIC, self._receive)

    def count_workers(self) -> int:
        """How many worker processes there were at most ``POLL_S`` ago."""
        now = time.monotonic()
        if now - self._counted_at > POLL_S:
            try:
                self._workers, self._counted_at = len(self._client.nthreads()), now
            except OSError:
                raise ClusterError(GONE) from None
            self._last_manned = now if self._workers else self._last_manned
        return self._workers

    def run(
        self, tasks: Iterable[T], function: Callable[[T, WorkerSlot], R]
    ) -> Iterator[TaskStarted[T] | TaskMessage[T] | TaskEnded[T, R]]:
        """``function(task, slot)`` for every task, some at a time; yields what starts and what ends as it happens.

        Messages of tasks come at most ``POLL_S`` late. ``function`` and tasks must pickle. An exception of ``function``
        ends its task alone.

        Raises:
            ClusterError: the scheduler is gone, or this machine's workers do not start.
        """
        self._began, self._count = time.monotonic(), 0
        waiting, running = _Queue(tasks), dict[Future[Any], _Attempt[T]]()
        while True:
            while (attempt := waiting.take(len(running), self._window())) is not None:
                if not attempt.number:
                    yield TaskStarted(attempt.task)
                running[self._submit(attempt, function)] = attempt
            if not running:
                return
            ended = self._wait()
            yield from self._take_messages(running.values())
            for future, result, error in ended:
                attempt = running.pop(future)
                if not isinstance(error, KilledWorker):
                    self._count += 1
                    yield TaskEnded(attempt.task, result, error)
                    continue
                self._count_death(attempt, error.last_worker.address)
                if attempt.deaths >= MAX_DEATHS and not running:
                    yield TaskEnded(attempt.task, error=WorkerKilledError(f"{attempt.deaths} workers died of it"))
                else:
                    waiting.retry(attempt)

    def _receive(self, event: tuple[float, Any]) -> None:
        """A message arrived: of which run, the number of its submission, and its content."""
        name, number, message = event[1]
        if name == self._name:
            self._messages.append((number, message))

    def _take_messages(self, running: Iterable[_Attempt[T]]) -> Iterator[TaskMessage[T]]:
        """The last message of each running task since this was called before."""
        latest = dict[int, Any]()
        while self._messages:
            number, message = self._messages.popleft()
            latest[number] = message
        for attempt in running if latest else ():
            if attempt.number in latest:
                yield TaskMessage(attempt.task, latest[attempt.number])

    def _count_death(self, attempt: _Attempt[Any], worker: str) -> None:
        """Count a death against the first sent of those that were at the worker: it ran, and the others waited."""
        first = self._blamed.get(worker)
        if first is None or attempt.number < first.number:
            if first is not None:
                first.deaths -= self._strikes
            attempt.deaths += self._strikes
            self._blamed[worker] = attempt

    def _window(self) -> int:
        """How many tasks to have with Dask: one each; more if they are short, or where a cluster may grow on demand."""
        count = max(1, self.count_workers())
        if self._count and (time.monotonic() - self._began) * count / self._count < SHORT_S:
            return count * SHORT_TASKS_PER_WORKER
        return self._spec.workers if self._spec.scheduler is None else count + max(2, count // 4)

    def _submit(self, attempt: _Attempt[T], function: Callable[[T, WorkerSlot], Any]) -> "Future[Any]":
        attempt.number = self._submitted = self._submitted + 1
        sender = self._name, attempt.number
        options: dict[str, Any] = {"pure": False, "priority": -attempt.number, "key": f"{self._name}-{attempt.number}"}
        if self._spec.scheduler is None:
            options["resources"] = {SLOT_RESOURCE: 1}
        future = self._client.submit(_run_in_slot, function, attempt.task, self._spec.gpus, sender, **options)
        future.add_done_callback(self._ended.put)
        return future

    def _wait(self) -> "list[tuple[Future[Any], Any, BaseException | None]]":
        """The futures that ended, each with its result or its error; nothing if none does for a while."""
        try:
            ended = [self._ended.get(timeout=POLL_S)]
        except queue.Empty:
            self._check_alive()
            return []
        while not self._ended.empty():
            ended.append(self._ended.get())
        finished = [future for future in ended if future.status == "finished"]
        try:
            results = dict(zip(finished, self._client.gather(finished), strict=True))  # at once: each is a round trip
        except Exception:  # a worker died with a result that nobody had fetched, and again when it was made anew
            results = {}
        return [(f, results[f], None) if f in results else (f, *self._get_outcome(f)) for f in ended]

    def _check_alive(self) -> None:
        if self._client.status != "running":
            raise ClusterError(GONE) from None
        is_unmanned = not self.count_workers() and self._spec.scheduler is None
        if is_unmanned and time.monotonic() - self._last_manned > NO_WORKER_S:
            raise ClusterError(f"no worker process has come up for {NO_WORKER_S:.0f} s") from None

    def _get_outcome(self, future: "Future[Any]") -> tuple[Any, BaseException | None]:
        """The result of a future, or its error."""
        try:
            return future.result(), None
        except CancelledError:
            raise ClusterError(GONE) from None
        except Exception as error:
            return None, error


def _run_in_slot(function: Callable[[Any, WorkerSlot], Any], task: Any, gpus: int, sender: tuple[str, int]) -> Any:
    """On the worker: run a task with its threads and its share of the machine's GPUs; sender: run and submission."""
    worker = get_worker()
    with TASK_LOCK:
        gpu = int(worker.name) % gpus if gpus else None
        return function(task, WorkerSlot(worker.state.nthreads, gpu, partial(_send, *sender)))


def _send(name: str, number: int, message: Any) -> None:
    """On the worker, from within a task: send a message of submission ``number`` of the run ``name``."""
    with suppress(Exception):  # whatever becomes of the message, the task goes on
        get_worker().log_event(TOPIC, (name, number, message))
