"""Options of device, precision, batch and threads: unknown values are refused before torch is loaded."""

import re

from saint_cli.errors import UsageError

DEVICE_PATTERN = re.compile(r"auto|cpu|mps|cuda|cuda:\d+(,cuda:\d+)*")

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
            f"`device` must be one of auto, cpu, cuda, cuda:N (or several: cuda:0,cuda:1), mps, not {device}"
        )
    if precision not in PRECISIONS:
        raise UsageError(f"`precision` must be one of {', '.join(PRECISIONS)}, not {precision}")
    if (device, precision) == ("cpu", "fp16"):
        raise UsageError("`precision=fp16` needs a GPU; on the CPU choose bf16 or fp32")
