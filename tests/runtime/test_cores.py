"""Threads: one for each core that is free, by affinity, quota and what other programs take."""

from collections import namedtuple
from pathlib import Path

import psutil
import pytest

from saint_cli.runtime import control_groups, cores

Times = namedtuple("Times", "user nice system idle iowait")


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine of eight cores without control groups; the folder in which a test may put some."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(cores, "_allowed_cores", lambda: list(range(8)))
    monkeypatch.setattr(control_groups, "OWN_GROUPS_FILE", tmp_path / "own")
    monkeypatch.setattr(control_groups, "GROUPS_FOLDER", tmp_path)
    monkeypatch.setattr(cores, "MIN_OBSERVATION_S", 0.0)
    monkeypatch.setattr(cores.CoreLoad, "_last", None)
    return tmp_path


def observed(monkeypatch: pytest.MonkeyPatch, busy: float, own: float = 0.0) -> cores.CoreLoad:
    """An observation of one second in which others kept so many cores busy, and this process so many."""
    clock, own_clock, work = iter([0.0, 1.0, 1.0]), iter([0.0, own]), iter([100.0, 100.0 + busy + own])
    monkeypatch.setattr(cores.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(cores.time, "process_time", lambda: next(own_clock))
    monkeypatch.setattr(cores, "_work_s", lambda: next(work))
    return cores.CoreLoad()


@pytest.mark.parametrize(
    ("busy", "count"), [(0.0, 8), (0.3, 8), (1.0, 7), (2.6, 5), (7.9, 1), (30.0, 1)], ids=str
)  # fmt: skip
@pytest.mark.usefixtures("eight")
def test_busy_cores_get_no_thread_and_one_thread_is_always_left(
    busy: float, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = observed(monkeypatch, busy).choose_threads()
    assert (threads.count, threads.cores) == (count, 8)
    assert (threads.note is None) == (count == 8)


@pytest.mark.usefixtures("eight")
def test_unused_cores_are_reported_with_the_option_to_use_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert observed(monkeypatch, 1.0).choose_threads().note == "1 of 8 cores is busy; --threads 8 would use all"
    monkeypatch.setattr(cores.CoreLoad, "_last", None)
    note = observed(monkeypatch, 3.0).choose_idle(option="--workers").note
    assert note == "3 of 8 cores are busy; --workers 8 would use all"


@pytest.mark.usefixtures("eight")
def test_the_work_of_this_process_is_not_that_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    assert observed(monkeypatch, 0.0, own=3.0).choose_threads().count == 8


@pytest.mark.usefixtures("eight")
def test_a_process_of_the_lowest_priority_keeps_a_core_busy_too(monkeypatch: pytest.MonkeyPatch) -> None:
    cpus = [Times(1.0, 5.0, 0.5, 3.0, 7.0), Times(0.0, 0.0, 0.0, 9.0, 0.0)]
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: cpus)
    assert cores._work_s() == 6.5


@pytest.mark.usefixtures("eight")
def test_cores_of_others_alone_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_allowed_cores", lambda: [1])
    cpus = [Times(4.0, 0.0, 0.0, 0.0, 0.0), Times(1.0, 0.0, 0.0, 9.0, 0.0)]
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: cpus)
    assert cores._work_s() == 1.0


@pytest.mark.usefixtures("eight")
def test_a_system_that_reports_nothing_counts_as_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(percpu: bool) -> None:
        raise PermissionError

    monkeypatch.setattr(psutil, "cpu_times", refuse)
    assert cores.CoreLoad().choose_threads().count == 8


@pytest.mark.parametrize(
    ("word", "count"), [("3", 3), ("3,2", 3), ("99", 8), ("", 7), ("0", 7), ("many", 7), ("-2", 7)], ids=str
)
@pytest.mark.usefixtures("eight")
def test_openmp_threads_are_respected_where_they_are_a_number(
    word: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", word)
    assert observed(monkeypatch, 1.0).choose_threads().count == count


@pytest.mark.usefixtures("eight")
def test_asked_threads_are_given_up_to_one_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert cores.CoreLoad().choose_threads(5) == cores.ThreadChoice(5, 8)
    many = cores.CoreLoad().choose_threads(1000)
    assert (many.count, many.note) == (8, "`threads=1000`: 8 cores can be used here; taking 8")


@pytest.mark.usefixtures("eight")
def test_no_more_threads_than_suit_an_idle_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert observed(monkeypatch, 1.0).choose_threads(most=4).count == 4


@pytest.mark.parametrize(
    ("own", "files", "count"),
    [
        ("0::/pod", {"pod/cpu.max": "250000 100000"}, 2),
        ("0::/pod", {"pod/cpu.max": "max 100000"}, 8),
        ("0::/pod/box", {"pod/cpu.max": "300000 100000", "pod/box/cpu.max": "max 100000"}, 3),
        ("0::/unseen", {"cpu.max": "50000 100000"}, 1),
        ("4:cpu,cpuacct:/job", {"cpu/job/cpu.cfs_quota_us": "400000", "cpu/job/cpu.cfs_period_us": "100000"}, 4),
        ("4:cpu:/job", {"cpu/job/cpu.cfs_quota_us": "-1", "cpu/job/cpu.cfs_period_us": "100000"}, 8),
        ("4:memory:/job", {"cpu/job/cpu.cfs_quota_us": "100000", "cpu/job/cpu.cfs_period_us": "100000"}, 8),
    ],
    ids=["version 2", "no limit", "of a parent", "container", "version 1", "version 1, no limit", "other controller"],
)
def test_the_quota_of_control_groups_is_a_number_of_cores(
    own: str, files: dict[str, str], count: int, eight: Path
) -> None:
    (eight / "own").write_text(own + "\n")
    for name, text in files.items():
        (eight / name).parent.mkdir(parents=True, exist_ok=True)
        (eight / name).write_text(text + "\n")
    assert cores.count_usable_cores() == count


@pytest.mark.usefixtures("eight")
def test_a_count_holds_for_the_next_job(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 1.0, 2.0, 3.0])
    work = iter([0.0, 4.0, 4.0])
    monkeypatch.setattr(cores.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(cores.time, "process_time", lambda: 0.0)
    monkeypatch.setattr(cores, "_work_s", lambda: next(work))
    assert [cores.CoreLoad().choose_threads().count for _ in range(2)] == [4, 4]
