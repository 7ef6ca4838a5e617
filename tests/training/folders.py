"""Folders of volumes to train on."""

from pathlib import Path

import nibabel
import numpy as np

SHAPE = (26, 25, 20)


def write_volume(path: Path, shape: tuple[int, int, int] = SHAPE, seed: int = 0) -> None:
    """Noise with some air, 0.5 x 0.8 x 2 mm."""
    voxels = np.random.default_rng(seed).integers(-700, 900, shape).astype(np.int16)
    voxels[:2] = -1000
    path.parent.mkdir(exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([0.5, 0.8, 2.0, 1.0])), path)


def write_train_and_val(folder: Path, shape: tuple[int, int, int] = SHAPE) -> Path:
    """One training and one validation volume; returns the folder."""
    for seed, name in enumerate(("train", "val")):
        write_volume(folder / name / "v.nii.gz", shape, seed)
    return folder
