"""Any function over any number of tasks on a Dask cluster: one of this machine's own, or one that stands already.

A worker process runs one task at a time, on all the threads it has. Only as many tasks are with Dask as it can use,
so that ten thousand of them cost the client no more memory than ten. A task whose worker dies is sent again; it is
given up when its third worker died, and since tasks may wait at a worker that dies of another, the third try is alone.
"""

import logging
import os
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
from pathlib import Path
from typing import Any, Generic, TypeVar

import dask
from distributed import Client, Future, LocalCluster, get_worker
from distributed.scheduler import KilledWorker

import saint_cli
from saint_cli.errors import DeadlyJobError, EngineError
from saint_cli.native_output import capture_stderr, first_error
from saint_cli.temporary import TemporaryFolder

SEAT = "saint"
"""The Dask resource of which each worker of this machine has one and each task takes one, so that others queue."""

TOPIC = "saint-progress"
"""Where tasks tell how far they are; one for all runs, since a scheduler keeps some messages of each topic for good."""

TURN = threading.Lock()
"""One task at a time in each process also where a cluster's workers run several."""

DEATHS = 3
"""Workers that may die of a task before it is given up."""

POLL_S = 2.0
"""How often the number of workers is asked for: clusters grow and shrink."""

SHORT_S, AHEAD = 0.25, 8
"""Of tasks that take less than so many seconds, this many per worker are sent, so that none waits for the next."""

GONE = "the Dask scheduler is gone; run the same command again to go on"

NO_WORKER_S = 120.0
"""How long this machine may have no worker process at all before the run is given up as hopeless."""

CONNECT_S = 30.0
"""How long a scheduler may take to answer."""

