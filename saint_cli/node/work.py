"""The steps of the node: complete what arrived, compute what is complete, send what is computed, remove what is old."""

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from saint_cli.node.arrivals import Arrivals
from saint_cli.node.completion import settle
from saint_cli.node.config import NodeConfig
from saint_cli.node.derive import Ending, Outcome
from saint_cli.node.forward import SendResult
from saint_cli.node.queue_folder import sync_folder
from saint_cli.node.records import QueuedSeries, Result, SeriesState
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
    """The steps, each of which says whether there was something to do; ``on_failure`` is called with error classes."""

    config: NodeConfig
    spool: Spool
    arrivals: Arrivals
    on_message: Callable[[str], None]
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
            self._report(series, f"complete, {series.instances} instances{broken}")
            if result.state is not SeriesState.READY:
                self._report_end(series, result)
        return result is not None

    def compute(self, worker: Worker) -> bool:
        """Compute the next series, unless the disk is full of such as wait to be sent.

        Raises:
            StoppedError: the node was stopped meanwhile.
        """
        if self.spool.budget.is_full and self.spool.list_series(SeriesState.DONE, SeriesState.SENDING):
            return False
        series = self.spool.claim(SeriesState.READY, SeriesState.WORKING)
        if series is None:
            return False
        with self._postponed(series, SeriesState.READY, self.config.tries):
            self._compute(series, worker)
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
        elif result.state is SeriesState.DONE:
            self._report(series, f'computed by rule "{outcome.rule}": {outcome.summary}')
        else:
            self._report_end(series, result)

    @contextmanager
    def _postponed(self, series: QueuedSeries, waiting: SeriesState, most_tries: int) -> Iterator[None]:
        """Let a series wait, or fail after so many tries, whose step raises what nobody foresaw; others go on."""
        try:
            yield
        except StoppedError:
            raise
        except Exception as error:
            name, tries = type(error).__name__, series.tries + 1
            if isinstance(error, (OSError, sqlite3.Error)):  # of the disk, and no fault of the series
                result = Result(waiting, name, name, tries=series.tries, delay_s=LONGEST_WAIT_S)
            elif tries < most_tries:
                result = Result(waiting, name, name, tries=tries, delay_s=backoff_s(tries))
            else:
                result = Result(SeriesState.FAILED, f"{name} (tried {tries} times)", name, tries=tries, derived_bytes=0)
            if self.spool.finish(series, result):
                self._report(series, f"not done: {result.reason}")
                if result.state is SeriesState.FAILED:
                    shutil.rmtree(series.derived_folder, ignore_errors=True)
            raise

    def _judge(self, series: QueuedSeries, outcome: Outcome) -> Result:
        """What follows from an outcome."""
        common = (outcome.reason, outcome.error_class, outcome.rule)
        match outcome.ending:
            case Ending.DONE:
                return Result(SeriesState.DONE, "", "", outcome.rule, outcome.size)
            case Ending.SKIPPED:
                return Result(SeriesState.SKIPPED, *common)
            case Ending.FAILED:
                return Result(SeriesState.FAILED, *common)
            case Ending.NO_ROOM:  # which is no fault of the series
                return Result(SeriesState.READY, *common, tries=series.tries, delay_s=LONGEST_WAIT_S)
        tries = series.tries + 1
        if tries >= self.config.tries:
            return Result(SeriesState.FAILED, f"{outcome.reason} (tried {tries} times)", *common[1:])
        return Result(SeriesState.READY, *common, tries=tries, delay_s=backoff_s(tries))

    def send(self) -> bool:
        """Send the next derived series."""
        series = self.spool.claim(SeriesState.DONE, SeriesState.SENDING)
        if series is None:
            return False
        with self._postponed(series, SeriesState.DONE, SENDING_TRIES):
            self._send(series)
        return True

    def _send(self, series: QueuedSeries) -> None:
        files = sorted(path for path in series.derived_folder.rglob("*.dcm"))
        if sum(path.stat().st_size for path in files) != series.derived_bytes:  # lost with the machine's power
            self.spool.finish(series, Result(SeriesState.READY, derived_bytes=0))
            return
        sent = self.config.destination.send(files)
        result = _judge_sent(series, files, sent)
        self.spool.finish(series, result)
        if result.state is SeriesState.FORWARDED:
            self._report(series, f"forwarded, {len(sent.sent)} instances to {self.config.destination.name}")
            self._end(series, result)
            return
        if result.state is SeriesState.FAILED:
            shutil.rmtree(series.derived_folder, ignore_errors=True)
        self._report_end(series, result)

    def prune(self) -> None:
        """Remove the files of series that ended long enough ago; once a minute."""
        if time.monotonic() - self.pruned_at < PRUNING_INTERVAL_S:
            return
        self.pruned_at, now, spool, config = time.monotonic(), time.time(), self.spool, self.config
        ended = (SeriesState.FORWARDED, SeriesState.SKIPPED)
        for series in spool.list_expired(*ended, before=now - config.keep_days * DAY_S, on_disk=True):
            spool.remove_files(series)
        for series in spool.list_expired(*ended, before=now - FORGET_DAYS * DAY_S, on_disk=False):
            spool.forget(series)
        limit = now - config.keep_failed_days * DAY_S
        for series in spool.list_expired(SeriesState.FAILED, before=limit, on_disk=True):
            self._report(series, "failed, and removed now")
            spool.forget(series)

    def _report(self, series: QueuedSeries, text: str) -> None:
        self.on_message(f"{series.name}: {text}")

    def _report_end(self, series: QueuedSeries, result: Result) -> None:
        """Log what became of a series that did not go on as it should."""
        if result.error_class:
            self.on_failure(result.error_class)
        again = f"; tried again in {result.delay_s:.0f} s" if result.delay_s else ""
        word = "not done" if result.delay_s else result.state.value
        self._report(series, f"{word}: {result.reason}{again}")
        self._end(series, result)

    def _end(self, series: QueuedSeries, result: Result) -> None:
        if result.state in (SeriesState.FORWARDED, SeriesState.SKIPPED) and self.config.keep_days <= 0:
            self.spool.remove_files(self.spool.get(series.number))


def _judge_sent(series: QueuedSeries, files: list[Path], sent: SendResult) -> Result:
    """What follows from what a destination took; all is sent again if something is missing, which does no harm."""
    if not sent.failed and len(sent.sent) == len(files):
        return Result(SeriesState.FORWARDED)
    reasons = dict.fromkeys(reason for _, reason in sent.failed)
    text = f"{len(files) - len(sent.sent)} of {len(files)} instances were not taken: {'; '.join(reasons)}"
    tries = series.tries + 1
    if tries >= SENDING_TRIES:
        return Result(SeriesState.FAILED, f"{text} (tried {tries} times)", "SendingError", derived_bytes=0)
    return Result(SeriesState.DONE, text, "SendingError", tries=tries, delay_s=backoff_s(tries))
