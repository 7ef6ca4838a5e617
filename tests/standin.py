"""Stand-in tasks for the engine: functions that a worker process can import."""

import os
import signal
import time
from pathlib import Path

from saint_cli.engine import Seat


def double(task: int, seat: Seat) -> int:
    """Work that takes no time."""
    return 2 * task


def seated(task: int, seat: Seat) -> tuple[Seat, int]:
    """Where the task ran."""
    time.sleep(0.05)
    return seat, os.getpid()


def refuse_odd(task: int, seat: Seat) -> int:
    """Work that fails on every other task."""
    if task % 2:
        raise ValueError(f"{task} is odd")
    return task


def deadly(task: Path, seat: Seat) -> str:
    """Kills its worker where the task's name says so, leaving a mark each time; ``twice`` recovers the third time."""
    deaths = len(list(task.parent.glob(f"{task.name}.death*")))
    if task.name == "killer" or (task.name == "twice" and deaths < 2):
        Path(f"{task}.death{deaths}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return task.name


def overlapping(task: Path, seat: Seat) -> bool:
    """Whether another task of this process was running when this one began."""
    mark = task.parent / f"{os.getpid()}.running"
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return True
    time.sleep(0.05)
    mark.unlink()
    return False


def telling(mark: Path, seat: Seat) -> str:
    """Tell how far it is until the mark is there."""
    while not mark.exists():
        seat.tell(["half", 0.5])
        time.sleep(0.05)
    return mark.name
