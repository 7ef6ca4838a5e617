"""The optimisation loop of both stages: schedule, EMA, logs, checkpoints from which a run continues exactly."""

import json
import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from saint_cli.errors import UnreadableError
from saint_cli.training.journal import Journal
from saint_cli.training.parallel import ProcessGroup, wait_for_all

CHECKPOINT = "checkpoint.pt"

StepLoss = Callable[[nn.Module, int], Tensor]
"""Loss of a network at a step."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    steps, warmup, validate_every in optimiser steps; save_every in seconds; learning_rate at its peak; decay: the part
    of the steps over which it falls.
    """

    steps: int
    learning_rate: float = 8e-4
    final_rate: float = 8e-6
    warmup: int = 100
    decay: float = 0.4
    ema: float = 0.999
    clip: float = 1.0
    save_every: float = 180.0
    validate_every: int = 1000
    bf16: bool = False

    def learning_rate_at(self, step: int) -> float:
        """Linear warm-up, a plateau, and a straight line down to ``final_rate``."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        left = min(1.0, max(0.0, (self.steps - step) / max(1.0, self.decay * self.steps)))
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


@dataclass(frozen=True)
class StepResult:
    """The result of a step; before the first one there is no loss."""

    step: int
    loss: float | None
    rate: float
    seconds: float
    validation: dict[str, float] | None


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
    """Train from ``state.step`` to ``schedule.steps``, yielding after every step.

    process_group: several processes all call this alike; the first alone validates and writes.
    baseline: also validate the weights that the run starts from.
    """
    process_group = process_group or ProcessGroup(0, 1, state.device)
    journal = _open_journal(schedule, folder) if process_group.is_leader else None
    network = process_group.wrap(state.model)
    if baseline and state.step == 0:
        if journal is not None:
            yield StepResult(0, None, schedule.learning_rate_at(0), 0.0, objective.validate(state.average))
        wait_for_all()
    began, saved = time.monotonic() - state.seconds, time.monotonic()
    while state.step < schedule.steps:
        loss = _take_step(state, network, objective.loss, schedule)
        state.step, state.seconds = state.step + 1, time.monotonic() - began
        is_due = state.step % schedule.validate_every == 0 or state.step == schedule.steps
        validation = None
        if journal is not None:
            journal.log_step(state.step, loss, schedule.learning_rate_at(state.step - 1))
            if is_due:
                validation = objective.validate(state.average)
                journal.log_validation(state.step, state.seconds, loss, validation)
            if is_due or time.monotonic() - saved > schedule.save_every:
                state.save(folder)
                saved = time.monotonic()
        if is_due:
            wait_for_all()
        yield StepResult(state.step, loss, schedule.learning_rate_at(state.step), state.seconds, validation)
    if journal is not None:
        journal.close()


def _open_journal(schedule: Schedule, folder: Path) -> Journal:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "schedule.json").write_text(json.dumps(asdict(schedule), indent=1))
    return Journal(folder)


def _take_step(state: TrainingState, network: nn.Module, step_loss: StepLoss, schedule: Schedule) -> float:
    for group in state.optimiser.param_groups:
        group["lr"] = schedule.learning_rate_at(state.step)
    with torch.autocast(state.device.type, torch.bfloat16, enabled=schedule.bf16):
        loss = step_loss(network, state.step)
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(state.model.parameters(), schedule.clip)
    state.optimiser.step()
    decay = min(schedule.ema, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        for mean, now in zip(state.average.parameters(), state.model.parameters(), strict=True):
            mean.lerp_(now, 1 - decay)
    return float(loss.detach())
