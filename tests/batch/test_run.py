from pathlib import Path

import pytest

from saint_cli.batch import run
from saint_cli.batch.estimate import START_S, Clock
from saint_cli.batch.plan import LASTING, STARTING, Plan, Task
from saint_cli.batch.run import Progress
from saint_cli.engine import Crew, Ended
from saint_cli.errors import DeadlyJobError
from saint_cli.jobs import Job


def test_a_job_that_every_worker_died_of_is_recorded_as_such_and_not_tried_again_by_itself() -> None:
    task = Task(Path("out"), "a.nii", Job(Path("a.nii"), Path("out/a.nii")), {"target": "a.nii"})
    record = run._record(Ended(task, error=DeadlyJobError("3 workers died of it")))
    assert record["error"]["class"] in LASTING
    assert "3 workers died of it" in record["error"]["message"]


def tasks(count: int) -> list[Task]:
    """So many jobs of ten seconds each, as assumed."""
    entry = {"model": "fast", "options": {}, "voxels_after": int(9.9 / 4.5e-6)}
    return [Task(Path(), f"{n}.nii", Job(Path(), Path()), {**entry, "name": f"{n}"}) for n in range(count)]


@pytest.fixture(params=[False, True], ids=["first", "later"])
def standing(request: pytest.FixtureRequest) -> tuple[Progress, list[float], list[Task]]:
    """A run of four jobs on two workers, and its clock; the first of its folder, or a later one."""
    jobs, now = tasks(4), [100.0]
    earlier = [{**jobs[0].entry, "status": "done", "seconds": 10.0, "device": "cpu"}] if request.param else []
    plan, clock = Plan(Path(), jobs), Clock(Crew(2, 1), earlier)
    progress = Progress(plan, clock, waiting={t.target: t for t in jobs}, workers=2, now=lambda: now[0])
    return progress, now, jobs


def test_what_jobs_tell_of_themselves_corrects_the_time_left_of_all(
    standing: tuple[Progress, list[float], list[Task]],
) -> None:
    progress, now, jobs = standing
    progress.start(jobs[0])
    progress.start(jobs[1])
    first = progress.left_s()
    assert first is None if not progress.clock.is_measured else first == pytest.approx(START_S + 20, abs=0.5)
    now[0] += 10
    for job in jobs[:2]:
        progress.hear(job, ["coronal slices", 0.25, 30.0, 10.0])
    assert progress.left_s() == pytest.approx(30 + 40, abs=0.5)  # two that need 30 s more, two of 40 s


def test_a_job_that_waits_for_its_worker_has_not_begun(standing: tuple[Progress, list[float], list[Task]]) -> None:
    progress, now, jobs = standing
    for job in jobs[:3]:
        progress.start(job)
    now[0] += 50
    progress.hear(jobs[2], ["fusion", 0.5, 4.0, 6.0])
    assert [job.task for job in progress.at_work()] == [jobs[2], jobs[0]]
    assert progress.at_work()[0].began == now[0] - 6
    progress.hear(jobs[0], [STARTING, None, None, 0.0])
    assert progress.at_work()[1].expected(progress.clock) == progress.clock.seconds(jobs[0])


def test_an_overdue_job_makes_no_other_shorter(standing: tuple[Progress, list[float], list[Task]]) -> None:
    progress, now, jobs = standing
    progress.start(jobs[0])
    progress.start(jobs[1])
    now[0] += 1000
    progress.clock.presume([(jobs[2], 10.0)])
    assert progress.left_s() == pytest.approx(START_S + 10, abs=0.5)  # of the two that wait


def test_ended_jobs_are_learnt_from_and_leave_the_list(standing: tuple[Progress, list[float], list[Task]]) -> None:
    progress, _, jobs = standing
    progress.start(jobs[0])
    record = {**jobs[0].entry, "status": "done", "seconds": 20.0, "device": "cpu"}
    progress.end(jobs[0], record)
    assert (progress.at_work(), progress.count("done"), len(progress.waiting)) == ([], 1, 3)
    assert 14 < progress.clock.seconds(jobs[1]) < 20.5
