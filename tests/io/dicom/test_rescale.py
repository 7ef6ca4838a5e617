"""Rescale that changes or is missing within a CT stack; by right in PET and MR."""

from collections.abc import Callable
from pathlib import Path

import fabricate
import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from saint_cli.errors import UnreadableError
from saint_cli.io import describe, read_volume


def body(change: Callable[[int, Dataset], None], *, modality: str = "CT", count: int = 8) -> list[Dataset]:
    """A body in air, much the same in every slice, before ``change``."""
    series = fabricate.slices(count, modality=modality, shape=(24, 24))
    x, y = np.meshgrid(np.arange(24), np.arange(24))
    inside = (x - 12) ** 2 + (y - 12) ** 2 < 60
    for k, data in enumerate(series):
        noise = np.random.default_rng(k).normal(0, 8, (24, 24))
        fabricate.set_pixels(data, np.rint(np.where(inside, 1064, 24) + noise).clip(0).astype("u2"))
        change(k, data)
    return series


def lacks_intercept(which: Callable[[int], bool]) -> Callable[[int, Dataset], None]:
    def change(k: int, data: Dataset) -> None:
        if which(k):
            del data.RescaleIntercept

    return change


@pytest.mark.parametrize("which", [lambda k: k > 3, lambda k: k % 2, lambda k: k == 5, lambda k: k != 0])
def test_a_missing_intercept_against_the_values_is_refused(which: Callable[[int], bool], tmp_path: Path) -> None:
    folder = fabricate.save(body(lacks_intercept(which)), tmp_path / "s")
    with pytest.raises(UnreadableError, match=r"wrong or missing in \d of 8 slices.*z = .*step of 10[0-9]{2} HU"):
        read_volume(folder)


def test_a_slope_that_the_values_contradict_is_refused(tmp_path: Path) -> None:
    def change(k: int, data: Dataset) -> None:
        if k > 3:
            data.RescaleSlope, data.RescaleIntercept = "2", "-2048"

    with pytest.raises(UnreadableError, match="RescaleIntercept or RescaleSlope"):
        read_volume(fabricate.save(body(change), tmp_path / "s"))


def test_stored_values_that_jump_are_reported_with_their_place(tmp_path: Path) -> None:
    def change(k: int, data: Dataset) -> None:
        if k > 3:
            fabricate.set_pixels(data, fabricate.pixels(data) + np.uint16(1024))

    warnings = read_volume(fabricate.save(body(change), tmp_path / "s")).header.warnings
    assert warnings[0].startswith("values step by 1024 HU between z = 45 and 50 mm")


def test_a_rescale_that_the_values_follow_is_applied_and_reported(tmp_path: Path) -> None:
    def change(k: int, data: Dataset) -> None:
        if k > 3:
            fabricate.set_pixels(data, fabricate.pixels(data) + np.uint16(1000))
            data.RescaleIntercept = "-2024"

    plain = read_volume(fabricate.save(body(lambda k, data: None), tmp_path / "p"))
    volume = read_volume(fabricate.save(body(change), tmp_path / "s"))
    np.testing.assert_array_equal(volume.voxels, plain.voxels)
    assert volume.header.warnings[0].startswith("2 different rescales")
    assert plain.header.warnings == ()


def test_mr_and_pet_may_have_another_slope_in_every_slice(tmp_path: Path) -> None:
    def change(k: int, data: Dataset) -> None:
        data.RescaleSlope = f"{1 + 3 * (k % 2)}"

    for name, series in (("mr", body(change, modality="MR")), ("pet", fabricate.pet())):
        warnings = " ".join(read_volume(fabricate.save(series, tmp_path / name)).header.warnings)
        assert "rescale" not in warnings.lower()
        assert "step" not in warnings


def test_an_organ_that_begins_is_no_step(tmp_path: Path) -> None:
    """The lung base: half of the image changes by 800 HU, air outside the body does not."""

    def change(k: int, data: Dataset) -> None:
        stored = fabricate.pixels(data).copy()
        if k > 3:
            stored[stored > 500] -= 800
        fabricate.set_pixels(data, stored)

    assert read_volume(fabricate.save(body(change), tmp_path / "s")).header.warnings == ()


