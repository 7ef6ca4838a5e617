"""Slices of one scan whose identifiers differ or are absent: taken as one where that is safe, else with --merge."""

import json
from collections.abc import Callable
from pathlib import Path

import fabricate
import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from typer.testing import CliRunner

from saint_cli.cli.app import app
from saint_cli.errors import GeometryError, UsageError
from saint_cli.io import ReadOptions, describe, list_volumes, read_volume, write_volume
from saint_cli.volume.warning_words import MADE_BY_SAINT

UIDS = ("FrameOfReferenceUID", "StudyInstanceUID", "SeriesInstanceUID")


def series(change: Callable[[int, Dataset], None] = lambda k, data: None) -> list[Dataset]:
    return fabricate.changed(fabricate.slices(8), change)


def fresh(*names: str) -> Callable[[int, Dataset], None]:
    """Another UID in every slice."""

    def change(k: int, data: Dataset) -> None:
        for name in names:
            setattr(data, name, uid.generate_uid(entropy_srcs=[name, str(k)]))

    return change


def whole() -> np.ndarray:
    return np.stack([fabricate.pixels(data).T.astype(int) - 1024 for data in series()], axis=2)


def image_type(*owners: int) -> Callable[[int, Dataset], None]:
    """ImageType of two kinds, by slice."""

    def change(k: int, data: Dataset) -> None:
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", *(["CT_SOM5 SPI"] if owners[k] else [])]

    return change


def absent(name: str, every: int = 1) -> Callable[[int, Dataset], None]:
    def change(k: int, data: Dataset) -> None:
        if k % every == 0:
            delattr(data, name)

    return change


SAFE = {
    "frame of reference": (fresh("FrameOfReferenceUID"), "FrameOfReferenceUID differs from slice to slice"),
    "study": (fresh("StudyInstanceUID"), "StudyInstanceUID differs from slice to slice"),
    "both": (fresh("StudyInstanceUID", "FrameOfReferenceUID"), "FrameOfReferenceUID and StudyInstanceUID differ"),
    "kind of every slice": (lambda k, data: setattr(data, "ImageType", ["ORIGINAL", "PRIMARY", "AXIAL", f"K{k}"]), "I"),
    "kind of the upper half": (image_type(0, 0, 0, 0, 1, 1, 1, 1), "ImageType differs within one scan"),
    "kind of some": (image_type(0, 1, 1, 0, 1, 0, 0, 1), "ImageType differs within one scan"),
    "frame absent in some": (absent("FrameOfReferenceUID", 3), "FrameOfReferenceUID differs within one scan"),
    "series absent in some": (absent("SeriesInstanceUID", 2), "SeriesInstanceUID differs within one scan"),
}


@pytest.mark.parametrize("name", SAFE)
def test_identifiers_that_differ_are_reported_and_the_slices_are_one_scan(name: str, tmp_path: Path) -> None:
    change, warning = SAFE[name]
    volume = read_volume(fabricate.save(series(change), tmp_path / "s", shuffle=2))
    np.testing.assert_array_equal(volume.voxels, whole())
    assert any(warning in one and "taken as one scan" in one for one in volume.header.warnings)


ASKED = {
    "series": fresh("SeriesInstanceUID"),
    "series and frame": fresh("SeriesInstanceUID", "FrameOfReferenceUID"),
    "all three": fresh(*UIDS),
}


@pytest.mark.parametrize("name", ASKED)
def test_a_series_uid_per_slice_is_named_and_merge_takes_the_scan(name: str, tmp_path: Path) -> None:
    folder = fabricate.save(series(ASKED[name]), tmp_path / "s", shuffle=2)
    with pytest.raises(GeometryError, match=r"SeriesInstanceUID differ.*`merge=True` takes them as one scan") as caught:
        read_volume(folder)
    assert "4-D" not in str(caught.value)
    (stack,) = describe(folder).stacks
    assert (stack.exit_code, stack.shape) == (4, (16, 12, 8))
    np.testing.assert_array_equal(read_volume(folder, merge=True).voxels, whole())
    assert describe(folder, merge=True).exit_code == 0


def test_halves_of_different_frames_of_reference_are_merged_on_request_only(tmp_path: Path) -> None:
    folder = fabricate.save(
        series(lambda k, data: setattr(data, "FrameOfReferenceUID", f"1.2.{1 + k // 4}")), tmp_path / "s"
    )
    hint = "they differ in FrameOfReferenceUID; `merge=True` takes them as one even stack of 8 slices"
    with pytest.raises(UsageError, match=hint):
        read_volume(folder)
    upper = read_volume(folder, volume=2)
    assert upper.shape[2] == 4
    assert hint in upper.header.warnings[0]
    assert read_volume(folder, merge=True).shape[2] == 8


def test_every_second_slice_of_another_kind_asks(tmp_path: Path) -> None:
    folder = fabricate.save(series(image_type(0, 1, 0, 1, 0, 1, 0, 1)), tmp_path / "s")
    with pytest.raises(UsageError, match="they differ in ImageType; `merge=True` takes them as one even stack of 8"):
        read_volume(folder)
    assert read_volume(folder, merge=True).shape[2] == 8


