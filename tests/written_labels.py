"""Labels of a scan, to be written as DICOM SEG."""

from pathlib import Path

import fabricate
import numpy as np

from saint_cli.io import (
    read_volume,
)
from saint_cli.volume import Volume
from saint_cli.volume.label_map import LabelMap


def labels_on(volume: Volume, *, numbers: tuple[int, ...] = (1, 2)) -> LabelMap:
    """Blocks of labels on the grid of a volume; the first slice has none."""
    labels = np.zeros(volume.shape, np.uint8)
    for place, number in enumerate(numbers):
        labels[3 : 9 - place, 2 + 4 * place : 6 + 4 * place, 1 + place :] = number
    return LabelMap(labels, volume.affine_lps)


def scan_of(folder: Path, **changes: object) -> Volume:
    return read_volume(fabricate.save(fabricate.slices(**changes), folder / "scan"))
