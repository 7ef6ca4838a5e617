"""3x3 convolution by PyTorch's Winograd path (NNPACK) on processors where that is the fastest one.

oneDNN convolves directly. On x86 processors without AVX-512, Winograd's fewer multiplications make the wide
convolutions of these networks faster at the same accuracy; ``benchmarks/convolutions.py`` prints by how much.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MIN_CHANNELS = 32
"""Input or output channels below which the transforms cost more than they save."""


@cache
def _is_faster() -> bool:
    """Whether direct convolution is slower on this processor; the availability check also initialises NNPACK."""
    capability = torch.backends.cpu.get_cpu_capability()
    return capability == "AVX2" and bool(torch.backends.nnpack.is_available())


class Conv3x3(nn.Conv2d):
    """``nn.Conv2d(inputs, outputs, 3, padding=1)`` with the faster algorithm when no gradient is needed."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W)."""
        is_wide = min(self.in_channels, self.out_channels) >= MIN_CHANNELS
        is_planes = _is_supported(x) and not x.is_contiguous(memory_format=torch.channels_last)
        if is_wide and not torch.is_grad_enabled() and is_planes and _is_faster():
            return self._winograd(x)
        return F.conv2d(x, self.weight, self.bias, padding=1)

    def _winograd(self, x: Tensor) -> Tensor:
        """All images as one, a row of zeros between them: NNPACK transforms the weights once per image."""
        if len(x) == 1:
            return torch._nnpack_spatial_convolution(x, self.weight, self.bias, padding=1)
        batch, channels, height, width = x.shape
        tall = F.pad(x.transpose(0, 1), (0, 0, 0, 1)).reshape(1, channels, batch * (height + 1), width)
        result: Tensor = torch._nnpack_spatial_convolution(tall, self.weight, self.bias, padding=1)
        return result.view(-1, batch, height + 1, width)[:, :, :height].transpose(0, 1)


def prefers_planes(x: Tensor, channels: int) -> bool:
    """Whether convolutions of ``channels`` new channels each run fastest through Winograd, on planes.

    Elsewhere channels-last images are the fastest, which spares oneDNN, cuDNN and bfloat16 units a reordering before
    and after every convolution.
    """
    return channels >= MIN_CHANNELS and _is_supported(x) and _is_faster()


def _is_supported(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
