"""numpy arrays, nibabel and SimpleITK images: taken, and given back in kind."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fabricate
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from fabricate import SHEARED_LPS
from memory_images import itk, nifti, there_and_back, voxels
from nets import tiny

from saint_cli import geometry
from saint_cli.io import images, read_volume
from saint_cli.volume import Volume
from saint_cli.volume.warning_words import MADE_BY_SAINT

SPACING = (0.7, 0.9, 5.0)


def test_axes_of_an_array_are_x_y_z_in_the_order_of_its_spacings() -> None:
    volume = images.to_volume(voxels(), voxel_spacing_mm=SPACING)
    np.testing.assert_array_equal(volume.voxels, voxels())
    assert volume.spacing_mm == pytest.approx(SPACING)


@pytest.mark.parametrize("spacing", [[1, 2, 3], np.array([1.0, 2, 3]), (np.float32(1), np.int64(2), 3)])
def test_spacings_may_be_any_three_numbers(spacing: Any) -> None:
    assert images.to_volume(voxels(), voxel_spacing_mm=spacing).spacing_mm == pytest.approx((1, 2, 3))


DTYPES = {"<i2": "int16", ">i2": "int16", ">f4": "float32", "<f8": "float32", "f2": "float32", "u1": "uint8"} | {
    "i1": "int8",
    "u2": "uint16",
    "i4": "int32",
    "u8": "uint64",
}


@pytest.mark.parametrize("dtype", DTYPES)
def test_integers_keep_their_type_and_floats_become_float32(dtype: str) -> None:
    source = (voxels() % 100).astype(dtype)
    dense, made = there_and_back(source, voxel_spacing_mm=SPACING)
    assert made.dtype == dense.voxels.dtype == np.dtype(DTYPES[dtype])
    np.testing.assert_array_equal(made[..., ::3], source)


VIEWS: dict[str, Callable[[], np.ndarray]] = {
    "reversed": lambda: voxels()[::-1, :, ::-1],
    "every other": lambda: voxels("int16", (14, 6, 8))[::2, :, ::2],
    "transposed": lambda: voxels("int16", (4, 6, 7)).transpose(),
    "read-only": lambda: np.broadcast_to(voxels(), (7, 6, 4)),
}


@pytest.mark.parametrize("name", VIEWS)
def test_the_layout_of_an_array_in_memory_does_not_matter(name: str) -> None:
    source = VIEWS[name]()
    _, made = there_and_back(source, voxel_spacing_mm=SPACING)
    np.testing.assert_array_equal(made[..., ::3], source)


def test_a_file_mapped_into_memory_is_an_array_like_any_other(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", voxels())
    _, made = there_and_back(np.load(tmp_path / "a.npy", mmap_mode="r"), voxel_spacing_mm=SPACING)
    assert type(made) is np.ndarray


def test_modality_is_as_said_or_as_a_dicom_header_says() -> None:
    image = itk(voxels())
    assert images.to_volume(image).header.modality is None
    image.SetMetaData("0008|0060", "MR ")
    assert images.to_volume(image).header.modality == "MR"
    assert images.to_volume(image, modality="ct").header.modality == "CT"
    assert images.to_volume(voxels(), voxel_spacing_mm=SPACING, modality="MR").header.modality == "MR"
    assert images.to_volume(tiny.volume(modality="CT"), modality="MR").header.modality == "MR"


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_read_and_its_result_is_a_volume(kind: type, tmp_path: Path) -> None:
    nib.save(nifti(voxels()), tmp_path / "scan.nii")
    dense, result = there_and_back(kind(tmp_path / "scan.nii"), modality="MR")
    assert result is dense
    assert dense.header.modality == "MR"
    np.testing.assert_array_equal(dense.voxels[..., ::3], voxels())


def test_tilted_slices_of_a_nibabel_image_are_reported_as_those_of_its_file(tmp_path: Path) -> None:
    image = nifti(voxels(), SHEARED_LPS)
    nib.save(image, tmp_path / "tilted.nii")
    found = images.to_volume(image).header.warnings
    assert found[0].startswith("Gantry tilt or shear 9.8°: slices are tilted and kept as acquired")
    assert found == read_volume(tmp_path / "tilted.nii").header.warnings


def two_places(image: Any) -> Any:
    """The image, whose qform lies 4 mm beside its sform."""
    moved = image.affine.copy()
    moved[0, 3] += 4
    image.header.set_qform(moved, 1)
    return image


def wrong_spacing(image: Any) -> Any:
    image.header["pixdim"][3] = 9
    return image


def made_by_networks(image: Any) -> Any:
    image.header["descrip"] = b"saint 0.4 x4 model=medium:0123abcd"
    return image


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (two_places, "sform and qform place voxels up to 4 mm apart"),
        (wrong_spacing, "disagrees with the affine's spacing"),
        (made_by_networks, "is a result of saint"),
    ],
)
def test_a_nifti_image_in_memory_warns_as_its_file_does(change: Any, words: str, tmp_path: Path) -> None:
    image = nifti(voxels())
    image.header.set_xyzt_units("mm")
    nib.save(image, tmp_path / "plain.nii")
    image = change(nib.load(tmp_path / "plain.nii"))
    volume = images.to_volume(image)
    assert words in " ".join(volume.header.warnings)
    (tmp_path / "changed.nii").write_bytes(image.to_bytes())
    assert volume.header.warnings == read_volume(tmp_path / "changed.nii").header.warnings


def test_a_header_that_does_not_place_an_image_is_not_warned_of() -> None:
    image = two_places(nifti(voxels()))
    image.affine[1, 3] += 1
    assert images.to_volume(image).header.warnings == ()


def test_a_simpleitk_image_says_as_its_file_that_it_is_a_result() -> None:
    image = itk(voxels())
    image.SetMetaData("description", "saint 0.4 x4 model=medium:0123abcd noise=match")
    assert images.to_volume(image).header.warnings == (MADE_BY_SAINT,)


def test_odd_values_are_warnings() -> None:
    odd = voxels("float32")
    odd[0, 0, 0] = np.nan
    (sentence,) = images.to_volume(odd, voxel_spacing_mm=SPACING).header.warnings
    assert "1 of 168 voxels is NaN" in sentence


def scaled_by_slice(folder: Path) -> Volume:
    """A volume read from DICOM of which the first half of the slices is stored in finer steps."""
    series = fabricate.slices(6, modality="MR", shape=(12, 140))
    for index, data in enumerate(series):
        data.RescaleSlope, data.RescaleIntercept = "0.01" if index < 3 else "1.0", "0"
    return read_volume(fabricate.save(series, folder))


def with_voxel(volume: Volume, value: float) -> np.ndarray:
    """The voxels with another value in one, of 12 x 140, that is at no place of a coarse raster."""
    voxels = volume.voxels.astype(np.float32)
    voxels[71, 7, 4] = value
    return voxels


CHANGES: dict[str, Callable[[Volume], np.ndarray]] = {
    "cropped": lambda volume: volume.voxels[..., 3:],
    "in the other order": lambda volume: volume.voxels[..., ::-1],
    "normalised": lambda volume: volume.voxels / volume.voxels.max(),
    "beyond": lambda volume: volume.voxels - 1000,
    "one voxel in between": lambda volume: with_voxel(volume, 0.37),
    "one voxel is NaN": lambda volume: with_voxel(volume, np.nan),
}


@pytest.mark.parametrize("name", CHANGES)
def test_steps_of_a_source_are_forgotten_where_voxels_of_a_volume_are_others(name: str, tmp_path: Path) -> None:
    volume = scaled_by_slice(tmp_path / "s")
    assert images.to_volume(volume).header.codings == volume.header.codings
    assert len(volume.header.codings) == 6
    changed = images.to_volume(replace(volume, voxels=CHANGES[name](volume)))
    assert changed.header.codings == ()


def test_values_of_a_normalised_volume_are_not_rounded_to_the_integers_of_its_source(tmp_path: Path) -> None:
    volume = read_volume(fabricate.save(fabricate.slices(), tmp_path / "s"))
    volume = images.to_volume(replace(volume, voxels=(volume.voxels / 3000).astype(np.float32)))
    dense = tiny.upsample(volume, tiny.model(), geometry.grid_by_factor(6, 2, 2), tiny.CPU)
    assert (dense.voxels[..., 1] % 1 != 0).all()


def test_a_hole_of_one_voxel_stays_a_hole_and_is_no_water(tmp_path: Path) -> None:
    volume = read_volume(fabricate.save(fabricate.slices(shape=(12, 140)), tmp_path / "s"))
    volume = images.to_volume(replace(volume, voxels=with_voxel(volume, np.nan)))
    dense = tiny.upsample(volume, tiny.linear_model(), geometry.grid_by_factor(6, 2, 2), tiny.CPU).voxels
    assert np.isnan(dense[71, 7, 8])
    assert (dense[71, 7] != 0).all()


@pytest.mark.parametrize("make", [voxels, lambda: nifti(voxels()), lambda: itk(voxels())])
def test_the_input_is_not_modified(make: Callable[[], Any]) -> None:
    image = make()
    options = {"voxel_spacing_mm": SPACING} if isinstance(image, np.ndarray) else {}
    there_and_back(image, **options)
    left, expected = (
        one
        if isinstance(one, np.ndarray)
        else sitk.GetArrayFromImage(one)
        if isinstance(one, sitk.Image)
        else one.dataobj
        for one in (image, make())
    )
    np.testing.assert_array_equal(left, expected)


@pytest.mark.parametrize(("made", "other"), [("numpy", "SimpleITK"), ("numpy", "nibabel"), ("nibabel", "SimpleITK")])
def test_no_library_is_loaded_but_that_of_the_image(made: str, other: str) -> None:
    program = (
        f"import sys, numpy as np\nfrom saint_cli import read_volume, upsample\nfrom saint_cli.io import images\n"
        "image, options = np.zeros((4, 4, 4), np.int16), {'voxel_spacing_mm': (1, 1, 5)}\n"
        f"if {made!r} == 'nibabel':\n    import nibabel\n"
        "    image, options = nibabel.Nifti1Image(image, np.eye(4)), {}\n"
        "volume = images.to_volume(image, **options)\nimages.convert_like(image, volume)\n"
        f"assert {other!r} not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
