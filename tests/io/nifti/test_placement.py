"""Which form of a NIfTI header places the voxels, and in which unit."""

from pathlib import Path

import fabricate
import nibabel
import numpy as np
import pytest

from saint_cli import geometry
from saint_cli.errors import GeometryError
from saint_cli.io import describe, read_volume, write_volume

VOXELS = fabricate.volume().voxels
RAS = geometry.RAS_FROM_LPS @ fabricate.OBLIQUE_LPS

EMPTY = {"srow_x": 0, "srow_y": 0, "srow_z": 0}


def save(path: Path, kind: type = nibabel.Nifti1Image, affine: np.ndarray = RAS, **fields: object) -> Path:
    """Save a file with sform and qform of code 1, then put ``fields`` into its header as they are."""
    image = kind(VOXELS, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    nibabel.save(image, path)
    raw, header = path.read_bytes(), kind.header_class
    changed = header(raw[: header.sizeof_hdr], check=False)
    for name, value in fields.items():
        changed[name] = value
    path.write_bytes(changed.binaryblock + raw[header.sizeof_hdr :])
    return path


def warnings(path: Path) -> str:
    return " | ".join(read_volume(path).header.warnings)


UNSOUND = {
    "zeros": (EMPTY, r"the sform is empty \(all zeros\)"),
    "zeros but an origin": ({"srow_x": [0, 0, 0, 5], "srow_y": 0, "srow_z": 0}, "spacing of zero"),
    "a row of zeros": ({"srow_z": 0}, "one plane"),
    "a column of zeros": ({"srow_x": [1, 0, 0, 0], "srow_y": [0, 0, 1, 0], "srow_z": 0}, "spacing of zero"),
    "a number that is none": ({"srow_y": [np.nan, 0, 0, 0]}, "NaN or infinity"),
    "a row of them": ({"srow_x": np.nan}, "NaN or infinity"),
    "infinity": ({"srow_y": [0, np.inf, 0, 0]}, "NaN or infinity"),
    "huge numbers": ({"srow_y": [0, 3e38, 0, 0]}, r"beyond 1e\+12 mm"),
    "equal rows": ({"srow_x": [1, 0, 0, 0], "srow_y": [1, 0, 0, 0]}, "one plane|zero"),
}


@pytest.mark.parametrize("case", UNSOUND)
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_an_unsound_sform_gives_way_to_a_sound_qform_and_is_reported(tmp_path: Path, case: str, kind: type) -> None:
    fields, words = UNSOUND[case]
    path = save(tmp_path / "a.nii", kind, **fields)
    volume = read_volume(path)
    np.testing.assert_allclose(volume.affine_lps, fabricate.OBLIQUE_LPS, atol=1e-4)
    with pytest.raises(AssertionError, match=f"({words}).*; the qform is used"):
        raise AssertionError(warnings(path))
    assert describe(path).stacks[0].problem is None


@pytest.mark.parametrize("case", UNSOUND)
@pytest.mark.parametrize(
    ("qform", "words"),
    [
        ({"qform_code": 0}, r"no qform \(code 0\)"),
        ({"pixdim": [1, 0.8, 0.8, 0, 0, 0, 0, 0]}, "the qform has a voxel spacing of zero .* from pixdim"),
        ({"quatern_b": 5}, "the qform holds a quaternion that is not a rotation"),
        ({"qoffset_x": np.nan}, "the qform holds NaN"),
    ],
)
def test_where_both_forms_are_unsound_both_are_named_with_the_repair(
    tmp_path: Path, case: str, qform: dict[str, object], words: str
) -> None:
    path = save(tmp_path / "a.nii", **UNSOUND[case][0], **qform)
    with pytest.raises(GeometryError, match=f"the sform .*, and .*{words}.*; set one of them"):
        read_volume(path)
    (stack,) = describe(path).stacks
    assert stack.exit_code == 4


@pytest.mark.parametrize("fields", [{"quatern_b": 5}, {"quatern_c": np.nan}, {"qoffset_y": np.inf}])
def test_an_unsound_qform_gives_way_to_a_sound_sform_and_is_reported(tmp_path: Path, fields: dict[str, object]) -> None:
    path = save(tmp_path / "a.nii", **fields)
    np.testing.assert_allclose(read_volume(path).affine_lps, fabricate.OBLIQUE_LPS, atol=1e-5)
    assert "the qform holds" in warnings(path)
    assert "the sform is used" in warnings(path)


def test_an_unsound_qform_alone_leaves_the_spacing(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", sform_code=0, quatern_b=5)
    assert read_volume(path).spacing_mm == pytest.approx((0.8, 0.8, 5))
    assert "orientation unknown: the qform holds a quaternion" in warnings(path)


def test_a_quaternion_of_zeros_is_no_turn_and_no_fault(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", sform_code=0, quatern_b=0, quatern_c=0, quatern_d=0)
    np.testing.assert_allclose(np.abs(read_volume(path).affine_lps[:3, :3]), np.diag([0.8, 0.8, 5]), atol=1e-6)
    assert warnings(path) == ""


@pytest.mark.parametrize(("name", "other"), [("sform_code", "qform_code"), ("qform_code", "sform_code")])
@pytest.mark.parametrize("code", [6, 8, 255, 32767])
def test_an_unknown_form_code_is_reported_and_the_result_can_be_written(
    tmp_path: Path, name: str, other: str, code: int
) -> None:
    path = save(tmp_path / "a.nii", **{name: code, other: 0})
    volume = read_volume(path)
    np.testing.assert_allclose(volume.affine_lps, fabricate.OBLIQUE_LPS, atol=1e-4)
    assert f"{name} {code} is unknown" in warnings(path)
    write_volume(volume, tmp_path / "b.nii")
    assert int(nibabel.load(tmp_path / "b.nii").header["sform_code"]) == 2


@pytest.mark.parametrize("code", [4, 5, 7, 0xF6])
def test_an_unknown_unit_counts_as_mm_and_is_reported(tmp_path: Path, code: int) -> None:
    path = save(tmp_path / "a.nii", xyzt_units=code)
    assert read_volume(path).spacing_mm == pytest.approx((0.8, 0.8, 5))
    assert f"unit code {code & 7} is unknown" in warnings(path)


@pytest.mark.parametrize("time", [0, 8, 16, 24, 32])
@pytest.mark.parametrize(("unit", "mm"), [(1, 1e3), (3, 1e-3)])
@pytest.mark.parametrize("form", [{}, {"sform_code": 0}, {"sform_code": 0, "qform_code": 0}, EMPTY])
def test_units_of_length_count_in_every_form_whatever_the_unit_of_time(
    tmp_path: Path, time: int, unit: int, mm: float, form: dict[str, object]
) -> None:
    affine = np.diag([1 / mm, 1 / mm, 1 / mm, 1]) @ RAS
    volume = read_volume(save(tmp_path / "a.nii", affine=affine, xyzt_units=unit + time, **form))
    assert volume.spacing_mm == pytest.approx((0.8, 0.8, 5), rel=1e-5)
    if form.get("qform_code") is None:
        np.testing.assert_allclose(volume.affine_lps, fabricate.OBLIQUE_LPS, atol=1e-3)
    reported = " ".join(volume.header.warnings)
    assert "converted to mm" in reported
    assert "apart" not in reported
    write_volume(volume, tmp_path / "b.nii")
    again = nibabel.load(tmp_path / "b.nii")
    assert again.header.get_xyzt_units()[0] == "mm"
    assert again.header.get_zooms() == pytest.approx((0.8, 0.8, 5), rel=1e-5)


def test_distances_between_the_forms_are_reported_in_mm(tmp_path: Path) -> None:
    affine = np.diag([1e3, 1e3, 1e3, 1]) @ RAS
    moved = affine[0].copy()
    moved[3] += 20
    assert warnings(save(tmp_path / "a.nii", affine=affine, xyzt_units=3, srow_x=moved)).count("apart") == 0
    moved[3] += 7000
    assert "7.02 mm apart" in warnings(save(tmp_path / "a.nii", affine=affine, xyzt_units=3, srow_x=moved))


def test_micro_ct_is_plausible(tmp_path: Path) -> None:
    assert warnings(save(tmp_path / "a.nii", affine=np.diag([0.009, 0.009, 0.05, 1]))) == ""
