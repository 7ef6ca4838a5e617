"""Volumes of half-precision residuals, in memory or, where that would be too much, in temporary files."""

import math
import mmap
from dataclasses import dataclass

import torch
from torch import Tensor

from saint_cli.runtime import memory
from saint_cli.runtime.device_selection import Compute

RESIDUAL_VOLUMES = 3
"""Residuals held at the same time: I_sag, I_cor and I_fuse."""


@dataclass(frozen=True)
class Residuals:
    """values: (S, X, Y) half precision; ``file`` holds them where memory does not."""

    values: Tensor
    file: mmap.mmap | None = None

    def release_memory(self) -> None:
        """Return the memory of values that the file holds to the system."""
        if self.file is not None and hasattr(mmap, "MADV_DONTNEED"):
            self.file.madvise(mmap.MADV_DONTNEED)  # the pages of a shared mapping stay in its file


def allocate_residuals(shape: tuple[int, int, int], compute: Compute, *, y_first: bool = False) -> Residuals:
    """Residuals of (S, X, Y) zeros; ``compute.residual_bytes`` is for all ``RESIDUAL_VOLUMES`` of them.

    y_first: neighbours in x lie side by side in memory, which suits planes of fixed y.
    """
    slices, x, y = shape
    stored_shape = (slices, y, x) if y_first else shape
    size, file = 2 * math.prod(shape), None
    if compute.device.type != "cpu" or RESIDUAL_VOLUMES * size <= compute.residual_bytes or size == 0:
        values = torch.zeros(stored_shape, dtype=torch.float16, device=compute.device)
    else:
        file = memory.map_scratch_file(size)
        values = torch.frombuffer(file, dtype=torch.float16).view(stored_shape)
    return Residuals(values.transpose(1, 2) if y_first else values, file)
