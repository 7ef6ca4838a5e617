"""What is written is read back: voxels bit for bit, geometry to the precision of the format."""

from pathlib import Path

import fabricate
import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from saint_cli import geometry
from saint_cli.errors import OutputError, UsageError
from saint_cli.io import read_volume, write_volume
from saint_cli.io.output_checks import check_target_path
from saint_cli.io.scaling import encode
from saint_cli.volume import Header, Storage, Volume

ENDINGS = [".nii", ".nii.gz", ".nrrd", ".mha"]
AFFINES = {
    "axial": np.diag([0.8, 0.8, 5.0, 1.0]),
    "oblique": fabricate.OBLIQUE_LPS,
    "sheared": fabricate.SHEARED_LPS,
    "flipped": np.diag([-0.8, 0.8, -5.0, 1.0]),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", AFFINES)
def test_write_then_read_gives_the_same_voxels_and_affine(tmp_path: Path, ending: str, name: str) -> None:
    volume = fabricate.volume(affine_lps=AFFINES[name])
    write_volume(volume, tmp_path / f"out{ending}")
    again = read_volume(tmp_path / f"out{ending}")
    np.testing.assert_array_equal(again.voxels, volume.voxels)
    assert again.voxels.dtype == volume.voxels.dtype
    np.testing.assert_allclose(again.affine_lps, volume.affine_lps, atol=1e-5)
    assert ["tilt" in warning for warning in again.header.warnings] == ([True, False] if name == "sheared" else [])


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "int64", "float32"])
def test_every_voxel_type_survives(tmp_path: Path, ending: str, dtype: str) -> None:
    volume = fabricate.volume(dtype="int16")
    voxels = np.clip(volume.voxels, 0, 200).astype(dtype)
    write_volume(Volume(voxels, volume.affine_lps), tmp_path / f"out{ending}")
    again = read_volume(tmp_path / f"out{ending}").voxels
    assert again.dtype == dtype
    np.testing.assert_array_equal(again, voxels)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
@pytest.mark.parametrize("name", AFFINES)
def test_other_readers_place_nrrd_and_mha_where_saint_does(tmp_path: Path, ending: str, name: str) -> None:
    volume = fabricate.volume(affine_lps=AFFINES[name])
    write_volume(volume, tmp_path / f"out{ending}")
    image = sitk.ReadImage(str(tmp_path / f"out{ending}"))
    for index in [(0, 0, 0), (23, 0, 0), (3, 19, 5)]:
        np.testing.assert_allclose(
            image.TransformIndexToPhysicalPoint(index), (volume.affine_lps @ [*index, 1])[:3], atol=1e-6
        )
        assert image[index] == volume.voxels[index]


@pytest.mark.parametrize("name", AFFINES)
def test_other_readers_place_nifti_where_saint_does(tmp_path: Path, name: str) -> None:
    volume = fabricate.volume(affine_lps=AFFINES[name])
    write_volume(volume, tmp_path / "out.nii.gz")
    image = nibabel.load(tmp_path / "out.nii.gz")
    np.testing.assert_allclose(image.affine, geometry.RAS_FROM_LPS @ volume.affine_lps, atol=1e-5)
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), volume.voxels)
    assert image.header.get_xyzt_units() == ("mm", "unknown")
    assert bytes(image.header["descrip"]).startswith(b"saint ")
    assert not image.header.extensions
    np.testing.assert_allclose(image.header.get_zooms(), volume.spacing_mm, rtol=1e-6)
    assert int(image.header["qform_code"]) == (0 if name == "sheared" else 1)


