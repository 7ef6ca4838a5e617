"""The log of a run: one JSON line per validation, and TensorBoard events where it is installed."""

import json
from pathlib import Path
from typing import Any

LOG = "log.jsonl"
EVENTS = "tensorboard"


class Journal:
    """The log of one run folder; appends to that of an interrupted run."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / LOG
        self._writer = _open_tensorboard(folder / EVENTS)

    def log_step(self, step: int, loss: float, rate: float) -> None:
        """Log one optimiser step."""
        if self._writer is not None:
            self._writer.add_scalar("loss", loss, step)
            self._writer.add_scalar("learning rate", rate, step)

    def log_validation(self, step: int, seconds: float, loss: float, figures: dict[str, float]) -> None:
        """Log one validation."""
        entry = {"step": step, "seconds": round(seconds), "loss": loss, **figures}
        with self._log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")
        if self._writer is not None:
            for name, value in figures.items():
                self._writer.add_scalar(f"validation/{name}", value, step)
            self._writer.flush()

    def close(self) -> None:
        """Write what is buffered."""
        if self._writer is not None:
            self._writer.close()


def _open_tensorboard(folder: Path) -> Any:
    """A writer of TensorBoard events, or None where the ``train`` extra is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
