"""Arrays and images that cannot be taken: refused in one line that says what to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from fabricate import OBLIQUE_LPS
from memory_images import itk, nifti, voxels
from nets import tiny

from saint_cli.errors import GeometryError, SaintError, UnreadableError, UsageError
from saint_cli.io import images
from saint_cli.volume import Volume

SPACING = (0.7, 0.9, 5.0)


class Damaged:
    """What nibabel's proxy of a truncated file does."""

    shape, ndim, dtype = (7, 6, 4), 3, np.dtype(np.int16)

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise OSError("Expected 336 bytes, got 100\nfrom object")


def without_affine() -> Any:
    return nib.Nifti1Image(voxels(), None)


def flat() -> Any:
    image = nifti(voxels())
    image._affine = np.diag([1.0, 0, 1, 1])
    return image


def damaged() -> Any:
    image = nifti(voxels())
    image._dataobj = Damaged()
    return image


REFUSED: dict[str, tuple[Callable[[], Any], dict[str, Any], type[SaintError], str]] = {
    "an array alone": (voxels, {}, UsageError, "pass voxel_spacing_mm=(x, y, z), mm"),
    "two spacings": (voxels, {"voxel_spacing_mm": (1, 5)}, UsageError, "voxel_spacing_mm=(1, 5) must be three numbers"),
    "one spacing": (voxels, {"voxel_spacing_mm": 5}, UsageError, "must be three numbers"),
    "no spacing": (voxels, {"voxel_spacing_mm": (1, 1, 0)}, UsageError, "must be three numbers"),
    "a spacing below 0": (voxels, {"voxel_spacing_mm": (1, -1, 1)}, UsageError, "must be three numbers"),
    "a spacing that is none": (voxels, {"voxel_spacing_mm": (1, 1, float("nan"))}, UsageError, "must be three numbers"),
    "words": (voxels, {"voxel_spacing_mm": "115"}, UsageError, "must be three numbers"),
    "2-D array": (lambda: voxels("int16", (7, 6)), {"voxel_spacing_mm": SPACING}, GeometryError, "2-D (7 x 6)"),
    "4-D array": (
        lambda: voxels("int16", (7, 6, 4, 2)),
        {"voxel_spacing_mm": SPACING},
        GeometryError,
        "4-D (7 x 6 x 4 x 2)",
    ),
    "0-D array": (lambda: np.array(5), {"voxel_spacing_mm": SPACING}, GeometryError, "0-D (one number)"),
    "one slice": (lambda: voxels("int16", (7, 6, 1)), {"voxel_spacing_mm": SPACING}, GeometryError, "7 x 6 x 1 voxels"),
    "no slices": (lambda: voxels("int16", (7, 0, 4)), {"voxel_spacing_mm": SPACING}, GeometryError, "7 x 0 x 4 voxels"),
    "truth": (lambda: voxels("bool"), {"voxel_spacing_mm": SPACING}, UsageError, "mask"),
    "complex": (lambda: voxels("complex64"), {"voxel_spacing_mm": SPACING}, UsageError, "magnitude"),
    "objects": (lambda: voxels("object"), {"voxel_spacing_mm": SPACING}, UsageError, "astype"),
    "words as voxels": (lambda: voxels("U5"), {"voxel_spacing_mm": SPACING}, UsageError, "astype"),
    "dates": (lambda: voxels("int64").astype("M8[s]"), {"voxel_spacing_mm": SPACING}, UsageError, "astype"),
    "masked": (lambda: np.ma.masked_less(voxels(), 5), {"voxel_spacing_mm": SPACING}, UsageError, "filled"),
    "a list": (lambda: voxels().tolist(), {}, UsageError, "list: not an image"),
    "None": (lambda: None, {}, UsageError, "NoneType: not an image"),
    "a path to nothing": (lambda: Path("scan.nii"), {}, UnreadableError, "scan.nii"),
    "spacing of a file": (lambda: "scan.nii", {"voxel_spacing_mm": SPACING}, UsageError, "for numpy arrays"),
    "a tensor": (lambda: torch.zeros(4, 4, 4), {}, UsageError, "tensor.cpu().numpy()"),
    "spacing of an image": (lambda: nifti(voxels()), {"voxel_spacing_mm": SPACING}, UsageError, "for numpy arrays"),
    "spacing of a volume": (tiny.volume, {"voxel_spacing_mm": SPACING}, UsageError, "for numpy arrays"),
    "another modality": (tiny.volume, {"modality": "US"}, UsageError, "`modality='US'` must be 'CT' or 'MR'"),
    "4-D nibabel": (lambda: nifti(voxels("int16", (7, 6, 4, 2))), {}, GeometryError, "nibabel Nifti1Image: 4-D"),
    "colour nibabel": (
        lambda: nifti(np.zeros((7, 6, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])),
        {},
        UsageError,
        "colour",
    ),
    "complex nibabel": (lambda: nifti(voxels("complex64")), {}, UsageError, "magnitude"),
    "nibabel without affine": (without_affine, {}, GeometryError, "no affine"),
    "flat nibabel": (flat, {}, GeometryError, "zero"),
    "damaged nibabel": (damaged, {}, UnreadableError, "cannot be read (OSError)"),
    "surface": (nib.GiftiImage, {}, UsageError, "GiftiImage: not an image"),
    "2-D SimpleITK": (lambda: sitk.Image(5, 4, sitk.sitkInt16), {}, GeometryError, "SimpleITK Image: 2-D"),
    "4-D SimpleITK": (lambda: sitk.Image([5, 4, 3, 2], sitk.sitkInt16), {}, GeometryError, "4-D (5 x 4 x 3 x 2)"),
    "vectors": (lambda: sitk.Image([5, 4, 3], sitk.sitkVectorFloat32, 3), {}, UsageError, "3 values per voxel"),
    "complex SimpleITK": (lambda: sitk.Image([5, 4, 3], sitk.sitkComplexFloat32), {}, UsageError, "magnitude"),
    "labels": (lambda: sitk.Image([5, 4, 3], sitk.sitkLabelUInt8), {}, UsageError, "label map"),
    "a volume of truth": (lambda: Volume(voxels("bool"), OBLIQUE_LPS), {}, UsageError, "mask"),
    "a flat volume": (lambda: Volume(voxels("int16", (7, 6, 1)), OBLIQUE_LPS), {}, GeometryError, "7 x 6 x 1 voxels"),
    "a tensor of another kind": (lambda: torch.nn.Parameter(torch.zeros(4, 4, 4)), {}, UsageError, "numpy()"),
    "a reader": (sitk.ImageFileReader, {}, UsageError, "ImageFileReader: not an image"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_taken_is_refused_in_one_line_that_says_how(name: str) -> None:
    make, options, error, words = REFUSED[name]
    with pytest.raises(error) as caught:
        images.to_volume(make(), **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_images_without_a_finite_voxel_are_refused_as_files_are(value: float, tmp_path: Path) -> None:
    empty = np.full((7, 6, 4), value, np.float32)
    nib.save(nifti(empty), tmp_path / "empty.nii")
    given: dict[str, Any] = {"voxel_spacing_mm": SPACING}
    for image, options in (
        (empty, given),
        (nifti(empty), {}),
        (itk(empty), {}),
        (Volume(empty, np.eye(4)), {}),
        (tmp_path / "empty.nii", {}),
    ):
        with pytest.raises(UnreadableError, match="no voxel is a finite number"):
            images.to_volume(image, **options)
