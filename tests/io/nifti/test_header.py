"""What NIfTI headers say, and how saint reads it."""

import gzip
from pathlib import Path

import fabricate
import nibabel
import numpy as np
import pytest

from saint_cli import geometry
from saint_cli.errors import SourceChangedError, UnreadableError, UsageError
from saint_cli.io import describe, list_volumes, read_volume
from saint_cli.io.nifti.header import read_header

VOXELS = fabricate.volume().voxels
RAS = geometry.RAS_FROM_LPS @ fabricate.OBLIQUE_LPS


def save(path: Path, voxels: np.ndarray = VOXELS, affine: np.ndarray = RAS, **fields: object) -> Path:
    """Save a NIfTI-1 file, then put ``fields`` into its header as they are: nibabel would make them agree."""
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
    if not fields:
        return path
    raw = path.read_bytes()
    header = nibabel.Nifti1Header(raw[:348], check=False)
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(header.binaryblock + raw[348:])
    return path


def warnings(path: Path) -> str:
    found = read_volume(path).header.warnings
    return " | ".join(found)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_byte_order_and_version_do_not_change_the_volume(tmp_path: Path, order: str, kind: type) -> None:
    header = kind.header_class(endianness=order)
    header.set_data_dtype(np.int16)
    nibabel.save(kind(VOXELS, RAS, header), tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    assert volume.voxels.dtype == np.dtype("=i2")
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    np.testing.assert_allclose(volume.affine_lps, fabricate.OBLIQUE_LPS, atol=1e-5)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Pair, nibabel.Nifti2Pair])
@pytest.mark.parametrize("asked", ["a.hdr", "a.img"])
def test_a_pair_is_read_by_either_name(tmp_path: Path, kind: type, asked: str) -> None:
    nibabel.save(kind(VOXELS, RAS), tmp_path / "a.hdr")
    np.testing.assert_array_equal(read_volume(tmp_path / asked).voxels, VOXELS)


@pytest.mark.parametrize("linked", ["a.hdr", "a.img"])
def test_the_other_file_of_a_pair_is_read_outside_the_folder_with_leave_only(tmp_path: Path, linked: str) -> None:
    home = tmp_path / "in"
    home.mkdir()
    nibabel.save(nibabel.Nifti1Pair(VOXELS, RAS), home / "a.hdr")
    (home / linked).rename(tmp_path / linked)
    (home / linked).symlink_to(f"../{linked}")
    (asked,) = {"a.hdr", "a.img"} - {linked}
    with pytest.raises(UnreadableError, match=r"outside the header's folder.*`outside_data=True`"):
        read_volume(home / asked)
    with pytest.raises(UnreadableError, match="outside the header's folder"):
        describe(home / asked)
    np.testing.assert_array_equal(read_volume(home / asked, outside_data=True).voxels, VOXELS)
    assert describe(home / asked, outside_data=True).stacks[0].problem is None
    np.testing.assert_array_equal(read_volume(home / linked).voxels, VOXELS)  # a link that is named itself


@pytest.mark.parametrize(
    ("name", "packed"), [("scan", True), ("scan.nii", True), ("scan.nii.gz", False), ("x.dcm", False)]
)
def test_the_format_is_found_by_content_not_by_name(tmp_path: Path, name: str, packed: bool) -> None:
    content = save(tmp_path / "plain.nii").read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if packed else content)
    np.testing.assert_array_equal(read_volume(tmp_path / name).voxels, VOXELS)


