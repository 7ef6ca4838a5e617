"""The process that computes: it lives for many series, and may die with one of them without harm to the node."""

import fcntl
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from saint_cli.node.derive import Ending, Outcome, derive_series
from saint_cli.node.rules import Rules

SERIES_PER_PROCESS = 200
"""After which a new process takes over, whatever memory the old one gathered."""

BEAT_S = 2.0
"""Between two signs of life while a series is computed."""

STALL_S = 1800.0
"""Without a sign of life after which the process is taken for stuck, and killed."""

KILLED_FIRST = b"500"
"""Its ``oom_score_adj``: where memory runs out, Linux kills it before the node."""


class StoppedError(Exception):
    """The node is stopped, and the series was given up."""


class Worker:
    """The process, started when it is needed.

    lock: a file that a process holds while it lives, so that one that outlives its node by a moment, and the first of
    the next node, never write together.
    """

    def __init__(self, rules: Rules, lock: Path, should_stop: Callable[[], bool]) -> None:
        self._rules, self._lock, self._should_stop = rules, lock, should_stop
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._count = 0

    @property
    def pid(self) -> int | None:
        """Of the process, if there is one."""
        return None if self._process is None else self._process.pid

    def derive(self, source: Path, target: Path) -> Outcome:
        """Compute a series in the process, as ``derive_series`` does here.

        Raises:
            StoppedError: the node was stopped meanwhile.
        """
        if self._count >= SERIES_PER_PROCESS:
            self.close()
        try:
            connection = self._connection or self._start()
            connection.send((source, target))
            self._count += 1
            return self._wait(connection)
        except (EOFError, OSError):
            return self._explain_death()

    def _wait(self, connection: Connection) -> Outcome:
        """The outcome that the process sends. Raises EOFError where it dies, OSError where it is not heard of."""
        last = time.monotonic()
        while time.monotonic() - last < STALL_S:
            if self._should_stop():
                self.close()
                raise StoppedError
            if connection.poll(0.2):
                last, message = time.monotonic(), connection.recv()
                if isinstance(message, Outcome):
                    return message
        self.close()
        return Outcome(Ending.BROKEN_OFF, f"nothing was heard of it for {STALL_S / 60:.0f} min", "WorkerKilledError")

    def _start(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=run_worker, args=(other, self._lock, self._rules), name="saint-worker")
        self._process.start()
        other.close()
        self._count = 0
        return self._connection

    def _explain_death(self) -> Outcome:
        process = self._process
        code = None
        if process is not None:
            process.join(5)
            code = process.exitcode
        self.close()
        if code is not None and code < 0:
            memory = ", perhaps for lack of memory" if code == -signal.SIGKILL else ""
            reason = f"its process was ended by {signal.Signals(-code).name}{memory}"
        else:
            reason = f"its process ended by itself (exit code {code})"
        return Outcome(Ending.BROKEN_OFF, reason, "WorkerKilledError")

    def close(self) -> None:
        """End the process, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None


def run_worker(connection: Connection, lock: Path, rules: Rules) -> None:
    """The program of the process: computes what it is sent, until the node is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the node is told too, and ends it
        signal.signal(number, signal.SIG_IGN)
    _silence()
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_bytes(KILLED_FIRST)
    requests: queue.SimpleQueue[tuple[Path, Path]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, requests), daemon=True).start()
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    beat = _Beat(connection)
    while True:
        source, target = requests.get()
        connection.send(derive_series(source, target, rules, beat))


def _silence() -> None:
    """Let no library write to the node's log: its text may quote what was received."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)


def _listen(connection: Connection, requests: "queue.SimpleQueue[tuple[Path, Path]]") -> None:
    """Take requests; where the node is gone, end the process at once, for a new node will do its work anew."""
    with suppress(EOFError, OSError):
        while True:
            requests.put(connection.recv())
    os._exit(1)


class _Beat:
    """A ``ProgressCallback`` that sends a sign of life now and then."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._last = connection, 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Take in how far a stage is."""
        if time.monotonic() - self._last >= BEAT_S:
            self._last = time.monotonic()
            with suppress(OSError):
                self._connection.send(None)
