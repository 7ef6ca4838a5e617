"""Derived DICOM series for tests."""

from pathlib import Path

import fabricate
from fabricate import interpolated, saved_series
from pydicom.dataset import Dataset

from saint_cli.io import read_volume, write_volume

FACTOR = 4


def derived(series: list[Dataset], folder: Path, **options: bool) -> list[Dataset]:
    """The series after saving, reading, interpolating and writing, in the order of its files."""
    source = fabricate.save(series, folder / "source")
    write_volume(interpolated(read_volume(source), FACTOR), folder / "out", **options)
    return saved_series(folder / "out")
