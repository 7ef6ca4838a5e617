"""Files that are no volume: each is refused with the right class and one line that names it."""

import gzip
from collections.abc import Callable
from pathlib import Path

import fabricate
import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from saint_cli.errors import GeometryError, SaintError, UnreadableError, UsageError
from saint_cli.io import describe, list_volumes, read_volume, write_volume
from saint_cli.volume import Volume


def refused(path: Path, error: type[SaintError], words: str = ".") -> None:
    with pytest.raises(error, match=words) as caught:
        read_volume(path)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


def nifti(path: Path, voxels: np.ndarray, **fields: object) -> Path:
    image = nibabel.Nifti1Image(voxels, np.diag([1, 1, 3, 1]))
    nibabel.save(image, path)
    raw = bytearray(path.read_bytes())
    header = nibabel.Nifti1Header(bytes(raw[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(header.binaryblock + bytes(raw[348:]))
    return path


BLANK = np.zeros((4, 5, 6), dtype=np.int16)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("part", [0.02, 0.1, 0.5, 0.9, 0.999])
def test_truncated_files_raise_at_every_length(tmp_path: Path, ending: str, part: float) -> None:
    path = tmp_path / f"scan{ending}"
    write_volume(fabricate.volume(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    refused(path, UnreadableError)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
@pytest.mark.parametrize("place", [0.3, 0.6, 0.95, -3])
def test_a_flipped_byte_in_compressed_data_raises(tmp_path: Path, ending: str, place: float) -> None:
    path = tmp_path / f"scan{ending}"
    write_volume(fabricate.volume(), path)
    damaged = bytearray(path.read_bytes())
    damaged[int(place if place < 0 else place * len(damaged))] ^= 0x10
    path.write_bytes(damaged)
    refused(path, UnreadableError)


@pytest.mark.parametrize("place", [0.5, 0.9, -1])
def test_a_flipped_byte_in_a_compressed_mha_raises(tmp_path: Path, place: float) -> None:
    path = tmp_path / "scan.mha"
    image = sitk.GetImageFromArray(fabricate.volume().voxels.transpose())
    sitk.WriteImage(image, str(path), useCompression=True)
    assert read_volume(path).shape == (24, 20, 6)
    damaged = bytearray(path.read_bytes())
    damaged[int(place if place < 0 else place * len(damaged))] ^= 0x10
    path.write_bytes(damaged)
    refused(path, UnreadableError)


def test_a_missing_file_raises(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere.nii", UnreadableError, "no such file")


@pytest.mark.parametrize("content", [b"", b"<html>not a scan</html>" * 40, bytes(1000), b"\x1f\x8b", b"\x1f\x8b" * 300])
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "scan.nrrd", "scan"])
def test_other_content_raises_whatever_its_name(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, UnreadableError)


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", UsageError, "holds no files")


def test_a_folder_of_nifti_files_says_to_name_one(tmp_path: Path) -> None:
    write_volume(fabricate.volume(), tmp_path / "scans" / "a.nii")
    refused(tmp_path / "scans", UsageError, "by its name")


def read_reports(path: Path, volume: Volume, words: str) -> list[str]:
    """The warnings with some words of a file that holds the voxels of a volume."""
    read = read_volume(path)
    np.testing.assert_array_equal(read.voxels, volume.voxels)
    return [warning for warning in read.header.warnings if words in warning]


@pytest.mark.parametrize("ending", [".nii", ".nrrd", ".mha"])
@pytest.mark.parametrize("slices", [0.9, 1, 6])
def test_a_file_that_is_longer_than_its_header_says_is_reported_from_a_slice_on(
    slices: float, ending: str, tmp_path: Path
) -> None:
    path, volume = tmp_path / f"scan{ending}", fabricate.volume()
    write_volume(volume, path)
    if ending == ".nrrd":
        header = path.read_bytes().partition(b"\n\n")[0].replace(b"encoding: gzip", b"encoding: raw")
        path.write_bytes(header + b"\n\n" + volume.voxels.tobytes(order="F"))
    excess = int(slices * 24 * 20 * 2)
    with path.open("ab") as file:
        file.write(bytes(excess))
    reported = read_reports(path, volume, "longer")
    assert len(reported) == (slices >= 1)
    assert all(one.startswith(f"{path.name} is {excess} bytes longer than the header says") for one in reported)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("slices", [0.9, 1, 6])
def test_a_packed_file_that_holds_more_than_its_header_says_is_reported_from_a_slice_on(
    slices: float, ending: str, tmp_path: Path
) -> None:
    path, volume = tmp_path / f"scan{ending}", fabricate.volume()
    excess = int(slices * 24 * 20 * 2)
    write_volume(volume, path)
    if ending == ".nii.gz":
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + bytes(excess)))
    else:
        end = b"\n\n" if ending == ".nrrd" else b"LOCAL\n"
        header = path.read_bytes().partition(end)[0].replace(b"CompressedData = False", b"CompressedData = True")
        path.write_bytes(header + end + gzip.compress(volume.voxels.tobytes(order="F") + bytes(excess)))
    reported = read_reports(path, volume, "more than")
    assert len(reported) == (slices >= 1)
    assert all(one.startswith(f"{path.name} unpacks to {excess} bytes more than the header says") for one in reported)


def test_volumes_of_a_4d_file_are_no_excess(tmp_path: Path) -> None:
    path = nifti(tmp_path / "scan.nii", np.random.default_rng(0).integers(0, 1000, (8, 7, 5, 3)).astype(np.int16))
    for volume in (1, 3):
        assert not any("longer" in warning for warning in read_volume(path, volume=volume).header.warnings)
    with path.open("ab") as file:
        file.write(bytes(8 * 7 * 2))
    for volume in (1, 3):
        (warning,) = (one for one in read_volume(path, volume=volume).header.warnings if "longer" in one)
        assert warning.startswith("scan.nii is 112 bytes longer")
    packed = tmp_path / "packed.nii.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()[: -8 * 7 * 2]))
    for volume in (1, 3):
        assert not any("more than" in warning for warning in read_volume(packed, volume=volume).header.warnings)


@pytest.mark.parametrize("slices", [0.5, 1])
def test_a_packed_4d_file_that_holds_more_is_reported_of_all_its_volumes_too(slices: float, tmp_path: Path) -> None:
    path = nifti(tmp_path / "scan.nii", np.random.default_rng(0).integers(0, 1000, (8, 7, 5, 3)).astype(np.int16))
    packed, excess = tmp_path / "packed.nii.gz", int(slices * 8 * 7 * 2)
    packed.write_bytes(gzip.compress(path.read_bytes() + bytes(excess)))
    alone = read_volume(packed, volume=3).header.warnings
    assert any(f"unpacks to {excess} bytes more" in warning for warning in alone) == (slices >= 1)
    assert list(list_volumes(packed).read())[-1].header.warnings == alone


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_4d_file_that_ends_early_says_which_volume_is_cut(ending: str, tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(0, 1000, (8, 7, 5, 4)).astype(np.int16)
    whole = nifti(tmp_path / "whole.nii", voxels).read_bytes()[: 352 + 560 * 5 // 2]
    path = tmp_path / f"scan{ending}"
    path.write_bytes(whole if ending == ".nii" else gzip.compress(whole))
    np.testing.assert_array_equal(read_volume(path, volume=2).voxels, voxels[..., 1])
    cut = rf"scan{ending}: volume 3: file is truncated: .*; copy it again, or take an earlier one with `volume`"
    with pytest.raises(UnreadableError, match=cut):
        read_volume(path, volume=3)
    with pytest.raises(UnreadableError, match=cut):
        list(list_volumes(path).read())
    path.write_bytes(whole[:600] if ending == ".nii" else gzip.compress(whole[:600]))
    with pytest.raises(UnreadableError, match=r": volume 1: file is truncated: .*; copy it again$"):
        read_volume(path, volume=1)


SHAPES = {
    "2-D": ((4, 5), "2-D image or single slice"),
    "one slice": ((4, 5, 1), "single slice"),
    "a line": ((1, 1, 7), r"a line of voxels \(1 x 1 x 7\), not a volume: at least 2 are needed along every axis"),
    "4-D": ((4, 5, 6, 2), "4-D .* its 2 volumes with `volume`"),
    "5-D": ((4, 5, 6, 1, 3), "5-D"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_not_three_dimensional_is_a_geometry_error(tmp_path: Path, name: str) -> None:
    shape, words = SHAPES[name]
    refused(nifti(tmp_path / "scan.nii", np.zeros(shape, dtype=np.int16)), GeometryError, words)
    (stack,) = describe(tmp_path / "scan.nii").stacks
    if name == "4-D":  # whose volumes can be upsampled
        assert (stack.shape, stack.volumes, stack.problem, stack.exit_code) == ((4, 5, 6), 2, None, 0)
    else:
        assert stack.problem is not None
        assert stack.exit_code == 4


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_nrrd_and_mha_of_two_or_four_dimensions_are_geometry_errors(tmp_path: Path, ending: str) -> None:
    for name, shape in (("flat", (5, 4)), ("series", (2, 6, 5, 4))):
        path = tmp_path / f"{name}{ending}"
        sitk.WriteImage(sitk.GetImageFromArray(np.zeros(shape, dtype=np.int16), isVector=False), str(path))
        refused(path, GeometryError)


def test_a_fourth_axis_of_length_one_is_dropped(tmp_path: Path) -> None:
    assert read_volume(nifti(tmp_path / "a.nii", np.zeros((4, 5, 6, 1), dtype=np.int16))).shape == (4, 5, 6)
    image = sitk.GetImageFromArray(np.zeros((1, 6, 5, 4), dtype=np.int16), isVector=False)
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    assert read_volume(tmp_path / "a.nrrd").shape == (4, 5, 6)


def test_colour_and_complex_images_are_refused(tmp_path: Path) -> None:
    rgb = np.zeros((4, 5, 6), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    refused(nifti(tmp_path / "rgb.nii", rgb), UnreadableError, "colour image")
    refused(nifti(tmp_path / "complex.nii", BLANK.astype(np.complex64)), UnreadableError, "complex")
    for ending in (".nrrd", ".mha"):
        path = tmp_path / f"rgb{ending}"
        sitk.WriteImage(sitk.GetImageFromArray(np.zeros((6, 5, 4, 3), dtype=np.uint8), isVector=True), str(path))
        refused(path, UnreadableError, "colour image")


def test_a_spacing_of_zero_is_a_geometry_error(tmp_path: Path) -> None:
    path = nifti(tmp_path / "scan.nii", BLANK, sform_code=0, qform_code=0, pixdim=[1, 1, 1, 0, 0, 0, 0, 0])
    refused(path, GeometryError, "spacing")
    path = nifti(tmp_path / "scan2.nii", BLANK, sform_code=1, srow_z=[0, 0, 0, 0])
    refused(path, GeometryError, "spacing")


def test_an_affine_with_nan_is_a_geometry_error(tmp_path: Path) -> None:
    refused(nifti(tmp_path / "scan.nii", BLANK, sform_code=1, srow_x=[np.nan, 0, 0, 0]), GeometryError, "NaN")


@pytest.mark.parametrize("packed", [False, True])
def test_a_header_that_claims_more_than_the_file_holds_allocates_nothing(tmp_path: Path, packed: bool) -> None:
    path = nifti(tmp_path / "scan.nii", BLANK, dim=[3, 32767, 32767, 32767, 1, 1, 1, 1])
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    refused(path, UnreadableError, "claims|truncated")
    with pytest.raises(UnreadableError):
        describe(path)


@pytest.mark.parametrize(
    "fields", [{"datatype": 1}, {"datatype": 999}, {"dim": [0, 4, 5, 6, 1, 1, 1, 1]}, {"vox_offset": np.nan}]
)
def test_a_header_of_nonsense_is_unreadable(tmp_path: Path, fields: dict[str, object]) -> None:
    refused(nifti(tmp_path / "scan.nii", BLANK, **fields), UnreadableError)


@pytest.mark.parametrize("kept", ["scan.hdr", "scan.img"])
def test_half_a_pair_is_refused(tmp_path: Path, kept: str) -> None:
    nibabel.save(nibabel.Nifti1Pair(BLANK, np.eye(4)), tmp_path / "scan.hdr")
    other = tmp_path / ({"scan.hdr": "scan.img", "scan.img": "scan.hdr"}[kept])
    other.unlink()
    refused(tmp_path / kept, UnreadableError, "missing")


def test_analyze_is_refused_by_name(tmp_path: Path) -> None:
    nibabel.save(nibabel.AnalyzeImage(BLANK, np.eye(4)), tmp_path / "scan.hdr")
    refused(tmp_path / "scan.hdr", UnreadableError, "Analyze")


@pytest.mark.parametrize("field", ["ElementDataFile", "data file"])
def test_a_detached_header_without_its_data_is_refused(tmp_path: Path, field: str) -> None:
    path = tmp_path / ("scan.mhd" if field == "ElementDataFile" else "scan.nhdr")
    sitk.WriteImage(sitk.GetImageFromArray(BLANK), str(path))
    assert read_volume(path).shape == (6, 5, 4)
    for data in tmp_path.glob("scan.*raw*"):
        data.unlink()
    refused(path, UnreadableError, "data file .* is missing")


def test_series_cannot_be_chosen_in_a_file_of_one_volume(tmp_path: Path) -> None:
    write_volume(fabricate.volume(), tmp_path / "scan.nii")
    with pytest.raises(UsageError, match="`series`"):
        read_volume(tmp_path / "scan.nii", series="1")


def random_bytes(path: Path) -> None:
    path.write_bytes(np.random.default_rng(5).bytes(5000))


def preamble_then_noise(path: Path) -> None:
    path.write_bytes(bytes(128) + b"DICM" + np.random.default_rng(5).bytes(5000))


@pytest.mark.parametrize("content", [random_bytes, preamble_then_noise])
def test_noise_is_refused_without_a_traceback(tmp_path: Path, content: Callable[[Path], None]) -> None:
    content(tmp_path / "scan.dcm")
    with pytest.raises((UnreadableError, UsageError)):
        read_volume(tmp_path / "scan.dcm")
