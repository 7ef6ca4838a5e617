"""Scans with masks of segments, for tests of DICOM SEG."""

from pathlib import Path

import fabricate
import numpy as np
from pydicom.dataset import Dataset

from saint_cli.io import read_volume
from saint_cli.volume import Volume

SHAPE = (12, 16)


def masks(count: int = 6) -> dict[int, np.ndarray]:
    """Two segments [slice, row, column] that touch; the second is on slices 1 to 3 alone."""
    first, second = np.zeros((count, *SHAPE), bool), np.zeros((count, *SHAPE), bool)
    first[1:5, 3:8, 4:9] = True
    second[1:4, 3:7, 9:14] = True
    return {1: first, 2: second}


def scan_of(folder: Path, **changes: object) -> tuple[list[Dataset], Volume]:
    series = fabricate.slices(**changes)
    return series, read_volume(fabricate.save(series, folder / "scan"))
