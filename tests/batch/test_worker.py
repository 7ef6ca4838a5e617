"""Whatever a job raises on a worker is a record."""

import struct
import sys
from dataclasses import replace
from pathlib import Path

import fabricate
import pytest
from make_jobs import make_record

from saint_cli.batch import manifest, receipts, worker
from saint_cli.batch.cluster import WorkerSlot
from saint_cli.batch.job_keys import fingerprint_inputs
from saint_cli.batch.job_records import JobRecord, JobStatus
from saint_cli.batch.plan import Task
from saint_cli.errors import GeometryError
from saint_cli.io.dicom import decoder_process
from saint_cli.jobs import Job, networks
from saint_cli.options.job import JobSettings
from saint_cli.options.model import ModelConfig


class LibraryPanic(BaseException):
    """What some libraries raise that are not written in Python."""


RAISED = [
    GeometryError("uneven"),
    OSError(5, "Input/output error"),
    MemoryError("SECRET"),
    RecursionError("SECRET"),
    KeyError("SECRET"),
    struct.error("SECRET"),
    SystemExit("SECRET"),
    LibraryPanic("SECRET"),
]


def make_task_of(source: Path, state_dir: Path) -> Task:
    record = make_record("a.nii", fingerprint=fingerprint_inputs(source, ()))
    return Task(state_dir, "a.nii", Job(source, state_dir / "a.nii"), record)


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """A job of a folder whose manifest is open."""
    return make_task_of(Path("a.nii"), tmp_path)


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_whatever_a_job_raises_is_a_sound_record_that_quotes_nothing(
    error: BaseException, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise error

    monkeypatch.setattr(worker, "run_job", fail)
    with manifest.open_manifest(task.state_dir) as opened:
        record = worker.run_task(task, WorkerSlot(1))
        opened.append(record)
    assert record.status is JobStatus.FAILED
    assert "SECRET" not in str(record)
    assert (
        JobRecord.from_line((task.state_dir / manifest.MANIFEST).read_bytes())
        == manifest.read_state(task.state_dir).latest["a.nii"]
    )


def test_an_interruption_still_ends_a_worker(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "run_job", fail)
    with manifest.open_manifest(task.state_dir), pytest.raises(KeyboardInterrupt):
        worker.run_task(task, WorkerSlot(1))


def test_a_decoder_that_dies_is_one_failed_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    series = fabricate.slices(4)
    for data in series:
        fabricate.compress_gdcm(data, tmp_path, "JPEG")
    source, state_dir = fabricate.save(series, tmp_path / "series"), tmp_path / "out"
    program = (
        f"import os, sys; sys.path[:] = {sys.path!r}; from saint_cli.io.dicom.gdcm_worker import READY, REQUEST\n"
        "os.write(1, READY); os.read(0, REQUEST.size); os.abort()"
    )
    monkeypatch.setattr(decoder_process, "build_worker_command", lambda _: [sys.executable, "-c", program])
    monkeypatch.setattr(worker, "_warm_up", lambda _: None)  # no torch is needed to read
    monkeypatch.setattr(networks, "start_networks", lambda *_, **__: None)
    with manifest.open_manifest(state_dir):
        record = worker.run_task(make_task_of(source, state_dir), WorkerSlot(1))
    assert record.status is JobStatus.FAILED
    assert record.error.exit_code == 3
    assert "0000.dcm: pixel data" in record.reason
    assert "the decoder crashed, SIGABRT" in record.reason
    assert not (state_dir / "a.nii").exists()


@pytest.mark.parametrize(
    ("device", "used"), [("auto", "cuda:1"), ("cuda", "cuda:1"), ("gpu", "cuda:1"), ("gpu:0", "gpu:0"), ("cpu", "cpu")]
)
def test_a_worker_uses_its_own_gpu_unless_the_user_names_one(
    device: str, used: str, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = JobSettings(model_config=ModelConfig(device=device))
    devices: list[str] = []

    def note_device(job: Job, *given: object) -> None:
        devices.append(job.settings.model_config.device)
        raise GeometryError("enough")

    monkeypatch.setattr(worker, "run_job", note_device)
    with manifest.open_manifest(task.state_dir):
        worker.run_task(replace(task, job=replace(task.job, settings=settings)), WorkerSlot(1, gpu=1))
    assert devices == [used]


def test_what_a_lost_worker_wrote_of_a_job_may_be_replaced_by_the_next(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = list[bool]()

    def fail(job: Job, *given: object) -> None:
        allowed.append(job.overwrite)
        raise GeometryError("uneven")

    monkeypatch.setattr(worker, "run_job", fail)
    with manifest.open_manifest(task.state_dir):
        worker.run_task(task, WorkerSlot(1))
        receipts.write_receipt(task.state_dir, task.record)
        worker.run_task(task, WorkerSlot(1))
    assert allowed == [False, True]
