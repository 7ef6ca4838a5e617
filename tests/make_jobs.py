"""Jobs, tasks and records for tests, from the few values that matter to each."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from saint_cli.batch.job_records import JobRecord, JobStatus
from saint_cli.batch.plan import Task
from saint_cli.jobs import GridRequest, Job, ModelConfig
from saint_cli.options.job import JobSettings
from saint_cli.options.method import MethodOptions

SETTINGS = {field.name for field in fields(JobSettings)}


def make_settings(
    grid: GridRequest | None = None,
    model_config: ModelConfig | None = None,
    method_options: MethodOptions | None = None,
    **more: Any,
) -> JobSettings:
    """Settings, with defaults for those that are not named."""
    groups = {"grid": grid, "model_config": model_config, "method_options": method_options}
    return JobSettings(**{name: value for name, value in groups.items() if value is not None}, **more)


def make_job(
    source: Path,
    target: Path,
    grid: GridRequest | None = None,
    model_config: ModelConfig | None = None,
    method_options: MethodOptions | None = None,
    **more: Any,
) -> Job:
    """A job; ``more``: other fields of it, or of its settings."""
    return change_job(Job(source, target, make_settings(grid, model_config, method_options)), **more)


def change_job(job: Job, **changes: Any) -> Job:
    """The job with other fields, of its own or of its settings."""
    settings = replace(job.settings, **{name: value for name, value in changes.items() if name in SETTINGS})
    return replace(job, settings=settings, **{name: v for name, v in changes.items() if name not in SETTINGS})


def make_record(target: str = "a.nii", status: JobStatus = JobStatus.BEGUN, **more: Any) -> JobRecord:
    """A record with what every record holds, and no more."""
    own = {"key": "k", "name": target, "source": target, "model": "fast", "options": {}}
    return JobRecord(**{"target": target, "status": status, **own, **more})


def make_task(target: str = "a.nii", millions: float = 1.0, model: str = "fast", **more: Any) -> Task:
    """A task of so many million output voxels; ``more``: other fields of its record."""
    record = make_record(target, model=model, voxels_after=int(millions * 1e6), **more)
    return Task(Path(), target, Job(Path("in.nii"), Path(target)), record)


def make_done(task: Task, seconds: float, **more: Any) -> JobRecord:
    """The record of a task that took so many seconds on a CPU."""
    return replace(task.record, **{"status": JobStatus.DONE, "seconds": seconds, "device": "cpu", **more})
