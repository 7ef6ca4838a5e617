"""The networks of a job, loaded while its scan is read, and the memory that they may take."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from saint_cli.jobs.job import PlannedJob
from saint_cli.models.shipped import CT_MODALITY
from saint_cli.options.model import ModelConfig

if TYPE_CHECKING:
    from saint_cli.models.weights import SaintModel
    from saint_cli.runtime.device_selection import Compute

    NetworksCallback = Callable[[str], tuple[SaintModel, Compute]]
    """Waits for the networks for a modality, and raises the error of loading them."""


def start_networks(config: ModelConfig, *, slabs: bool) -> "NetworksCallback":
    """Load the networks in a thread meanwhile; the function that is returned waits for it, and raises its error.

    slabs: whether the networks are those for slabs. The function takes the modality of the scan, on which the model
    depends too: most scans are CT, whose networks are there then.
    """
    future: Future[tuple[SaintModel, Compute]] = Future()

    def start() -> None:
        try:
            future.set_result(config.start(slabs=slabs))
        except BaseException as error:  # raised where the result is waited for
            future.set_exception(error)

    threading.Thread(target=start, name="saint-start").start()  # no daemon: Python cannot end amid an import of torch

    def wait(modality: str) -> "tuple[SaintModel, Compute]":
        model, compute = future.result()
        return (model if modality == CT_MODALITY else config.load_for(modality, slabs=slabs)), compute

    return wait


def finish_networks(
    wait_for_networks: "NetworksCallback", planned: PlannedJob, modality: str, more_bytes: int = 0
) -> "tuple[SaintModel, Compute]":
    """The networks for a modality, and their device with the memory that a job leaves them.

    more_bytes: what the job takes for each voxel of its result, besides what every job does.

    Raises:
        UsageError: memory is too small for the job.
    """
    model, compute = wait_for_networks(modality)
    from saint_cli.method import memory_needs
    from saint_cli.runtime import device_selection

    volume, grid, allowed = planned.volume, planned.grid, planned.job.settings.model_config.max_memory
    extra = memory_needs.extra_bytes_per_voxel(volume, grid, planned.plane) + more_bytes
    compute = memory_needs.with_memory_budget(volume, model, grid, compute, allowed, extra)
    device_selection.set_threads(compute.threads)  # once more, for OpenMP counts them per thread
    return model, compute
