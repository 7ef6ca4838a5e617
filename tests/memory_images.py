"""Images of nibabel and SimpleITK for tests."""

from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from fabricate import OBLIQUE_LPS, interpolated

from saint_cli import geometry
from saint_cli.io import images
from saint_cli.volume import Volume


def voxels(dtype: str = "int16", shape: tuple[int, ...] = (7, 6, 4)) -> np.ndarray:
    """[x, y, z] voxels of which each has a value of its own."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def nifti(array: np.ndarray, affine_lps: np.ndarray = OBLIQUE_LPS, kind: Any = nib.Nifti1Image) -> Any:
    return kind(array, geometry.RAS_FROM_LPS @ affine_lps)


def itk(array: np.ndarray, affine_lps: np.ndarray = OBLIQUE_LPS) -> sitk.Image:
    """The image whose voxel [x, y, z] is array[x, y, z]."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose()))
    spacing = np.linalg.norm(affine_lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine_lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine_lps[:3, 3].tolist())
    return image


def there_and_back(image: Any, factor: int = 3, **options: Any) -> tuple[Volume, Any]:
    """The finer volume that linear interpolation makes of an image, and the image that it becomes."""
    dense = interpolated(images.to_volume(image, **options), factor)
    return dense, images.convert_like(image, dense)
