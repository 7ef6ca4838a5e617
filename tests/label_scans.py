"""A scan with labels on its slices, for tests: balls of two labels that move from slice to slice."""

from pathlib import Path

import fabricate
import numpy as np

from saint_cli.io import write_volume
from saint_cli.volume import Storage, Volume
from saint_cli.volume.label_map import LabelMap, Segment

SHAPE = (24, 20, 6)


def label_array(shape: tuple[int, int, int] = SHAPE, dtype: str = "uint8") -> np.ndarray:
    """Labels 1 and 3 [x, y, z] in discs that move along x; the first and last slice are empty."""
    x, y, z = np.meshgrid(*map(np.arange, shape), indexing="ij")
    labels = np.zeros(shape, dtype)
    labels[(x - 7 - z) ** 2 + (y - 9) ** 2 < 20] = 1
    labels[(x - 15 - z) ** 2 + (y - 9) ** 2 < 12] = 3
    labels[..., [0, -1]] = 0
    return labels


def save_scan(path: Path, shape: tuple[int, int, int] = SHAPE) -> Path:
    """A scan, 0.8 x 0.8 x 5 mm."""
    write_volume(fabricate.volume(shape), path)
    return path


def save_labels(path: Path, labels: np.ndarray | None = None, affine_lps: np.ndarray | None = None) -> Path:
    """A label map on the grid of that scan, unless another affine is given."""
    labels = label_array() if labels is None else labels
    affine = fabricate.volume().affine_lps if affine_lps is None else affine_lps
    header = fabricate.volume().header
    volume = Volume(labels, affine, type(header)(storage=Storage(labels.dtype)))
    write_volume(volume, path)
    return path


def label_map(labels: np.ndarray | None = None, **more: object) -> LabelMap:
    """The same in memory; the file names label 1."""
    labels = label_array() if labels is None else labels
    values = {"segments": (Segment(1, "liver", (200, 10, 10)),)} | more
    return LabelMap(labels, fabricate.volume().affine_lps, **values)  # type: ignore[arg-type]
