"""Where and how the networks run: device, precision, threads, batch. Decided once, before any voxel is computed."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache

import torch

from saint_cli import cores, devices
from saint_cli.errors import UsageError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

PIXELS_PER_BATCH = {"cpu": 26_000, "cuda": 1_000_000, "mps": 250_000}
"""Slice pixels per batch at most: on a CPU a slice of 512 x 50, whose activations stay in the cache; on a GPU many."""

BYTES_PER_PIXEL = 4_000
"""GPU memory that the activations of ``base`` take for each slice pixel, by counting its channels; not yet measured."""

FUSION_PIXELS = {"cpu": 50_000, "cuda": 4_000_000, "mps": 1_000_000}
"""Axial pixels that RFN takes at once: on a CPU a strip whose activations stay near the cache."""

MOST_PIXELS = {"cpu": 70_000, "cuda": 4_000_000, "mps": 1_000_000}
"""Pixels of one slice to see at once; a larger one comes in parts that overlap, so that activations stay in bounds."""

RESIDUAL_BYTES = 600_000_000
"""What may be held where nobody counted what a job takes (``footprint``)."""


@dataclass(frozen=True)
class Compute:
    """A device and the precision of the networks' convolutions on it.

    batch_size: slices at once, None for what suits the device; residual_bytes: what of the networks' residuals may be
    held in memory rather than in temporary files; others: devices like it that share the slices with it;
    threads: of the CPU, None for torch's own choice; note: why these are fewer than the cores.
    """

    device: torch.device
    precision: torch.dtype
    batch_size: int | None = None
    residual_bytes: int = RESIDUAL_BYTES
    others: tuple[torch.device, ...] = ()
    threads: int | None = None
    note: str | None = None

    @property
    def devices(self) -> tuple[torch.device, ...]:
        """All that compute; results are gathered on the first."""
        return (self.device, *self.others)

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which the convolutions run; float32 leaves everything as it is."""
        if self.precision == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.precision)

    @property
    def fusion_pixels(self) -> int:
        """How many axial pixels to fuse at once."""
        return FUSION_PIXELS[self.device.type]

    @property
    def most_pixels(self) -> int:
        """How many pixels of one slice to see at once."""
        return MOST_PIXELS[self.device.type]

    def batch(self, pixels: int) -> int:
        """How many slices of ``pixels`` pixels to compute at once."""
        return self.batch_size or max(1, _pixels_per_batch(self.device) // pixels)


@cache
def _pixels_per_batch(device: torch.device) -> int:
    """What suits the kind of device, less where a GPU has little free memory; asked once a process."""
    most = PIXELS_PER_BATCH[device.type]
    if device.type != "cuda":
        return most
    free, _ = torch.cuda.mem_get_info(device)
    return min(most, free // BYTES_PER_PIXEL)


def choose(device: str = "auto", precision: str = "auto", batch_size: int | None = None) -> Compute:
    """Turn the user's words into a ``Compute``.

    device: ``auto``, ``cpu``, ``cuda`` (all of them), ``cuda:N,cuda:M`` or ``mps``. precision: ``auto``, ``fp32``,
    ``bf16`` or ``fp16``.

    Raises:
        UsageError: a word that is none of these, a device that this machine lacks, or fp16 on the CPU; a batch of
            less than one slice.
    """
    devices.check(device, precision, batch_size)
    chosen, *others = _named(_best() if device == "auto" else device)
    if chosen.type == "cpu" and precision == "fp16":
        raise UsageError("--precision fp16 needs a GPU; on the CPU choose bf16 or fp32")
    dtype = _fitting(chosen) if precision == "auto" else PRECISIONS[precision]
    return Compute(chosen, dtype, batch_size, others=tuple(others))


def count_gpus(device: str) -> int:
    """How many GPUs there are to share out among workers: none where the user named a device that is one already."""
    return torch.cuda.device_count() if device in ("auto", "cuda") else 0


DEFAULT_THREADS = torch.get_num_threads()
"""Torch's own choice when it was loaded: often one thread for each physical core."""


def take_threads(asked: int | None, seen: cores.Observation) -> cores.Threads:
    """Set the CPU threads of the networks: as asked for, at most one a core; else one for each core that is free.

    seen: since when other programs have been observed.

    Raises:
        UsageError: fewer than one thread.
    """
    devices.check("auto", "auto", threads=asked)
    threads = seen.threads(asked, most=DEFAULT_THREADS)
    set_threads(threads.count)
    return threads


def set_threads(threads: int | None) -> None:
    """Limit the CPU threads of the networks; None leaves torch's own choice.

    Raises:
        UsageError: fewer than one thread.
    """
    devices.check("auto", "auto", threads=threads)
    if threads is not None:
        torch.set_num_threads(threads)


def _best() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _named(words: str) -> list[torch.device]:
    """The devices that a word stands for, each once."""
    named = [_checked(word) for word in dict.fromkeys(words.split(","))]
    if words != "cuda":
        return named
    return [torch.device("cuda", n) for n in range(torch.cuda.device_count())]


def _checked(device: str) -> torch.device:
    asked = torch.device(device)
    if asked.type == "cuda" and (asked.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise UsageError(
            f"--device {device}: this machine has {found} CUDA devices that torch can use; try --device cpu"
        )
    if asked.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("--device mps: torch finds no Apple GPU here; try --device cpu")
    return asked


def _fitting(device: torch.device) -> torch.dtype:
    """bfloat16 where it is the hardware's own format, float32 elsewhere."""
    if device.type == "cuda":
        ampere = torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if ampere else torch.float16
    has_bf16 = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # private, and absent from older versions
    if device.type == "cpu" and has_bf16 is not None and has_bf16():
        return torch.bfloat16
    return torch.float32
