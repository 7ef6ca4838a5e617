"""Jobs whose scan lies at a URL, or whose result belongs to one: fetched before, uploaded after."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from saint_cli.errors import OutputError, UsageError
from saint_cli.io import atomic, heads, remote, urls
from saint_cli.jobs.job import Job
from saint_cli.temporary import TemporaryFolder


@contextmanager
def staged(job: Job) -> Iterator[Job]:
    """The job with its files on this machine for as long as the context lasts; then its result is uploaded.

    Raises:
        RemoteError: the scan cannot be fetched.
        UsageError, OutputError: the result cannot be put where it belongs.
    """
    job.engine.check()
    _refuse_own_source(job)
    if job.destination is not None:
        remote.check_free(job.destination, overwrite=job.overwrite)
    elif os.path.lexists(job.target) and not job.target.is_dir() and not job.overwrite:
        raise OutputError(f"{job.target} exists; choose another name or pass --overwrite")
    with TemporaryFolder() as folder, atomic.together():
        scan, result = folder / "scan", folder / "result"
        here = replace(job, origin=None, destination=None)
        if job.destination is not None:
            result.mkdir()
            here = replace(here, target=result / job.destination.rpartition("/")[2])
        with ExitStack() as naming:
            if job.origin is not None:
                scan.mkdir()
                naming.enter_context(heads.naming(scan, job.origin))
                here = replace(here, source=remote.fetch(job.origin, scan))
            yield here
        if job.destination is not None:
            atomic.take_name(here.target)
            remote.upload(here.target, job.destination)  # pages and pictures wait for it


def _refuse_own_source(job: Job) -> None:
    """Refuse a result that would replace what it is made of, however the two are named."""
    target = str(job.target) if job.destination is None else job.destination
    sources = [str(job.source)]
    if job.origin is not None:
        sources = [job.origin.shown, *(f"{job.origin.above}/{item.name}" for item in job.origin.items)]
    if urls.place(target) in map(urls.place, sources):
        raise UsageError(f"{urls.place(target)} is the input itself; write the result beside it")
