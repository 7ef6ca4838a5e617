"""One scan from file to file: what ``saint upsample`` does once and what a batch does many times."""

from saint_cli.jobs.job import Done, Engine, Grid, Job
from saint_cli.jobs.run import run_job

__all__ = ["Done", "Engine", "Grid", "Job", "run_job"]
