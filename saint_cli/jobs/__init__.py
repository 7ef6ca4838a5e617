"""One scan from file to file: what ``saint upsample`` does once and what a batch does many times."""

from saint_cli.jobs.job import Job, JobResult
from saint_cli.jobs.run import run_job
from saint_cli.options.grid import GridRequest
from saint_cli.options.model import ModelConfig

__all__ = ["GridRequest", "Job", "JobResult", "ModelConfig", "run_job"]
