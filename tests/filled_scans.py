"""Bodies in fill, for tests."""

import numpy as np

from saint_cli.volume import Header, Volume

SHAPE = (64, 60, 10)


X, Y = np.meshgrid(np.linspace(-1, 1, SHAPE[0]), np.linspace(-1, 1, SHAPE[1]), indexing="ij")


OUTSIDE = X**2 + Y**2 > 1
"""What lies outside the scanned circle, 21 %."""


def body(modality: str | None, dtype: str = "float32") -> np.ndarray:
    """HU with lung and bone, or MR of about 0...1000, noisy, with air around it inside the circle."""
    random = np.random.default_rng(3)
    inside = (X / 0.7) ** 2 + (Y / 0.6) ** 2 < 1
    hu = np.where(inside, 40.0, -1000.0)
    hu[(X + 0.3) ** 2 + Y**2 < 0.04] = -850
    hu[(X - 0.3) ** 2 + Y**2 < 0.02] = 900
    voxels = hu[..., None] + random.normal(0, 12, SHAPE)
    if modality not in (None, "CT"):
        voxels = np.hypot(np.clip(voxels + 1000, 0, None) * 0.6, random.normal(0, 6, SHAPE))
    low = -1024 if modality in (None, "CT") else 0
    clipped = np.clip(voxels, low, 3071)
    return (np.rint(clipped) if np.dtype(dtype).kind in "iu" else clipped).astype(dtype)


def scan(voxels: np.ndarray, modality: str | None, **fields: object) -> Volume:
    return Volume(voxels, np.diag([0.8, 0.8, 5.0, 1.0]), Header(modality, **fields))


def filled(value: float, modality: str | None, dtype: str = "float32", where: np.ndarray = OUTSIDE) -> Volume:
    voxels = body(modality, dtype)
    voxels[where] = value
    return scan(voxels, modality)


def block(value: float, modality: str | None, count: int, dtype: str = "int16") -> Volume:
    """Some voxels of a value inside the body."""
    voxels = body(modality, dtype)
    for index in range(count):
        voxels[26 + index % 6, 26 + index // 6 % 5, index // 30] = value
    return scan(voxels, modality)
