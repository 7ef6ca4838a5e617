"""Label maps as files of voxels: types, values and places stay, images are refused."""

from dataclasses import replace
from pathlib import Path

import fabricate
import numpy as np
import pytest
from fabricate import OBLIQUE_LPS

from saint_cli.errors import OutputError, UnreadableError, UsageError
from saint_cli.io import read_labels, write_labels, write_volume
from saint_cli.volume import Header, Storage, Volume
from saint_cli.volume.label_map import LabelMap

ENDINGS = (".nii", ".nii.gz", ".nrrd", ".mha")


def label_map(dtype: str = "uint8", highest: int = 3) -> LabelMap:
    labels = np.random.default_rng(0).integers(0, highest + 1, (7, 6, 5)).astype(dtype)
    return LabelMap(labels, OBLIQUE_LPS)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "int64"])
def test_labels_come_back_with_their_type_and_place(ending: str, dtype: str, tmp_path: Path) -> None:
    labels, path = label_map(dtype, 100), tmp_path / f"labels{ending}"
    write_labels(labels, path)
    back = read_labels(path)
    assert back.labels.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(back.labels, labels.labels)
    np.testing.assert_allclose(back.affine_lps, OBLIQUE_LPS, atol=1e-5)
    assert back.segments == ()
    assert back.header.is_labels


def test_whole_floats_become_the_smallest_integers(tmp_path: Path) -> None:
    values = label_map().labels.astype(np.float32) * 100
    volume = Volume(values, np.diag([1.0, 1.0, 3.0, 1.0]), Header(storage=Storage(values.dtype)))
    write_volume(volume, tmp_path / "labels.nii")
    back = read_labels(tmp_path / "labels.nii")
    assert back.labels.dtype == np.uint16
    np.testing.assert_array_equal(back.labels, values)


def test_chosen_labels_stay_and_others_become_background(tmp_path: Path) -> None:
    labels, path = label_map("int16"), tmp_path / "labels.nii.gz"
    write_labels(labels, path)
    back = read_labels(path, segments=(1, 3))
    np.testing.assert_array_equal(back.labels, np.where(labels.labels == 2, 0, labels.labels))
    assert back.labels.dtype == np.int16
    with pytest.raises(UsageError, match=r"`segments=1,9`: there is no label 9; it holds 1, 2, 3"):
        read_labels(path, segments=(1, 9))


IMAGES = {
    "negative": np.array([-1000.0, 40.0]),
    "fractions": np.array([0.0, 0.5]),
    "fractions beside NaN": np.array([0.0, 0.5, np.nan]),
    "infinite": np.array([0.0, np.inf]),
    "many values": np.arange(5000.0),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_images_are_refused(kind: str, tmp_path: Path) -> None:
    values = np.resize(IMAGES[kind], (20, 20, 20)).astype(np.float32)
    write_volume(Volume(values, np.eye(4), Header(storage=Storage(values.dtype))), tmp_path / "image.nii")
    with pytest.raises(UsageError, match="it is an image"):
        read_labels(tmp_path / "image.nii")


@pytest.mark.parametrize(("count", "said"), [(1, "1 voxel is NaN"), (3, "3 voxels are NaN")])
def test_labels_with_nan_are_refused_with_how_many(count: int, said: str, tmp_path: Path) -> None:
    values = np.resize([0.0, 1, 2], (8, 8, 8)).astype(np.float32)
    values[0, 0, :count] = np.nan
    write_volume(Volume(values, np.eye(4), Header(storage=Storage(values.dtype))), tmp_path / "labels.nii")
    with pytest.raises(UsageError, match=f"{said}, and labels are whole numbers; make it 0, the background"):
        read_labels(tmp_path / "labels.nii")


def test_a_label_map_of_nothing_but_nan_is_refused_in_words_that_fit_labels(tmp_path: Path) -> None:
    values = np.full((4, 5, 6), np.nan, np.float32)
    write_volume(Volume(values, np.eye(4), Header(storage=Storage(values.dtype))), tmp_path / "labels.nii")
    with pytest.raises(UnreadableError, match=r"labels\.nii: no voxel is a finite number \(all.*export the file"):
        read_labels(tmp_path / "labels.nii")


def test_a_dicom_scan_is_no_label_map(tmp_path: Path) -> None:
    folder = fabricate.save(fabricate.slices(), tmp_path / "scan")
    with pytest.raises(UsageError, match=r"no labels, which DICOM holds in a Segmentation .*\(here: 6 CT Image\)"):
        read_labels(folder)
    with pytest.raises(UsageError, match=r"\(here: 1 CT Image\)"):
        read_labels(folder / "0000.dcm")


def test_what_is_missing_or_broken_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="no such file"):
        read_labels(tmp_path / "none.nii")
    path = tmp_path / "labels.nii"
    write_labels(label_map(), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UnreadableError, match="truncated"):
        read_labels(path)
    with pytest.raises(OutputError, match="exists already"):
        write_labels(label_map(), path)
    write_labels(label_map(), path, overwrite=True)
    assert replace(read_labels(path)).shape == (7, 6, 5)
