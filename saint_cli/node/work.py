"""The steps of the node: complete what arrived, compute what is complete, send what is computed, remove what is old."""

import shutil
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from saint_cli.errors.plain_text import format_count
from saint_cli.jobs.announcements import MessageCallback
from saint_cli.node.completion import Arrivals, settle
from saint_cli.node.derive import Ending, Outcome
from saint_cli.node.forward import Destination
from saint_cli.node.options import NodeOptions
from saint_cli.node.queue_folder import sync_folder
from saint_cli.node.records import PROCESSED, QueuedSeries, Result, SeriesState
from saint_cli.node.spool import Spool
from saint_cli.node.worker import StoppedError, Worker

FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 600.0
"""Before a failed step is tried again; each wait is twice as long as the last."""

SENDING_TRIES = 500
"""After which a destination that does not take a series is given up: three days and more."""

FORGET_DAYS = 30
"""After which a series that was forwarded or skipped is forgotten: what comes of it then is a new one."""

DAY_S = 86400.0

PRUNING_INTERVAL_S = 60.0


def backoff_s(tries: int) -> float:
    """How long to wait after so many failures."""
    return float(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (min(tries, 20) - 1)))


@dataclass
class Steps:
    """The steps; ``compute`` and ``send`` say whether there was something to do.

    on_message: called with log lines. on_failure: called with error classes.
    """

    options: NodeOptions
    destination: Destination
    spool: Spool
    arrivals: Arrivals
    on_message: MessageCallback
    on_failure: Callable[[str], None]
    pruned_at: float = 0.0

    def complete(self) -> None:
        """Move on the series of which no more instances come."""
        unsettled = []
        try:
            while (series_uid := self.arrivals.take_complete()) is not None:
                unsettled.append(series_uid)
                if self._complete(series_uid):
                    unsettled.pop()
        finally:
            for series_uid in unsettled:
                self.arrivals.expect(series_uid, is_released=True)

    def _complete(self, series_uid: str) -> bool:
        """Move on a series; False where it is to be looked at again after a while."""
        series = self.spool.find_receiving(series_uid)
        if series is None:
            return True
        result = settle(self.spool, series)
        if result is not None and self.spool.finish(series, result):
            broken = "" if series.is_released else ", though its association did not end in order"
            self._report(series, f"complete, {format_count(series.instances, 'instance')}{broken}")
            self._end(series, result)
        return result is not None

    def compute(self, worker: Worker) -> bool:
        """Compute the next series, unless the disk is full of such as wait to be sent.

        Raises:
            StoppedError: the node was stopped meanwhile.
        """
        if self.spool.budget.is_full and self.spool.list_series(SeriesState.DONE, SeriesState.SENDING):
            return False
        compute = partial(self._compute, worker=worker)
        return self._work(SeriesState.READY, SeriesState.WORKING, self.options.tries, compute)

    def send(self) -> bool:
        """Send the next derived series."""
        return self._work(SeriesState.DONE, SeriesState.SENDING, SENDING_TRIES, self._send)

    def _work(
        self, waiting: SeriesState, working: SeriesState, most_tries: int, work: Callable[[QueuedSeries], None]
    ) -> bool:
        """Work on the next series that waits; if that raises what nobody foresaw, it waits or fails: others go on."""
        series = self.spool.claim(waiting, working)
        if series is None:
            return False
        try:
            work(series)
        except StoppedError:
            raise
        except Exception as error:
            name = type(error).__name__
            if isinstance(error, (OSError, sqlite3.Error)):  # of the disk
                result = _wait_long(series, waiting, name, name)
            else:
                result = _try_again(series, waiting, most_tries, name, name)
            if self.spool.finish(series, result):
                self._report(series, f"not done: {result.reason}")
            raise
        return True

    def _compute(self, series: QueuedSeries, worker: Worker) -> None:
        shutil.rmtree(series.derived_folder, ignore_errors=True)
        outcome = worker.derive(series.source_folder, series.derived_folder)
        if outcome.ending is Ending.DONE:
            sync_folder(series.derived_folder)
            sync_folder(series.folder)
        result = self._judge(series, outcome)
        if not self.spool.finish(series, result):
            shutil.rmtree(series.derived_folder, ignore_errors=True)
            self._report(series, "changed while it was computed, which is done again once it is complete")
            return
        if result.state is SeriesState.DONE:
            self._report(series, f"computed {outcome.summary}")
        self._end(series, result)

    def _judge(self, series: QueuedSeries, outcome: Outcome) -> Result:
        """What follows from an outcome."""
        reason, error_class = outcome.reason, outcome.error_class
        match outcome.ending:
            case Ending.DONE:
                return Result(SeriesState.DONE, derived_bytes=outcome.size)
            case Ending.SKIPPED:
                return Result(SeriesState.SKIPPED, reason)
            case Ending.FAILED:
                return Result(SeriesState.FAILED, reason, error_class)
            case Ending.NO_ROOM:
                return _wait_long(series, SeriesState.READY, reason, error_class)
        return _try_again(series, SeriesState.READY, self.options.tries, reason, error_class)

    def _send(self, series: QueuedSeries) -> None:
        files = sorted(series.derived_folder.rglob("*.dcm"))
        if sum(path.stat().st_size for path in files) != series.derived_bytes:  # lost with the machine's power
            self.spool.finish(series, Result(SeriesState.READY))
            return
        reasons = self.destination.send(files)
        if reasons:  # all is sent again, which does no harm
            text = "; ".join(dict.fromkeys(reasons.values()))
            text = f"{len(reasons)} of {len(files)} instances were not taken: {text}"
            result = _try_again(series, SeriesState.DONE, SENDING_TRIES, text, "SendingError")
        else:
            result = Result(SeriesState.FORWARDED)
        self.spool.finish(series, result)
        if not reasons:
            self._report(series, f"forwarded, {format_count(len(files), 'instance')} to {self.destination.name}")
        self._end(series, result)

    def prune(self) -> None:
        """Remove the files of series that ended long enough ago; once a minute."""
        if time.monotonic() - self.pruned_at < PRUNING_INTERVAL_S:
            return
        self.pruned_at, now, spool, options = time.monotonic(), time.time(), self.spool, self.options
        for series in spool.list_expired(*PROCESSED, before=now - options.keep_days * DAY_S, on_disk=True):
            spool.remove_files(series)
        for series in spool.list_expired(*PROCESSED, before=now - FORGET_DAYS * DAY_S, on_disk=False):
            spool.forget(series)
        limit = now - options.keep_failed_days * DAY_S
        for series in spool.list_expired(SeriesState.FAILED, before=limit, on_disk=True):
            self._report(series, "failed, and removed now")
            spool.forget(series)

    def _report(self, series: QueuedSeries, text: str) -> None:
        self.on_message(f"{series.name}: {text}")

    def _end(self, series: QueuedSeries, result: Result) -> None:
        """Log why a series did not go on as it should, and remove what is not kept of one that ended."""
        if result.error_class:
            self.on_failure(result.error_class)
        if result.reason:
            again = f"; tried again in {result.delay_s:.0f} s" if result.delay_s else ""
            word = "not done" if result.delay_s else result.state.value
            self._report(series, f"{word}: {result.reason}{again}")
        if result.state in PROCESSED and self.options.keep_days <= 0:
            self.spool.remove_files(self.spool.get(series.number))


def _try_again(series: QueuedSeries, waiting: SeriesState, most_tries: int, reason: str, error_class: str) -> Result:
    """Another try after a while; failed after so many."""
    tries = series.tries + 1
    if tries < most_tries:
        return Result(waiting, reason, error_class, tries=tries, delay_s=backoff_s(tries))
    return Result(SeriesState.FAILED, f"{reason} (tried {tries} times)", error_class)


def _wait_long(series: QueuedSeries, waiting: SeriesState, reason: str, error_class: str) -> Result:
    """Another try after a long while, which counts none: what failed is no fault of the series."""
    return Result(waiting, reason, error_class, tries=series.tries, delay_s=LONGEST_WAIT_S)
