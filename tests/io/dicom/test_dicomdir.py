"""DICOMDIR: the files that it lists are the study, whatever lies beside it and however a copy spells their names."""

import gc
import shutil
import warnings
import zipfile
from pathlib import Path

import fabricate
import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet

from saint_cli.errors import UnreadableError
from saint_cli.io import describe, read_volume


def complete(series: list[Dataset]) -> list[Dataset]:
    """The series with what a media directory must list of patient and study."""
    for data in series:
        data.PatientName, data.PatientID = "SECRET", "SECRET"
        data.StudyDate, data.StudyTime, data.StudyID, data.AccessionNumber = "20200101", "120000", "1", ""
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    return series


def medium(folder: Path, series: list[Dataset]) -> Path:
    """A real medium: files in folders of their own and a DICOMDIR whose data set has no SOPClassUID."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # pydicom leaves its folder for staging to the collector
        files = FileSet()
        for data in complete(series):
            files.add(data)
        files.write(folder)
        del files
        gc.collect()
    assert "SOPClassUID" not in pydicom.dcmread(folder / "DICOMDIR")
    return folder / "DICOMDIR"


def images(path: Path) -> list[Path]:
    return sorted(file for file in path.parent.rglob("*") if file.is_file() and file != path)


@pytest.mark.parametrize("given", ["DICOMDIR", "folder", "zip"])
def test_a_real_dicomdir_stands_for_the_files_that_it_lists(tmp_path: Path, given: str) -> None:
    path = medium(tmp_path / "m", fabricate.slices())
    expected = read_volume(fabricate.save(fabricate.slices(), tmp_path / "plain"))
    if given == "folder":
        path = path.parent
    elif given == "zip":
        with zipfile.ZipFile(tmp_path / "m.zip", "w") as packed:
            for file in (tmp_path / "m").rglob("*"):
                packed.write(file, file.relative_to(tmp_path))
        path = tmp_path / "m.zip"
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.voxels, expected.voxels)
    np.testing.assert_array_equal(volume.affine_lps, expected.affine_lps)
    assert describe(path).skipped == {"DICOMDIR": 1}
    assert describe(path).named == {}


def test_files_beside_those_that_a_dicomdir_lists_are_none_of_it(tmp_path: Path) -> None:
    path = medium(tmp_path / "m", fabricate.slices())
    fabricate.save(fabricate.slices(modality="MR"), tmp_path / "m" / "other")
    (listed,) = describe(path).stacks
    other, first = describe(path.parent).stacks
    assert (listed.folder, other.folder) == (first.folder, "other")


@pytest.mark.parametrize("spelling", [str.lower, str.upper, lambda name: f"{name};1", lambda name: f"{name}."])
def test_listed_names_are_found_as_media_and_copies_spell_them(tmp_path: Path, spelling: object) -> None:
    path = medium(tmp_path / "m", fabricate.slices())
    assert callable(spelling)
    for file in images(path):
        file.rename(file.with_name(spelling(file.name)))
    for folder in sorted((d for d in path.parent.rglob("*") if d.is_dir()), reverse=True):
        folder.rename(folder.with_name(folder.name.lower()))
    assert read_volume(path).shape == (16, 12, 6)


def test_listed_files_that_are_missing_are_counted_and_named(tmp_path: Path) -> None:
    path = medium(tmp_path / "m", fabricate.slices())
    last = next(file for file in images(path) if pydicom.dcmread(file).InstanceNumber == 6)
    last.unlink()
    found = describe(path)
    assert found.skipped == {"DICOMDIR": 1, "listed in DICOMDIR but missing": 1}
    assert found.named == {"listed in DICOMDIR but missing": [last.relative_to(path.parent).as_posix()]}
    volume = read_volume(path)
    assert volume.shape == (16, 12, 5)
    assert any("listed in DICOMDIR but missing" in warning for warning in volume.header.warnings)


def test_a_listed_name_that_swallowed_what_follows_is_not_repeated(tmp_path: Path) -> None:
    path = medium(tmp_path / "medium", fabricate.slices())
    data = pydicom.dcmread(path)
    images = [record for record in data.DirectoryRecordSequence if record.DirectoryRecordType == "IMAGE"]
    images[2].ReferencedFileID = [*images[2].ReferencedFileID, "X\x04\x00\x10\x15UI\x00SECRET"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.save_as(path)
    description = describe(path)
    assert "SECRET" not in repr((description.skipped, description.named))
    assert "a damaged name" in repr(description.named)


def test_where_none_of_the_listed_files_is_there_the_folder_is_read(tmp_path: Path) -> None:
    path = medium(tmp_path / "m", fabricate.slices())
    (tmp_path / "flat").mkdir()
    for number, file in enumerate(images(path)):
        shutil.move(file, tmp_path / "flat" / f"{number}")
    path = Path(shutil.move(path, tmp_path / "flat" / "DICOMDIR"))
    assert read_volume(path).shape == (16, 12, 6)
    assert describe(path).skipped["listed in DICOMDIR but missing"] == 6


def test_no_listed_name_leads_out_of_the_medium(tmp_path: Path) -> None:
    fabricate.save(complete(fabricate.slices()), tmp_path / "private")
    path = medium(tmp_path / "m", fabricate.slices(2, modality="MR"))
    data = pydicom.dcmread(path)
    for record in data.DirectoryRecordSequence:
        if "ReferencedFileID" in record:
            record.ReferencedFileID = ["..", "private", "0000.dcm"]
    data.save_as(path)
    assert describe(path).stacks[0].modality == "MR"


def test_records_out_of_use_are_not_read(tmp_path: Path) -> None:
    path = medium(tmp_path / "m", fabricate.slices())
    data = pydicom.dcmread(path)
    images_listed = [record for record in data.DirectoryRecordSequence if "ReferencedFileID" in record]
    images_listed[-1].RecordInUseFlag = 0
    data.save_as(path)
    assert describe(path).skipped == {"DICOMDIR": 1}
    assert len(describe(path).files[0]) == 5


@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_truncated_dicomdir_lists_no_part_of_the_study(tmp_path: Path, part: float) -> None:
    path = medium(tmp_path / "m", fabricate.slices())
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * part)])
    with pytest.raises(UnreadableError, match="DICOMDIR is damaged; give its folder"):
        describe(path)
    assert read_volume(path.parent).shape == (16, 12, 6)


def test_an_image_whose_class_only_its_meta_header_names_is_read(tmp_path: Path) -> None:
    series = complete(fabricate.slices())
    for data in series:
        del data.SOPClassUID
    folder = fabricate.save_unchecked(series, tmp_path / "s")
    volume = read_volume(folder)
    assert volume.shape == (16, 12, 6)
    assert volume.header.warnings == ()


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_an_image_without_any_class_is_taken_for_that_of_its_modality_with_a_warning(
    tmp_path: Path, modality: str
) -> None:
    series = fabricate.slices(modality=modality)
    for data in series:
        del data.SOPClassUID
    folder = fabricate.save_unchecked(series, tmp_path / "s")
    volume = read_volume(folder)
    assert volume.shape == (16, 12, 6)
    assert volume.header.warnings[0].startswith(f"no SOPClassUID; by Modality {modality} taken for {modality} Image")


def test_an_object_without_class_that_is_no_slice_is_counted(tmp_path: Path) -> None:
    series = fabricate.slices(2)
    del series[1].SOPClassUID, series[1].ImagePositionPatient
    fabricate.save_unchecked(series, tmp_path / "s")
    assert describe(tmp_path / "s").skipped == {"no SOP class": 1}


def test_an_enhanced_image_without_class_is_read_by_its_functional_groups(tmp_path: Path) -> None:
    image = fabricate.multiframe(fabricate.slices())
    del image.SOPClassUID
    fabricate.save_unchecked([image], tmp_path / "s")
    assert read_volume(tmp_path / "s").shape == (16, 12, 6)
    assert uid.EnhancedCTImageStorage.name.removesuffix(" Storage") in describe(tmp_path / "s").stacks[0].warnings[0]
