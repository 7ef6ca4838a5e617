"""Where and how the networks run: device, precision, threads, batch; selected before any voxel is computed."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache

import torch

from saint_cli.errors import UsageError
from saint_cli.runtime.cores import CoreLoad, ThreadChoice
from saint_cli.runtime.device_options import ALL_GPUS, check_device_options

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

PIXELS_PER_BATCH = {"cpu": 26_000, "cuda": 1_000_000, "mps": 250_000}
"""Slice pixels per batch at most: on a CPU a slice of 512 x 50, whose activations stay in the cache; on a GPU many."""

BYTES_PER_PIXEL = 4_000
"""GPU memory of the activations of ``base`` per slice pixel, by counting its channels; not yet measured."""

FUSION_PIXELS = {"cpu": 50_000, "cuda": 4_000_000, "mps": 1_000_000}
"""Axial pixels that RFN computes at once: on a CPU a strip whose activations stay near the cache."""

MAX_SLICE_PIXELS = {"cpu": 70_000, "cuda": 4_000_000, "mps": 1_000_000}
"""Pixels of one slice to compute at once; larger ones are cut into parts that overlap, to bound the activations."""

DEFAULT_RESIDUAL_BYTES = 600_000_000
"""The limit where the needs of the job were not estimated (``method.memory_needs``)."""


@dataclass(frozen=True)
class Compute:
    """A device and the precision of the networks' convolutions on it.

    batch_size: slices at once, None for what suits the device; residual_bytes: the most of the networks' residuals to
    keep in memory; other_devices: devices like it that share the work;
    threads: of the CPU, None for torch's own choice; note: why these are fewer than the cores.
    """

    device: torch.device
    precision: torch.dtype
    batch_size: int | None = None
    residual_bytes: int = DEFAULT_RESIDUAL_BYTES
    other_devices: tuple[torch.device, ...] = ()
    threads: int | None = None
    note: str | None = None

    @property
    def devices(self) -> tuple[torch.device, ...]:
        """All devices that compute; results are gathered on the first."""
        return (self.device, *self.other_devices)

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which the convolutions run."""
        if self.precision == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.precision)

    @property
    def fusion_pixels(self) -> int:
        """Axial pixels to fuse at once."""
        return FUSION_PIXELS[self.device.type]

    @property
    def max_slice_pixels(self) -> int:
        """Pixels of one slice to compute at once."""
        return MAX_SLICE_PIXELS[self.device.type]

    def batch_size_for(self, pixels: int) -> int:
        """How many slices of ``pixels`` pixels to compute at once."""
        return self.batch_size or max(1, _pixels_per_batch(self.device) // pixels)


@cache
def _pixels_per_batch(device: torch.device) -> int:
    """For the kind of device, fewer where a GPU has little free memory when this is first called."""
    pixels = PIXELS_PER_BATCH[device.type]
    if device.type != "cuda":
        return pixels
    free, _ = torch.cuda.mem_get_info(device)
    return min(pixels, free // BYTES_PER_PIXEL)


def select_compute(device: str = "auto", precision: str = "auto", batch_size: int | None = None) -> Compute:
    """The device of the options that ``check_device_options`` accepts.

    device: ``cuda`` is all CUDA GPUs, ``gpu`` these or else an Apple GPU, ``auto`` these or else the CPU; ``gpu:1`` is
        ``cuda:1``.
    precision: with ``fp32`` on CUDA, TF32, which keeps 10 of the 23 bits of float32's fraction, is turned off for the
        whole process.

    Raises:
        UsageError: unknown options, a device that this machine lacks, fp16 on the CPU, a batch of less than one slice.
    """
    device = _best_device() if device == "auto" else device
    check_device_options(device, precision, batch_size)
    first, *others = _parse_devices(device)
    dtype = _native_precision(first) if precision == "auto" else DTYPES[precision]
    if first.type == "cuda" and precision == "fp32":
        torch.backends.cudnn.allow_tf32 = False
    return Compute(first, dtype, batch_size, other_devices=tuple(others))


def count_gpus(device: str) -> int:
    """How many GPUs workers can share: none where ``device`` names one."""
    return torch.cuda.device_count() if device in ALL_GPUS else 0


DEFAULT_THREADS = torch.get_num_threads()
"""Torch's own choice when it was loaded: often one thread for each physical core."""


def select_threads(requested: int | None, load: CoreLoad) -> ThreadChoice:
    """Set the CPU threads of the networks: ``requested``, at most one per core; None for one on each idle core.

    Raises:
        UsageError: fewer than one thread.
    """
    threads = load.choose_threads(requested, most=DEFAULT_THREADS)
    set_threads(threads.count)
    return threads


def set_threads(threads: int | None) -> None:
    """Set the CPU threads of the networks; None leaves torch's own choice.

    Raises:
        UsageError: fewer than one thread.
    """
    check_device_options("auto", "auto", threads=threads)
    if threads is not None:
        torch.set_num_threads(threads)


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _parse_devices(words: str) -> list[torch.device]:
    """The devices of a ``--device`` other than auto, each once."""
    if words == "gpu" and (words := _best_device()) == "cpu":
        raise UsageError("`device=gpu`: torch finds neither a CUDA nor an Apple GPU here; try `device=cpu`")
    devices = list(dict.fromkeys(map(_check_device, words.split(","))))
    return [torch.device("cuda", n) for n in range(torch.cuda.device_count())] if words == "cuda" else devices


def _check_device(word: str) -> torch.device:
    device, count = torch.device(word.replace("gpu", "cuda")), torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise UsageError(f"`device={word}`: this machine has {count} CUDA devices that torch can use; try `device=cpu`")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("`device=mps`: torch finds no Apple GPU here; try `device=cpu`")
    return device


def _native_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where it is the hardware's own format, float32 elsewhere."""
    if device.type == "cuda":
        ampere = torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if ampere else torch.float16
    has_bf16 = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # private, and absent from older versions
    if device.type == "cpu" and has_bf16 is not None and has_bf16():
        return torch.bfloat16
    return torch.float32