QUIET = {
    "distributed.scheduler.allowed-failures": 0,
    "distributed.admin.tick.limit": "1h",
    "distributed.admin.log-length": 500,
}
"""Deaths are told to the client at once; no warnings of a busy client; no long logs of what Dask did."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Crew:
    """Who shall work: worker processes of this machine with so many threads each, or those of a running cluster.

    gpus: how many GPUs of this machine the workers share, worker i taking GPU i; 0 for none.
    scheduler: an address such as ``tcp://host:8786``, or the path of a scheduler file; the rest is then its own affair.
    device: the kind on which the workers compute (cpu, cuda, mps);
    note: why they have fewer threads than there are cores.
    """

    workers: int = 1
    threads: int = 1
    gpus: int = 0
    scheduler: str | None = None
    device: str = "cpu"
    note: str | None = None


def _to_nobody(message: Any) -> None:
    """Where a task has nobody to tell how far it is."""


@dataclass(frozen=True)
class Seat:
    """Where a task runs: how many threads it has, and which GPU of the machine (None: none assigned).

    tell: sends a small message, of what JSON has, to whoever runs the tasks, who gets it as ``Told``; it may be lost.
    """

    threads: int
    gpu: int | None = None
    tell: Callable[[Any], None] = _to_nobody


@dataclass(frozen=True)
class Started(Generic[T]):
    """A task was handed to the cluster."""

    task: T


@dataclass(frozen=True)
class Told(Generic[T]):
    """A task that runs sent a message."""

    task: T
    message: Any


@dataclass(frozen=True)
class Ended(Generic[T, R]):
    """A task came back with its result, or with the error that it raised or that befell it."""

    task: T
    result: R | None = None
    error: BaseException | None = None


@dataclass
class _Try(Generic[T]):
    """A task on its way: how many workers died of it so far, and which submission it is in."""

    task: T
    deaths: int = 0
    number: int = 0


@contextmanager
def open_fleet(crew: Crew) -> Iterator["Fleet"]:
    """Workers for as long as the context lasts; those of this machine end with it, at the latest with this process.

    Raises:
        EngineError: no scheduler answers, or its workers have another saint or none.
    """
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    if crew.scheduler is None:
        with dask.config.set(QUIET), _local(crew) as cluster, Client(cluster, set_as_default=False) as client:
            client.run(_release_stderr)
            yield Fleet(client, crew)
        return
    with _connected(crew.scheduler) as client:
        _check_workers(client)
        yield Fleet(client, crew)


@contextmanager
def _local(crew: Crew) -> Iterator[LocalCluster]:
    with (
        TemporaryFolder() as folder,
        dask.config.set({"temporary-directory": str(folder)}),
        _start(crew, str(folder)) as cluster,
    ):
        yield cluster


def _start(crew: Crew, folder: str) -> LocalCluster:
    failure: Exception | None = None
    with capture_stderr() as lines:  # workers that fail at their start write a traceback each
        try:
            cluster = LocalCluster(
                n_workers=crew.workers,
                threads_per_worker=crew.threads,
                processes=True,
                memory_limit=0,
                resources={SEAT: 1},
                local_directory=folder,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            )
        except Exception as error:  # of many kinds: that of the system, of Dask, and of what a worker imports
            failure = error
    if failure is not None:
        raise EngineError(f"the worker processes do not start: {first_error(lines, failure)}")
    return cluster


def _release_stderr() -> None:
    """On a worker: let go of the file that caught what was written at its start, which nobody reads any more."""
    with suppress(OSError):
        if os.fstat(2).st_nlink == 0:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
            os.close(null)


def _connected(scheduler: str) -> Client:
    try:
        if "://" in scheduler:
            return Client(scheduler, timeout=CONNECT_S, set_as_default=False)
        if not Path(scheduler).is_file():
            raise EngineError(f"--scheduler {scheduler} is neither an address such as tcp://host:8786 nor a file")
        return Client(scheduler_file=scheduler, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise EngineError(f"--scheduler {scheduler}: no Dask scheduler answers ({type(error).__name__})") from None


def _check_workers(client: Client) -> None:
    try:
        versions = set(client.run(_version).values())
    except ModuleNotFoundError:
        raise EngineError("the workers of this cluster cannot import saint_cli; install saint for them too") from None
    others = versions - {saint_cli.__version__}
    if others:
        raise EngineError(
            f"the workers have saint {', '.join(others)}, this is {saint_cli.__version__}; use one version"
        )


def _version() -> str:
    return saint_cli.__version__


class Fleet:
    """The workers of an open cluster; see :func:`open_fleet`."""

    def __init__(self, client: Client, crew: Crew) -> None:
        self._client, self._crew = client, crew
        self._strikes = 1 + int(client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.allowed_failures))
        self._ended: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self._told: deque[tuple[int, Any]] = deque()
        self._blamed: dict[str, _Try[Any]] = {}
        self._name, self._sent = f"saint-{uuid.uuid4().hex[:8]}", 0
        self._workers, self._counted, self._manned = 0, -POLL_S, time.monotonic()
        client.subscribe_topic(TOPIC, self._hear)

    def workers(self) -> int:
        """How many worker processes there were at most ``POLL_S`` ago."""
        now = time.monotonic()
        if now - self._counted > POLL_S:
            try:
                self._workers, self._counted = len(self._client.nthreads()), now
            except OSError:
                raise EngineError(GONE) from None
            self._manned = now if self._workers else self._manned
        return self._workers

    def _hear(self, event: tuple[float, Any]) -> None:
        """A message arrived: whose task it is of, number of its submission, and what it told."""
        name, number, message = event[1]
        if name == self._name:
            self._told.append((number, message))

    def run(self, tasks: Iterable[T], work: Callable[[T, Seat], R]) -> Iterator[Started[T] | Told[T] | Ended[T, R]]:
        """``work(task, seat)`` for every task, some at a time; tells what starts and what ends, in the order it does.

        What tasks tell meanwhile comes at most ``POLL_S`` late.

        ``work`` and tasks must pickle. An exception of ``work`` ends its task alone.

        Raises:
            EngineError: the scheduler is gone, or this machine's workers do not start.
        """
        self._began, self._count = time.monotonic(), 0
        fresh, again, alone = iter(tasks), deque[_Try[T]](), deque[_Try[T]]()
        going: dict[Future[Any], _Try[T]] = {}
        while True:
            while len(going) < self._window() and (one := _next(again, fresh)) is not None:
                if not one.number:
                    yield Started(one.task)
                going[self._submit(one, work)] = one
            if not going and alone:
                one = alone.popleft()
                going[self._submit(one, work)] = one
            if not going:
                return
            ended = self._wait()
            yield from self._messages(going.values())
            for future, result, error in ended:
                one = going.pop(future)
                if not isinstance(error, KilledWorker):
                    self._count += 1
                    yield Ended(one.task, result, error)
                    continue
                self._blame(one, error.last_worker.address)
                if one.deaths >= DEATHS and not going:
                    yield Ended(one.task, error=DeadlyJobError(f"{one.deaths} workers died of it"))
                else:
                    (again if one.deaths < DEATHS - 1 else alone).append(one)

    def _messages(self, going: Iterable[_Try[T]]) -> Iterator[Told[T]]:
        """What was told since the last time by tasks that are not over."""
        latest = dict[int, Any]()
        while self._told:
            number, message = self._told.popleft()
            latest[number] = message
        for one in going if latest else ():
            if one.number in latest:
                yield Told(one.task, latest[one.number])

    def _blame(self, one: _Try[Any], worker: str) -> None:
        """Count a death against the first sent of those that were at the worker: it ran, and the others waited."""
        first = self._blamed.get(worker)
        if first is None or one.number < first.number:
            if first is not None:
                first.deaths -= self._strikes
            one.deaths += self._strikes
            self._blamed[worker] = one

    def _window(self) -> int:
        """How many tasks to have with Dask: one each; more if they are short, or where a cluster may grow on demand."""
        count = max(1, self.workers())
        if self._count and (time.monotonic() - self._began) * count / self._count < SHORT_S:
            return count * AHEAD
        return self._crew.workers if self._crew.scheduler is None else count + max(2, count // 4)

    def _submit(self, one: _Try[T], work: Callable[[T, Seat], Any]) -> "Future[Any]":
        one.number = self._sent = self._sent + 1
        key, arguments = f"{self._name}-{one.number}", (work, one.task, self._crew.gpus, (self._name, one.number))
        rules: dict[str, Any] = {"pure": False, "priority": -one.number}
        if self._crew.scheduler is None:
            rules["resources"] = {SEAT: 1}
        future = self._client.submit(_seated, *arguments, key=key, **rules)
        future.add_done_callback(self._ended.put)
        return future

    def _wait(self) -> "list[tuple[Future[Any], Any, BaseException | None]]":
        """The futures that ended, each with its result or its error; nothing if none does for a while."""
        try:
            ended = [self._ended.get(timeout=POLL_S)]
        except queue.Empty:
            if self._client.status != "running":
                raise EngineError(GONE) from None
            if not self.workers() and self._crew.scheduler is None and time.monotonic() - self._manned > NO_WORKER_S:
                raise EngineError(f"no worker process has come up for {NO_WORKER_S:.0f} s") from None
            return []
        while not self._ended.empty():
            ended.append(self._ended.get())
        able = [future for future in ended if future.status == "finished"]
        try:
            results = dict(zip(able, self._client.gather(able), strict=True))  # at once: each takes a round trip
        except Exception:  # a worker died with a result that nobody had fetched, and again when it was made anew
            return [(future, *self._outcome(future)) for future in ended]
        return [(f, results[f], None) if f in results else (f, *self._outcome(f)) for f in ended]

    def _outcome(self, future: "Future[Any]") -> tuple[Any, BaseException | None]:
        """The result of a future, or its error."""
        try:
            return future.result(), None
        except CancelledError:
            raise EngineError(GONE) from None
        except Exception as error:
            return None, error


def _next(again: deque[_Try[T]], fresh: Iterator[T]) -> _Try[T] | None:
    """A task to send: first those whose worker died, then new ones."""
    if again:
        return again.popleft()
    try:
        return _Try(next(fresh))
    except StopIteration:
        return None


def _seated(work: Callable[[Any, Seat], Any], task: Any, gpus: int, sender: tuple[str, int]) -> Any:
    """On the worker: its threads, and its share of the machine's GPUs; sender: as whom to tell of it."""
    worker = get_worker()
    with TURN:
        gpu = int(worker.name) % gpus if gpus else None
        return work(task, Seat(worker.state.nthreads, gpu, partial(_tell, *sender)))


def _tell(name: str, number: int, message: Any) -> None:
    """On the worker, from within a task: send a message of submission ``number`` of the run ``name``."""
    with suppress(Exception):  # whatever becomes of the message, the task goes on
        get_worker().log_event(TOPIC, (name, number, message))
