"""How fast a device multiplies matrices, against which the networks are judged. Needs torch alone."""

import torch
from timing import measure_least

SIDE = {"cpu": 2048, "cuda": 8192, "mps": 4096}
"""Of the square matrices: large enough to keep the device busy."""

REPEATS = 3


def measure_matrix_rate(dtype: torch.dtype, device: str | torch.device = "cpu") -> float:
    """Multiply-adds a second of a plain matrix product, in 10^9."""
    place = torch.device(device)
    side = SIDE[place.type]
    a = torch.randn(side, side, device=place).to(dtype)

    def multiply() -> None:
        a @ a
        synchronise(place)

    return side**3 / measure_least(multiply, REPEATS) / 1e9


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
