"""Where and how the networks run: device, precision, threads, batch. Decided once, before any voxel is computed."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from saint_cli.errors import UsageError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

PIXELS_PER_BATCH = {"cpu": 26_000, "cuda": 1_000_000, "mps": 250_000}
"""Slice pixels per batch: on a CPU one slice of 512 x 50, whose activations stay in the cache; on a GPU many."""

FUSION_PIXELS = {"cpu": 50_000, "cuda": 4_000_000, "mps": 1_000_000}
"""Axial pixels that RFN takes at once: on a CPU a strip whose activations stay near the cache."""


@dataclass(frozen=True)
class Compute:
    """A device and the precision of the networks' convolutions on it."""

    device: torch.device
    precision: torch.dtype
    batch_size: int | None = None

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which the convolutions run; float32 leaves everything as it is."""
        if self.precision == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.precision)

    @property
    def fusion_pixels(self) -> int:
        """How many axial pixels to fuse at once."""
        return FUSION_PIXELS[self.device.type]

    def batch(self, pixels: int) -> int:
        """How many slices of ``pixels`` pixels to compute at once."""
        return self.batch_size or max(1, round(PIXELS_PER_BATCH[self.device.type] / pixels))


def choose(device: str = "auto", precision: str = "auto", batch_size: int | None = None) -> Compute:
    """Turn the user's words into a ``Compute``.

    device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``. precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.

    Raises:
        UsageError: a word that is none of these, a device that this machine lacks, or fp16 on the CPU; a batch of
            less than one slice.
    """
    if batch_size is not None and batch_size < 1:
        raise UsageError(f"--batch-size {batch_size}: at least 1 slice is needed")
    chosen = torch.device(_best() if device == "auto" else _checked(device))
    if precision == "auto":
        return Compute(chosen, _fitting(chosen), batch_size)
    if precision not in PRECISIONS:
        raise UsageError(f"--precision {precision} is none of auto, {', '.join(PRECISIONS)}")
    if chosen.type == "cpu" and precision == "fp16":
        raise UsageError("--precision fp16 needs a GPU; on the CPU choose bf16 or fp32")
    return Compute(chosen, PRECISIONS[precision], batch_size)


def set_threads(threads: int | None) -> None:
    """Limit the CPU threads of the networks; None leaves torch's own choice.

    Raises:
        UsageError: fewer than one thread.
    """
    if threads is None:
        return
    if threads < 1:
        raise UsageError(f"--threads {threads}: at least 1 is needed")
    torch.set_num_threads(threads)


def _best() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _checked(device: str) -> str:
    try:
        asked = torch.device(device)
    except RuntimeError:
        asked = torch.device("meta")
    if asked.type not in PIXELS_PER_BATCH:
        raise UsageError(f"--device {device} is none of auto, cpu, cuda, cuda:N, mps")
    if asked.type == "cuda" and (asked.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise UsageError(
            f"--device {device}: this machine has {found} CUDA devices that torch can use; try --device cpu"
        )
    if asked.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("--device mps: torch finds no Apple GPU here; try --device cpu")
    return device


def _fitting(device: torch.device) -> torch.dtype:
    """bfloat16 where it is the hardware's own format, float32 elsewhere."""
    if device.type == "cuda":
        ampere = torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if ampere else torch.float16
    has_bf16 = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # private, and absent from older versions
    if device.type == "cpu" and has_bf16 is not None and has_bf16():
        return torch.bfloat16
    return torch.float32