def test_single_images_of_other_series_beside_a_scan_are_still_ignored(tmp_path: Path) -> None:
    scouts = fabricate.slices(3, shape=(8, 8))
    for data in scouts:
        data.SeriesInstanceUID, data.SOPInstanceUID = uid.generate_uid(), uid.generate_uid()
    volume = read_volume(fabricate.save([*series(), *scouts], tmp_path / "s"))
    assert volume.shape == (16, 12, 8)
    assert "3 single slices beside the stack ignored" in volume.header.warnings


def test_two_time_points_with_a_frame_of_reference_per_slice_are_two_volumes(tmp_path: Path) -> None:
    both = []
    for point in (1, 2):
        for data in series(fresh("FrameOfReferenceUID")):
            data.SOPInstanceUID, data.TemporalPositionIdentifier = uid.generate_uid(), point
            data.FrameOfReferenceUID = uid.generate_uid()
            fabricate.set_pixels(data, fabricate.pixels(data) + np.uint16(point))
            both.append(data)
    folder = fabricate.save(both, tmp_path / "s", shuffle=1)
    for point in (1, 2):
        np.testing.assert_array_equal(read_volume(folder, volume=point).voxels, whole() + point)


def nameless(number: int, value: int) -> list[Dataset]:
    """A series without SeriesInstanceUID."""
    made = series(absent("SeriesInstanceUID"))
    for data in made:
        data.SeriesNumber, data.SOPInstanceUID = number, uid.generate_uid()
        fabricate.set_pixels(data, fabricate.pixels(data) + np.uint16(value))
    return made


@pytest.mark.parametrize("apart", ["folder", "number"])
def test_series_without_uid_are_distinguished_by_folder_or_number(apart: str, tmp_path: Path) -> None:
    fabricate.save(nameless(3, 1), tmp_path / "in" / "a")
    where = tmp_path / "in" / ("b" if apart == "folder" else "a")
    fabricate.save(nameless(3 if apart == "folder" else 4, 2), where)
    stacks = describe(tmp_path / "in").stacks
    assert [stack.label for stack in stacks] == ["none#1", "none#2"]
    for number, stack in enumerate(stacks, 1):
        expected = read_volume(tmp_path / "in", series=str(number)).voxels
        np.testing.assert_array_equal(read_volume(tmp_path / "in", series=stack.label).voxels, expected)
    found = sorted(int((read_volume(tmp_path / "in", series=s.label).voxels - whole()).max()) for s in stacks)
    assert found == [1, 2]


def test_a_volume_of_a_series_without_uid_counts_within_that_series(tmp_path: Path) -> None:
    for number in (3, 4):
        made = [*nameless(number, 10 * number), *nameless(number, 10 * number + 1)]
        for k, data in enumerate(made):
            data.EchoTime, data.SeriesDescription = 10 * (1 + k // (len(made) // 2)), f"of number {number}"
        fabricate.save(made, tmp_path / "in", shuffle=number)
    stacks = describe(tmp_path / "in").stacks
    assert [stack.series_description for stack in stacks] == [f"of number {number}" for number in (3, 3, 4, 4)]
    assert [stack.series_volumes for stack in stacks] == [2, 2, 2, 2]
    for series in ("3", "4", "3#2", "none#4"):
        volume = None if "#" in series else 2
        found = read_volume(tmp_path / "in", series=series, volume=volume)
        np.testing.assert_array_equal(found.voxels, whole() + 41)
    for read in (list_volumes, lambda path: read_volume(path, volume=2)):
        with pytest.raises(UsageError, match="one series; choose"):
            read(tmp_path / "in")
    both = list_volumes(tmp_path / "in", ReadOptions(series="2"))
    assert [int((volume.voxels - whole()).max()) for volume in both.read()] == [30, 31]


def test_batch_takes_series_without_uid(tmp_path: Path) -> None:
    fabricate.save(nameless(3, 1), tmp_path / "in" / "a")
    fabricate.save([*nameless(3, 1), *nameless(4, 2)], tmp_path / "in" / "b")
    words = ["batch", str(tmp_path / "in"), str(tmp_path / "out"), "-f", "2", "-m", "fast", "--dry-run", "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    plan = json.loads(result.stdout)
    assert (len(plan["jobs"]), plan["failed"], plan["skipped"]) == (3, [], [])


def test_a_merged_scan_is_written_as_one_series_study_and_frame_of_reference(tmp_path: Path) -> None:
    folder = fabricate.save(series(fresh(*UIDS)), tmp_path / "s")
    merged = read_volume(folder, merge=True)
    write_volume(fabricate.interpolated(merged, 2), tmp_path / "out")
    saved = fabricate.saved_series(tmp_path / "out")
    for name in UIDS:
        assert len({str(data[name].value) for data in saved}) == 1
    np.testing.assert_array_equal(read_volume(tmp_path / "out").voxels[..., ::2], whole())
    assert read_volume(tmp_path / "out").header.warnings == (MADE_BY_SAINT,)


def test_merge_is_for_dicom(tmp_path: Path) -> None:
    write_volume(fabricate.volume(), tmp_path / "scan.nii")
    with pytest.raises(UsageError, match="`merge=True` is for DICOM"):
        read_volume(tmp_path / "scan.nii", merge=True)