@pytest.mark.parametrize(("dtype", "slope", "intercept"), [("int16", 0.37, -11.5), ("uint8", 7.1098, -1024.0)])
def test_stored_integers_come_back_bit_identical_through_their_scaling(
    tmp_path: Path, dtype: str, slope: float, intercept: float
) -> None:
    limits = np.iinfo(dtype)
    stored = np.random.default_rng(0).integers(limits.min, limits.max + 1, (16, 16, 16)).astype(dtype)
    image = nibabel.Nifti1Image(stored, np.diag([1, 1, 4, 1]))
    image.header.set_slope_inter(slope, intercept)
    nibabel.save(image, tmp_path / "in.nii")
    volume = read_volume(tmp_path / "in.nii")
    assert volume.voxels.dtype == np.float32
    write_volume(volume, tmp_path / "out.nii")
    again = nibabel.load(tmp_path / "out.nii")
    np.testing.assert_array_equal(
        again.dataobj.get_unscaled(), nibabel.load(tmp_path / "in.nii").dataobj.get_unscaled()
    )
    assert again.dataobj.slope == nibabel.load(tmp_path / "in.nii").dataobj.slope


def test_values_beyond_the_stored_type_are_clipped_and_never_wrap() -> None:
    storage = Storage(np.dtype("uint8"), 2.0, -100.0)
    stored = encode(np.array([-1e9, -101, -100, 0.9, 409, 411, np.inf, np.nan], dtype=np.float32), storage)
    np.testing.assert_array_equal(stored, [0, 0, 0, 50, 254, 255, 255, 50])
    assert encode(np.array([1e30]), Storage(np.dtype("int64")))[0] > 2**62


@pytest.mark.parametrize("code", [1, 2, 4])
def test_the_space_of_the_source_is_kept(tmp_path: Path, code: int) -> None:
    volume = fabricate.volume()
    write_volume(Volume(volume.voxels, volume.affine_lps, Header(space_code=code)), tmp_path / "out.nii")
    assert read_volume(tmp_path / "out.nii").header.space_code == code


def test_an_axis_too_long_for_nifti_1_is_written_as_nifti_2(tmp_path: Path) -> None:
    volume = Volume(np.ones((2, 2, 40000), dtype=np.int16), np.diag([1.0, 1.0, 2.0, 1.0]))
    write_volume(volume, tmp_path / "long.nii")
    assert isinstance(nibabel.load(tmp_path / "long.nii"), nibabel.Nifti2Image)
    assert read_volume(tmp_path / "long.nii").shape == volume.shape


def test_the_same_volume_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_volume(fabricate.volume(), tmp_path / f"{name}.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_an_existing_output_is_kept_unless_overwriting(tmp_path: Path) -> None:
    path = tmp_path / "out.nii"
    path.write_text("precious")
    with pytest.raises(OutputError, match="`overwrite=True`"):
        write_volume(fabricate.volume(), path)
    assert path.read_text() == "precious"
    write_volume(fabricate.volume(), path, overwrite=True)
    assert read_volume(path).shape == (24, 20, 6)


def test_a_failure_leaves_neither_output_nor_partial_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "out.nii"
    path.write_text("precious")
    monkeypatch.setattr("saint_cli.io.write.write_voxels", full)
    with pytest.raises(OutputError, match="No space left"):
        write_volume(fabricate.volume(), path, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["out.nii"]
    assert path.read_text() == "precious"


def test_a_missing_folder_is_created(tmp_path: Path) -> None:
    write_volume(fabricate.volume(), tmp_path / "a" / "b c" / "ä.nii.gz")
    assert read_volume(tmp_path / "a" / "b c" / "ä.nii.gz").shape == (24, 20, 6)


@pytest.mark.parametrize("name", ["out.dcm", "out.gz", ".nii", "out.mhd"])
def test_an_ending_of_no_format_names_the_formats(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"\.nii, \.nii\.gz, \.nrrd, \.mha"):
        check_target_path(tmp_path / name)


def test_checking_ahead_creates_nothing_and_finds_what_writing_would(tmp_path: Path) -> None:
    check_target_path(tmp_path / "new" / "out.nii")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.nii").mkdir()
    for path in (tmp_path / "file" / "out.nii", tmp_path / "folder.nii"):
        with pytest.raises(OutputError):
            check_target_path(path, overwrite=True)
