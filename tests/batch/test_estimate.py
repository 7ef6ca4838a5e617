from dataclasses import replace
from pathlib import Path

import pytest
from make_jobs import make_done, make_task

from saint_cli.batch.dask_client import ClusterSpec
from saint_cli.batch.estimate import CORE_SECONDS, FEW, START_S, TimeEstimator, estimate_memory_mb, size_workers
from saint_cli.batch.job_records import JobRecord, JobStatus
from saint_cli.batch.plan import Task
from saint_cli.models import shipped


def task(millions: float, model: str = "fast") -> Task:
    return make_task("t", millions, model, options={"tta": False, "directions": 2})


def test_bigger_scans_and_bigger_networks_take_longer_and_more_threads_less() -> None:
    estimator = TimeEstimator(ClusterSpec(1, 1))
    assert estimator.seconds(task(50)) > estimator.seconds(task(5))
    assert estimator.seconds(task(50, "base")) > estimator.seconds(task(50))
    assert estimator.seconds(make_task("t", 5, volumes=8)) > 4 * estimator.seconds(make_task("t", 5))
    assert estimate_memory_mb(make_task("t", 5, volumes=8)) == estimate_memory_mb(make_task("t", 5))
    assert TimeEstimator(ClusterSpec(1, 4)).seconds(task(50)) < estimator.seconds(task(50))


def test_what_jobs_took_corrects_what_others_are_thought_to_take() -> None:
    estimator = TimeEstimator(ClusterSpec(1, 1))
    assumed = estimator.seconds(task(10))
    estimator.learn(make_done(task(20), 3 * estimator.seconds(task(20))))
    estimator.learn(make_done(task(20), 1e6, status=JobStatus.FAILED))
    estimator.learn(make_done(task(20), 1e-6, weights_sha256=""))  # means of slices
    assert estimator.seconds(task(10)) == pytest.approx(3 * assumed)


def test_workers_share_what_is_left() -> None:
    four, one = TimeEstimator(ClusterSpec(4)), TimeEstimator(ClusterSpec(1))
    assert four.seconds_until_end([50.0] * 8, [], warm=True) == one.seconds_until_end([50.0] * 8, [], warm=True) / 4
    assert four.seconds_until_end([], [30.0, 10.0], warm=True) == 30.0
    assert one.seconds_until_end([], [30.0, 10.0], warm=True) == 40.0


def done(one: Task, estimator: TimeEstimator, times: float) -> JobRecord:
    """The record of a job that took so many times longer than assumed."""
    return make_done(one, times * estimator.assumed_seconds(one))


def test_the_first_job_of_this_run_corrects_what_earlier_runs_took_on_a_machine_that_was_less_busy() -> None:
    one = task(20)
    estimator = TimeEstimator(ClusterSpec(1, 1), [done(one, TimeEstimator(ClusterSpec(1, 1)), 2.0)] * 60)
    assert estimator.seconds(one) == pytest.approx(2 * estimator.assumed_seconds(one))
    estimator.learn(done(one, estimator, 9.0))
    estimator.learn_from_running([])
    assert estimator.seconds(one) == pytest.approx(9 * estimator.assumed_seconds(one))


def test_jobs_that_run_correct_the_others_before_any_has_ended() -> None:
    one, estimator = task(20), TimeEstimator(ClusterSpec(2, 1))
    estimator.learn_from_running([(one, 7 * estimator.assumed_seconds(one))])
    assert estimator.seconds(one) == pytest.approx(7 * estimator.assumed_seconds(one))
    for _ in range(FEW):
        estimator.learn(done(one, estimator, 2.0))
    estimator.learn_from_running([(one, 70 * estimator.assumed_seconds(one))])
    assert estimator.seconds(one) == pytest.approx(2 * estimator.assumed_seconds(one))


def test_workers_that_have_yet_to_start_and_pages_take_longer() -> None:
    plain, estimator = task(5), TimeEstimator(ClusterSpec(2))
    paged = replace(plain, job=replace(plain.job, page=Path("page.html")))
    assumed = [estimator.assumed_seconds(plain)] * 2
    assert estimator.seconds_left([plain] * 2) == pytest.approx(
        estimator.seconds_until_end(assumed, [], warm=True) + START_S
    )
    assert estimator.seconds_left([]) == 0
    assert estimator.seconds(paged) > estimator.seconds(plain)
    before = estimator.seconds(plain)
    estimator.learn(make_done(plain, estimator.seconds(paged), page="page.html"))
    assert estimator.seconds(plain) == pytest.approx(before)


@pytest.mark.parametrize(
    ("jobs", "cores", "jobs_in_memory", "gpus", "wanted"),
    [
        (9, 8, 99, 0, ClusterSpec(8, 1)),
        (9, 8, 2, 0, ClusterSpec(2, 4)),
        (9, 8, 0, 0, ClusterSpec(1, 8)),
        (3, 8, 99, 0, ClusterSpec(3, 2)),
        (9, 8, 99, 2, ClusterSpec(2, 4, 2)),
    ],
    ids=["cores", "memory", "one at least", "no more than jobs", "GPUs"],
)
def test_workers_fit_cores_memory_and_gpus(
    jobs: int, cores: int, jobs_in_memory: int, gpus: int, wanted: ClusterSpec
) -> None:
    tasks = [task(50)] * jobs
    assert size_workers(tasks, cores, estimate_memory_mb(tasks[0]) * (jobs_in_memory + 0.5), gpus) == wanted


def test_a_scan_that_cannot_be_held_leaves_the_others_their_workers() -> None:
    claim = make_task("t", 50_000, shape_before=(65535, 65535, 11))
    assert size_workers([task(50)] * 3 + [claim], 4, 4 * estimate_memory_mb(task(50))) == ClusterSpec(4, 1)


@pytest.mark.parametrize("gpus", [0, 1])
def test_auto_takes_as_long_as_the_default_model(gpus: int) -> None:
    estimator = TimeEstimator(ClusterSpec(1, 1, gpus))
    assert estimator.seconds(task(50, "auto")) == estimator.seconds(task(50, "medium"))


def test_every_shipped_model_has_a_time_of_its_own_between_those_of_its_neighbours() -> None:
    estimator = TimeEstimator(ClusterSpec(1, 1))
    fast, medium, base = (estimator.seconds(task(50, model)) for model in ("fast", "medium", "base"))
    assert fast < medium < base
    assert set(CORE_SECONDS) == {shipped.remove_prefix(name) for name in shipped.read_manifest()}
