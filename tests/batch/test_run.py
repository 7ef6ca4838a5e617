from pathlib import Path

from saint_cli.batch import run
from saint_cli.batch.plan import LASTING, Task
from saint_cli.engine import Ended
from saint_cli.errors import DeadlyJobError
from saint_cli.jobs import Job


def test_a_job_that_every_worker_died_of_is_recorded_as_such_and_not_tried_again_by_itself() -> None:
    task = Task(Path("out"), "a.nii", Job(Path("a.nii"), Path("out/a.nii")), {"target": "a.nii"})
    record = run._record(Ended(task, error=DeadlyJobError("3 workers died of it")))
    assert record["error"]["class"] in LASTING
    assert "3 workers died of it" in record["error"]["message"]
