"""What a run writes down: what it is made of, one JSON line per validation, and TensorBoard events if installed."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saint_cli.io.atomic import open_atomic_file

LOG = "log.jsonl"
EVENTS = "tensorboard"

BUFFERED_STEPS = 50
"""Losses that are fetched from the device together: each time a GPU is waited for."""


class Journal:
    """The log of one run folder; appends to that of an interrupted run."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / LOG
        self._writer = _open_tensorboard(folder / EVENTS)
        self._steps: list[tuple[int, Tensor, float]] = []

    def log_step(self, step: int, loss: Tensor, rate: float) -> None:
        """Log one optimiser step, written with others."""
        if self._writer is not None:
            self._steps.append((step, loss, rate))
            if len(self._steps) >= BUFFERED_STEPS:
                self._write_steps()

    def _write_steps(self) -> None:
        if self._steps:
            losses = torch.stack([loss for _, loss, _ in self._steps]).tolist()
            for (step, _, rate), loss in zip(self._steps, losses, strict=True):
                self._writer.add_scalar("loss", loss, step)
                self._writer.add_scalar("learning rate", rate, step)
            self._steps.clear()

    def log_validation(self, step: int, seconds: float, loss: float, figures: dict[str, float]) -> None:
        """Log one validation; figures that are infinite or NaN, which are not JSON, as null."""
        measured = {"loss": loss, **figures}
        kept = {name: value if math.isfinite(value) else None for name, value in measured.items()}
        with self._log.open("a", encoding="utf-8") as log:
            log.write(json.dumps({"step": step, "seconds": round(seconds), **kept}) + "\n")
        if self._writer is not None:
            self._write_steps()
            for name, value in figures.items():
                self._writer.add_scalar(f"validation/{name}", value, step)
            self._writer.flush()

    def close(self) -> None:
        """Write what is buffered."""
        if self._writer is not None:
            self._write_steps()
            self._writer.close()


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write what a run is made of; the file appears, or is replaced, only when complete, for it may be killed any time.

    Raises:
        OSError, OutputError: it cannot be written.
    """
    with open_atomic_file(path) as file:
        file.write(json.dumps(content, indent=1).encode())


def _open_tensorboard(folder: Path) -> Any:
    """A writer of TensorBoard events, or None where the ``train`` extra is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
