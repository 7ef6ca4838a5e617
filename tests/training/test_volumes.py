import bz2
import lzma
import os
from pathlib import Path

import fabricate
import nibabel
import numpy as np
import pytest

from saint_cli.errors import UnreadableError, UsageError
from saint_cli.evaluation.inputs import EvaluationInputs, read_dense_volume
from saint_cli.io import write_volume
from saint_cli.method import intensity
from saint_cli.training.volumes import load_dense_volumes


def save(folder: Path, name: str, voxels: np.ndarray, spacing: tuple[float, float, float]) -> None:
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([*spacing, 1.0])), folder / name)


def test_load_dense_puts_the_through_plane_axis_last(tmp_path: Path) -> None:
    voxels = np.random.default_rng(1).integers(-1000, 900, (9, 8, 7)).astype(np.int16)
    save(tmp_path, "b.nii", voxels, (3.0, 0.5, 0.75))
    save(tmp_path, "a.nii.gz", voxels, (0.5, 0.75, 3.0))
    (tmp_path / ".hidden").write_text("not a volume")
    a, b = load_dense_volumes(tmp_path)
    assert (a.name, b.name) == ("a.nii.gz", "b.nii")
    np.testing.assert_array_equal(a.voxels, voxels)
    np.testing.assert_array_equal(b.voxels, voxels.transpose(1, 2, 0))
    assert a.spacing_mm == pytest.approx((0.5, 0.75, 3.0))
    assert b.spacing_mm == pytest.approx((0.5, 0.75, 3.0))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 1.0002, 1.0), (0.7, 1.0, 1.0)])
def test_of_equal_spacings_the_last_axis_is_through_plane_as_in_an_evaluation(
    spacing: tuple[float, float, float], tmp_path: Path
) -> None:
    save(tmp_path, "a.nii", values(), spacing)
    inputs = EvaluationInputs([tmp_path / "a.nii"], [2])
    assert read_dense_volume(tmp_path / "a.nii", inputs).axis == 2
    (volume,) = load_dense_volumes(tmp_path)
    np.testing.assert_array_equal(volume.voxels, values())


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no volume"):
        load_dense_volumes(tmp_path)


def values(shape: tuple[int, int, int] = (9, 8, 7), seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 900, shape).astype(np.int16)


def test_volumes_in_sub_folders_are_found_and_label_maps_beside_them_are_not(tmp_path: Path) -> None:
    case = tmp_path / "case_00000"
    case.mkdir()
    save(case, "imaging.nii.gz", values(), (0.5, 0.5, 3.0))
    save(case, "segmentation.nii.gz", (values() > 0).astype(np.int16), (0.5, 0.5, 3.0))
    assert [v.name for v in load_dense_volumes(tmp_path)] == ["imaging.nii.gz"]


