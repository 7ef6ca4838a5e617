"""The words for device, precision, batch and threads: what is none of them is refused before torch is loaded."""

import re

from saint_cli.errors import UsageError

DEVICE = re.compile(r"auto|cpu|mps|cuda|cuda:\d+(,cuda:\d+)*")

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def check(device: str, precision: str, batch_size: int | None = None, threads: int | None = None) -> None:
    """Refuse words that fit no machine; whether this one has the device, ``compute.choose`` finds out.

    Raises:
        UsageError: an unknown device or precision, fp16 on the CPU, a batch or a number of threads below one.
    """
    if batch_size is not None and batch_size < 1:
        raise UsageError(f"--batch-size {batch_size}: at least 1 slice is needed")
    if threads is not None and threads < 1:
        raise UsageError(f"--threads {threads}: at least 1 is needed")
    if not DEVICE.fullmatch(device):
        raise UsageError(f"--device {device} is none of auto, cpu, cuda, cuda:N (or several: cuda:0,cuda:1), mps")
    if precision not in PRECISIONS:
        raise UsageError(f"--precision {precision} is none of {', '.join(PRECISIONS)}")
    if (device, precision) == ("cpu", "fp16"):
        raise UsageError("--precision fp16 needs a GPU; on the CPU choose bf16 or fp32")
