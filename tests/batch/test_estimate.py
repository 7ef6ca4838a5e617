from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from saint_cli.batch.estimate import FEW, START_S, Clock, crew_for, memory_mb
from saint_cli.batch.plan import Task
from saint_cli.engine import Crew
from saint_cli.jobs import Job


def task(millions: float, model: str = "fast") -> Task:
    voxels = int(millions * 1e6)
    entry = {"model": model, "options": {"tta": False, "directions": 2}, "voxels_after": voxels}
    return Task(Path(), "t", Job(Path(), Path()), entry, voxels)


def test_bigger_scans_and_bigger_networks_take_longer_and_more_threads_less() -> None:
    clock = Clock(Crew(1, 1))
    assert clock.seconds(task(50)) > clock.seconds(task(5))
    assert clock.seconds(task(50, "base")) > clock.seconds(task(50))
    assert Clock(Crew(1, 4)).seconds(task(50)) < clock.seconds(task(50))


def test_what_jobs_took_corrects_what_others_are_thought_to_take() -> None:
    clock = Clock(Crew(1, 1))
    assumed = clock.seconds(task(10))
    clock.learn({**task(20).entry, "status": "done", "seconds": 3 * clock.seconds(task(20)), "device": "cpu"})
    clock.learn({**task(20).entry, "status": "failed", "seconds": 1e6, "device": "cpu"})
    assert clock.seconds(task(10)) == pytest.approx(3 * assumed)


def test_workers_share_what_is_left() -> None:
    tasks = [task(50) for _ in range(8)]
    assert Clock(Crew(4)).left(tasks, warm=True) == pytest.approx(Clock(Crew(1)).left(tasks, warm=True) / 4)
    assert Clock(Crew(4)).left([], [30.0, 10.0], warm=True) == 30.0
    assert Clock(Crew(1)).left([], [30.0, 10.0], warm=True) == 40.0


def told(one: Task, clock: Clock, times: float) -> dict[str, Any]:
    """The record of a job that took so many times longer than assumed."""
    return {**one.entry, "status": "done", "seconds": times * clock.assumed(one), "device": "cpu"}


def test_this_run_counts_more_than_earlier_ones_as_soon_as_enough_jobs_have_ended() -> None:
    one = task(20)
    clock = Clock(Crew(1, 1), [told(one, Clock(Crew(1, 1)), 9.0)] * 60)
    assert clock.seconds(one) == pytest.approx(9 * clock.assumed(one))
    for _ in range(FEW):
        clock.learn(told(one, clock, 2.0))
    assert clock.seconds(one) == pytest.approx(2 * clock.assumed(one))


def test_jobs_that_run_correct_the_others_before_any_has_ended() -> None:
    one, clock = task(20), Clock(Crew(2, 1))
    clock.presume([(one, 7 * clock.assumed(one))])
    assert clock.seconds(one) == pytest.approx(7 * clock.assumed(one))
    for _ in range(FEW):
        clock.learn(told(one, clock, 2.0))
    clock.presume([(one, 70 * clock.assumed(one))])
    assert clock.seconds(one) == pytest.approx(2 * clock.assumed(one))


def test_workers_that_have_yet_to_start_and_pages_take_longer() -> None:
    plain, clock = task(5), Clock(Crew(2))
    paged = replace(plain, job=replace(plain.job, page=Path("page.html")))
    assert clock.left([plain] * 2) == pytest.approx(clock.left([plain] * 2, warm=True) + START_S)
    assert clock.left([]) == 0
    assert clock.seconds(paged) > clock.seconds(plain)
    done = {**plain.entry, "status": "done", "device": "cpu", "seconds": clock.seconds(paged), "page": "page.html"}
    assumed = clock.seconds(plain)
    clock.learn(done)
    assert clock.seconds(plain) == pytest.approx(assumed)


@pytest.mark.parametrize(
    ("jobs", "cores", "jobs_in_memory", "gpus", "wanted"),
    [
        (9, 8, 99, 0, Crew(8, 1)),
        (9, 8, 2, 0, Crew(2, 4)),
        (9, 8, 0, 0, Crew(1, 8)),
        (3, 8, 99, 0, Crew(3, 2)),
        (9, 8, 99, 2, Crew(2, 4, 2)),
    ],
    ids=["cores", "memory", "one at least", "no more than jobs", "GPUs"],
)
def test_workers_fit_cores_memory_and_gpus(jobs: int, cores: int, jobs_in_memory: int, gpus: int, wanted: Crew) -> None:
    tasks = [task(50)] * jobs
    assert crew_for(tasks, cores, memory_mb(tasks[0]) * (jobs_in_memory + 0.5), gpus) == wanted


def test_a_scan_that_cannot_be_held_leaves_the_others_their_workers() -> None:
    claim = replace(task(50_000), entry={**task(50_000).entry, "shape_before": (65535, 65535, 11)})
    assert crew_for([task(50)] * 3 + [claim], 4, 4 * memory_mb(task(50))) == Crew(4, 1)


@pytest.mark.parametrize(("device", "model"), [("cpu", "fast"), ("cuda", "base"), ("mps", "base")])
def test_auto_takes_as_long_as_the_model_that_suits_the_device(device: str, model: str) -> None:
    clock = Clock(Crew(1, 1, device=device))
    assert clock.seconds(task(50, "auto")) == clock.seconds(task(50, model))
