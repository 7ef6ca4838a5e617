"""Which stack is meant: asked of those that can be used, with their differences; where none can, the reasons."""

import re
from pathlib import Path

import fabricate
import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from saint_cli.errors import GeometryError, UsageError
from saint_cli.io import ReadOptions, describe, list_volumes, read_volume, write_volume


def series(count: int = 6, *, missing: bool = False, start: float = 30.0, own_uid: bool = True) -> list[Dataset]:
    made = fabricate.slices(count)
    one = uid.generate_uid() if own_uid else made[0].SeriesInstanceUID
    for k, data in enumerate(made):
        data.SeriesInstanceUID, data.SOPInstanceUID = one, uid.generate_uid()
        data.ImagePositionPatient = [-10, 20, start + 5.0 * k]
    if missing:
        del made[3]
    return made


def test_the_stack_that_can_be_used_is_named_first(tmp_path: Path) -> None:
    broken, good = series(missing=True), series()
    for data in good:
        data.SeriesNumber = 9
    folder = fabricate.save([*broken, *good], tmp_path / "s")
    with pytest.raises(UsageError, match=r"2 stacks, of which 1 can be upsampled; .*: 2 = SeriesNumber 9, CT"):
        read_volume(folder)
    assert read_volume(folder, series="2").shape[2] == 6


def test_where_no_stack_can_be_used_the_reasons_are_given_and_no_choice_is_offered(tmp_path: Path) -> None:
    folder = fabricate.save([*series(missing=True), *series(5, missing=True)], tmp_path / "s")
    with pytest.raises(
        GeometryError, match=r"2 stacks, none of which can be upsampled: 1 = SeriesNumber 4, CT .*missing.*; 2 = "
    ) as caught:
        read_volume(folder)
    assert "choose" not in str(caught.value)
    assert "expected 5 mm" in str(caught.value)


def test_single_slices_alone_are_no_choice(tmp_path: Path) -> None:
    folder = fabricate.save([*series(1), *series(1, start=77.0), *series(1, start=99.5)], tmp_path / "s")
    with pytest.raises(GeometryError, match=r"none of which .*: 1 = SeriesNumber 4, CT 16x12x1: a single slice"):
        read_volume(folder)


def test_stacks_at_different_places_are_not_4d(tmp_path: Path) -> None:
    other = series(6, start=200.0, own_uid=False)
    for data in other:
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", "OTHER"]
    folder = fabricate.save([*series(4, own_uid=False), *other], tmp_path / "s", shuffle=1)
    assert [stack.series_volumes for stack in describe(folder).stacks] == [1, 1]


def test_a_series_of_two_stacks_is_asked_about_with_these_alone(tmp_path: Path) -> None:
    named = [*series(4, own_uid=False), *series(6, start=200.0, own_uid=False)]
    for data in named[4:]:
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", "OTHER"]
    folder = fabricate.save([*named, *series(5)], tmp_path / "s")
    uids = [stack.label.partition("#")[0] for stack in describe(folder).stacks]
    numbers = [str(number) for number, one in enumerate(uids, 1) if one == named[0].SeriesInstanceUID]
    with pytest.raises(UsageError, match="names 2 stacks of one series; choose one with") as caught:
        read_volume(folder, series=str(named[0].SeriesInstanceUID))
    assert re.findall(r"(\d+) = SeriesNumber", str(caught.value)) == numbers


@pytest.mark.parametrize("what", ["size", "places"])
def test_stacks_of_one_series_are_listed_with_what_they_differ_in(what: str, tmp_path: Path) -> None:
    other = series(4, own_uid=False, start=30.0 if what == "size" else 203.0)
    if what == "size":
        other = fabricate.slices(4, shape=(8, 8))
    for data in other:
        data.SOPInstanceUID, data.ImageType = uid.generate_uid(), ["ORIGINAL", "PRIMARY", "AXIAL", "OTHER"]
    folder = fabricate.save([*series(own_uid=False), *other], tmp_path / "s")
    with pytest.raises(UsageError, match=f"2 stacks of one series; choose one.*they are .*different {what}") as caught:
        read_volume(folder)
    assert "4-D" not in str(caught.value)


def test_distinct_images_at_one_position_are_no_copies(tmp_path: Path) -> None:
    made = series()
    other = series(1, start=40.0, own_uid=False)[0]
    other.SeriesInstanceUID = made[0].SeriesInstanceUID
    fabricate.set_pixels(other, fabricate.pixels(other) + 1)
    with pytest.raises(GeometryError, match="at 40 mm along the normal, and their images differ") as caught:
        read_volume(fabricate.save([*made, other], tmp_path / "s"))
    assert "copies" not in str(caught.value)


