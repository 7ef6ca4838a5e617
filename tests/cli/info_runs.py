"""Runs of saint info, and what they are run on."""

from pathlib import Path

import fabricate
import nibabel as nib
import numpy as np
from pydicom.dataset import Dataset

from saint_cli.io import write_volume


def scan(folder: Path) -> Path:
    write_volume(fabricate.volume(), folder / "scan.nii.gz")
    return folder / "scan.nii.gz"


TO = "\N{EN DASH}"


def one_line(text: str) -> str:
    return " ".join(text.split())


def called(series: list[Dataset], description: str, number: int = 4) -> list[Dataset]:
    for data in series:
        data.SeriesDescription, data.SeriesNumber = description, number
    return series


def several(path: Path, count: int, spacing: tuple[float, float, float] = (0.8, 0.8, 4.0)) -> Path:
    """A NIfTI file of ``count`` volumes."""
    voxels = np.zeros((9, 8, 5, count), np.int16)
    nib.save(nib.Nifti1Image(voxels, np.diag([*spacing, 1.0])), path)
    return path
