"""What cannot be read costs no other scan, and is a failure or is counted."""

import os
import shutil
from pathlib import Path

import fabricate
import nibabel as nib
import numpy as np
import pytest
from batch.found_scans import found_in, paths
from pydicom.dataset import Dataset

from saint_cli import io
from saint_cli.errors import GeometryError, UnreadableError
from saint_cli.io import write_volume
from saint_cli.io.error_conversion import convert_exceptions


def test_broken_scans_are_failures_by_name(tmp_path: Path) -> None:
    gap = fabricate.slices(8)
    del gap[3]
    fabricate.save(gap, tmp_path / "gap")
    (tmp_path / "text.nii.gz").write_text("not an image, whatever its name says")
    write_volume(fabricate.volume(), tmp_path / "short.nii")
    (tmp_path / "short.nii").write_bytes((tmp_path / "short.nii").read_bytes()[:-100])
    rgb = np.zeros((8, 8, 4), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    nib.save(nib.Nifti1Image(rgb, np.diag([1, 1, 5, 1])), tmp_path / "rgb.nii")
    errors = {scan.path: type(scan.error) for scan in found_in(tmp_path).scans}
    assert errors == {"gap": GeometryError, "text": UnreadableError, "short": UnreadableError, "rgb": UnreadableError}


def test_files_beside_a_series_are_found_once(tmp_path: Path) -> None:
    fabricate.save(fabricate.slices(), tmp_path / "p")
    write_volume(fabricate.volume(), tmp_path / "p" / "a.nii")
    assert paths(found_in(tmp_path)) == ["p", "p/a"]


def zero_orientation(name: str) -> list[Dataset]:
    (data,) = fabricate.slices(1, modality=name)
    data.ImageOrientationPatient = [0.0] * 6
    return [data]


def test_one_bad_file_costs_no_scan_and_is_named(tmp_path: Path) -> None:
    fabricate.save(fabricate.slices(), tmp_path / "flat")
    fabricate.save(zero_orientation("MR"), tmp_path / "flat")
    found = found_in(tmp_path)
    assert paths(found) == ["flat"]
    ((reason, count),) = found.ignored.items()
    assert (count, reason) == (1, "with a direction of length zero in ImageOrientationPatient (0006.dcm)")


def test_a_folder_of_bad_files_alone_is_a_failure(tmp_path: Path) -> None:
    fabricate.save(fabricate.slices(), tmp_path / "good")
    fabricate.save(zero_orientation("MR"), tmp_path / "bad")
    (scan,) = [scan for scan in found_in(tmp_path).scans if scan.error is not None]
    assert (scan.path, type(scan.error)) == ("bad", UnreadableError)


def test_links_pipes_and_archives_are_no_scans_but_counted_and_links_named_as_images_are_failures(
    tmp_path: Path,
) -> None:
    fabricate.save(fabricate.slices(), tmp_path / "s")
    for folder in (tmp_path, tmp_path / "s"):
        (folder / "link").symlink_to(tmp_path / "nowhere")
        os.mkfifo(folder / "pipe")
    shutil.make_archive(str(tmp_path / "a"), "tar", tmp_path / "s", "0000.dcm")
    (tmp_path / "lost.nii").symlink_to(tmp_path / "nowhere.nii")
    found = found_in(tmp_path)
    assert paths(found) == ["s"]
    assert [scan.path for scan in found.scans if scan.error is not None] == ["lost.nii"]
    assert found.ignored == {
        "archive, not unpacked": 1,
        "broken link (link)": 2,
        "pipe, socket or device (pipe)": 2,
    }


def test_what_one_input_raises_is_its_failure_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.nii", "b.nii", "c/d.nii"):
        write_volume(fabricate.volume(), tmp_path / name)
    fabricate.save(fabricate.slices(), tmp_path / "s")
    plain = io.describe

    def describe(path: Path, **options: bool) -> io.Description:
        if path.name == "b.nii":
            with convert_exceptions(path):
                raise RecursionError
        return plain(path, **options)

    monkeypatch.setattr(io, "describe", describe)
    found = found_in(tmp_path)
    assert paths(found) == ["a", "c/d", "s"]
    assert {scan.path: type(scan.error) for scan in found.scans if scan.error is not None} == {"b": UnreadableError}


def test_what_only_its_name_calls_dicom_is_no_scan_but_named_and_a_failure_where_it_was_named(tmp_path: Path) -> None:
    fabricate.save(fabricate.slices(), tmp_path / "s")
    text = tmp_path / "s" / "text.dcm"
    text.write_text("no slice")
    (tmp_path / "empty.IMA").touch()
    (tmp_path / "damaged.dcm.gz").write_bytes(b"\x1f\x8b\x08\0abc")
    write_volume(fabricate.volume(), tmp_path / "volume.nii")
    (tmp_path / "volume.nii").rename(tmp_path / "volume.dcm")
    found = found_in(tmp_path)
    assert paths(found) == ["s", "volume"]
    assert all(scan.error is None for scan in found.scans)
    assert found.ignored == {"not DICOM, whatever the name says (damaged.dcm.gz, empty.IMA, s/text.dcm)": 3}
    (scan,) = found_in(text).scans
    assert (type(scan.error), "not a file that saint reads" in str(scan.error)) == (UnreadableError, True)


def test_names_too_long_for_any_file_in_a_header_are_a_failure_of_that_header(tmp_path: Path) -> None:
    header = "ObjectType = Image\nNDims = 3\nDimSize = 8 9 5\nElementType = MET_SHORT\nElementDataFile = "
    (tmp_path / "bad.mhd").write_text(f"{header}{'a' * 300}\n")
    write_volume(fabricate.volume(), tmp_path / "good.nii")
    found = found_in(tmp_path)
    assert paths(found) == ["good"]
    assert [scan.path for scan in found.scans if scan.error is not None] == ["bad"]


def test_one_hostile_file_of_a_series_costs_no_scan_and_is_counted(tmp_path: Path) -> None:
    folder = fabricate.save(fabricate.slices(), tmp_path / "s")
    sound = (folder / "0000.dcm").read_bytes()
    sequence = b"\x00\x52\x29\x92SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    (folder / "nested.dcm").write_bytes(sound[: sound.index(b"\x08\x00\x16\x00")] + sequence * 5000)
    (folder / "circle.dcm").symlink_to("circle.dcm")
    os.mkfifo(folder / "pipe.dcm")
    found = found_in(tmp_path)
    assert paths(found) == ["s"]
    assert sum(found.ignored.values()) == 3
    assert all(name in str(found.ignored) for name in ("nested.dcm", "circle.dcm", "pipe.dcm"))


def test_a_folder_that_cannot_be_listed_is_a_failure_where_it_was_named_and_else_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_volume(fabricate.volume(), tmp_path / "good.nii")
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refuse(folder: str) -> object:
        if folder.endswith("closed"):
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    def refuse_status(path: "str | Path", **rest: object) -> os.stat_result:
        if f"{os.sep}closed{os.sep}" in str(path):
            raise PermissionError(13, "Permission denied", path)
        return status(path, **rest)

    status = os.stat
    monkeypatch.setattr(os, "stat", refuse_status)
    monkeypatch.setattr(os, "scandir", refuse)  # root may list every folder
    found = found_in(tmp_path)
    assert (paths(found), dict(found.ignored)) == (
        ["good"],
        {"folder that cannot be listed, permission denied (closed)": 1},
    )
    (scan,) = found_in(tmp_path / "closed").scans
    assert "cannot be listed (Permission denied)" in str(scan.error)
