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
from saint_cli.training.parallel import Ranks, everyone_waits

CHECKPOINT = "checkpoint.pt"

LossAt = Callable[[nn.Module, int], Tensor]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train; all that a run needs besides its data and its network.

    steps, warmup, validate_every in optimiser steps; save_every in seconds; learning_rate at its peak; decay: the part
    of the steps over which it falls. A run that was too short goes on from its weights with another peak.
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

    def rate(self, step: int) -> float:
        """Linear warm-up, a plateau, and a straight line down to ``final_rate``."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        left = min(1.0, max(0.0, (self.steps - step) / max(1.0, self.decay * self.steps)))
        return self.final_rate + (self.learning_rate - self.final_rate) * left


@dataclass
class State:
    """What a checkpoint holds: network, its moving average, optimiser, and how far the run has come."""

    model: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0

    @property
    def device(self) -> torch.device:
        """Where the network is trained."""
        return next(self.model.parameters()).device

    def save(self, folder: Path) -> None:
        """Write the checkpoint under a temporary name, then put it in place."""
        partial = folder / (CHECKPOINT + ".partial")
        parts = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        torch.save({**parts, "step": self.step, "seconds": self.seconds}, partial)
        partial.replace(folder / CHECKPOINT)

    def load(self, folder: Path) -> None:
        """Take up the folder's checkpoint; raises UnreadableError where it is damaged or of another network."""
        path = folder / CHECKPOINT
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            self.model.load_state_dict(saved["model"])
            self.average.load_state_dict(saved["average"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.step, self.seconds = saved["step"], saved["seconds"]
        except (RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError) as error:
            reason = str(error).splitlines()[0]
            raise UnreadableError(f"{path} is damaged or of another network ({reason[:120]})") from None


@dataclass(frozen=True)
class Progress:
    """What the caller hears after every step; before the first one there is no loss."""

    step: int
    loss: float | None
    rate: float
    seconds: float
    validation: dict[str, float] | None


def run(
    state: State,
    loss_at: LossAt,
    validate: Callable[[nn.Module], dict[str, float]],
    schedule: Schedule,
    folder: Path,
    ranks: Ranks | None = None,
    *,
    baseline: bool = False,
) -> Iterator[Progress]:
    """Train from ``state.step`` to ``schedule.steps``, yielding after every step.

    loss_at: (network, step) to a scalar loss; depends on nothing but the step, so that a resumed run equals an
    uninterrupted one.
    validate: averaged network to named figures.
    ranks: with several processes, all call this alike; the first alone validates and writes.
    baseline: validate before the first step too, to tell what the weights were worth that the run starts from.
    """
    ranks = ranks or Ranks(0, 1, state.device)
    if ranks.leads:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "schedule.json").write_text(json.dumps(asdict(schedule), indent=1))
    journal = Journal(folder) if ranks.leads else None
    network = ranks.wrap(state.model)
    if baseline and state.step == 0:
        if journal is not None:
            yield Progress(0, None, schedule.rate(0), 0.0, validate(state.average))
        everyone_waits()
    began, saved = time.monotonic() - state.seconds, time.monotonic()
    while state.step < schedule.steps:
        loss = _step(state, network, loss_at, schedule)
        state.step, state.seconds = state.step + 1, time.monotonic() - began
        due = state.step % schedule.validate_every == 0 or state.step == schedule.steps
        validation = None
        if journal is not None:
            journal.step(state.step, loss, schedule.rate(state.step - 1))
            if due:
                validation = validate(state.average)
                journal.validation(state.step, state.seconds, loss, validation)
            if due or time.monotonic() - saved > schedule.save_every:
                state.save(folder)
                saved = time.monotonic()
        if due:
            everyone_waits()
        yield Progress(state.step, loss, schedule.rate(state.step), state.seconds, validation)
    if journal is not None:
        journal.close()


def _step(state: State, network: nn.Module, loss_at: LossAt, schedule: Schedule) -> float:
    for group in state.optimiser.param_groups:
        group["lr"] = schedule.rate(state.step)
    with torch.autocast(state.device.type, torch.bfloat16, enabled=schedule.bf16):
        loss = loss_at(network, state.step)
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(state.model.parameters(), schedule.clip)
    state.optimiser.step()
    decay = min(schedule.ema, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        for mean, now in zip(state.average.parameters(), state.model.parameters(), strict=True):
            mean.lerp_(now, 1 - decay)
    return float(loss.detach())
