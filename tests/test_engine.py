import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import standin

import saint_cli.engine
from saint_cli.engine import AHEAD, Crew, Ended, Fleet, Started, Told, open_fleet
from saint_cli.errors import EngineError


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with open_fleet(Crew(workers=2, threads=3)) as opened:
        yield opened


def ended(events: Iterator[Started | Told | Ended]) -> list[Ended]:
    return [event for event in events if isinstance(event, Ended)]


def test_every_task_comes_back_once_with_its_result(fleet: Fleet) -> None:
    results = {end.task: end.result for end in ended(fleet.run(range(50), standin.double))}
    assert results == {task: 2 * task for task in range(50)}


def test_temporary_files_of_workers_go_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with open_fleet(Crew()) as fleet:
        assert [event.result for event in fleet.run([1], standin.double) if isinstance(event, Ended)] == [2]
        assert len(list(tmp_path.iterdir())) == 1
    assert not list(tmp_path.iterdir())


def test_no_tasks_is_no_work(fleet: Fleet) -> None:
    assert list(fleet.run([], standin.double)) == []


def test_an_exception_ends_its_task_alone(fleet: Fleet) -> None:
    ends = {end.task: end for end in ended(fleet.run(range(4), standin.refuse_odd))}
    assert [ends[n].result for n in (0, 2)] == [0, 2]
    assert [str(ends[n].error) for n in (1, 3)] == ["1 is odd", "3 is odd"]


def test_what_a_task_tells_while_it_runs_is_heard_before_it_ends(fleet: Fleet, tmp_path: Path) -> None:
    heard = []
    for event in fleet.run([tmp_path / "a", tmp_path / "b"], standin.telling):
        if isinstance(event, Told):
            heard.append((event.task.name, *event.message))
            event.task.touch()  # only then does it end
    assert set(heard) == {("a", "half", 0.5), ("b", "half", 0.5)}


def test_tasks_are_taken_only_as_they_can_be_run(fleet: Fleet) -> None:
    taken = []

    def tasks() -> Iterator[int]:
        for n in range(100):
            taken.append(n)
            yield n

    done = 0
    for event in fleet.run(tasks(), standin.double):
        done += isinstance(event, Ended)
        assert len(taken) - done <= 2 * AHEAD + 1
    assert done == 100


def test_workers_are_processes_that_run_one_task_at_a_time_on_all_their_threads(fleet: Fleet, tmp_path: Path) -> None:
    seats = [end.result for end in ended(fleet.run(range(8), standin.seated))]
    assert {seat.threads for seat, _ in seats} == {3}
    assert os.getpid() not in {pid for _, pid in seats}
    assert len({pid for _, pid in seats}) == 2
    marks = [tmp_path / str(n) for n in range(12)]
    assert not any(end.result for end in ended(fleet.run(marks, standin.overlapping)))


def test_a_task_that_kills_its_worker_three_times_is_given_up_and_the_others_go_on(tmp_path: Path) -> None:
    with open_fleet(Crew(workers=2)) as fleet:
        tasks = [tmp_path / name for name in ("a", "killer", "b", "twice", "c", "d")]
        ends = {end.task.name: end for end in ended(fleet.run(tasks, standin.deadly))}
    assert set(ends) == {"a", "killer", "b", "twice", "c", "d"}
    assert isinstance(ends.pop("killer").error, EngineError)
    # three, or four where another task waited at the worker that died: only a death alone is surely its own
    assert len(list(tmp_path.glob("killer.death*"))) in (3, 4)
    assert {name: end.result for name, end in ends.items()} == {name: name for name in ends}


def dask(program: str, *arguments: object) -> subprocess.Popen[bytes]:
    """``dask-scheduler`` or ``dask-worker`` as a program of its own, quiet."""
    command = [sys.executable, "-m", f"distributed.cli.{program}", "--no-dashboard", *map(str, arguments)]
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(command, env=path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A scheduler with one worker of two threads, as separate programs; and the scheduler file."""
    file = tmp_path / "scheduler.json"
    scheduler = dask("dask_scheduler", "--host", "127.0.0.1", "--port", 0, "--scheduler-file", file)
    space = ("--local-directory", tmp_path / "space", "--death-timeout", 20)
    worker = dask("dask_worker", "--nthreads", 2, "--scheduler-file", file, *space)
    deadline = time.monotonic() + 60
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    yield scheduler, file
    for process in (worker, scheduler):
        process.terminate()
        process.wait(30)


def test_a_running_cluster_does_the_same_and_its_end_is_told(
    cluster: tuple[subprocess.Popen[bytes], Path], tmp_path: Path
) -> None:
    scheduler, file = cluster
    with open_fleet(Crew(scheduler=str(file))) as fleet:
        seats = [end.result for end in ended(fleet.run(range(6), standin.seated))]
        assert {seat.threads for seat, _ in seats} == {2}
        marks = [tmp_path / str(n) for n in range(8)]
        assert not any(end.result for end in ended(fleet.run(marks, standin.overlapping)))
        threading.Timer(0.5, scheduler.send_signal, [signal.SIGKILL]).start()
        with pytest.raises(EngineError, match="scheduler is gone"):
            list(fleet.run(range(100_000), standin.seated))


def test_a_scheduler_that_is_not_there_is_told_in_a_line() -> None:
    with pytest.raises(EngineError, match="neither an address"), open_fleet(Crew(scheduler="nowhere.json")):
        pass


BROKEN = """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "distributed" and any("spawn_main" in word for word in sys.orig_argv):
            raise ImportError("libfoo.so.1: cannot open shared object file")
sys.meta_path.insert(0, Finder())
"""


def test_workers_that_do_not_start_are_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(BROKEN)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    wanted = "the worker processes do not start: ImportError: libfoo.so.1: cannot open shared object file"
    with pytest.raises(EngineError) as caught, open_fleet(Crew(workers=2)):
        pass
    assert str(caught.value) == wanted
    assert capfd.readouterr().err == ""


def test_a_machine_that_can_start_no_thread_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**options: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(saint_cli.engine, "LocalCluster", refuse)
    with pytest.raises(EngineError, match=r"^the worker processes do not start: can't start new thread$"):
        open_fleet(Crew()).__enter__()
