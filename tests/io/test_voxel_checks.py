"""What is reported about odd values."""

from pathlib import Path

import fabricate
import nibabel as nib
import numpy as np
import pytest

from saint_cli.io import read_volume, write_volume
from saint_cli.io.voxel_checks import find_value_warnings, is_likely_offset
from saint_cli.volume import Volume

EXAMPLE = Path(__file__).parents[2] / "examples" / "chest_thick.nii.gz"

MR = ("d13_mr_hyperfine/001_ground_truth.nii.gz", "d29_mr_oblique_sbs_lies", "d07_mr_two_orientations")


def as_volume(voxels: np.ndarray) -> Volume:
    return Volume(voxels, np.eye(4))


@pytest.fixture(scope="module")
def hounsfield() -> np.ndarray:
    """A real chest CT, HU [x, y, z]."""
    return np.asarray(nib.load(EXAMPLE).dataobj)[..., ::4]


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
@pytest.mark.parametrize("offset", [1024, 1000])
def test_a_ct_whose_intercept_was_lost_is_recognised_and_one_line_says_what_to_do(
    hounsfield: np.ndarray, offset: int, dtype: str
) -> None:
    (reported,) = find_value_warnings(as_volume(np.clip(hounsfield + offset, 0, 4095).astype(dtype)))
    assert "look like HU + 1024" in reported
    assert "subtract 1024" in reported
    assert "\n" not in reported


@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_signed_values_written_as_unsigned_ones_are_recognised(hounsfield: np.ndarray, dtype: str) -> None:
    wrapped = hounsfield.astype(np.int16).astype(dtype)
    (reported,) = find_value_warnings(as_volume(wrapped))
    assert f"written as unsigned ones ({np.iinfo(dtype).max} for -1)" in reported
    assert find_value_warnings(as_volume(wrapped.astype(np.int64))) == (reported,)  # as DICOM is read


def test_padding_at_the_top_of_an_unsigned_type_is_no_lost_sign(hounsfield: np.ndarray) -> None:
    padded = np.where(hounsfield < -900, 63536, hounsfield + 1000).astype(np.uint16)
    assert not any("unsigned" in one for one in find_value_warnings(as_volume(padded)))


def test_hounsfield_units_are_not_called_offset(hounsfield: np.ndarray) -> None:
    assert find_value_warnings(as_volume(hounsfield)) == ()


def test_the_warning_is_in_the_header_of_what_is_read(hounsfield: np.ndarray, tmp_path: Path) -> None:
    voxels = (hounsfield.astype(np.int32) + 1024).clip(0, 4095).astype(np.uint16)
    for ending in (".nii", ".nrrd", ".mha"):
        path = tmp_path / f"scan{ending}"
        write_volume(Volume(voxels, np.diag([0.8, 0.8, 4.0, 1.0])), path)
        assert any("HU + 1024" in sentence for sentence in read_volume(path).header.warnings)


@pytest.mark.parametrize("top", [255, 1400, 4095])
def test_mr_like_values_are_not_called_offset(top: int) -> None:
    random = np.random.default_rng(2)
    tissue = random.gamma(4, top / 12, (60, 60, 10)).clip(0, top)
    tissue[:20] = random.rayleigh(8, (20, 60, 10))
    assert not is_likely_offset(as_volume(tissue.astype(np.uint16)))


@pytest.mark.skipif(not fabricate.CASES.is_dir(), reason="real scans are not at hand")
@pytest.mark.parametrize("name", MR)
def test_real_mr_is_not_called_offset(name: str) -> None:
    path = fabricate.CASES / name
    assert not is_likely_offset(as_volume(read_volume(path, series=None if path.is_file() else "1").voxels))
