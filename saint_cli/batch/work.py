"""One job on a worker: run it, and leave a receipt of what came of it."""

import platform
import sys
import time
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import saint_cli
from saint_cli import temporary
from saint_cli.batch import ledger
from saint_cli.batch.plan import DONE, SKIPPED, STARTING, Task, failure, fingerprint_of, is_of, key_of
from saint_cli.batch.records import Record
from saint_cli.engine import Seat
from saint_cli.errors import LabelMapError, OutputError, SaintError, SourceChangedError, UnreadableError, fault_of
from saint_cli.jobs import Job, run_job
from saint_cli.progress import ProgressEstimate, Stage

VERSIONS = {
    "saint": saint_cli.__version__,
    "torch": version("torch"),
    "numpy": version("numpy"),
    "python": platform.python_version(),
}


TELL_EVERY_S = 2.0
"""Seconds between two messages of a worker about the job it runs; shorter jobs send none."""


def work(task: Task, seat: Seat) -> Record:
    """Run a job unless its receipt tells that it ran already; every failure becomes a record."""
    if not ledger.is_home(task.home):
        return failure(task.entry, OutputError(f"{task.home}: this worker does not see it; use a shared file system"))
    earlier = ledger.receipt(task.home, task.target)
    if earlier is not None and is_of(earlier, task.entry) and earlier["status"] != "begun":
        return earlier
    try:
        ledger.write_receipt(task.home, {**task.entry, "status": "begun"})
    except OSError as error:
        return failure(task.entry, OutputError(f"{task.home}: cannot be written ({error.strerror or error})"))
    temporary.sweep()  # on a cluster, nothing else does on this machine
    _warm_up(seat)
    _forget_peak_memory()
    began = time.perf_counter()
    record = _outcome(task, seat)
    record |= {"versions": VERSIONS, "ended": datetime.now(UTC).isoformat(timespec="seconds")}
    record.setdefault("threads", task.job.engine.threads or seat.threads)
    record.setdefault("seconds", round(time.perf_counter() - began, 2))
    with suppress(OSError):  # the record itself still reaches the manifest
        ledger.write_receipt(task.home, record)
    return record


def _outcome(task: Task, seat: Seat) -> Record:
    try:
        _check_planned(task)
        done = run_job(_seated(task.job, seat), _Teller(seat))
    except LabelMapError as error:
        return failure(task.entry, error) | {"status": SKIPPED}
    except SaintError as error:
        return failure(task.entry, error)
    except MemoryError:
        return failure(task.entry, SaintError("not enough memory; try fewer --workers"))
    except OSError as error:
        return failure(task.entry, OutputError.of_system(error))
    except RecursionError:
        return failure(task.entry, UnreadableError(f"{task.entry['source']}: nested too deeply to be worked on"))
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        return failure(task.entry, fault_of(error))
    told = asdict(done)
    del told["source"], told["target"]
    key = key_of(task.entry, done.weights_sha256)  # those that auto chose on this machine
    return {**task.entry, **told, "key": key, "status": DONE, "error": None}


def _check_planned(task: Task) -> None:
    """Refuse a source that is no longer what the plan and the key of its result are of.

    Raises:
        SourceChangedError: it was written to since.
    """
    if task.job.origin is None and fingerprint_of(task.job, task.files) != task.entry["fingerprint"]:
        raise SourceChangedError(f"{task.job.source}: changed since it was found; run the same command again")


class _Teller:
    """The progress of a job, told to the batch now and then: stage, fraction and seconds left, seconds so far."""

    def __init__(self, seat: Seat) -> None:
        self._seat, self._estimate = seat, ProgressEstimate()
        self._began = self._last = time.monotonic()

    def expect(self, *stages: Stage, more: bool = False) -> None:
        """Stages to come."""
        self._estimate.expect(*stages, more=more)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Tell how far a stage is."""
        self._estimate(stage, done, total)
        now = time.monotonic()
        if now - self._last >= TELL_EVERY_S:
            self._last = now
            state = self._estimate.state()
            self._seat.tell([state.stage, state.fraction, state.seconds_left, now - self._began])


def _seated(job: Job, seat: Seat) -> Job:
    """The job with the threads of its worker, and its GPU where one was assigned and the user named none."""
    engine = job.engine
    if engine.threads is None:
        engine = replace(engine, threads=seat.threads)
    if seat.gpu is not None and engine.device in ("auto", "cuda"):
        engine = replace(engine, device=f"cuda:{seat.gpu}")
    return replace(job, engine=engine)


def _warm_up(seat: Seat) -> None:
    """Import torch before the clock starts, so that a worker's first job tells as much of the others as any."""
    if "torch" not in sys.modules:
        seat.tell([STARTING, None, None, 0.0])
    from saint_cli import compute  # noqa: F401


def _forget_peak_memory() -> None:
    """Let the kernel measure the peak afresh, so that a job is not told another's."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
