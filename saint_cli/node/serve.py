"""The node: receives, computes and sends until it is stopped, and goes on where it was when it is started again."""

import logging
import sqlite3
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from saint_cli.errors import locate_error
from saint_cli.jobs.announcements import MessageCallback
from saint_cli.node.completion import Arrivals
from saint_cli.node.forward import Destination
from saint_cli.node.health import Health, serve_health
from saint_cli.node.options import NodeOptions
from saint_cli.node.receive import Receiver
from saint_cli.node.records import SeriesState
from saint_cli.node.rules import Rules
from saint_cli.node.spool import Spool
from saint_cli.node.tls import TlsContexts
from saint_cli.node.work import Steps
from saint_cli.node.worker import StoppedError, Worker
from saint_cli.runtime.version import __version__

INTERVAL_S = 0.25
"""Between two looks for something to do."""

PAUSE_S = 10.0
"""After a step that could not even write down that it failed, as on a full disk."""

STOPPING_S = 10.0
"""That a thread may take to end."""

REMEMBERED_FAILURES = 10

MAX_SENDING_TRIES = 3
"""Failures to send a series from which on the destination is called out of order."""


@dataclass(frozen=True)
class NodeConfig:
    """A node: its options, the folder of its queue, where results go, which series are computed, TLS or None."""

    options: NodeOptions
    folder: Path
    destination: Destination
    rules: Rules
    tls: TlsContexts | None = None


def run_node(config: NodeConfig, on_message: MessageCallback, stop: threading.Event) -> None:
    """Run a node until ``stop`` is set; an instance that arrives then, and the series that is computed, are given up.

    on_message: called with log lines, without patient text and UIDs, by any thread.

    Raises:
        OutputError: the folder cannot be used, or an address not listened on.
        UsageError, WeightsError: rules by which no series could be computed.
    """
    config.rules.check()
    with (
        _quiet_libraries(),
        closing(Spool(config.folder, config.options.max_bytes, config.options.max_instance_bytes)) as spool,
    ):
        _Node(config, spool, on_message, stop).run()


class _Node:
    """What runs: the receiver's threads, one that computes, one that sends, one for health, and the calling one."""

    def __init__(self, config: NodeConfig, spool: Spool, on_message: MessageCallback, stop: threading.Event) -> None:
        self._options, self._destination, self._tls = config.options, config.destination, config.tls
        self._spool, self._on_message, self._stop = spool, on_message, stop
        self._failures: deque[str] = deque(maxlen=REMEMBERED_FAILURES)
        self._arrivals = Arrivals(config.options.quiet_s)
        for series in spool.list_series(SeriesState.RECEIVING):
            self._arrivals.expect(series.series_uid, is_released=series.is_released)
        self._steps = Steps(
            options=config.options,
            destination=config.destination,
            spool=spool,
            arrivals=self._arrivals,
            on_message=on_message,
            on_failure=self._failures.appendleft,
        )
        self._worker = Worker(config.rules, spool.folder / "worker.lock", stop.is_set)

    def run(self) -> None:
        """Run until it is stopped, by the event or by an exception."""
        steps = {"computing": lambda: self._steps.compute(self._worker), "sending": self._steps.send}
        threads = [threading.Thread(target=self._repeat, args=step, daemon=True) for step in steps.items()]
        receiver = Receiver(self._options, self._spool, self._arrivals, self._on_message, self._tls)
        try:
            with ExitStack() as health:
                if self._options.health_port is not None:  # it answers only once instances are taken
                    health.enter_context(serve_health(self._options.health_port, self._look))
                self._announce()
                for thread in threads:
                    thread.start()
                self._repeat("receiving", lambda: self._step(receiver))
        finally:
            self._stop.set()
            receiver.close()
            for thread in threads:
                if thread.ident is not None:
                    thread.join(STOPPING_S)  # sending may wait for an answer, and is done anew anyway
            self._worker.close()
            self._on_message("stopped")

    def _step(self, receiver: Receiver) -> bool:
        receiver.notice_ended()
        self._steps.complete()
        self._steps.prune()
        return False

    def _repeat(self, name: str, step: Callable[[], bool]) -> None:
        """Repeat a step until the node stops; one that raises does not end the node."""
        while not self._stop.is_set():
            try:
                if not step():
                    self._stop.wait(INTERVAL_S)
            except StoppedError:
                return
            except Exception as error:
                reason = str(error) if isinstance(error, (OSError, sqlite3.Error)) else type(error).__name__
                self._failures.appendleft(type(error).__name__)
                self._on_message(f"{name} pauses for {PAUSE_S:.0f} s: {reason} ({locate_error(error)})")
                self._stop.wait(PAUSE_S)

    def _announce(self) -> None:
        options = self._options
        callers = ", ".join(peer.aet for peer in options.allowed or ()) or "everybody"
        place = f"{options.host}:{options.port}" + (" by TLS" if self._tls is not None else "")
        self._on_message(f"saint {__version__}: {options.aet} listens on {place} for {callers}")
        waiting = ", ".join(f"{count} {state}" for state, count in self._spool.count_states().items() if count)
        self._on_message(f"queue: {waiting or 'empty'}, {self._spool.budget.used_bytes / 1e6:,.1f} MB")

    def _look(self) -> Health:
        """How the node is."""
        budget = self._spool.budget
        return Health(
            queue={state.value: count for state, count in self._spool.count_states().items()},
            problem=self._find_problem(),
            last_errors=tuple(self._failures),
            disk_used=budget.used_bytes,
            disk_limit=budget.max_bytes,
            disk_free=budget.free_bytes(),
            version=__version__,
        )

    def _find_problem(self) -> str | None:
        """Why the node needs a person."""
        if self._spool.budget.is_refusing:
            return "the disk, or the part of it that --max-disk allows, is full: instances are refused"
        waiting = self._spool.list_series(SeriesState.DONE, SeriesState.SENDING)
        if any(series.tries >= MAX_SENDING_TRIES for series in waiting):
            return f"{self._destination.name} does not take what is sent; series that wait: {len(waiting)}"
        return None


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Let no library log or warn meanwhile: their texts may quote what was received."""
    loggers = [logging.getLogger(name) for name in ("pynetdicom", "pydicom")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