def test_a_place_within_a_series_is_not_ignored(tmp_path: Path) -> None:
    made = [*series(own_uid=False), *series(own_uid=False)]
    for k, data in enumerate(made):
        data.EchoTime = str(10 * (1 + k // 6))
    folder, name = fabricate.save(made, tmp_path / "s"), made[0].SeriesInstanceUID
    second = read_volume(folder, series=f"{name}#2")
    assert read_volume(folder, series=f"{name}#2", volume=2).header.dicom_source == second.header.dicom_source
    assert read_volume(folder, series=name, volume=2).header.dicom_source == second.header.dicom_source
    with pytest.raises(UsageError, match=r"#1` names another stack than `volume=2`"):
        read_volume(folder, series=f"{name}#1", volume=2)
    for place in ("junk", "", "1.5"):
        for volume in (None, 1):
            with pytest.raises(UsageError, match="# must be followed by the number of a stack"):
                read_volume(folder, series=f"{name}#{place}", volume=volume)


def test_a_place_is_not_counted_in_the_first_of_several_series(tmp_path: Path) -> None:
    made = []
    for root in ("1.2.3.1", "1.2.4.2"):
        for k, data in enumerate([*series(own_uid=False), *series(own_uid=False)]):
            data.SeriesInstanceUID, data.EchoTime = f"{root}777777", str(10 * (1 + k // 6))
            made.append(data)
    folder = fabricate.save(made, tmp_path / "s")
    for number, volume in (("777777", 2), ("777777#2", None)):
        with pytest.raises(UsageError, match="counts within one series"):
            read_volume(folder, series=number, volume=volume)


@pytest.mark.parametrize("name", ["9" * 5000, "1#" + "9" * 5000, "\u0663" * 5000], ids=["number", "place", "Arabic"])
@pytest.mark.parametrize("volume", [None, "all"])
def test_a_number_of_thousands_of_digits_is_refused_in_one_short_line(
    name: str, volume: str | None, tmp_path: Path
) -> None:
    folder = fabricate.save(series(), tmp_path / "s")
    with pytest.raises(UsageError, match=r"has 500\d characters; no number or UID of a series has more") as caught:
        read_volume(folder, series=name) if volume is None else list_volumes(folder, ReadOptions(series=name))
    assert len(str(caught.value)) < 300 + len(str(folder))


def test_a_number_of_the_list_that_is_the_series_number_of_another_stack_has_a_warning(tmp_path: Path) -> None:
    first, second, third = series(4), series(5), series(6)
    for number, made in zip((2, 3, 7), (first, second, third), strict=True):
        for data in made:
            data.SeriesNumber = number
    folder = fabricate.save([*first, *second, *third], tmp_path / "s")
    taken = read_volume(folder, series="2")
    assert taken.shape[2] == 5
    warning = "`series=2` is number 2 of the list, SeriesNumber 3; SeriesNumber 2 is `series=1`"
    assert taken.header.warnings == (warning,)
    assert read_volume(folder, series="1").header.warnings == ()
    assert read_volume(folder, series=str(second[0].SeriesInstanceUID)).header.warnings == ()
    with pytest.raises(UsageError, match=r"1 = SeriesNumber 2, CT 16x12x4 .*2 = SeriesNumber 3, CT 16x12x5"):
        read_volume(folder)


def test_a_number_that_is_another_stack_in_the_list_without_runs_has_a_warning(tmp_path: Path) -> None:
    made = [series(7, missing=True), series(6), series(8)]
    for number, slices in enumerate(made, 1):
        for data in slices:
            data.SeriesInstanceUID = f"1.2.3.{number}"
    folder = fabricate.save([data for slices in made for data in slices], tmp_path / "s")
    sizes = [stack.shape[2] for stack in describe(folder, split_runs=True).stacks]
    assert sizes == [3, 3, 6, 8]
    noted = {
        number: [text for text in read_volume(folder, series=number, split_runs=True).header.warnings if "list" in text]
        for number in "1234"
    }
    assert noted["1"] == noted["4"] == []
    assert "number 2 of the list without that option is `series=3`" in noted["2"][0]
    assert "number 3 of the list without that option is `series=4`" in noted["3"][0]
    assert not any("list" in text for text in read_volume(folder, series="2").header.warnings)


def test_a_number_of_the_list_stands_for_its_series_where_a_volume_is_named(tmp_path: Path) -> None:
    other, made = series(4), [*series(own_uid=False), *series(own_uid=False)]
    for k, data in enumerate(made):
        data.EchoTime, data.SeriesNumber = str(10 * (1 + k // 6)), 9
    folder = fabricate.save([*other, *made], tmp_path / "s")
    first, second = (read_volume(folder, series=number).header.dicom_source for number in ("2", "3"))
    assert first != second
    for number in ("2", "3"):
        assert read_volume(folder, series=number, volume=2).header.dicom_source == second
        assert read_volume(folder, series=f"{number}#1").header.dicom_source == first
    with pytest.raises(UsageError, match="no volume 3, of 2 in the series"):
        read_volume(folder, series="2", volume=3)


def test_a_result_beside_its_source_is_listed_as_derived(tmp_path: Path) -> None:
    study = fabricate.save(series(), tmp_path / "study" / "scan").parent
    write_volume(fabricate.interpolated(read_volume(study), 2), study / "out")
    with pytest.raises(UsageError, match=r"1 = .*CT 16x12x6 UID .*; 2 = .*CT 16x12x11 \(derived\) UID "):
        read_volume(study)
