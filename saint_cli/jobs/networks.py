"""The networks of a job, loaded while its scan is read."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from saint_cli.models.shipped import CT_MODALITY
from saint_cli.options.model import ModelConfig

if TYPE_CHECKING:
    from saint_cli.models.weights import SaintModel
    from saint_cli.runtime.device_selection import Compute


def start_networks(config: ModelConfig, *, slabs: bool) -> "Callable[[str], tuple[SaintModel, Compute]]":
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
        return (model if modality == CT_MODALITY else config.load_for(modality, compute, slabs=slabs)), compute

    return wait
