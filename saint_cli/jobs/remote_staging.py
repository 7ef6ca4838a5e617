"""Jobs whose scan or result lies at a URL: the scan is fetched before, the result uploaded after."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from saint_cli.errors import TargetExistsError, UsageError
from saint_cli.io import atomic
from saint_cli.io.remote import peek, transfer, urls
from saint_cli.jobs.job import Job, LocalJob
from saint_cli.jobs.location import format_location
from saint_cli.runtime.temporary import TemporaryFolder


@contextmanager
def stage_files(job: Job) -> Iterator[LocalJob]:
    """The job with its files on this machine for as long as the context lasts; then its result is uploaded.

    Raises:
        RemoteError: the scan cannot be fetched.
        UsageError, OutputError: the result cannot be put where it belongs.
    """
    job.settings.model_config.check(slabs=bool(job.settings.grid.slab))
    _check_not_source(job)
    if not isinstance(job.target, Path):
        transfer.check_target(job.target.url, overwrite=job.overwrite)
    elif os.path.lexists(job.target) and not job.target.is_dir() and not job.overwrite:
        raise TargetExistsError(f"{job.target} exists; choose another name or pass --overwrite")
    with TemporaryFolder() as folder, atomic.commit_together():
        source, target = job.source, job.target
        if not isinstance(target, Path):
            (folder / "result").mkdir()
            target = folder / "result" / target.url.rpartition("/")[2]
        with ExitStack() as naming:
            if not isinstance(source, Path):
                (folder / "scan").mkdir()
                naming.enter_context(peek.name_urls_in_errors(folder / "scan", source))
                source = transfer.fetch(source, folder / "scan")
            yield job.with_local_files(source, target)
        if not isinstance(job.target, Path):
            atomic.commit_now(target)
            transfer.upload(target, job.target.url)  # pages and pictures wait for it


def _check_not_source(job: Job) -> None:
    """Refuse a result that would replace what it is made of, whatever the two are called."""
    sources = [format_location(job.source)]
    if not isinstance(job.source, Path):
        sources += [f"{job.source.parent_url}/{item.name}" for item in job.source.items]
    target = urls.normalize_location(str(job.target) if isinstance(job.target, Path) else job.target.url)
    if target in map(urls.normalize_location, sources):
        raise UsageError(f"{target} is the input itself; write the result beside it")