@pytest.mark.parametrize("modality", ["MR", "PT"])
@pytest.mark.parametrize("missing", [1, 8])
def test_a_slope_that_only_some_slices_lack_is_reported(modality: str, missing: int, tmp_path: Path) -> None:
    def change(k: int, data: Dataset) -> None:
        data.RescaleSlope = "3.7"
        if k < missing:
            del data.RescaleSlope

    series = body(change, modality=modality)
    if modality == "PT":
        for data in series:
            data.SOPClassUID = uid.PositronEmissionTomographyImageStorage
    warnings = read_volume(fabricate.save(series, tmp_path / "s")).header.warnings
    found = [warning for warning in warnings if "RescaleSlope" in warning]
    assert found == (["no RescaleSlope: 1 is assumed (1 of 8 slices)"] if missing == 1 else [])


def test_slopes_that_differ_by_slice_give_float32(tmp_path: Path) -> None:
    series = fabricate.slices(modality="MR")
    for index, data in enumerate(series):
        data.RescaleSlope, data.RescaleIntercept = str(0.5 + index), str(10 * index)
    volume = read_volume(fabricate.save(series, tmp_path / "s"))
    expected = [fabricate.pixels(d) * (0.5 + i) + 10 * i for i, d in enumerate(series)]
    np.testing.assert_array_equal(volume.voxels, np.stack(expected).transpose(2, 1, 0).astype(np.float32))
    assert describe(tmp_path / "s").stacks[0].slope is None


def test_one_broken_slope_for_all_is_kept_for_storage(tmp_path: Path) -> None:
    series = fabricate.slices(modality="MR")
    for data in series:
        data.RescaleSlope = "0.25"
    header = read_volume(fabricate.save(series, tmp_path / "s")).header
    assert header.storage is not None
    assert (header.storage.dtype, header.storage.slope) == (np.uint16, 0.25)


def test_values_beyond_int16_need_int32(tmp_path: Path) -> None:
    series = fabricate.slices(modality="MR")
    fabricate.set_pixels(series[0], fabricate.pixels(series[0]) + np.uint16(50000))
    volume = read_volume(fabricate.save(series, tmp_path / "s"))
    assert volume.voxels.dtype == np.int32
    np.testing.assert_array_equal(volume.voxels, fabricate.hounsfield(series))


def test_a_slope_of_zero_is_refused(tmp_path: Path) -> None:
    series = fabricate.slices()
    for data in series:
        data.RescaleSlope = "0"
    with pytest.raises(UnreadableError, match="RescaleSlope is 0"):
        read_volume(fabricate.save(series, tmp_path / "s"))


def test_a_damaged_slope_is_never_taken_for_one(tmp_path: Path) -> None:
    series = fabricate.slices()
    folder = fabricate.save(series, tmp_path / "s")
    for file in folder.iterdir():
        raw = file.read_bytes()
        assert raw.count(b"\x28\x00\x53\x10DS\x02\x001 ") == 1
        file.write_bytes(raw.replace(b"\x28\x00\x53\x10DS\x02\x001 ", b"\x28\x00\x53\x10DS\x02\x00x "))
    with pytest.raises(UnreadableError, match="no readable DICOM slice"):
        read_volume(folder)


def test_values_that_are_infinite_by_their_rescale_are_refused_without_another_word(tmp_path: Path) -> None:
    series = fabricate.slices(4)
    for data in series:
        fabricate.set_pixels(data, np.full(data.pixel_array.shape, 500, "u2"))
        data.RescaleSlope = "1e308"
    with pytest.raises(UnreadableError, match="no voxel is a finite number"):
        read_volume(fabricate.save(series, tmp_path / "s"))


@pytest.mark.parametrize("multiframe", [False, True])
@pytest.mark.parametrize(
    ("kind", "words"), [("MGML", "MGML: values are mg/ml"), ("EDW", "electron density"), ("HU", "")]
)
def test_maps_of_spectral_ct_are_called_no_hounsfield_units(
    kind: str, words: str, multiframe: bool, tmp_path: Path
) -> None:
    series = body(lambda k, data: setattr(data, "RescaleType", kind))
    if multiframe:
        image = fabricate.multiframe(series)
        shared = image.SharedFunctionalGroupsSequence[0]
        groups = [shared, *image.PerFrameFunctionalGroupsSequence]
        for group in groups:
            for values in group.get("PixelValueTransformationSequence", []):
                values.RescaleType = kind
        series = [image]
    warnings = read_volume(fabricate.save(series, tmp_path / "s")).header.warnings
    assert [words in warning for warning in warnings if "RescaleType" in warning] == ([True] if words else [])
