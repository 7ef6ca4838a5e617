"""Several processes that train one network, as torchrun starts them; a single one where it did not."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from saint_cli.runtime import device_selection

LONGEST_WAIT = timedelta(hours=12)
"""While the first process copies hundreds of volumes."""


@dataclass(frozen=True)
class ProcessGroup:
    """Which of ``world_size`` processes this one is, and the device it trains on. Rank 0 validates and writes."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_leader(self) -> bool:
        """Whether this is the process that validates and writes."""
        return self.rank == 0

    def agree(self, seconds: float) -> float:
        """The first process's seconds, for all of them: no two clocks are the same."""
        if self.world_size == 1:
            return seconds
        clock = torch.tensor(seconds, dtype=torch.float64)  # on the host, so that no GPU is waited for
        distributed.broadcast(clock, 0)
        return float(clock)

    def wrap(self, model: nn.Module) -> nn.Module:
        """The module to call while training: its gradients are averaged over all processes."""
        return model if self.world_size == 1 else DistributedDataParallel(model)


@contextmanager
def join_processes(device: str) -> Iterator[ProcessGroup]:
    """Join the processes that torchrun started, each on the GPU of its local rank where there are GPUs.

    Raises:
        UsageError: no such device.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    chosen = device_selection.select_compute(device).device
    if world_size == 1:
        yield ProcessGroup(0, 1, chosen)
        return
    if chosen.type == "cuda":
        chosen = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(chosen)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo", timeout=LONGEST_WAIT)
    try:
        yield ProcessGroup(distributed.get_rank(), world_size, chosen)
    finally:
        distributed.destroy_process_group()


def wait_for_all() -> None:
    """Wait until all processes have come here."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()
