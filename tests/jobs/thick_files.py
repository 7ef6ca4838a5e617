"""Thick scans as files, for jobs."""

from pathlib import Path

import nibabel
from nets import tiny

from saint_cli import geometry
from saint_cli.volume import Volume


def save(volume: Volume, path: Path) -> Path:
    nibabel.save(nibabel.Nifti1Image(volume.voxels, geometry.RAS_FROM_LPS @ volume.affine_lps), path)
    return path


def ct(shape: tuple[int, int, int] = (20, 18, 5), axis: int = 2) -> Volume:
    """A scan that is CT by its values, for NIfTI has no modality: a tenth of it is air."""
    volume = tiny.volume(shape, axis)
    volume.voxels[:2] = -1000
    volume.voxels[-1:] = -1000
    return volume
