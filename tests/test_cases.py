"""Real files that broke other readers, where they are at hand beside the checkout; see CASES.md there."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fabricate import CASES, interpolated

from saint_cli import geometry
from saint_cli.errors import GeometryError, UnreadableError, UsageError
from saint_cli.io import describe, read_volume, write_volume
from saint_cli.options.grid import GridRequest
from saint_cli.volume import Volume

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the real cases are not beside this checkout")


def read(name: str, **options: Any) -> Volume:
    return read_volume(CASES / name, **options)


def world_ends(volume: Volume) -> np.ndarray:
    """LPS mm of the first and last voxel centre, lowest first along each axis."""
    last = np.array([*(n - 1 for n in volume.shape), 1.0])
    ends = np.stack([volume.affine_lps[:3, 3], (volume.affine_lps @ last)[:3]])
    return np.sort(ends, axis=0)


SHAPES = [
    ("d02_ct_philips_tilt18", (512, 512, 10), (0.482421875, 0.482421875, 2.5)),
    ("d10_mr_per_slice_slope", (64, 28, 4), (6.39996, 4.0, 0.5)),
    ("d13_mr_hyperfine/001", (112, 138, 8), (1.59, 1.61, 5.0)),
    ("d29_mr_oblique_sbs_lies", (256, 256, 20), (0.859375, 0.859375, 7.0005)),
    ("d33_ct_overlapping", (512, 512, 3), (0.810547, 0.810547, 1.0)),
    ("d39_ct_enh_palette", (512, 512, 2), (0.388672, 0.388672, 10.0)),
    ("n03_slice_axis_x/single_vol_SAR.nii.gz", (2, 192, 192), (10.5, 0.66667, 0.66667)),
    ("n03_slice_axis_x/dcm2niix_of_d32_9x1x1.nii.gz", (6, 256, 256), (9.0, 1.0, 1.0)),
    ("n03_slice_axis_x/dcm2niix_of_d14_1.2x1x1.nii.gz", (8, 256, 256), (1.2, 1.0, 1.0)),
    ("n13_endian_extension_nifti2/avg152T1_LR_nifti2.nii.gz", (91, 109, 91), (2.0, 2.0, 2.0)),
    ("n13_endian_extension_nifti2/with_extension.nii.gz", (161, 191, 151), (1.0, 1.0, 1.0)),
    ("n16_thick_pd_ct/chris_PD.nii.gz", (191, 256, 54), (0.8579, 0.8594, 2.4)),
    ("n16_thick_pd_ct/CT_pitch.nii.gz", (175, 248, 58), (0.8125, 0.8125, 2.397)),
    ("n17_nrrd_mha/brain1_image.nrrd", (256, 256, 25), (0.78125, 0.78125, 6.5)),
    ("n17_nrrd_mha/mha.mha", (64, 64, 37), (3.4375, 3.4375, 3.8)),
    ("n17_nrrd_mha/prostate_phantom_subvolume.nrrd", (82, 67, 13), (0.5, 0.5, 3.0)),
]


@pytest.mark.parametrize(("name", "shape", "spacing"), SHAPES, ids=[s[0].split("/")[-1] for s in SHAPES])
def test_shape_and_spacing_are_those_that_trusted_tools_give(
    name: str, shape: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    volume = read(name)
    assert volume.shape == shape
    np.testing.assert_allclose(volume.spacing_mm, spacing, atol=1e-3)
    assert describe(CASES / name).stacks[0].shape == shape


REFUSED = [
    ("d07_mr_two_orientations", UsageError, "2 stacks"),
    ("d16_mr_ge_dti_4d", GeometryError, "4-D image, 4 stacks; choose one with `volume`"),
    ("d42_non_images", GeometryError, "nothing to interpolate"),
    ("d42_non_images/rtplan_truncated.dcm", UsageError, "nothing to interpolate"),
    ("n06_rgb_nifti_10mm/ct_perfusion.nii.gz", UnreadableError, "colour"),
    ("n11_5d_crashes_simpleitk/5D_small.nii", GeometryError, "5-D"),
    ("n12_not_nifti/not-nifti.nii", UnreadableError, "not a NIfTI"),
    ("n13_endian_extension_nifti2/example_nifti2.nii.gz", GeometryError, "4-D"),
]


@pytest.mark.parametrize(("name", "error", "words"), REFUSED, ids=[r[0].split("/")[0] for r in REFUSED])
def test_what_is_no_single_volume_is_refused_in_one_line(name: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        read(name)
    assert "\n" not in str(caught.value)


def test_a_tilted_stack_keeps_its_step_and_its_distance_along_the_normal() -> None:
    volume = read("d02_ct_philips_tilt18")
    assert geometry.slice_distance_mm(volume.affine_lps, 2) == pytest.approx(2.3708, abs=1e-3)
    assert geometry.tilt_degrees(volume.affine_lps, 2) == pytest.approx(18.5, abs=0.05)
    np.testing.assert_allclose(volume.affine_lps[:3, 3], [-123.5, -15.64097, 742.345191756896])
    assert any("tilted" in warning for warning in volume.header.warnings)


def test_a_missing_slice_is_named_by_its_gap() -> None:
    with pytest.raises(GeometryError, match=r"10 mm between 28\.1075 and 38\.1075, expected 5 mm"):
        read("d05_ct_missing_slice")


def test_two_orientations_are_two_stacks() -> None:
    spacings = [read("d07_mr_two_orientations", series=n).spacing_mm for n in ("1", "2")]
    np.testing.assert_allclose(spacings, [(0.32, 0.32, 3.3), (0.555556, 0.555556, 4.4)], atol=1e-3)


def test_slopes_that_differ_from_slice_to_slice_are_applied_slice_by_slice() -> None:
    voxels = read("d10_mr_per_slice_slope").voxels
    assert voxels.dtype == np.float32
    np.testing.assert_allclose([voxels.min(), voxels.max(), voxels.mean()], [33.444, 96.468, 51.604], atol=1e-3)


def test_five_compressed_syntaxes_give_equal_voxels() -> None:
    folders = ["compressed", "compressed_j2k", "compressed_jpeg", "compressed_jpegls", "compressed_rle"]
    volumes = [read(f"d11_mr_same_volume_6_syntaxes/{folder}") for folder in folders]
    assert volumes[0].voxels.max() == 254
    assert volumes[0].voxels.mean() == pytest.approx(127.0475, abs=1e-4)
    assert volumes[0].spacing_mm == pytest.approx((1.0, 1.0, 1.0))
    for other in volumes[1:]:
        np.testing.assert_array_equal(other.voxels, volumes[0].voxels)
        np.testing.assert_array_equal(other.affine_lps, volumes[0].affine_lps)


def test_enhanced_mr_equals_its_ground_truth() -> None:
    volume, truth = read("d13_mr_hyperfine/001"), read("d13_mr_hyperfine/001_ground_truth.nii.gz")
    assert volume.voxels.max() == 254
    np.testing.assert_array_equal(volume.voxels, truth.voxels)
    np.testing.assert_allclose(volume.affine_lps, truth.affine_lps, atol=1e-4)


def test_four_diffusion_volumes_can_be_chosen() -> None:
    volumes = [read("d16_mr_ge_dti_4d", series=str(n)) for n in (1, 2, 3, 4)]
    assert all(v.spacing_mm[2] == pytest.approx(3.7998, abs=1e-3) for v in volumes)
    assert len({v.voxels.tobytes() for v in volumes}) == 4


def test_a_slice_given_twice_is_dropped_and_the_gap_for_spacing_lie_is_reported() -> None:
    warnings = read("d29_mr_oblique_sbs_lies").header.warnings
    assert any("duplicated" in warning for warning in warnings)
    assert any("SpacingBetweenSlices says 2 mm" in warning for warning in warnings)


def test_segmentations_beside_a_series_are_skipped_and_counted() -> None:
    assert describe(CASES / "d33_ct_overlapping").skipped == {"Segmentation": 1}
    volume = read("d33_ct_overlapping")
    assert volume.voxels.min() == -3024
    assert volume.voxels.dtype == np.int16
    assert volume.header.padding == ((-3024, -3024),)


def test_rescale_of_functional_groups_is_applied() -> None:
    voxels = read("d39_ct_enh_palette").voxels
    assert (voxels.min(), voxels.max()) == (-1024, 172)


def test_a_sheared_sform_survives_reading_and_writing(tmp_path: Path) -> None:
    volume = read("n01_shear/shear.nii.gz")
    ras = geometry.RAS_FROM_LPS @ volume.affine_lps
    np.testing.assert_allclose(ras[:3, 2], [0, 0, 2.3708], atol=1e-4)
    np.testing.assert_allclose(ras[:3, 1], [0, 0.4575, 0.1531], atol=1e-4)
    assert any("sform and qform" in warning for warning in volume.header.warnings)
    write_volume(volume, tmp_path / "out.nii")
    again = read_volume(tmp_path / "out.nii")
    np.testing.assert_array_equal(again.affine_lps, volume.affine_lps)
    np.testing.assert_array_equal(again.voxels, volume.voxels)
    (warning,) = again.header.warnings
    assert warning.startswith("Gantry tilt or shear 18.5°")


def test_axis_order_of_the_file_does_not_change_the_world() -> None:
    axial, sagittal = read("n03_slice_axis_x/single_vol.nii.gz"), read("n03_slice_axis_x/single_vol_SAR.nii.gz")
    np.testing.assert_allclose(world_ends(axial), world_ends(sagittal), atol=1e-3)
    np.testing.assert_array_equal(np.sort(axial.voxels, axis=None), np.sort(sagittal.voxels, axis=None))
    assert describe(CASES / "n03_slice_axis_x/single_vol_SAR.nii.gz").stacks[0].through_plane == "x"


def test_byte_order_does_not_change_values() -> None:
    big, little = (read(f"n13_endian_extension_nifti2/{n}.nii.gz") for n in ("big", "little"))
    np.testing.assert_array_equal(big.voxels, little.voxels)
    assert big.spacing_mm == pytest.approx((4, 4, 6))


@pytest.mark.parametrize("name", ["brain1_label", "liver_seg"])
def test_label_maps_are_read_with_a_warning(name: str) -> None:
    assert any("looks like labels" in w for w in read(f"n17_nrrd_mha/{name}.nrrd").header.warnings)


@pytest.mark.parametrize("name", ["n17_nrrd_mha/brain1_image.nrrd", "n16_thick_pd_ct/chris_PD.nii.gz"])
def test_scans_are_not_taken_for_label_maps(name: str) -> None:
    assert not any("labels" in w for w in read(name).header.warnings)


DERIVABLE = {
    "d02_ct_philips_tilt18": None,
    "d07_mr_two_orientations": "2",
    "d10_mr_per_slice_slope": None,
    "d11_mr_same_volume_6_syntaxes/compressed_rle": None,
    "d13_mr_hyperfine/001": None,
    "d16_mr_ge_dti_4d": "3",
    "d29_mr_oblique_sbs_lies": None,
    "d33_ct_overlapping": None,
    "d39_ct_enh_palette": None,
}


@pytest.mark.parametrize("name", DERIVABLE)
def test_a_series_goes_to_dicom_and_back_with_its_spacing_divided(name: str, tmp_path: Path) -> None:
    volume = read(name, series=DERIVABLE[name])
    dense = interpolated(volume, 4)
    write_volume(dense, tmp_path / "out")
    again = read_volume(tmp_path / "out")
    assert again.shape[2] == (volume.shape[2] - 1) * 4 + 1
    np.testing.assert_allclose(again.affine_lps, dense.affine_lps, atol=1e-6)
    np.testing.assert_array_equal(again.voxels[..., ::4], volume.voxels)
    (before,) = (s for s in describe(CASES / name).stacks if str(s.number) == (DERIVABLE[name] or "1"))
    (after,) = describe(tmp_path / "out").stacks
    assert before.slice_distance_mm is not None
    assert after.slice_distance_mm == pytest.approx(before.slice_distance_mm / 4, abs=1e-5)
    assert after.order == before.order


@pytest.mark.parametrize("volume", [1, 4])
def test_a_volume_of_a_4d_series_can_be_chosen(volume: int) -> None:
    assert read("d16_mr_ge_dti_4d", volume=volume).shape == (64, 64, 4)


def test_a_volume_of_a_4d_nifti_file_can_be_chosen() -> None:
    name = "n13_endian_extension_nifti2/example_nifti2.nii.gz"
    first, second = (read(name, volume=k) for k in (1, 2))
    assert first.shape == second.shape
    assert not np.array_equal(first.voxels, second.voxels)


DCM2NIIX_TILT_RAS = [
    [-0.48242188, 0.0, 0.0, 123.5],
    [0.0, 0.45749, -0.75227, -218.13747],
    [0.0, 0.15307, 2.24829, 664.12402],
]
"""Of the 512 x 527 x 10 file that dcm2niix 1.0.20260724 makes of d02 with its tilt corrected; its y axis is flipped."""


def test_an_untilted_stack_lies_where_dcm2niix_puts_it() -> None:
    volume = read("d02_ct_philips_tilt18")
    request = GridRequest(spacing_mm=geometry.slice_distance_mm(volume.affine_lps, 2), untilt=True)
    grid = request.make_grid(volume)
    plane = request.make_plane_grid(volume, grid)
    assert plane is not None
    assert grid.is_same
    assert plane.output_shape(volume.shape) == (512, 527, 10)
    flipped = np.array(DCM2NIIX_TILT_RAS)
    flipped[:, 3] += 526 * flipped[:, 1]
    flipped[:, 1] *= -1
    ours = (geometry.RAS_FROM_LPS @ plane.affine_lps)[:3]
    for corner in np.ndindex(2, 2, 2):
        at = np.array([*(c * (n - 1) for c, n in zip(corner, (512, 527, 10), strict=True)), 1])
        np.testing.assert_allclose(ours @ at, flipped @ at, atol=1e-2)


def test_a_sheared_nifti_file_is_untilted_along_its_slices() -> None:
    volume = read("n01_shear/shear.nii.gz")
    request = GridRequest(factor=2, untilt=True)
    grid = request.make_grid(volume)
    plane = request.make_plane_grid(volume, grid)
    assert plane is not None
    assert geometry.tilt_degrees(plane.affine_lps, grid.axis) == pytest.approx(0, abs=1e-3)
    assert plane.output_shape(grid.output_shape(volume.shape))[1] > volume.shape[1]


def test_a_missing_slice_is_filled_only_where_that_is_asked_for() -> None:
    with pytest.raises(GeometryError, match=r"10 mm between 28.1075 and 38.1075.*`irregular=True`"):
        read("d05_ct_missing_slice")
    volume = read("d05_ct_missing_slice", irregular=True)
    places = volume.header.slice_positions
    assert sorted(np.diff(places)) == [1, 1, 2]
    grid = GridRequest(spacing_mm=5.0).make_grid(volume)
    assert (grid.count, int(grid.kept.sum())) == (5, 4)
