"""Volumes of half-precision residuals, in memory or, where that would be too much, in temporary files."""

import math
import mmap
from dataclasses import dataclass

import torch
from torch import Tensor

from saint_cli import memory

VOLUMES = 3
"""Residuals held at the same time: I_sag, I_cor and I_fuse."""


@dataclass(frozen=True)
class Residuals:
    """values: (S, X, Y) half precision; ``file`` holds them where memory does not."""

    values: Tensor
    file: mmap.mmap | None = None

    def settle(self) -> None:
        """Give memory back to the system that a file has taken over."""
        if self.file is not None and hasattr(mmap, "MADV_DONTNEED"):
            self.file.madvise(mmap.MADV_DONTNEED)  # the pages of a shared mapping stay in its file


def zeros(shape: tuple[int, int, int], device: torch.device, allowed_bytes: int, *, y_first: bool = False) -> Residuals:
    """Residuals of (S, X, Y) zeros; ``allowed_bytes`` are for all ``VOLUMES`` of them.

    y_first: lay neighbours in x side by side in memory, for those who fill planes of fixed y.
    """
    slices, x, y = shape
    laid = (slices, y, x) if y_first else shape
    size = 2 * math.prod(shape)
    if device.type != "cpu" or VOLUMES * size <= allowed_bytes or size == 0:
        values, file = torch.zeros(laid, dtype=torch.float16, device=device), None
    else:
        file = memory.scratch(size)
        values = torch.frombuffer(file, dtype=torch.float16).view(laid)
    return Residuals(values.transpose(1, 2) if y_first else values, file)
