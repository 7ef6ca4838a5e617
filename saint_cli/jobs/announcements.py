"""What a job says before it computes: warnings, the model, the device, the threads, and the time where that is long."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from saint_cli.errors.plain_text import format_count
from saint_cli.jobs.job import LoadedJob
from saint_cli.runtime import memory

if TYPE_CHECKING:
    from saint_cli.runtime.device_selection import Compute

MessageCallback = Callable[[str], None]
"""Called with one sentence."""


@dataclass(frozen=True)
class Announcer:
    """Receives sentences before a job computes: ``on_warning`` warnings, ``on_message`` model, device and time.

    announced: the warnings so far.
    """

    on_message: MessageCallback | None
    on_warning: MessageCallback
    announced: list[str] = field(default_factory=list)

    def warn(self, sentence: str) -> None:
        """Pass a warning on."""
        self.announced.append(sentence)
        self.on_warning(sentence)


def announce_start(
    announcer: Announcer | None, loaded: LoadedJob, warnings: Sequence[str], *, volumes: int = 1
) -> None:
    """Say all that is known before the networks run, so that the user can still stop them; nothing without announcer.

    For ``on_message`` the networks' speed is measured, which takes seconds, to predict how long the job will take.
    volumes: how many such volumes it has.

    Raises:
        UsageError: no folder for temporary files can be written.
    """
    other_folder = memory.check_temporary_folder()
    if announcer is None:
        return
    say = announcer.on_message
    if say is not None:
        for sentence in filter(None, (other_folder, describe_machine(loaded.model.name, loaded.compute))):
            say(sentence)
    for sentence in warnings:
        announcer.warn(sentence)
    if say is not None and (time := _describe_time(loaded, volumes)) is not None:
        say(time)


def describe_machine(model: str, compute: "Compute") -> str:
    """Which model runs where; ``model``: the name of the loaded one."""
    device = ",".join(map(str, compute.devices))
    if compute.device.type == "cpu" and compute.threads is not None:
        device += f" with {format_count(compute.threads, 'thread')}"
    note = "" if compute.note is None else f"; {compute.note}"
    return f"model {model} on {device}{note}"


def _describe_time(loaded: LoadedJob, volumes: int) -> str | None:
    """How long a job of more than a minute will take, with its model and with the other; None for a shorter one."""
    from saint_cli.method.forecast import PAGE_SHARE, forecast

    job, model = loaded.job, loaded.model
    work = volumes + (PAGE_SHARE if job.has_self_check else 0.0)
    expected = forecast(loaded.volume, model, loaded.grid, loaded.compute, job.settings.method_options, work=work)
    return None if expected is None else expected.sentence(model.name)
