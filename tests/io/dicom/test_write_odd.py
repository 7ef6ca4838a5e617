"""Odd sources and odd targets of derived DICOM series: nothing garbled, nothing lost, one line where it is refused."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import fabricate
import numpy as np
import pytest
from fabricate import interpolated, saved_series
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from saint_cli.errors import OutputError, SaintError, UsageError
from saint_cli.io import read_volume, write_volume
from saint_cli.io.dicom import derived_header, template
from saint_cli.io.output_checks import check_target_path

FACTOR = 2


def derived(series: list[Dataset], folder: Path) -> list[Dataset]:
    """The series after saving, reading, interpolating and writing, in the order of its files."""
    source = fabricate.save(series, folder / "source")
    write_volume(interpolated(read_volume(source), FACTOR), folder / "out")
    return saved_series(folder / "out")


def each(**elements: object) -> list[Dataset]:
    """A CT series with these elements in every slice."""
    series = fabricate.slices()
    for data in series:
        for name, value in elements.items():
            setattr(data, name, value)
    return series


def one_line(error: pytest.ExceptionInfo[SaintError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_source_files_reached_through_links_are_not_overwritten(tmp_path: Path) -> None:
    derived(fabricate.slices(), tmp_path)
    (tmp_path / "links").mkdir()
    for file in (tmp_path / "out").iterdir():
        (tmp_path / "links" / file.name).symlink_to(file)
    volume = interpolated(read_volume(tmp_path / "links"), FACTOR)
    for folder in (tmp_path / "out", tmp_path / "links" / "deeper"):
        with pytest.raises(OutputError, match="source files"):
            write_volume(volume, folder, overwrite=True)
    assert len(list((tmp_path / "out").iterdir())) == 11


@pytest.mark.parametrize(("offset", "hours"), [("+0900", 9), ("-0330", -3.5)])
def test_times_of_creation_are_in_the_time_zone_that_the_file_claims(offset: str, hours: float, tmp_path: Path) -> None:
    for data in derived(each(TimezoneOffsetFromUTC=offset), tmp_path):
        away = datetime.now(UTC).timestamp() + 3600 * hours
        made = datetime.strptime(data.SeriesDate + data.SeriesTime, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        assert abs(made.timestamp() - away) < 60
        time = data.ContributingEquipmentSequence[-1].ContributionDateTime
        assert str(time) == data.SeriesDate + data.SeriesTime + offset


@pytest.mark.parametrize("enhanced", [False, True])
def test_a_single_image_type_is_one_value(enhanced: bool, tmp_path: Path) -> None:
    series = each(ImageType="ORIGINAL")
    out = derived([fabricate.multiframe(series)] if enhanced else series, tmp_path)
    assert {tuple(d.ImageType) for d in out} == {("DERIVED", "SECONDARY", "AXIAL")}


def test_a_dynamic_pet_series_of_a_single_series_type_is_refused(tmp_path: Path) -> None:
    series = fabricate.pet()
    for data in series:
        data.SeriesType = "DYNAMIC"
    volume = read_volume(fabricate.save(series, tmp_path / "s"))
    with pytest.raises(UsageError, match="DYNAMIC PET"):
        write_volume(volume, tmp_path / "none")


def test_several_series_numbers_count_as_none(tmp_path: Path) -> None:
    assert {d.SeriesNumber for d in derived(each(SeriesNumber=[4, 5]), tmp_path)} == {1}


def test_whatever_fails_in_odd_values_is_reported_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: object) -> None:
        raise TypeError("odd\nvalue")

    monkeypatch.setattr(derived_header, "_set_place", stumble)
    with pytest.raises(OutputError, match="TypeError") as caught:
        derived(fabricate.slices(), tmp_path)
    one_line(caught)
    assert not (tmp_path / "out").exists()


def test_a_volume_cropped_in_plane_is_refused_with_both_shapes(tmp_path: Path) -> None:
    volume = read_volume(fabricate.save(fabricate.slices(), tmp_path / "s"))
    cropped = replace(volume, voxels=volume.voxels[:10, :11])
    with pytest.raises(UsageError, match=r"10x11.*16x12") as caught:
        write_volume(cropped, tmp_path / "out")
    one_line(caught)


@pytest.mark.parametrize("is_result", [False, True], ids=["as it was read", "a result"])
@pytest.mark.parametrize("change", ["cropped", "longer"])
def test_a_volume_of_other_slices_than_the_series_gives_is_refused(
    change: str, is_result: bool, tmp_path: Path
) -> None:
    volume = read_volume(fabricate.save(fabricate.slices(), tmp_path / "s"))
    if is_result:
        volume = interpolated(volume, 2)
    count = volume.shape[2] + (2 if change == "longer" else -2)
    volume = replace(volume, voxels=np.concatenate([volume.voxels, volume.voxels], axis=2)[..., :count])
    with pytest.raises(UsageError, match=rf"of {count} slices is not the whole DICOM series of 6, nor") as caught:
        write_volume(volume, tmp_path / "out")
    one_line(caught)
    assert not (tmp_path / "out").exists()


JAPANESE = b"\x1b$B;3ED\x1b(B"

DESCRIPTIONS = {
    "whole": (b"A " + JAPANESE, b"A " + JAPANESE + b" SAINT x2"),
    "too long": (b"A " + JAPANESE * 6, b"SAINT x2"),
    "cut in the source": (b"A \x1b$B;3ED", b"SAINT x2"),
    "Korean": (b"\x1b$)C\xb1\xe8", b"\x1b$)C\xb1\xe8 SAINT x2"),
    "Korean, too long": (b"\x1b$)C" + b"\xb1\xe8" * 28, b"SAINT x2"),
    "ASCII": (b"A" * 64, b"A" * 55 + b" SAINT x2"),
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_description_beyond_ascii_stays_whole_or_goes(name: str, tmp_path: Path) -> None:
    source, expected = DESCRIPTIONS[name]
    made = derived_header._add_suffix(source, "SAINT x2")
    assert (made.encode() if isinstance(made, str) else made) == expected


def test_a_model_is_named_in_ascii(tmp_path: Path) -> None:
    dense = interpolated(read_volume(fabricate.save(fabricate.slices(), tmp_path / "s")), FACTOR)
    assert dense.header.derivation is not None
    named = replace(dense.header, derivation=replace(dense.header.derivation, model="modèle\n1"))
    write_volume(replace(dense, header=named), tmp_path / "out")
    assert all("model mod?le?1, saint" in d.DerivationDescription for d in saved_series(tmp_path / "out"))


def test_the_performed_step_and_lookup_tables_of_windows_are_gone(tmp_path: Path) -> None:
    gone = {"PerformedStationAETitle": "A", "PerformedStationName": "A", "PerformedLocation": "A"}
    gone |= {"PerformedProcedureTypeDescription": "A", "VOILUTSequence": [Dataset()]}
    for data in derived(each(WindowCenter="40", WindowWidth="400", **gone), tmp_path):
        assert not set(gone) & set(data.dir())
        assert data.WindowCenter == 40


def test_every_name_that_is_dropped_is_a_dicom_keyword() -> None:
    assert all(tag_for_keyword(name) is not None for name in template.DROPPED_TAGS)


def test_padding_of_synthesised_slices_is_the_value_that_the_file_names(tmp_path: Path) -> None:
    series = fabricate.slices(signed=True)
    for index, data in enumerate(series):
        slope, padding = (1, -2000) if index % 2 else (2, -1512)
        data.RescaleSlope, data.RescaleIntercept = str(slope), "-1024" if index % 2 else "0"
        stored = np.full((12, 16), 100, dtype="i2")
        stored[:3] = padding
        fabricate.set_pixels(data, stored)
        data.add_new("PixelPaddingValue", "SS", padding)
    for data in derived(series, tmp_path):
        assert (fabricate.pixels(data)[:3] == data.PixelPaddingValue).all()
        assert (fabricate.pixels(data)[3:] != data.PixelPaddingValue).all()


@pytest.mark.parametrize("named", [0, 1])
def test_padding_that_only_some_slices_name_holds_for_all_and_is_named_where_it_is_synthesised(
    named: int, tmp_path: Path
) -> None:
    series = fabricate.slices(signed=True)
    for index, data in enumerate(series):
        stored = fabricate.pixels(data).copy()
        stored[:3] = -2000
        fabricate.set_pixels(data, stored)
        if index % 2 == named:
            data.add_new("PixelPaddingValue", "SS", -2000)
    out = derived(series, tmp_path)
    assert read_volume(tmp_path / "source").header.padding == ((-3024, -3024),)
    assert all((fabricate.pixels(data)[:3] == -2000).all() for data in out)
    assert all(data.PixelPaddingValue == -2000 for data in out[1::2])
    assert ["PixelPaddingValue" in data for data in out[::2]] == [i % 2 == named for i in range(6)]


def test_padding_named_in_another_coding_is_not_taken_over(tmp_path: Path) -> None:
    series = fabricate.slices(signed=True)
    series[1].RescaleIntercept = "-1000"
    series[1].add_new("PixelPaddingValue", "SS", -2000)
    out = derived(series, tmp_path)
    for data in out[1:4:2]:
        assert data.get("PixelPaddingValue") == (-2000 if data.RescaleIntercept == -1000 else None)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("absent", ["missing", "empty"])
def test_a_slice_thickness_that_the_source_does_not_know_is_not_invented(
    absent: str, keep: bool, tmp_path: Path
) -> None:
    series = fabricate.slices()
    for data in series:
        if absent == "missing":
            del data.SliceThickness
        else:
            data.SliceThickness = None
    source = fabricate.save(series, tmp_path / "source")
    write_volume(interpolated(read_volume(source), FACTOR), tmp_path / "out", keep_slice_thickness=keep)
    for data in saved_series(tmp_path / "out"):
        assert "SliceThickness" in data  # Type 2
        assert data.SliceThickness is None
        assert data.SpacingBetweenSlices == 2.5
        assert "thickness" not in data.DerivationDescription


@pytest.mark.parametrize("keep", [False, True])
def test_several_slice_thicknesses_stay_as_they_are(keep: bool, tmp_path: Path) -> None:
    source = fabricate.save(each(SliceThickness=["5", "6"]), tmp_path / "source")
    write_volume(interpolated(read_volume(source), FACTOR), tmp_path / "out", keep_slice_thickness=keep)
    assert {tuple(map(str, data.SliceThickness)) for data in saved_series(tmp_path / "out")} == {("5", "6")}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("exists", [False, True])
def test_a_link_is_no_folder_to_write(exists: bool, overwrite: bool, tmp_path: Path) -> None:
    if exists:
        (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    with pytest.raises(OutputError, match="is a link") as caught:
        check_target_path(tmp_path / "link", overwrite=overwrite)
    one_line(caught)


def test_what_was_there_is_kept_where_another_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    derived(fabricate.slices(), tmp_path)
    dense = interpolated(read_volume(tmp_path / "source"), 4)
    rename = Path.rename

    def raced(self: Path, target: Path) -> Path:
        moved = rename(self, target)
        if self.name == "out":
            self.mkdir()
            (self / "other").touch()
        return moved

    monkeypatch.setattr(Path, "rename", raced)
    with pytest.raises(OutputError, match="what was there is kept in") as caught:
        write_volume(dense, tmp_path / "out", overwrite=True)
    kept = Path(one_line(caught).split("kept in ")[1])
    assert len(list(kept.iterdir())) == 11
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["other"]
    assert len(list(tmp_path.glob(".saint*"))) == 1


def mislabelled(folder: Path, name: str, right: bytes, wrong: bytes) -> None:
    """Call the values of one element in every file something else than they are."""
    tag = tag_for_keyword(name)
    assert tag is not None
    head = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
    for file in folder.iterdir():
        raw = file.read_bytes()
        assert raw.count(head + right) == 1
        file.write_bytes(raw.replace(head + right, head + wrong))


WRONG_NAMES = [("SOPInstanceUID", b"UI", b"FD"), ("SOPClassUID", b"UI", b"PN"), ("PatientID", b"LO", b"US")]


@pytest.mark.parametrize(("name", "right", "wrong"), WRONG_NAMES)
def test_an_element_of_another_representation_is_written_as_the_dictionary_has_it(
    tmp_path: Path, name: str, right: bytes, wrong: bytes
) -> None:
    series = fabricate.slices()
    for number, data in enumerate(series):
        data.SOPInstanceUID, data.PatientID = f"1.2.3.4.5.6.7.{10 + number}", "ABCDEFGH"
    source = fabricate.save(series, tmp_path / "source")
    mislabelled(source, name, right, wrong)
    write_volume(interpolated(read_volume(source), FACTOR), tmp_path / "out")
    (written, *_) = saved_series(tmp_path / "out")
    assert {element.VR for element in written if element.keyword == name} == {right.decode()}
    assert written.PatientID == "ABCDEFGH"


def test_a_value_that_cannot_be_encoded_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*arguments: object, **options: object) -> None:
        raise OSError("required argument is not a float\nfor data_element:\n(0010,0010) SECRET")

    volume = read_volume(fabricate.save(fabricate.slices(), tmp_path / "source"))
    monkeypatch.setattr("saint_cli.io.dicom.derived_image.dcmwrite", stumble)
    with pytest.raises(OutputError, match=r"/out: slice IM00001.dcm cannot be encoded") as error:
        write_volume(volume, tmp_path / "out")
    assert "SECRET" not in one_line(error)
    assert list(tmp_path.iterdir()) == [tmp_path / "source"]
