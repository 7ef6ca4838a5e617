"""Stand-in tasks for a cluster: functions that a worker process can import."""

import os
import signal
import time
from pathlib import Path

from saint_cli.batch.cluster import WorkerSlot


def double(task: int, slot: WorkerSlot) -> int:
    """Work that takes no time."""
    return 2 * task


def describe_slot(task: int, slot: WorkerSlot) -> tuple[WorkerSlot, int]:
    """Where the task ran."""
    time.sleep(0.05)
    return slot, os.getpid()


def refuse_odd(task: int, slot: WorkerSlot) -> int:
    """Work that fails on every other task."""
    if task % 2:
        raise ValueError(f"{task} is odd")
    return task


def kill_worker(task: Path, slot: WorkerSlot) -> str:
    """Kills its worker where the task's name says so, leaving a mark each time; ``twice`` recovers the third time."""
    deaths = len(list(task.parent.glob(f"{task.name}.death*")))
    if task.name == "killer" or (task.name == "twice" and deaths < 2):
        Path(f"{task}.death{deaths}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return task.name


def overlaps(task: Path, slot: WorkerSlot) -> bool:
    """Whether another task of this process was running when this one began."""
    mark = task.parent / f"{os.getpid()}.running"
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return True
    time.sleep(0.05)
    mark.unlink()
    return False


def send_until_marked(mark: Path, slot: WorkerSlot) -> str:
    """Send messages until the mark is there."""
    while not mark.exists():
        slot.send(["half", 0.5])
        time.sleep(0.05)
    return mark.name
