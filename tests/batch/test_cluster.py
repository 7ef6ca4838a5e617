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

from saint_cli.batch import dask_client
from saint_cli.batch.cluster import SHORT_TASKS_PER_WORKER, Cluster, TaskEnded, TaskMessage, TaskStarted, open_cluster
from saint_cli.batch.dask_client import ClusterSpec
from saint_cli.errors import ClusterError


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with open_cluster(ClusterSpec(workers=2, threads=3)) as opened:
        yield opened


def ended(events: Iterator[TaskStarted | TaskMessage | TaskEnded]) -> list[TaskEnded]:
    return [event for event in events if isinstance(event, TaskEnded)]


def test_every_task_comes_back_once_with_its_result(cluster: Cluster) -> None:
    results = {end.task: end.result for end in ended(cluster.run(range(50), standin.double))}
    assert results == {task: 2 * task for task in range(50)}


def test_temporary_files_of_workers_go_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with open_cluster(ClusterSpec()) as cluster:
        assert [event.result for event in cluster.run([1], standin.double) if isinstance(event, TaskEnded)] == [2]
        assert len(list(tmp_path.iterdir())) == 1
    assert not list(tmp_path.iterdir())


def test_no_tasks_is_no_work(cluster: Cluster) -> None:
    assert list(cluster.run([], standin.double)) == []


def test_an_exception_ends_its_task_alone(cluster: Cluster) -> None:
    ends = {end.task: end for end in ended(cluster.run(range(4), standin.refuse_odd))}
    assert [ends[n].result for n in (0, 2)] == [0, 2]
    assert [str(ends[n].error) for n in (1, 3)] == ["1 is odd", "3 is odd"]


def test_messages_of_a_task_arrive_before_it_ends(cluster: Cluster, tmp_path: Path) -> None:
    heard = []
    for event in cluster.run([tmp_path / "a", tmp_path / "b"], standin.send_until_marked):
        if isinstance(event, TaskMessage):
            heard.append((event.task.name, *event.message))
            event.task.touch()  # only then does it end
    assert set(heard) == {("a", "half", 0.5), ("b", "half", 0.5)}


def test_tasks_are_taken_only_as_they_can_be_run(cluster: Cluster) -> None:
    taken = []

    def tasks() -> Iterator[int]:
        for n in range(100):
            taken.append(n)
            yield n

    done = 0
    for event in cluster.run(tasks(), standin.double):
        done += isinstance(event, TaskEnded)
        assert len(taken) - done <= 2 * SHORT_TASKS_PER_WORKER + 1
    assert done == 100


def test_workers_are_processes_that_run_one_task_at_a_time_on_all_their_threads(
    cluster: Cluster, tmp_path: Path
) -> None:
    slots = [end.result for end in ended(cluster.run(range(8), standin.describe_slot))]
    assert {slot.threads for slot, _ in slots} == {3}
    assert os.getpid() not in {pid for _, pid in slots}
    assert len({pid for _, pid in slots}) == 2
    marks = [tmp_path / str(n) for n in range(12)]
    assert not any(end.result for end in ended(cluster.run(marks, standin.overlaps)))


def test_a_task_that_kills_its_worker_three_times_is_given_up_and_the_others_go_on(tmp_path: Path) -> None:
    with open_cluster(ClusterSpec(workers=2)) as cluster:
        tasks = [tmp_path / name for name in ("a", "killer", "b", "twice", "c", "d")]
        ends = {end.task.name: end for end in ended(cluster.run(tasks, standin.kill_worker))}
    assert set(ends) == {"a", "killer", "b", "twice", "c", "d"}
    assert isinstance(ends.pop("killer").error, ClusterError)
    # three, or four where another task waited at the worker that died: only a death alone is surely its own
    assert len(list(tmp_path.glob("killer.death*"))) in (3, 4)
    assert {name: end.result for name, end in ends.items()} == {name: name for name in ends}


def dask(program: str, *arguments: object) -> subprocess.Popen[bytes]:
    """``dask-scheduler`` or ``dask-worker`` as a program of its own, quiet."""
    command = [sys.executable, "-m", f"distributed.cli.{program}", "--no-dashboard", *map(str, arguments)]
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(command, env=path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture
def scheduler_and_file(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A scheduler with one worker of two threads, as separate programs; and the scheduler file."""
    file = tmp_path / "scheduler.json"
    scheduler = dask("dask_scheduler", "--host", "127.0.0.1", "--port", 0, "--scheduler-file", file)
    space = ("--local-directory", tmp_path / "space", "--death-timeout", 120)
    worker = dask("dask_worker", "--nthreads", 2, "--scheduler-file", file, *space)
    deadline = time.monotonic() + 60
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    yield scheduler, file
    for process in (worker, scheduler):
        process.terminate()
        process.wait(30)


def test_a_running_cluster_does_the_same_and_its_end_is_reported(
    scheduler_and_file: tuple[subprocess.Popen[bytes], Path], tmp_path: Path
) -> None:
    scheduler, file = scheduler_and_file
    with open_cluster(ClusterSpec(scheduler=str(file))) as cluster:
        slots = [end.result for end in ended(cluster.run(range(6), standin.describe_slot))]
        assert {slot.threads for slot, _ in slots} == {2}
        marks = [tmp_path / str(n) for n in range(8)]
        assert not any(end.result for end in ended(cluster.run(marks, standin.overlaps)))
        threading.Timer(0.5, scheduler.send_signal, [signal.SIGKILL]).start()
        with pytest.raises(ClusterError, match="scheduler is gone"):
            list(cluster.run(range(100_000), standin.describe_slot))


def test_a_scheduler_that_is_not_there_is_reported_in_a_line() -> None:
    with pytest.raises(ClusterError, match="neither an address"), open_cluster(ClusterSpec(scheduler="nowhere.json")):
        pass


BROKEN = """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "distributed" and any("spawn_main" in word for word in sys.orig_argv):
            raise ImportError("libfoo.so.1: cannot open shared object file")
sys.meta_path.insert(0, Finder())
"""


def test_workers_that_do_not_start_are_reported_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(BROKEN)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    wanted = "the worker processes do not start: ImportError: libfoo.so.1: cannot open shared object file"
    one = ClusterSpec(workers=1)  # the tracebacks of two workers may run into each other
    with pytest.raises(ClusterError) as caught, open_cluster(one):
        pass
    assert str(caught.value) == wanted
    assert capfd.readouterr().err == ""


def test_a_machine_that_can_start_no_thread_is_reported_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**options: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(dask_client, "LocalCluster", refuse)
    with pytest.raises(ClusterError, match=r"^the worker processes do not start: can't start new thread$"):
        open_cluster(ClusterSpec()).__enter__()
