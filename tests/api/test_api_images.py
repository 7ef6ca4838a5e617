"""Images of other libraries in Python: every kind gives the same, and comes back in kind."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from nets import tiny

import saint_cli
from saint_cli.errors import UsageError


def kinds() -> dict[str, tuple[Any, dict[str, Any], Callable[[Any], np.ndarray]]]:
    """A scan as every kind of image, what must be said of it, and how its voxels [x, y, z] are found."""
    voxels, spacing = tiny.volume().voxels, tiny.volume().spacing_mm
    itk = sitk.GetImageFromArray(np.ascontiguousarray(voxels.transpose()))
    itk.SetSpacing(spacing)
    return {
        "numpy": (voxels.copy(), {"voxel_spacing_mm": spacing, "modality": "CT"}, lambda one: one),
        "nibabel": (
            nib.Nifti1Image(voxels.copy(), np.diag([*spacing, 1])),
            {"modality": "CT"},
            lambda one: one.dataobj,
        ),
        "SimpleITK": (itk, {"modality": "CT"}, lambda one: sitk.GetArrayFromImage(one).transpose()),
    }


@pytest.mark.parametrize("kind", ["numpy", "nibabel", "SimpleITK"])
def test_every_kind_of_image_gives_the_voxels_that_a_volume_gives_and_comes_back_in_kind(
    kind: str, tiny_model: dict[str, Any]
) -> None:
    image, options, voxels = kinds()[kind]
    before = np.array(voxels(image))
    dense = saint_cli.upsample(image, factor=3, **tiny_model, **options)
    assert type(dense) is type(image)
    expected = saint_cli.upsample(tiny.volume(), factor=3, **tiny_model).voxels
    np.testing.assert_array_equal(np.asanyarray(voxels(dense)), expected)
    np.testing.assert_array_equal(np.asanyarray(voxels(image)), before)


def test_an_array_of_simpleitk_needs_its_axes_turned_and_then_gives_the_same(tiny_model: dict[str, Any]) -> None:
    image, options, _ = kinds()["SimpleITK"]
    array = sitk.GetArrayFromImage(image)  # [z, y, x]
    spacing = image.GetSpacing()
    turned = saint_cli.upsample(array.transpose(), factor=2, voxel_spacing_mm=spacing, **tiny_model, **options)
    dense = saint_cli.upsample(image, factor=2, **tiny_model, **options)
    np.testing.assert_array_equal(turned.transpose(), sitk.GetArrayFromImage(dense))


def test_what_is_odd_about_an_image_is_a_warning_of_python(tiny_model: dict[str, Any]) -> None:
    odd = tiny.volume().voxels.astype(np.float32)
    odd[0, 0, 0] = np.nan
    with pytest.warns(UserWarning, match="1 of 1800 voxels is NaN") as caught:
        saint_cli.upsample(odd, factor=2, voxel_spacing_mm=(1, 1, 5), **tiny_model)
    assert [one.filename for one in caught] == [__file__]


@pytest.mark.parametrize("kind", ["numpy", "nibabel", "SimpleITK"])
def test_an_image_that_is_taken_for_mr_by_its_values_warns_of_it(kind: str, tiny_model: dict[str, Any]) -> None:
    image, options, _ = kinds()[kind]
    image = image + 2000 if kind != "nibabel" else nib.Nifti1Image(np.asarray(image.dataobj) + 2000, image.affine)
    if kind == "SimpleITK":
        image.CopyInformation(kinds()[kind][0])
    with pytest.warns(UserWarning, match="read as MR by its values; `modality=ct` if it is HU") as caught:
        saint_cli.upsample(image, factor=2, **tiny_model, **{**options, "modality": None})
    assert [one.filename for one in caught] == [__file__]
    saint_cli.upsample(image, factor=2, **tiny_model, **options)  # which name the modality


def test_weights_that_are_called_as_shipped_ones_are_not_taken_for_them(
    tmp_path: Path, tiny_model: dict[str, Any]
) -> None:
    own = tmp_path / "medium.safetensors"
    shutil.copy(tiny_model["model"], own)
    image, options, _ = kinds()["numpy"]
    grid = {**options, "modality": "MR", "spacing_mm": 2.0, "device": "cpu"}
    with pytest.warns(UserWarning, match="not CT: intensities are normalised by percentiles$"):
        saint_cli.upsample(image, model=saint_cli.load_model(str(own)), **grid)
    with pytest.warns(UserWarning, match="fast was trained on CT only, and its size is not installed for MR"):
        saint_cli.restore(image, model=saint_cli.load_model("fast"), **grid)


@pytest.mark.parametrize("name", ["a path", "numpy", "nibabel", "SimpleITK"])
def test_every_stage_is_an_image_of_the_kind_that_was_passed(
    name: str, tmp_path: Path, tiny_model: dict[str, Any]
) -> None:
    image, options, voxels = tmp_path / "scan.nii", {}, lambda volume: volume.voxels
    if name == "a path":
        saint_cli.write_volume(tiny.volume(), image)
    else:
        image, options, voxels = kinds()[name]
    stages = saint_cli.restore(image, 3, **options, **tiny_model)
    dense = saint_cli.upsample(image, 3, **options, **tiny_model)
    assert type(stages.fused) is type(dense)
    np.testing.assert_array_equal(np.asanyarray(voxels(stages.fused)), np.asanyarray(voxels(dense)))
    sagittal, coronal = (np.asanyarray(voxels(one)) for one in (stages.sagittal, stages.coronal))
    assert (sagittal != coronal).any()
    for acquired in (sagittal[..., ::3], coronal[..., ::3], np.asanyarray(voxels(stages.mean))[..., ::3]):
        np.testing.assert_array_equal(acquired, tiny.volume().voxels)


def test_expected_errors_are_zero_at_acquired_slices_and_lie_on_the_grid_of_the_result() -> None:
    image, options, voxels = kinds()["SimpleITK"]
    stages = saint_cli.restore(image, 3, model="fast", device="cpu", **options)
    error = stages.expected_error
    assert error.GetSpacing() == stages.fused.GetSpacing()
    assert (voxels(error)[..., ::3] == 0).all()
    assert (voxels(error)[..., 1] > 0).any()


@pytest.mark.parametrize("keywords", [{"tta": True}, {"directions": 4}, {"extrapolate": True}, {"model": None}])
def test_expected_errors_that_were_never_measured_are_refused(
    keywords: dict[str, Any], tiny_model: dict[str, Any]
) -> None:
    uncalibrated = tiny_model if "model" in keywords else {"model": "fast", "device": "cpu", **keywords}
    with pytest.raises(UsageError, match="expected errors are known for models with a calibration for such images"):
        _ = saint_cli.restore(tiny.volume((8, 8, 3)), 2, **uncalibrated).expected_error


def test_pixels_are_resampled_for_every_kind_of_image(tiny_model: dict[str, Any]) -> None:
    volume = tiny.volume()
    result = saint_cli.upsample(volume, 2, in_plane_mm=0.5, **tiny_model)
    spacing = (0.7, 0.9, 5)
    with pytest.warns(UserWarning, match=r"given pixels of 0.5 mm"):
        array = saint_cli.upsample(
            volume.voxels, 2, in_plane_mm=0.5, voxel_spacing_mm=spacing, modality="CT", **tiny_model
        )
    np.testing.assert_array_equal(result.voxels, array)
    assert result.spacing_mm == pytest.approx((0.5, 0.5, 2.5))
    stages = saint_cli.restore(volume, 2, in_plane_mm=0.5, **tiny_model)
    np.testing.assert_array_equal(stages.fused.voxels, result.voxels)
    with pytest.raises(UsageError, match="in_plane_mm"):
        _ = stages.expected_error
