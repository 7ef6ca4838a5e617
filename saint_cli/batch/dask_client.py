"""The connection to a Dask cluster: worker processes of this machine, or a cluster that runs already."""

import atexit
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import dask
from distributed import Client, LocalCluster
from distributed.deploy.spec import close_clusters

from saint_cli.errors import ClusterError
from saint_cli.runtime.native_output import capture_stderr, find_first_error
from saint_cli.runtime.temporary import TemporaryFolder
from saint_cli.runtime.version import __version__

SLOT_RESOURCE = "saint"
"""The Dask resource of which each worker of this machine has one and each task takes one, so that others queue."""

CONNECT_TIMEOUT_S = 30.0
"""How long a scheduler may take to answer."""

DASK_SETTINGS = {
    "distributed.scheduler.allowed-failures": 0,
    "distributed.admin.tick.limit": "1h",
    "distributed.admin.log-length": 500,
}
"""Deaths of workers are reported to the client at once; no warnings of a busy client; no long logs."""


@dataclass(frozen=True)
class ClusterSpec:
    """Which workers to use: processes of this machine with so many threads each, or those of a running cluster.

    gpus: how many GPUs of this machine the workers share, worker i taking GPU i; 0 for none.
    scheduler: an address such as ``tcp://host:8786``, or the path of a scheduler file; other fields are then unused.
    note: why they have fewer threads than there are cores.
    """

    workers: int = 1
    threads: int = 1
    gpus: int = 0
    scheduler: str | None = None
    note: str | None = None


@contextmanager
def open_client(spec: ClusterSpec) -> Iterator[Client]:
    """A client of the cluster; workers of this machine end with the context, at the latest with this process.

    Raises:
        ClusterError: workers do not start, no scheduler answers, or its workers have another saint or none.
    """
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    if spec.scheduler is not None:
        with _connect(spec.scheduler) as client:
            _check_versions(client)
            yield client
        return
    with (
        TemporaryFolder() as folder,
        dask.config.set({**DASK_SETTINGS, "temporary-directory": str(folder)}),
        _start_workers(spec, str(folder)) as workers,
        Client(workers, set_as_default=False) as client,
    ):
        client.run(_release_stderr)
        yield client


def _start_workers(spec: ClusterSpec, folder: str) -> LocalCluster:
    failure: Exception | None = None
    with capture_stderr() as lines:  # workers that fail at their start write a traceback each
        try:
            workers = LocalCluster(
                n_workers=spec.workers,
                threads_per_worker=spec.threads,
                processes=True,
                memory_limit=0,
                resources={SLOT_RESOURCE: 1},
                local_directory=folder,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            )
        except Exception as error:  # of many kinds: that of the system, of Dask, and of what a worker imports
            failure = error
        except BaseException:  # Ctrl-C or SIGTERM: half started, it cannot be closed in order; it ends with the process
            atexit.unregister(close_clusters)
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)
            raise
    if failure is not None:
        raise ClusterError(f"the worker processes do not start: {find_first_error(lines, failure)}")
    return workers


def _release_stderr() -> None:
    """On a worker: close the file that caught what was written at its start, which nobody reads any more."""
    with suppress(OSError):
        if os.fstat(2).st_nlink == 0:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
            os.close(null)


def _connect(scheduler: str) -> Client:
    try:
        if "://" in scheduler:
            return Client(scheduler, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
        if not Path(scheduler).is_file():
            raise ClusterError(f"--scheduler {scheduler} is neither an address such as tcp://host:8786 nor a file")
        return Client(scheduler_file=scheduler, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise ClusterError(f"--scheduler {scheduler}: no Dask scheduler answers ({type(error).__name__})") from None


def _check_versions(client: Client) -> None:
    try:
        versions = set(client.run(_get_version).values())
    except ModuleNotFoundError:
        raise ClusterError("the workers of this cluster cannot import saint_cli; install saint for them too") from None
    others = versions - {__version__}
    if others:
        raise ClusterError(f"the workers have saint {', '.join(others)}, this is {__version__}; use one version")


def _get_version() -> str:
    return __version__
