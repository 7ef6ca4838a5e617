"""Billions of multiply-adds per second of the networks' 3x3 convolutions: direct (oneDNN), Winograd (NNPACK), and a
plain matrix product beside them, in one run.

    OMP_NUM_THREADS=1 python benchmarks/convolutions.py
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from timing import measure_least

SHAPES = ((64, 256), (32, 224), (32, 128), (32, 32), (64, 64), (32, 64), (16, 48))
"""Input and output channels; the first ones are pushed convolutions of ``base``, the last two of ``fast``."""
SLICE = (1, 512, 50)
REPEATS = 5


def measure_rate(multiply_adds: float, work: Callable[[], object]) -> float:
    """Billions of multiply-adds a second, the best of ``REPEATS``."""
    return multiply_adds / measure_least(work, REPEATS) / 1e9


@torch.inference_mode()
def main() -> None:
    """Print a Markdown table."""
    side = 2048
    a = torch.randn(side, side)
    print(f"matrix product: {measure_rate(side**3, lambda: a @ a):.0f} G/s on {torch.get_num_threads()} threads")
    if not torch.backends.nnpack.is_available():
        print("NNPACK is not available here")
        return
    batch, height, width = SLICE
    print("| channels | direct G/s | Winograd G/s | ratio | largest difference |\n|---|---|---|---|---|")
    for inputs, outputs in SHAPES:
        x, w = torch.randn(batch, inputs, height, width), torch.randn(outputs, inputs, 3, 3) / (3 * inputs**0.5)
        count = batch * height * width * inputs * outputs * 9
        direct = measure_rate(count, lambda x=x, w=w: F.conv2d(x, w, padding=1))
        wino = measure_rate(count, lambda x=x, w=w: torch._nnpack_spatial_convolution(x, w, None, padding=1))
        gap = (F.conv2d(x, w, padding=1) - torch._nnpack_spatial_convolution(x, w, None, padding=1)).abs().max()
        print(f"| {inputs} -> {outputs} | {direct:.0f} | {wino:.0f} | {wino / direct:.2f} | {float(gap):.1e} |")


if __name__ == "__main__":
    main()
