"""Scans with masks of segments, for tests of DICOM SEG; what all label objects are refused for."""

from collections.abc import Iterable
from pathlib import Path

import fabricate
import numpy as np
import pytest
from pydicom.dataset import Dataset

from saint_cli.errors import SaintError
from saint_cli.io import read_labels, read_volume
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


def check_cuts_are_refused(path: Path, sizes: Iterable[int], scan: Volume) -> None:
    """A file of labels on the scan, cut to any of these sizes in bytes, is refused in one line."""
    whole, cut = path.read_bytes(), path.with_name("cut.dcm")
    for size in sizes:
        cut.write_bytes(whole[:size])
        with pytest.raises(SaintError) as caught:
            read_labels(cut, scan)
        assert "\n" not in str(caught.value)
