"""Work shared out among devices."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

import torch

Device = TypeVar("Device")
Part = TypeVar("Part")
Result = TypeVar("Result")

PENDING_PER_DEVICE = 2
"""Parts per device that are begun or done before the first result is taken: this bounds their memory."""


def run_on_devices(
    devices: Sequence[Device], parts: Iterable[Part], work: Callable[[Device, Part], Result]
) -> Iterator[tuple[Part, Result]]:
    """Every part with the result of ``work``, in their order; each device has one part at a time.

    devices: what ``work`` needs of each, such as a copy of the network. With one, no thread is started.
    The threads inherit the caller's ``inference_mode``.
    """
    if len(devices) == 1:
        for part in parts:
            yield part, work(devices[0], part)
        return
    idle: SimpleQueue[Device] = SimpleQueue()
    for device in devices:
        idle.put(device)
    inference = torch.is_inference_mode_enabled()

    def run(part: Part) -> Result:
        device = idle.get()
        try:
            with torch.inference_mode(inference):
                return work(device, part)
        finally:
            idle.put(device)

    pending: deque[tuple[Part, Future[Result]]] = deque()
    with ThreadPoolExecutor(len(devices), "saint-device") as pool:
        try:
            for part in parts:
                pending.append((part, pool.submit(run, part)))
                if len(pending) > PENDING_PER_DEVICE * len(devices):
                    done, result = pending.popleft()
                    yield done, result.result()
            while pending:
                done, result = pending.popleft()
                yield done, result.result()
        finally:
            pool.shutdown(cancel_futures=True)
