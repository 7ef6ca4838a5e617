"""The networks of a job, loaded while its scan is read."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from saint_cli.options.model import ModelConfig

if TYPE_CHECKING:
    from saint_cli.models.weights import SaintModel
    from saint_cli.runtime.device_selection import Compute


def start_networks(config: ModelConfig) -> "Callable[[], tuple[SaintModel, Compute]]":
    """Load the networks in a thread meanwhile; the function that is returned waits for it, and raises its error."""
    future: Future[tuple[SaintModel, Compute]] = Future()

    def start() -> None:
        try:
            future.set_result(config.start())
        except BaseException as error:  # raised where the result is waited for
            future.set_exception(error)

    threading.Thread(target=start, name="saint-start").start()  # no daemon: Python cannot end amid an import of torch
    return future.result
