"""What is copied at writing is what was read: sources that change during a run are refused, and nothing is written."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fabricate
import nibabel
import numpy as np
import pydicom
import pytest
from fabricate import interpolated, saved_series
from pydicom.dataset import Dataset

from saint_cli import geometry
from saint_cli.errors import SourceChangedError, UnreadableError
from saint_cli.io import check_complete, read_volume, voxel_stream, write_volume
from saint_cli.io.dicom import read, source_check


def rewrite(path: Path, change: Callable[[Dataset], None]) -> None:
    """Change a file in place and set its times back, as careless tools do."""
    times = path.stat()
    data = pydicom.dcmread(path)
    change(data)
    data.save_as(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def rename_patient(data: Dataset) -> None:
    data.PatientName = "OTHER^NAME"


def move(data: Dataset) -> None:
    data.ImagePositionPatient = [-10.0, 20.0, 31.0]


def brighten(data: Dataset) -> None:
    data.PixelData = (fabricate.pixels(data) + 1).tobytes()


def another_image(data: Dataset) -> None:
    data.SOPInstanceUID = "1.2.3.4"


CHANGES = {
    "the patient is another": lambda path: rewrite(path, rename_patient),
    "the position is another": lambda path: rewrite(path, move),
    "the identifier is another": lambda path: rewrite(path, another_image),
    "the pixels are others": lambda path: rewrite(path, brighten),
    "it is gone": Path.unlink,
    "it is cut short": lambda path: os.truncate(path, 700),
    "it is no DICOM": lambda path: path.write_text("not an image"),
    "it is a folder": lambda path: (path.unlink(), path.mkdir()),
    "it is another slice": lambda path: shutil.copy(path.with_name("0003.dcm"), path),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_slice_that_changed_since_it_was_read_is_named_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    source = fabricate.save(fabricate.slices(shape=(300, 280)), tmp_path / "s")  # pixels beyond the first blocks
    volume = interpolated(read_volume(source), 2)
    CHANGES[name](source / "0002.dcm")
    with pytest.raises(SourceChangedError, match=r"0002\.dcm: .*run again") as caught:
        write_volume(volume, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == UnreadableError.exit_code
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_a_slice_that_changes_while_others_are_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = fabricate.save(fabricate.slices(), tmp_path / "s")
    volume = interpolated(read_volume(source), 2)
    write, count = Path.open, []

    def opened(self: Path, *arguments: str, **options: object) -> object:
        if self.name.startswith("IM"):
            count.append(self)
            if len(count) == 4:
                rewrite(source / "0005.dcm", rename_patient)
        return write(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(SourceChangedError, match=r"0005\.dcm: changed since it was read"):
        write_volume(volume, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_files_that_are_touched_but_the_same_are_no_reason_to_refuse(tmp_path: Path) -> None:
    source = fabricate.save(fabricate.slices(), tmp_path / "s")
    volume = interpolated(read_volume(source), 2)
    for file in source.iterdir():
        file.chmod(0o444)
        os.utime(file, (1, 1))
        shutil.copy(file, tmp_path / "copy")
        (tmp_path / "copy").replace(file)
    write_volume(volume, tmp_path / "out")
    assert len(saved_series(tmp_path / "out")) == 11


def test_a_touched_file_is_no_reason_to_refuse_where_its_slice_was_smoothed(tmp_path: Path) -> None:
    source = fabricate.save(fabricate.slices(), tmp_path / "s")
    volume = interpolated(read_volume(source), 2)
    os.utime(source / "0002.dcm", (1, 1))
    volume.voxels[..., 4] = volume.voxels[..., 3]
    with pytest.raises(SourceChangedError, match=r"0002\.dcm"):
        write_volume(volume, tmp_path / "kept")
    assert volume.header.derivation is not None
    derivation = replace(volume.header.derivation, options=("noise=smooth",))
    smoothed = replace(volume, header=replace(volume.header, derivation=derivation))
    write_volume(smoothed, tmp_path / "out")
    np.testing.assert_array_equal(read_volume(tmp_path / "out").voxels, smoothed.voxels)


def test_a_volume_that_was_changed_on_purpose_is_still_written(tmp_path: Path) -> None:
    volume = read_volume(fabricate.save(fabricate.slices(), tmp_path / "s"))
    volume.voxels[2, 3] += 7
    write_volume(volume, tmp_path / "out")
    np.testing.assert_array_equal(read_volume(tmp_path / "out").voxels, volume.voxels)


def test_slices_that_come_after_the_others_were_read_are_reported_and_nothing_is_written(tmp_path: Path) -> None:
    series = fabricate.slices(8)
    source = fabricate.save(series[:6], tmp_path / "s")
    volume = interpolated(read_volume(source), 2)
    fabricate.save(fabricate.slices(2, modality="MR"), source / "other series")
    (source / "notes.txt").write_text("not an image")
    check_complete(volume)
    (source / "late").mkdir()
    series[6].save_as(source / "late" / "0006.dcm", enforce_file_format=True)
    with pytest.raises(SourceChangedError, match=r"0006\.dcm: this slice .* run again when all are there"):
        check_complete(volume)
    with pytest.raises(SourceChangedError, match=r"0006\.dcm"):
        write_volume(volume, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    assert read_volume(source, series="2").shape[2] == 7


def test_a_result_that_lies_among_the_slices_is_no_further_slice(tmp_path: Path) -> None:
    source = fabricate.save(fabricate.slices(), tmp_path / "study" / "s")
    volume = interpolated(read_volume(tmp_path / "study"), 2)
    write_volume(volume, source / "out.nii")
    write_volume(volume, tmp_path / "study" / "out")
    check_complete(volume)


def test_a_slice_that_is_replaced_between_its_header_and_its_pixels_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = fabricate.save(fabricate.slices(), tmp_path / "s")
    build = read.build_stacks

    def replaced(*arguments: object, **options: bool) -> object:
        rewrite(source / "0001.dcm", brighten)
        return build(*arguments, **options)

    monkeypatch.setattr(read, "build_stacks", replaced)
    with pytest.raises(SourceChangedError, match=r"0001\.dcm: changed while it was read; run again"):
        read_volume(source)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("change", ["replaced", "cut short", "gone"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    ending: str, change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"scan{ending}"
    write_volume(fabricate.volume(), path)

    def changing(*arguments: object, **options: object) -> object:
        if change == "replaced":
            write_volume(fabricate.volume((24, 20, 7)), path, overwrite=True)
        else:
            os.truncate(path, 600) if change == "cut short" else path.unlink()
        return read(*arguments, **options)

    read = voxel_stream._read_part
    monkeypatch.setattr(voxel_stream, "_read_part", changing)
    with pytest.raises(SourceChangedError, match=r"scan\..* run again"):
        read_volume(path)


def test_a_header_is_known_by_all_its_bytes_though_an_icon_has_pixels_too(tmp_path: Path) -> None:
    for index, padding in enumerate((b"", b"\0" * source_check.BLOCK_BYTES)):
        head = (
            b"\x08\0" + padding + b"\x88\0\0\x02 icon \xe0\x7f\x10\0" + b"x" * (2 * source_check.BLOCK_BYTES) + b"last"
        )
        path = tmp_path / str(index)
        path.write_bytes(head + b"\xe0\x7f\x10\0" + b"pixels")
        before = source_check.digest_header(path)
        path.write_bytes(head.replace(b"last", b"LAST") + b"\xe0\x7f\x10\0" + b"pixels")
        assert source_check.digest_header(path) != before


def test_the_pixels_of_a_large_slice_are_not_hashed(tmp_path: Path) -> None:
    head, pixels = b"\xe0\x7f\x10\0", bytes(4 * source_check.BLOCK_BYTES)
    (tmp_path / "a").write_bytes(head + pixels)
    (tmp_path / "b").write_bytes(head + pixels + b"more")
    assert source_check.digest_header(tmp_path / "a") == source_check.digest_header(tmp_path / "b")


def test_a_scan_in_a_zip_file_is_read_once_and_its_file_may_go(tmp_path: Path) -> None:
    fabricate.save(fabricate.slices(), tmp_path / "s")
    archive = Path(shutil.make_archive(str(tmp_path / "s"), "zip", tmp_path / "s"))
    volume = interpolated(read_volume(archive), 2)
    archive.unlink()
    write_volume(volume, tmp_path / "out")
    assert len(saved_series(tmp_path / "out")) == 11


def test_a_nifti_file_may_go_once_it_is_read(tmp_path: Path) -> None:
    volume = fabricate.volume()
    path = tmp_path / "scan.nii"
    nibabel.save(nibabel.Nifti1Image(volume.voxels, geometry.RAS_FROM_LPS @ volume.affine_lps), path)
    read = read_volume(path)
    os.truncate(path, 0)  # a mapped file would end the process
    np.testing.assert_array_equal(read.voxels, volume.voxels)


def test_large_elements_before_the_pixels_are_not_hashed_to_their_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_check, "MAX_HASHED_BYTES", 1 << 15)
    path = tmp_path / "a"
    path.write_bytes(bytes(1 << 16) + b"1")
    first = source_check.digest_header(path)
    path.write_bytes(bytes(1 << 16) + b"2")
    assert source_check.digest_header(path) == first
    path.write_bytes(b"1" + bytes(1 << 16))
    assert source_check.digest_header(path) != first
