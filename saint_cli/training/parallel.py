"""Several processes that train one network, as torchrun starts them; a single one where it did not."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from saint_cli import compute

LONGEST_WAIT = timedelta(hours=12)
"""For the first process, which copies hundreds of volumes before the others may go on."""


@dataclass(frozen=True)
class Ranks:
    """Which of ``world`` processes this one is, and the device it trains on. Rank 0 validates and writes."""

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this is the process that validates and writes."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """The module to call while training: its gradients are averaged over all processes."""
        return model if self.world == 1 else DistributedDataParallel(model)


@contextmanager
def join(device: str) -> Iterator[Ranks]:
    """Join the processes that torchrun started, each on the GPU of its local rank where there are GPUs.

    Raises:
        UsageError: no such device.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks(0, 1, compute.choose(device).device)
        return
    chosen = compute.choose(device).device
    if chosen.type == "cuda":
        chosen = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(chosen)
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=LONGEST_WAIT)
    try:
        yield Ranks(distributed.get_rank(), world, chosen)
    finally:
        distributed.destroy_process_group()


def everyone_waits() -> None:
    """Hold every process until all have come here; nothing in a single one."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()
