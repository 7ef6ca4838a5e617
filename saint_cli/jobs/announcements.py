"""What a job says before it computes: the model, the device, the threads, and the time where that is long."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from saint_cli import memory, shipped
from saint_cli.geometry import SliceGrid
from saint_cli.jobs.job import Engine, Job
from saint_cli.volume import Volume

if TYPE_CHECKING:
    from saint_cli import compute, weights

Say = Callable[[str], None]
"""Called with one sentence."""


def nothing(sentence: str) -> None:
    """Say nothing."""


def before(
    asked: Engine,
    job: Job,
    scan: tuple[Volume, SliceGrid],
    model: "weights.SaintModel",
    machine: "compute.Compute",
    *,
    with_time: bool,
) -> Iterator[str]:
    """All sentences before the networks run; ``asked``: the engine as the user chose it, with ``auto`` for the model.

    with_time: measure the networks' speed, which takes seconds, to tell how long the job will take.

    Raises:
        UsageError: no folder for temporary files can be written.
    """
    if (elsewhere := memory.check_temporary_folder()) is not None:
        yield elsewhere
    yield of_machine(asked, model.name, machine)
    if with_time and (expected := of_time(job, *scan, model, machine)) is not None:
        yield expected


def of_machine(engine: Engine, model: str, machine: "compute.Compute") -> str:
    """Which model runs where, and why if nobody chose it; ``model``: the name of the loaded one."""
    place = ",".join(map(str, machine.devices))
    if machine.device.type == "cpu" and machine.threads is not None:
        place += f" with {machine.threads} {'thread' if machine.threads == 1 else 'threads'}"
    why = ""
    if engine.model == shipped.AUTO:
        why = " (auto: no GPU)" if machine.device.type == "cpu" else " (auto: on a GPU)"
        why = " (auto)" if engine.device == "cpu" else why
    note = "" if machine.note is None else f"; {machine.note}"
    return f"model {model}{why} on {place}{note}"


def of_time(
    job: Job, volume: Volume, grid: SliceGrid, model: "weights.SaintModel", machine: "compute.Compute"
) -> str | None:
    """How long a job of more than a minute will take, with its model and with the other; None for a shorter one."""
    from saint_cli.forecast import forecast

    expected = forecast(volume, grid, model, machine, job.choices, page=job.page is not None)
    return None if expected is None else expected.sentence(model.name)
