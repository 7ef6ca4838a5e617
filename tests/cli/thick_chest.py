"""A real thick CT cut small, and arrays as NIfTI files."""

from pathlib import Path

import nibabel as nib
import numpy as np

EXAMPLE = Path(__file__).parents[2] / "examples" / "chest_thick.nii.gz"


def save_thick_chest(path: Path) -> Path:
    """A real thick chest CT, cut to 40 x 36 x 5 voxels."""
    nib.save(nib.load(EXAMPLE).slicer[100:140, 100:136, :5], path)
    return path


def save(voxels: np.ndarray, path: Path, spacing: tuple[float, ...] = (1.0, 1.0, 5.0)) -> Path:
    """Write an array as NIfTI with a diagonal affine."""
    nib.save(nib.Nifti1Image(voxels, np.diag([*spacing, 1.0])), path)
    return path
