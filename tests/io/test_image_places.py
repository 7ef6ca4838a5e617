"""Where voxels of nibabel's and SimpleITK's images lie, and those of what is given back."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from fabricate import OBLIQUE_LPS, SHEARED_LPS, interpolated
from memory_images import itk, nifti, there_and_back, voxels
from nets import tiny

from saint_cli import geometry
from saint_cli.io import images, read_volume
from saint_cli.volume import Volume


@pytest.mark.parametrize("affine", [OBLIQUE_LPS, SHEARED_LPS])
def test_a_voxel_of_a_nibabel_image_lies_where_its_ras_affine_says(affine: np.ndarray) -> None:
    image = nifti(voxels(), affine)
    volume = images.to_volume(image)
    np.testing.assert_array_equal(volume.voxels, image.get_fdata())
    place = np.array([2, 3, 1, 1.0])
    np.testing.assert_allclose((volume.affine_lps @ place)[:3], (image.affine @ place)[:3] * [-1, -1, 1], atol=1e-5)


def test_a_voxel_of_a_simpleitk_image_has_its_index_and_its_place() -> None:
    image = itk(voxels())
    volume = images.to_volume(image)
    assert volume.voxels[2, 3, 1] == image[2, 3, 1] == voxels()[2, 3, 1]
    np.testing.assert_allclose(
        (volume.affine_lps @ [2, 3, 1, 1])[:3], image.TransformIndexToPhysicalPoint((2, 3, 1)), atol=1e-9
    )


@pytest.mark.parametrize("affine", [OBLIQUE_LPS, SHEARED_LPS, np.diag([-0.7, 0.9, 5.0, 1.0])])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image, nib.Nifti1Pair])
def test_nibabel_gets_its_class_back_with_the_finer_affine(kind: Any, affine: np.ndarray, tmp_path: Path) -> None:
    image = nifti(voxels(), affine, kind)
    image.header.set_sform(image.affine, 3)
    dense, made = there_and_back(image)
    assert type(made) is kind
    assert made.get_data_dtype() == np.int16
    np.testing.assert_allclose(made.affine, image.affine @ np.diag([1, 1, 1 / 3, 1]), atol=1e-5)
    np.testing.assert_array_equal(np.asanyarray(made.dataobj), dense.voxels)
    np.testing.assert_array_equal(made.get_fdata()[..., ::3], image.get_fdata())
    assert made.header.get_zooms() == pytest.approx(dense.spacing_mm)
    assert (int(made.header["sform_code"]), made.header.get_xyzt_units()[0]) == (3, "mm")
    nib.save(made, tmp_path / ("a.img" if kind is nib.Nifti1Pair else "a.nii"))
    again = nib.load(tmp_path / ("a.img" if kind is nib.Nifti1Pair else "a.nii"))
    np.testing.assert_array_equal(again.get_fdata(), made.get_fdata())
    np.testing.assert_allclose(again.affine, made.affine, atol=1e-5)


def test_scaled_integers_of_a_file_come_back_as_the_floats_that_they_stand_for(tmp_path: Path) -> None:
    image = nifti(voxels("float64") * 0.37 - 11)
    image.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "scaled.nii.gz")
    scaled = nib.load(tmp_path / "scaled.nii.gz")
    _, made = there_and_back(scaled)
    assert made.get_data_dtype() == np.float32
    np.testing.assert_array_equal(made.get_fdata()[..., ::3], scaled.get_fdata().astype(np.float32))
    nib.save(made, tmp_path / "again.nii.gz")
    np.testing.assert_array_equal(nib.load(tmp_path / "again.nii.gz").get_fdata(), made.get_fdata())


def test_another_format_of_nibabel_comes_back_as_nifti() -> None:
    image = nib.MGHImage(voxels("int16"), geometry.RAS_FROM_LPS @ OBLIQUE_LPS)
    _, made = there_and_back(image)
    assert type(made) is nib.Nifti1Image
    np.testing.assert_allclose(made.affine, image.affine @ np.diag([1, 1, 1 / 3, 1]), atol=1e-5)


def test_units_of_a_nifti_header_are_honoured_and_reported_as_of_its_file(tmp_path: Path) -> None:
    image = nifti(voxels(), OBLIQUE_LPS)
    image.header.set_xyzt_units("micron")
    dense, made = there_and_back(image)
    assert dense.spacing_mm == pytest.approx((0.0008, 0.0008, 0.005 / 3))
    assert made.header.get_xyzt_units()[0] == "mm"
    nib.save(image, tmp_path / "a.nii")
    warnings = images.to_volume(image).header.warnings
    assert warnings == read_volume(tmp_path / "a.nii").header.warnings
    assert "micrometre" in warnings[0]


def test_a_form_code_that_nobody_defined_is_not_handed_on() -> None:
    image = nifti(voxels())
    image.header["sform_code"], image.header["qform_code"] = 77, 0
    _, made = there_and_back(image)
    assert int(made.header["sform_code"]) == 2  # aligned to something


def test_axes_of_length_one_beyond_the_third_are_dropped() -> None:
    assert images.to_volume(nifti(voxels("int16", (7, 6, 4, 1, 1)))).shape == (7, 6, 4)


@pytest.mark.parametrize("axis", [0, 2])
def test_simpleitk_gets_origin_direction_and_in_plane_spacing_digit_for_digit(axis: int) -> None:
    affine = OBLIQUE_LPS if axis == 2 else OBLIQUE_LPS[:, [2, 0, 1, 3]]
    image = itk(voxels(), affine)
    volume = images.to_volume(image)
    grid = geometry.grid_by_factor(volume.shape[axis], axis, 3)
    finer = np.repeat(volume.voxels, 3, axis=axis)
    finer = np.moveaxis(np.moveaxis(finer, axis, 2)[..., : grid.count], 2, axis)
    made_by = interpolated(tiny.volume(), 3).header.derivation
    assert made_by is not None
    header = replace(volume.header, derivation=replace(made_by, grid=grid))
    made = images.convert_like(image, Volume(finer, grid.refine(volume.affine_lps), header))
    assert isinstance(made, sitk.Image)
    assert (made.GetOrigin(), made.GetDirection()) == (image.GetOrigin(), image.GetDirection())
    spacing = [s / 3 if i == axis else s for i, s in enumerate(image.GetSpacing())]
    assert made.GetSpacing() == pytest.approx(spacing)
    assert made.GetPixelID() == image.GetPixelID()
    assert made.GetSize() == finer.shape
    assert made[2, 3, 1] == finer[2, 3, 1]


Grids = tuple[geometry.SliceGrid, geometry.PlaneGrid | None]


def _plane(grid: geometry.SliceGrid, affine: np.ndarray, **options: Any) -> Grids:
    shape = grid.output_shape((7, 6, 4))
    return grid, geometry.make_plane_grid(grid.refine(affine), shape, 2, **options)


MOVING_OPTIONS: dict[str, Callable[[np.ndarray], Grids]] = {
    "coarser": lambda affine: (geometry.grid_by_averaging(4, 2, 5.0, 10.0), None),
    "slab": lambda affine: (geometry.grid_of_slabs(geometry.grid_by_factor(4, 2, 2), geometry.SlabProfile(1.0)), None),
    "in-plane": lambda affine: _plane(geometry.grid_by_factor(4, 2, 2), affine, untilt=False, pixel_mm=1.7),
    "untilt": lambda affine: _plane(geometry.grid_by_factor(4, 2, 2), affine, untilt=True, pixel_mm=None),
}


@pytest.mark.parametrize("name", MOVING_OPTIONS)
def test_a_simpleitk_result_lies_where_its_affine_says_though_an_option_moved_it(name: str) -> None:
    affine = OBLIQUE_LPS.copy()
    if name == "untilt":
        affine[:3, 2] -= 2 * affine[:3, 0]  # towards lower x, so that the field of view begins elsewhere
    image = itk(voxels(), affine)
    volume = images.to_volume(image)
    result = volume.placeholder_on(*MOVING_OPTIONS[name](volume.affine_lps))
    assert np.abs(result.affine_lps[:3, 3] - volume.affine_lps[:3, 3]).max() > 0.1
    made = images.convert_like(image, result)
    assert made.GetSize() == result.shape
    for index in ([0, 0, 0], [n - 1 for n in result.shape]):
        np.testing.assert_allclose(
            made.TransformIndexToPhysicalPoint(index), (result.affine_lps @ [*index, 1])[:3], atol=1e-9
        )
