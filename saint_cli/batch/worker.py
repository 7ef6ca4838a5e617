"""One job on a worker: run it, and leave a receipt of its result."""

import platform
import sys
import time
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from saint_cli import errors
from saint_cli.batch import receipts
from saint_cli.batch.cluster import WorkerSlot
from saint_cli.batch.job_keys import fingerprint_inputs, is_same_job, make_key
from saint_cli.batch.job_records import FIELD_TYPES, JobRecord, JobStatus
from saint_cli.batch.label_files import COLUMN, fingerprint_labels
from saint_cli.batch.plan import STARTING, Task, make_failure
from saint_cli.batch.state_files import is_state_dir
from saint_cli.errors import OutputError, SaintError
from saint_cli.errors.parameter_names import naming_options
from saint_cli.io.error_conversion import explain_os_error
from saint_cli.jobs import Job, JobResult, run_job
from saint_cli.progress import ProgressEstimate, ProgressStage
from saint_cli.runtime import device_options, temporary
from saint_cli.runtime.version import __version__

VERSIONS = {
    "saint": __version__,
    "torch": version("torch"),
    "numpy": version("numpy"),
    "python": platform.python_version(),
}

MAX_LABEL_VOLUMES = 1000
"""Labels whose volumes a record holds, which is a line of limited length."""

MESSAGE_INTERVAL_S = 2.0
"""Seconds between two messages of a worker about the job it runs; shorter jobs send none."""


def run_task(task: Task, slot: WorkerSlot) -> JobRecord:
    """Run a job unless its receipt says that it has run; every failure becomes a record."""
    planned, state_dir = task.record, task.state_dir
    if not is_state_dir(state_dir):
        return make_failure(planned, OutputError(f"{state_dir}: this worker does not see it; use a shared file system"))
    earlier = receipts.read_receipt(state_dir, task.target)
    if earlier is not None and is_same_job(earlier, planned):
        if earlier.status is not JobStatus.BEGUN:
            return earlier
        task = replace(task, job=replace(task.job, overwrite=True))  # what a worker that was lost had written
    try:
        receipts.write_receipt(state_dir, planned)
    except OSError as error:
        return make_failure(planned, OutputError(explain_os_error(state_dir, "written", error)))
    temporary.remove_abandoned()  # on a cluster, nothing else does on this machine
    _warm_up(slot)
    _reset_peak_memory()
    began = time.perf_counter()
    record = _run(task, slot)
    record = replace(
        record,
        versions=VERSIONS,
        threads=task.job.settings.model_config.threads or slot.threads if record.threads is None else record.threads,
        seconds=round(time.perf_counter() - began, 2) if record.seconds is None else record.seconds,
        details=record.details | {"ended": datetime.now(UTC).isoformat(timespec="seconds")},
    )
    with suppress(OSError):  # the record itself still reaches the manifest
        receipts.write_receipt(state_dir, record)
    return record


def _run(task: Task, slot: WorkerSlot) -> JobRecord:
    try:
        with naming_options():
            _check_planned(task)
            return _make_done(task.record, run_job(_use_slot(task.job, slot), _ProgressSender(slot)))
    except errors.LabelMapError as error:
        return make_failure(task.record, error, JobStatus.SKIPPED)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        return make_failure(task.record, _to_saint_error(error, task))


def _to_saint_error(error: BaseException, task: Task) -> SaintError:
    match error:
        case SaintError():
            return error
        case MemoryError():
            return SaintError("not enough memory; try fewer --workers")
        case OSError():
            return OutputError.from_os_error(error)
        case RecursionError():
            return errors.UnreadableError(f"{task.record.source}: nested too deeply to be worked on")
    return errors.wrap_unexpected(error)


def _make_done(planned: JobRecord, result: JobResult) -> JobRecord:
    """The record of a job that has a result, made by the model that its name stands for."""
    values = {name: value for name, value in asdict(result).items() if name not in ("source", "target")}
    values["label_volumes"] = values["label_volumes"][:MAX_LABEL_VOLUMES]
    return replace(
        planned,
        status=JobStatus.DONE,
        key=make_key(planned, result.weights_sha256),
        labels_target=None if result.labels is None else planned.labels_target,
        **{name: value for name, value in values.items() if name in FIELD_TYPES},
        details=planned.details | {name: value for name, value in values.items() if name not in FIELD_TYPES},
    )


def _check_planned(task: Task) -> None:
    """Refuse a source, or labels, that are no longer what the plan and the key of the result are of.

    Raises:
        SourceChangedError: it was written to since.
    """
    source = task.job.source
    if isinstance(source, Path) and fingerprint_inputs(source, task.files) != task.record.fingerprint:
        raise errors.SourceChangedError(f"{source}: changed since it was found; run the same command again")
    labels = task.job.settings.label_settings.labels
    if labels is not None and fingerprint_labels(Path(labels)) != task.record.options.get(COLUMN):
        raise errors.SourceChangedError(f"{labels}: changed since it was found; run the same command again")


class _ProgressSender:
    """A ``JobProgress`` that sends messages to the batch now and then, as ``BatchProgress.update`` has them."""

    def __init__(self, slot: WorkerSlot) -> None:
        self._slot, self._estimate = slot, ProgressEstimate()
        self._began = self._last = time.monotonic()

    def expect(self, *stages: ProgressStage, more: bool = False) -> None:
        """Stages to come."""
        self._estimate.expect(*stages, more=more)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Take in how far a stage is."""
        self._estimate(stage, done, total)
        now = time.monotonic()
        if now - self._last >= MESSAGE_INTERVAL_S:
            self._last = now
            state = self._estimate.state()
            self._slot.send([state.stage, state.fraction, state.seconds_left, now - self._began])


def _use_slot(job: Job, slot: WorkerSlot) -> Job:
    """The job with the threads of its worker, and its GPU where one was assigned and the user named none."""
    config = job.settings.model_config
    if config.threads is None:
        config = replace(config, threads=slot.threads)
    if slot.gpu is not None and config.device in device_options.ALL_GPUS:
        config = replace(config, device=f"cuda:{slot.gpu}")
    return replace(job, settings=replace(job.settings, model_config=config))


def _warm_up(slot: WorkerSlot) -> None:
    """Import torch before the clock starts, so that the time of a worker's first job is like that of others."""
    if "torch" not in sys.modules:
        slot.send([STARTING, None, None, 0.0])
    from saint_cli.runtime import device_selection  # noqa: F401


def _reset_peak_memory() -> None:
    """Let the kernel measure the peak afresh, so that a job does not report that of another."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