def test_a_list_names_volumes_relative_to_itself(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    for name in ("a.nii", "b.nii", "c.nii"):
        save(tmp_path / "scans", name, values(), (0.5, 0.5, 3.0))
    (tmp_path / "train.txt").write_text("# of the split\nscans/c.nii\n\nscans/a.nii\n")
    assert [v.name for v in load_dense_volumes(tmp_path / "train.txt")] == ["c.nii", "a.nii"]
    (tmp_path / "wrong.txt").write_text("scans/d.nii\n")
    with pytest.raises(UnreadableError, match=r"d\.nii"):
        load_dense_volumes(tmp_path / "wrong.txt")
    with pytest.raises(UnreadableError, match=r"missing\.txt"):
        load_dense_volumes(tmp_path / "missing.txt")


def test_packed_volumes_are_found_as_everywhere_and_those_of_a_pair_once(tmp_path: Path) -> None:
    save(tmp_path, "a.nii", values(), (0.5, 0.5, 3.0))
    for name, packing in (("b.nii.xz", lzma), ("c.nii.bz2", bz2)):
        (tmp_path / name).write_bytes(packing.compress((tmp_path / "a.nii").read_bytes()))
    nibabel.save(nibabel.Nifti1Pair(values(), np.diag([0.5, 0.5, 3.0, 1.0])), tmp_path / "d.img")
    assert [v.name for v in load_dense_volumes(tmp_path)] == ["a.nii", "b.nii.xz", "c.nii.bz2", "d.hdr"]


def test_a_result_of_saint_is_refused_for_its_synthesised_slices_are_no_truth(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(values(), np.diag([0.5, 0.5, 3.0, 1.0]))
    image.header["descrip"] = b"saint 0.1.0 x4 model=medium:0123abcd"
    nibabel.save(image, tmp_path / "made.nii")
    with pytest.raises(UsageError, match=r"made.nii: its header says that this is a result of saint"):
        load_dense_volumes(tmp_path)


def test_memory_mapped_copies_hold_the_same_and_are_made_once(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    save(tmp_path / "scans", "a.nii.gz", values(), (3.0, 0.5, 0.75))
    (plain,) = load_dense_volumes(tmp_path / "scans")
    (mapped,) = load_dense_volumes(tmp_path / "scans", tmp_path / "cache")
    np.testing.assert_array_equal(mapped.voxels, plain.voxels)
    assert (mapped.name, mapped.spacing_mm, mapped.values) == (plain.name, plain.spacing_mm, plain.values)
    made = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()}
    (again,) = load_dense_volumes(tmp_path / "scans", tmp_path / "cache")
    assert made == {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()}
    (file,) = (tmp_path / "cache").glob("*.npy")
    np.load(file, mmap_mode="r+")[0, 0, 0] = 77
    assert int(again.voxels[0, 0, 0]) == 77  # a voxel is read from the file when it is needed


def test_a_copy_that_is_stopped_midway_leaves_nothing_among_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_midway(path: Path, voxels: np.ndarray) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    (tmp_path / "scans").mkdir()
    save(tmp_path / "scans", "a.nii", values(), (0.5, 0.5, 3.0))
    monkeypatch.setattr(np, "save", stop_midway)
    with pytest.raises(KeyboardInterrupt):
        load_dense_volumes(tmp_path / "scans", tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_a_changed_volume_is_mapped_anew(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    save(tmp_path / "scans", "a.nii", values(), (0.5, 0.5, 3.0))
    load_dense_volumes(tmp_path / "scans", tmp_path / "cache")
    save(tmp_path / "scans", "a.nii", values((9, 8, 6), seed=2), (0.5, 0.5, 3.0))
    (again,) = load_dense_volumes(tmp_path / "scans", tmp_path / "cache")
    np.testing.assert_array_equal(again.voxels, values((9, 8, 6), seed=2))


@pytest.mark.parametrize("fill", [-32768, 32767])
def test_fill_is_hidden_from_training_and_makes_no_ct_something_else(fill: int, tmp_path: Path) -> None:
    voxels = values((40, 36, 7))
    voxels[:8] = fill
    save(tmp_path, "a.nii", voxels, (0.5, 0.5, 3.0))
    (dense,) = load_dense_volumes(tmp_path)
    assert dense.values is intensity.CT
    assert dense.voxels.min() >= -1000
    assert dense.voxels.max() < 900
    np.testing.assert_array_equal(dense.voxels[8:], voxels[8:])


def test_lines_of_a_list_that_lead_nowhere_are_reported_by_number_with_the_first_and_their_count(
    tmp_path: Path,
) -> None:
    (tmp_path / "ok.nii").touch()
    (tmp_path / "list.txt").write_text("# volumes\nok.nii\n\n" + "gone.nii\n" * 7)
    with pytest.raises(UnreadableError, match=r"7 of 8 paths lead to no file.*line 4: .*gone\.nii;.*and 4 more"):
        load_dense_volumes(tmp_path / "list.txt")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"ok.nii\n\xff.nii", "line 2: no UTF-8 text"),
        (b"a\0b", "line 1: holds a NUL byte"),
        (None, "not a regular file"),
    ],
)
def test_a_list_that_is_no_text_is_refused(tmp_path: Path, data: bytes | None, message: str) -> None:
    if data is None:
        os.mkfifo(tmp_path / "list.txt")
    else:
        (tmp_path / "list.txt").write_bytes(data)
    with pytest.raises(UnreadableError, match=message):
        load_dense_volumes(tmp_path / "list.txt")


def test_a_damaged_copy_of_a_volume_is_reported_with_what_to_do(tmp_path: Path) -> None:
    write_volume(fabricate.volume((24, 20, 6)), tmp_path / "in" / "a.nii")
    load_dense_volumes(tmp_path / "in", tmp_path / "cache")
    for file in (tmp_path / "cache").glob("*.json"):
        file.write_bytes(b"[" * 100_000)
    with pytest.raises(UnreadableError, match="delete both"):
        load_dense_volumes(tmp_path / "in", tmp_path / "cache")
