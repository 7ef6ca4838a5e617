"""The optimisation loop of both stages: schedule, EMA, logs, checkpoints from which a run continues exactly."""

import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from saint_cli.errors import UnreadableError
from saint_cli.training.journal import Journal, write_json
from saint_cli.training.parallel import ProcessGroup, wait_for_all

CHECKPOINT = "checkpoint.pt"

StepLoss = Callable[[nn.Module, int], Tensor]
"""Loss of a network at a step."""


SHORTEST_DECAY = 1e-6
"""Share of the length; less is none."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    steps, or minutes where that is None: the whole length; warmup, validate_every in optimiser steps; save_every in
    seconds; learning_rate at its peak; decay: the part of the length over which it falls. Minutes count from the first
    step on, with validations but without the last one; clock: ``wall``, or ``processor`` for the seconds that this
    process computes, which other programs on the machine do not shorten.
    """

    steps: int | None
    learning_rate: float = 8e-4
    final_rate: float = 8e-6
    warmup: int = 100
    decay: float = 0.4
    ema: float = 0.999
    clip: float = 1.0
    save_every: float = 180.0
    validate_every: int = 1000
    bf16: bool = False
    minutes: float | None = None
    clock: str = "wall"

    def share_at(self, step: int, seconds: float) -> float:
        """How much of the length is over after so many steps and seconds; from 1 on the run ends."""
        if self.steps is not None:
            return step / self.steps
        assert self.minutes is not None
        return seconds / (60 * self.minutes)

    def learning_rate_at(self, step: int, seconds: float = 0.0) -> float:
        """Linear warm-up, a plateau, and a straight line down to ``final_rate``."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        left = min(1.0, max(0.0, 1 - self.share_at(step, seconds)) / max(self.decay, SHORTEST_DECAY))
        return self.final_rate + (self.learning_rate - self.final_rate) * left


@dataclass
class TrainingState:
    """What a checkpoint holds: network, its moving average, optimiser, and how far the run has come."""

    model: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return next(self.model.parameters()).device

    def save(self, folder: Path) -> None:
        """Write the checkpoint under a temporary name, then put it in place."""
        partial = folder / (CHECKPOINT + ".partial")
        parts = {name: getattr(self, name).state_dict() for name in ("model", "average", "optimiser")}
        torch.save({**parts, "step": self.step, "seconds": self.seconds}, partial)
        partial.replace(folder / CHECKPOINT)

    def load(self, folder: Path) -> None:
        """Load the folder's checkpoint; raises UnreadableError where it is damaged or of another network."""
        path = folder / CHECKPOINT
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            for name in ("model", "average", "optimiser"):
                getattr(self, name).load_state_dict(saved[name])
            self.step, self.seconds = saved["step"], saved["seconds"]
        except (RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError) as error:
            reason = str(error).splitlines()[0]
            raise UnreadableError(f"{path} is damaged or of another network ({reason[:120]})") from None


def place_network(model: nn.Module, device: torch.device, *, bf16: bool) -> nn.Module:
    """A network on a device, its weights in the order that suits convolutions there.

    Networks of blocks have channels last on a CPU: a step of 3D MDSR takes half the time then, of 3D RDN four fifths.
    """
    sizes = {p.ndim for p in model.parameters() if p.ndim > 3}
    order = None
    if sizes == {4} and (bf16 or device.type == "cuda"):
        order = torch.channels_last
    elif sizes == {5} and device.type == "cpu":
        order = torch.channels_last_3d
    if order is None:
        return model.to(device)
    return nn.Module.to(model, device, memory_format=order)  # type: ignore[call-overload,no-any-return]


@dataclass(frozen=True)
class StepResult:
    """The result of a step; before the first one there is no loss.

    loss: one number on the device; a GPU has not computed it yet, and taking it as a float waits for that.
    is_saved: whether a checkpoint was written after it.
    """

    step: int
    loss: Tensor | None
    seconds: float
    validation: dict[str, float] | None
    is_saved: bool = False


