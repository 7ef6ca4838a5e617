from pathlib import Path

import pytest
from make_jobs import make_done, make_task

from saint_cli.batch import execute
from saint_cli.batch.cluster import TaskEnded
from saint_cli.batch.dask_client import ClusterSpec
from saint_cli.batch.estimate import START_S, TimeEstimator
from saint_cli.batch.execute import BatchProgress
from saint_cli.batch.job_records import JobStatus
from saint_cli.batch.plan import PERMANENT_ERRORS, STARTING, Plan, Task
from saint_cli.errors import WorkerKilledError


def test_a_job_that_every_worker_died_of_is_recorded_as_such_and_not_tried_again_by_itself() -> None:
    record = execute._make_record(TaskEnded(make_task(), error=WorkerKilledError("3 workers died of it")))
    assert record.error.error_class in PERMANENT_ERRORS
    assert "3 workers died of it" in record.reason


def tasks(count: int) -> list[Task]:
    """So many jobs of ten seconds each, as assumed."""
    return [make_task(f"{n}.nii", 9.9 / 4.5) for n in range(count)]


@pytest.fixture(params=[False, True], ids=["first", "later"])
def standing(request: pytest.FixtureRequest) -> tuple[BatchProgress, list[float], list[Task]]:
    """A run of four jobs on two workers, and its clock; the first of its folder, or a later one."""
    jobs, now = tasks(4), [100.0]
    earlier = [make_done(jobs[0], 10.0)] if request.param else []
    plan, estimator = Plan(Path(), jobs), TimeEstimator(ClusterSpec(2, 1), earlier)
    progress = BatchProgress(plan, estimator, waiting={t.target: t for t in jobs}, workers=2, now=lambda: now[0])
    return progress, now, jobs


def test_what_jobs_report_corrects_the_time_left_of_all(
    standing: tuple[BatchProgress, list[float], list[Task]],
) -> None:
    progress, now, jobs = standing
    progress.start(jobs[0])
    progress.start(jobs[1])
    first = progress.seconds_left()
    assert first is None if not progress.estimator.is_measured else first == pytest.approx(START_S + 20, abs=0.5)
    now[0] += 10
    for job in jobs[:2]:
        progress.update(job, ["coronal slices", 0.25, 30.0, 10.0])
    assert progress.seconds_left() == pytest.approx(30 + 40, abs=0.5)  # two that need 30 s more, two of 40 s


def test_a_job_that_waits_for_its_worker_has_not_begun(standing: tuple[BatchProgress, list[float], list[Task]]) -> None:
    progress, now, jobs = standing
    for job in jobs[:3]:
        progress.start(job)
    now[0] += 50
    progress.update(jobs[2], ["fusion", 0.5, 4.0, 6.0])
    assert [job.task for job in progress.active_jobs()] == [jobs[2], jobs[0]]
    assert progress.active_jobs()[0].began == now[0] - 6
    progress.update(jobs[0], [STARTING, None, None, 0.0])
    assert progress.active_jobs()[1].expected_seconds(progress.estimator) == progress.estimator.seconds(jobs[0])


def test_an_overdue_job_makes_no_other_shorter(standing: tuple[BatchProgress, list[float], list[Task]]) -> None:
    progress, now, jobs = standing
    progress.start(jobs[0])
    progress.start(jobs[1])
    now[0] += 1000
    progress.estimator.learn_from_running([(jobs[2], 10.0)])
    assert progress.seconds_left() == pytest.approx(START_S + 10, abs=0.5)  # of the two that wait


def test_ended_jobs_are_learnt_from_and_leave_the_list(standing: tuple[BatchProgress, list[float], list[Task]]) -> None:
    progress, _, jobs = standing
    progress.start(jobs[0])
    progress.end(jobs[0], make_done(jobs[0], 20.0))
    assert (progress.active_jobs(), progress.count(JobStatus.DONE), len(progress.waiting)) == ([], 1, 3)
    assert 14 < progress.estimator.seconds(jobs[1]) < 20.5
