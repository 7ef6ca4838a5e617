"""Options of device, precision, batch and threads: unknown values are refused before torch is loaded."""

import re

from saint_cli.errors import UsageError

GPU = r"(gpu|cuda):(0|[1-9]\d{0,2})"
"""One GPU by its number, as torch reads it: without leading zeros."""

DEVICE_PATTERN = re.compile(rf"auto|cpu|mps|gpu|cuda|{GPU}(,{GPU})*")

ALL_GPUS = frozenset({"auto", "gpu", "cuda"})
"""Devices that leave open which of the CUDA GPUs computes."""

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def check_device_options(
    device: str, precision: str, batch_size: int | None = None, threads: int | None = None
) -> None:
    """Refuse values that suit no machine; ``device_selection`` finds out whether this one has the device.

    Raises:
        UsageError: an unknown device or precision, fp16 on the CPU, a batch or a number of threads below one.
    """
    if batch_size is not None and batch_size < 1:
        raise UsageError(f"`batch_size={batch_size}`: at least 1 slice is needed")
    if threads is not None and threads < 1:
        raise UsageError(f"`threads={threads}`: at least 1 is needed")
    if not DEVICE_PATTERN.fullmatch(device):
        raise UsageError(
            f"`device` must be one of auto, cpu, gpu, gpu:N (or several: gpu:0,gpu:1), cuda, cuda:N, mps, not {device}"
        )
    if precision not in PRECISIONS:
        raise UsageError(f"`precision` must be one of {', '.join(PRECISIONS)}, not {precision}")
    if (device, precision) == ("cpu", "fp16"):
        raise UsageError("`precision=fp16` needs a GPU; on the CPU choose bf16 or fp32")
