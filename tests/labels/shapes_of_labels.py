"""Label maps of known shapes, thin and thick."""

import numpy as np

from saint_cli.volume.label_map import LabelMap

SPACING_MM = (0.8, 0.8, 1.0)
FACTOR = 4


def affine(step_mm: float) -> np.ndarray:
    """In LPS, 0.8 x 0.8 x ``step_mm``."""
    return np.diag([SPACING_MM[0], SPACING_MM[1], step_mm, 1.0])


def grid_mm(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates of thin voxels from the centre of the volume, mm."""
    x, y, z = np.meshgrid(
        *((np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, SPACING_MM, strict=True)), indexing="ij"
    )
    return x, y, z


def ellipsoid(shape: tuple[int, int, int] = (48, 40, 33), radii: tuple[float, ...] = (15, 11, 11)) -> np.ndarray:
    """1 within an ellipsoid around the centre, thin voxels uint8."""
    return (sum((c / r) ** 2 for c, r in zip(grid_mm(shape), radii, strict=True)) < 1).astype(np.uint8)


def slanted_rod(shape: tuple[int, int, int] = (64, 24, 33), slope: float = 1.2, radius: float = 2.0) -> np.ndarray:
    """1 within a rod whose discs move by ``slope`` mm per mm; at 4 mm they do not overlap."""
    x, y, z = grid_mm(shape)
    return (np.hypot(x - slope * z, y) < radius).astype(np.uint8)


def two_layers(shape: tuple[int, int, int] = (40, 24, 33)) -> np.ndarray:
    """1 and 2 to both sides of a slanted plane, background around them."""
    x, y, z = grid_mm(shape)
    inside = (np.abs(x) < 14) & (np.abs(y) < 8)
    return (inside * np.where(x < 0.5 * z, 1, 2)).astype(np.uint8)


def several(shape: tuple[int, int, int] = (48, 40, 33)) -> np.ndarray:
    """Layers, in which an ellipsoid and a slanted rod lie; labels 1, 2, 7 and 200."""
    labels = two_layers(shape)
    labels[ellipsoid(shape, (8, 6, 9)) > 0] = 7
    labels[slanted_rod(shape, 1.0, 1.8) > 0] = 200
    return labels


def thick(dense: np.ndarray, factor: int = FACTOR) -> LabelMap:
    """Every ``factor``-th slice of thin labels."""
    return LabelMap(np.ascontiguousarray(dense[..., ::factor]), affine(factor * SPACING_MM[2]))


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Of two masks."""
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))
