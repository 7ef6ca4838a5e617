"""DICOM series read by saint and converted by dcm2niix hold the same values at the same places in the patient."""

import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pytest
from fabricate import OBLIQUE_LPS, save, slices

from saint_cli.geometry import RAS_FROM_LPS
from saint_cli.io import read_volume

dcm2niix = pytest.importorskip("dcm2niix")


def converted(folder: Path, out: Path) -> nibabel.Nifti1Image:
    """The only volume that dcm2niix makes of a folder."""
    out.mkdir()
    command = [dcm2niix.bin, "-z", "n", "-f", "out", "-o", str(out), str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = out.glob("*.nii")
    return nibabel.load(path)


@pytest.mark.parametrize("step", [(0.0, 0.0, 5.0), (0.0, 0.0, -5.0)], ids=["ascending", "descending"])
@pytest.mark.parametrize("oblique", [False, True])
def test_dcm2niix_places_the_same_values_at_the_same_points(
    step: tuple[float, float, float], oblique: bool, tmp_path: Path
) -> None:
    orientation = (1.0, 0, 0, 0, 1, 0)
    if oblique:
        turn = OBLIQUE_LPS[:3, :3] / np.linalg.norm(OBLIQUE_LPS[:3, :3], axis=0)
        orientation, step = tuple(turn[:, :2].T.ravel()), tuple(turn @ step)
    folder = save(slices(5, step=step, orientation=orientation), tmp_path / "series", shuffle=1)
    ours, theirs = read_volume(folder), converted(folder, tmp_path / "out")
    place = np.linalg.inv(RAS_FROM_LPS @ ours.affine_lps) @ theirs.affine  # their voxel to our voxel
    index = np.stack(np.meshgrid(*map(np.arange, theirs.shape), indexing="ij")).reshape(3, -1)
    found = place[:3, :3] @ index + place[:3, 3:]
    np.testing.assert_allclose(found, np.rint(found), atol=2e-3)
    np.testing.assert_array_equal(ours.voxels[tuple(np.rint(found).astype(int))], theirs.get_fdata().ravel())
