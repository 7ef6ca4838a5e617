"""Whatever a job raises on a worker is a record."""

import struct
import sys
from pathlib import Path

import fabricate
import pytest

from saint_cli.batch import ledger, work
from saint_cli.batch.plan import FAILED, Task, fingerprint_of
from saint_cli.batch.records import parse_record
from saint_cli.engine import Seat
from saint_cli.errors import GeometryError
from saint_cli.io import decoder_process
from saint_cli.jobs import Job, run


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


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """A job of a folder whose manifest is open."""
    job = Job(Path("a.nii"), tmp_path / "a.nii")
    own = {"name": "a", "target": "a.nii", "source": "a.nii", "key": "k", "model": "fast", "options": {}}
    return Task(tmp_path, "a.nii", job, own | {"fingerprint": fingerprint_of(job, ())})


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_whatever_a_job_raises_is_a_sound_record_that_quotes_nothing(
    error: BaseException, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise error

    monkeypatch.setattr(work, "run_job", fail)
    with ledger.open_ledger(task.home) as opened:
        record = work.work(task, Seat(1))
        opened.append(record)
    assert record["status"] == "failed"
    assert "SECRET" not in str(record)
    assert parse_record((task.home / ledger.MANIFEST).read_bytes()) == ledger.read(task.home).latest["a.nii"]


def test_an_interruption_still_ends_a_worker(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(work, "run_job", fail)
    with ledger.open_ledger(task.home), pytest.raises(KeyboardInterrupt):
        work.work(task, Seat(1))


def test_a_decoder_that_dies_is_one_failed_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    series = fabricate.slices(4)
    for data in series:
        fabricate.compress_gdcm(data, tmp_path, "JPEG")
    source, home = fabricate.save(series, tmp_path / "series"), tmp_path / "out"
    program = (
        f"import os, sys; sys.path[:] = {sys.path!r}; from saint_cli.gdcm_worker import READY, REQUEST\n"
        "os.write(1, READY); os.read(0, REQUEST.size); os.abort()"
    )
    monkeypatch.setattr(decoder_process, "worker_command", lambda _: [sys.executable, "-c", program])
    monkeypatch.setattr(work, "_warm_up", lambda _: None)  # no torch is needed to read
    monkeypatch.setattr(run, "_starting", lambda _: None)
    with ledger.open_ledger(home):
        job = Job(source, home / "a.nii")
        own = {"target": "a.nii", "key": "1", "fingerprint": fingerprint_of(job, ())}
        task = Task(home, "a.nii", job, own)
        record = work.work(task, Seat(1))
    assert record["status"] == FAILED
    assert record["error"]["exit_code"] == 3
    assert "0000.dcm: pixel data" in record["error"]["message"]
    assert "the decoder crashed, SIGABRT" in record["error"]["message"]
    assert not (home / "a.nii").exists()
