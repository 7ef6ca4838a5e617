"""3x3 convolution that takes PyTorch's Winograd path (NNPACK) on processors where that is the fastest one.

oneDNN convolves directly. On x86 processors without AVX-512, Winograd's fewer multiplications make the wide
convolutions of these networks faster at the same accuracy; ``benchmarks/convolutions.py`` prints by how much.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEWEST_CHANNELS = 32
"""Input or output channels below which the transforms cost more than they save."""


@cache
def _pays() -> bool:
    """Whether this machine's direct convolution is the slower one; the availability check also readies NNPACK."""
    capability = torch.backends.cpu.get_cpu_capability()
    return capability == "AVX2" and bool(torch.backends.nnpack.is_available())


class Conv3x3(nn.Conv2d):
    """``nn.Conv2d(inputs, outputs, 3, padding=1)`` with the faster algorithm when no gradient is wanted."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W)."""
        wide = min(self.in_channels, self.out_channels) >= FEWEST_CHANNELS
        if wide and not torch.is_grad_enabled() and _suits(x) and _pays():
            return torch._nnpack_spatial_convolution(x, self.weight, self.bias, padding=1)
        return F.conv2d(x, self.weight, self.bias, padding=1)


def _suits(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