@dataclass(frozen=True)
class Objective:
    """What a stage minimises and how it is validated.

    loss: depends on nothing but the step, so that a resumed run equals an uninterrupted one;
    validate: averaged network to named figures.
    """

    loss: StepLoss
    validate: Callable[[nn.Module], dict[str, float]]


def run_loop(
    state: TrainingState,
    objective: Objective,
    schedule: Schedule,
    folder: Path,
    process_group: ProcessGroup | None = None,
    *,
    baseline: bool = False,
) -> Iterator[StepResult]:
    """Train from where ``state`` stands to the end of the schedule, yielding after every step.

    process_group: several processes all call this alike; the first alone validates and writes.
    baseline: also validate the weights that the run starts from.
    """
    process_group = process_group or ProcessGroup(0, 1, state.device)
    with _open_journal(schedule, folder, process_group) as journal:
        network = process_group.wrap(state.model)
        if baseline and state.step == 0:
            if journal is not None:
                yield StepResult(0, None, 0.0, objective.validate(state.average))
            wait_for_all()
        clock = time.process_time if schedule.clock == "processor" else time.monotonic
        began, saved = clock() - state.seconds, time.monotonic()
        while (rate := _find_rate(state, schedule)) is not None:
            loss = _take_step(state, network, objective.loss, schedule, rate)
            seconds = clock() - began
            state.step, state.seconds = state.step + 1, seconds if schedule.steps else process_group.agree(seconds)
            is_due = state.step % schedule.validate_every == 0 or _find_rate(state, schedule) is None
            validation, is_saved = None, False
            if journal is not None:
                journal.log_step(state.step, loss, rate)
                if is_due:
                    validation = _validate(state, objective, journal, loss)
                if is_saved := is_due or time.monotonic() - saved > schedule.save_every:
                    state.save(folder)
                    saved = time.monotonic()
            if is_due:
                wait_for_all()
            yield StepResult(state.step, loss, state.seconds, validation, is_saved)


def _validate(state: TrainingState, objective: Objective, journal: Journal, loss: Tensor) -> dict[str, float]:
    """The figures of the averaged network, which are logged."""
    figures = objective.validate(state.average)
    journal.log_validation(state.step, state.seconds, float(loss), figures)
    return figures


@contextmanager
def _open_journal(schedule: Schedule, folder: Path, process_group: ProcessGroup) -> Iterator[Journal | None]:
    """The first process's journal, closed however the run ends; None for the others."""
    if not process_group.is_leader:
        yield None
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_json(asdict(schedule), folder / "schedule.json")
    journal = Journal(folder)
    try:
        yield journal
    finally:
        journal.close()


def _find_rate(state: TrainingState, schedule: Schedule) -> float | None:
    """The learning rate of the next step; None at the end of the schedule."""
    is_over = schedule.share_at(state.step, state.seconds) >= 1
    return None if is_over else schedule.learning_rate_at(state.step, state.seconds)


def _take_step(
    state: TrainingState, network: nn.Module, step_loss: StepLoss, schedule: Schedule, rate: float
) -> Tensor:
    """One optimiser step, after which nothing waits for a GPU; returns the loss."""
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    with torch.autocast(state.device.type, torch.bfloat16, enabled=schedule.bf16):
        loss = step_loss(network, state.step)
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    parameters: list[Tensor] = list(state.model.parameters())
    means: list[Tensor] = list(state.average.parameters())
    nn.utils.clip_grad_norm_(parameters, schedule.clip, foreach=True)
    state.optimiser.step()
    decay = min(schedule.ema, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        torch._foreach_lerp_(means, parameters, 1 - decay)
        for kept, latest in zip(state.average.buffers(), state.model.buffers(), strict=True):  # of batch normalisation
            kept.copy_(latest)
    return loss.detach()
