"""Whether voxels and places are those that SimpleITK gives."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from saint_cli.io import read_volume


def check_like_simpleitk(path: Path) -> None:
    """Voxels and affine are those that SimpleITK gives."""
    reader = "MetaImageIO" if path.suffix in (".mha", ".mhd") else "NrrdImageIO"
    image = sitk.ReadImage(str(path), imageIO=reader)
    volume = read_volume(path)
    stored = sitk.GetArrayFromImage(image).reshape(volume.shape[::-1]).transpose()
    np.testing.assert_array_equal(volume.voxels, stored.astype(volume.voxels.dtype))
    axes = image.GetDimension()
    direction = np.array(image.GetDirection()).reshape(axes, axes)[:3, :3]
    np.testing.assert_allclose(volume.affine_lps[:3, :3], direction * image.GetSpacing()[:3], atol=1e-12)
    np.testing.assert_allclose(volume.affine_lps[:3, 3], image.GetOrigin()[:3], atol=1e-12)
