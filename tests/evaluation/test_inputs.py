from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation.scans import smooth

from saint_cli import write_volume
from saint_cli.errors import GeometryError, UsageError
from saint_cli.evaluation.inputs import EvaluationInputs, keep_central_slices, name_files, read_dense_volume
from saint_cli.volume import Volume


@pytest.mark.parametrize(("count", "kept"), [(None, range(11)), (5, range(3, 8)), (4, range(3, 7)), (50, range(11))])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_central_slices_are_those_in_the_middle(axis: int, count: int | None, kept: range) -> None:
    volume = smooth(tuple(np.insert([4, 3], axis, 11)), axis)
    found = keep_central_slices(volume, axis, count).voxels
    np.testing.assert_array_equal(found, volume.voxels.take(kept, axis))


def test_files_of_one_name_are_distinguished_by_their_folders() -> None:
    files = [Path("kits/case_1/imaging.nii.gz"), Path("kits/case_2/imaging.nii.gz"), Path("other/a.nii")]
    assert list(name_files(files).values()) == ["case_1/imaging.nii.gz", "case_2/imaging.nii.gz", "a.nii"]
    assert list(name_files([Path("a/x/v.nii"), Path("b/x/v.nii")]).values()) == ["a/x/v.nii", "b/x/v.nii"]
    assert name_files([Path("v.nii")]) == {Path("v.nii"): "v.nii"}


@pytest.mark.parametrize("fill", [-32768.0, 1e20])
def test_fill_is_neither_compared_nor_given_to_interpolators(fill: float, tmp_path: Path) -> None:
    scan = smooth((40, 36, 9))
    air = scan.voxels + np.random.default_rng(0).normal(0, 5, scan.shape).astype(np.float32) - 200
    filled = air.copy()
    filled[:8] = fill
    write_volume(replace(scan, voxels=filled), tmp_path / "filled.nii")
    volume, axis, _ = read_dense_volume(tmp_path / "filled.nii", EvaluationInputs([tmp_path / "filled.nii"], [2]))
    assert axis == 2
    assert np.abs(volume.voxels).max() < 2000
    np.testing.assert_array_equal(volume.voxels[8:], filled[8:])


def test_values_beyond_any_hu_are_clipped_before_they_are_compared(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).normal(0, 300, (16, 16, 7))
    voxels[:2], voxels[8, 8, 3] = -1000, 1e300
    write_volume(Volume(voxels, np.eye(4)), tmp_path / "a.nrrd")
    found, _, _ = read_dense_volume(tmp_path / "a.nrrd", EvaluationInputs([tmp_path / "a.nrrd"], [2], 2))
    assert found.voxels.dtype == np.float32
    assert found.voxels.max() <= 1e9


@pytest.mark.parametrize("value", [0.0, -1000.0, 7e20])
def test_voxels_of_one_value_are_refused(value: float, tmp_path: Path) -> None:
    voxels = np.full((16, 16, 9), value, np.float32)
    write_volume(Volume(voxels, np.eye(4)), tmp_path / "flat.nrrd")
    with pytest.raises(UsageError, match=r"flat\.nrrd: every voxel has the same value, .*; nothing can be compared"):
        read_dense_volume(tmp_path / "flat.nrrd", EvaluationInputs([tmp_path / "flat.nrrd"], [2], 2))
    voxels[0, 0, 0] = value + 1e20
    write_volume(Volume(voxels, np.eye(4)), tmp_path / "marked.nrrd")
    read_dense_volume(tmp_path / "marked.nrrd", EvaluationInputs([tmp_path / "marked.nrrd"], [2], 2))
    central = EvaluationInputs([tmp_path / "marked.nrrd"], [2], 2, slices=5)
    with pytest.raises(UsageError, match=r"marked\.nrrd: every voxel of the 5 central slices has the same value"):
        read_dense_volume(tmp_path / "marked.nrrd", central)


def test_a_spacing_that_no_scan_has_is_refused_with_its_file(tmp_path: Path) -> None:
    write_volume(Volume(np.zeros((4, 4, 5), np.int16), np.diag([700.0, 700, 5000, 1])), tmp_path / "a.nrrd")
    with pytest.raises(GeometryError, match=r"a\.nrrd: spacing 700 x 700 x 5000 mm"):
        read_dense_volume(tmp_path / "a.nrrd", EvaluationInputs([tmp_path / "a.nrrd"], [2], 2))