def test_header_extensions_are_skipped_with_a_warning(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VOXELS, RAS)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"SECRET" * 50))
    nibabel.save(image, tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz").voxels, VOXELS)
    assert "the header has extensions; they are not copied" in warnings(tmp_path / "a.nii.gz")
    nibabel.save(nibabel.Nifti2Image(VOXELS, RAS), tmp_path / "without.nii")
    assert "extensions" not in warnings(tmp_path / "without.nii")


def test_the_sform_wins_over_the_qform_and_a_difference_is_reported(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VOXELS, RAS)
    moved = RAS.copy()
    moved[0, 3] += 30
    image.set_sform(moved, code=2)
    image.set_qform(RAS, code=1)
    nibabel.save(image, tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    np.testing.assert_allclose(geometry.RAS_FROM_LPS @ volume.affine_lps, moved, atol=1e-5)
    assert volume.header.space_code == 2
    assert "30 mm apart" in warnings(tmp_path / "a.nii")


def test_the_qform_is_used_where_there_is_no_sform(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", sform_code=0, qform_code=1)
    np.testing.assert_allclose(read_volume(path).affine_lps, fabricate.OBLIQUE_LPS, atol=1e-4)
    assert warnings(path) == ""


def test_a_qform_of_left_handed_axes_is_used_as_it_is(tmp_path: Path) -> None:
    affine = RAS @ np.diag([1.0, 1.0, -1.0, 1.0])
    path = save(tmp_path / "a.nii", affine=affine, sform_code=0, qform_code=1)
    np.testing.assert_allclose(read_volume(path).affine_lps, geometry.RAS_FROM_LPS @ affine, atol=1e-4)


def test_without_forms_the_spacing_is_used_and_the_orientation_is_unknown(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", sform_code=0, qform_code=0)
    np.testing.assert_allclose(read_volume(path).spacing_mm, (0.8, 0.8, 5.0), rtol=1e-6)
    assert "orientation unknown" in warnings(path)


def test_a_pixdim_that_disagrees_is_reported_and_the_affine_wins(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", qform_code=0, pixdim=[1, 0.8, 0.8, 1, 0, 0, 0, 0])
    assert read_volume(path).spacing_mm[2] == pytest.approx(5)
    assert "pixdim" in warnings(path)


def test_negative_pixdim_is_taken_as_positive(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", sform_code=0, qform_code=0)
    raw = bytearray(path.read_bytes())
    raw[80:92] = np.array([-0.8, 0.8, -5], dtype="<f4").tobytes()
    path.write_bytes(raw)
    np.testing.assert_allclose(read_volume(path).spacing_mm, (0.8, 0.8, 5.0), rtol=1e-6)


@pytest.mark.parametrize(("code", "scale"), [(1, 1e-3), (3, 1e3)])
def test_metres_and_micrometres_become_millimetres(tmp_path: Path, code: int, scale: float) -> None:
    path = save(tmp_path / "a.nii", affine=np.diag([scale, scale, scale, 1]) @ RAS, xyzt_units=code)
    np.testing.assert_allclose(read_volume(path).spacing_mm, (0.8, 0.8, 5.0), rtol=1e-5)
    assert "converted to mm" in warnings(path)
    assert "implausible" not in warnings(path)
    assert "implausible" in warnings(save(tmp_path / "b.nii", xyzt_units=code))


@pytest.mark.parametrize("slope", [0.0, float("nan")])
def test_a_slope_of_zero_or_nan_means_no_scaling(tmp_path: Path, slope: float) -> None:
    path = save(tmp_path / "a.nii")
    raw = bytearray(path.read_bytes())
    raw[112:120] = np.array([slope, 5], dtype="<f4").tobytes()
    path.write_bytes(raw)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    assert volume.voxels.dtype == np.int16


def test_scaling_gives_scanner_values_in_float32(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VOXELS, RAS)
    image.header.set_slope_inter(0.5, -3)
    nibabel.save(image, tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    assert volume.voxels.dtype == np.float32
    np.testing.assert_allclose(volume.voxels, nibabel.load(tmp_path / "a.nii").get_fdata(), rtol=1e-6)


def test_float64_becomes_float32(tmp_path: Path) -> None:
    assert read_volume(save(tmp_path / "a.nii", VOXELS.astype(np.float64))).voxels.dtype == np.float32


def test_voxels_that_are_not_finite_stay_and_are_counted(tmp_path: Path) -> None:
    voxels = VOXELS.astype(np.float32)
    voxels[0, 0, :2] = np.nan, np.inf
    path = save(tmp_path / "a.nii", voxels)
    np.testing.assert_array_equal(read_volume(path).voxels, voxels)
    assert "2 of 2880 voxels are NaN or infinite" in warnings(path)


@pytest.mark.parametrize(("offset", "expected"), [(2**25, False), (2**54, True)])
def test_whole_numbers_too_large_for_float64_are_reported(offset: int, expected: bool, tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VOXELS.astype(np.int64) + offset, RAS, dtype=np.int64)
    nibabel.save(image, tmp_path / "a.nii")
    assert ("2^53" in warnings(tmp_path / "a.nii")) == expected


def test_label_maps_are_distinguished_from_scans(tmp_path: Path) -> None:
    labels = np.zeros((20, 20, 20), dtype=np.uint8)
    labels[5:9], labels[10:15] = 1, 7
    assert "looks like labels (3 distinct values)" in warnings(save(tmp_path / "a.nii", labels))
    scan = np.random.default_rng(0).integers(0, 200, (20, 20, 20)).astype(np.uint8)
    assert warnings(save(tmp_path / "b.nii", scan)) == ""


def test_describing_agrees_with_reading(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz")
    (stack,), volume = describe(path).stacks, read_volume(path)
    assert (stack.shape, stack.spacing_mm, stack.dtype) == (volume.shape, volume.spacing_mm, "int16")
    assert (stack.through_plane, stack.suggested_factor, stack.problem) == ("z", 6, None)
    assert stack.anisotropy == pytest.approx(6.25)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_one_volume_of_a_4d_file_is_read_by_its_number(tmp_path: Path, ending: str) -> None:
    voxels = np.arange(4 * 5 * 6 * 3, dtype=np.int16).reshape(4, 5, 6, 3)
    path = tmp_path / f"scan{ending}"
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1, 1, 3, 1])), path)
    for number in (1, 2, 3):
        np.testing.assert_array_equal(read_volume(path, volume=number).voxels, voxels[..., number - 1])
    for number in (0, 4):
        with pytest.raises(UsageError, match="holds 3"):
            read_volume(path, volume=number)


def test_the_unit_of_time_does_not_bring_along_that_of_length(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((4, 5, 6, 2), np.int16), np.diag([500, 500, 3000, 1]))
    image.header.set_xyzt_units("micron", "msec")
    nibabel.save(image, tmp_path / "scan.nii")
    assert read_header(tmp_path / "scan.nii", 1).fourth_axis.unit == 16  # NIFTI_UNITS_MSEC


def test_a_4d_file_that_is_replaced_while_its_volumes_are_read_is_refused(tmp_path: Path) -> None:
    voxels = np.arange(4 * 5 * 6 * 3, dtype=np.int16).reshape(4, 5, 6, 3)
    for name in ("scan.nii", "other.nii"):
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1, 1, 3, 1])), tmp_path / name)
    volumes = list_volumes(tmp_path / "scan.nii").read()
    next(volumes)
    (tmp_path / "other.nii").replace(tmp_path / "scan.nii")
    with pytest.raises(SourceChangedError, match=r"scan\.nii"):
        list(volumes)
