"""One bad file costs a study no more than itself: it is skipped, counted by its reason and named."""

import gzip
import os
import socket
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import fabricate
import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from saint_cli.errors import GeometryError, UnreadableError
from saint_cli.io import describe, read_volume, write_volume
from saint_cli.io.dicom import headers

NAN = float("nan")


def odd(change: Callable[[Dataset], None]) -> list[Dataset]:
    """One slice of another series, changed."""
    (data,) = fabricate.slices(1, modality="MR")
    change(data)
    return [data]


def orientation(*values: float) -> Callable[[Dataset], None]:
    def change(data: Dataset) -> None:
        data["ImageOrientationPatient"]._value = [str(value) for value in values]

    return change


def raw(name: str, value: str) -> Callable[[Dataset], None]:
    """Put text into an element that its value representation does not allow."""

    def change(data: Dataset) -> None:
        data.add_new(name, "LO", value)

    return change


BAD = {
    "orientation of zeros": (orientation(0, 0, 0, 0, 0, 0), "a direction of length zero"),
    "one direction of zeros": (orientation(1, 0, 0, 0, 0, 0), "a direction of length zero"),
    "NaN": (orientation(1, 0, 0, 0, NAN, 0), "damaged ImageOrientationPatient"),
    "five values": (orientation(1, 0, 0, 0, 1), "damaged ImageOrientationPatient"),
    "not perpendicular": (orientation(1, 0, 0, 0.05, 1, 0), "rows not perpendicular to columns"),
    "parallel": (orientation(1, 0, 0, 1, 0, 0), "rows not perpendicular to columns"),
    "decimal comma": (raw("ImagePositionPatient", "1,5\\2\\3"), "damaged ImagePositionPatient"),
    "space between": (raw("PixelSpacing", "0.5 0.5"), "damaged PixelSpacing"),
    "text": (raw("PixelSpacing", "0.5mm\\0.5mm"), "damaged PixelSpacing"),
    "infinite position": (raw("ImagePositionPatient", "0\\0\\inf"), "damaged ImagePositionPatient"),
    "position beyond the solar system": (raw("ImagePositionPatient", "0\\0\\1e300"), "damaged ImagePositionPatient"),
    "slope of text": (raw("RescaleSlope", "one"), "damaged RescaleSlope"),
    "no bits": (lambda data: delattr(data, "BitsAllocated"), "without BitsAllocated"),
    "12 bits": (lambda data: setattr(data, "BitsAllocated", 12), "with BitsAllocated 12"),
    "18 of 16 bits": (lambda data: setattr(data, "BitsStored", 18), "with BitsStored 18 of BitsAllocated 16"),
    "no position": (lambda data: delattr(data, "ImagePositionPatient"), "no position"),
    "no pixels": (lambda data: delattr(data, "PixelData"), "no pixel data"),
    "one row": (lambda data: fabricate.set_pixels(data, np.zeros((1, 16), "u2")), "a single row or column"),
    "two frames": (lambda data: setattr(data, "NumberOfFrames", "2"), "multi-frame without positions"),
}


def save_raw(series: list[Dataset], folder: Path) -> Path:
    """Write data sets in implicit VR, in which an element is read as its tag demands, whatever was put there."""
    for data in series:
        data.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian
    return fabricate.save(series, folder)


@pytest.mark.parametrize("name", BAD)
def test_a_slice_that_cannot_be_placed_or_read_is_skipped_by_name_and_the_rest_works(tmp_path: Path, name: str) -> None:
    change, words = BAD[name]
    fabricate.save(fabricate.slices(), tmp_path / "s" / "ct")
    save_raw(odd(change), tmp_path / "s" / "bad")
    found = describe(tmp_path / "s")
    (reason,) = found.skipped
    assert (len(found.stacks), found.exit_code, found.skipped[reason]) == (1, 0, 1)
    assert words in reason
    assert found.named == {reason: ["bad/0000.dcm"]}
    for series in (None, "1"):
        volume = read_volume(tmp_path / "s", series=series)
        assert volume.shape == (16, 12, 6)
        assert volume.header.warnings == (f"skipped files: 1 {reason} (0000.dcm)",)


def test_where_no_slice_is_left_the_reason_is_given(tmp_path: Path) -> None:
    save_raw(odd(orientation(0, 0, 0, 0, 0, 0)), tmp_path / "s")
    with pytest.raises(UnreadableError, match=r"1 with a direction of length zero.*\(0000.dcm\)"):
        read_volume(tmp_path / "s")


def test_a_transfer_syntax_that_is_no_uid_is_not_repeated(tmp_path: Path) -> None:
    folder = fabricate.save(fabricate.slices(), tmp_path / "s")
    for file in folder.iterdir():
        raw = file.read_bytes()
        assert raw.count(uid.ExplicitVRLittleEndian.encode()) == 1
        file.write_bytes(raw.replace(uid.ExplicitVRLittleEndian.encode(), b"1.2.3\x1b[2J\n999999999"))
    with pytest.raises(UnreadableError, match=r"6 in transfer syntax \(not a UID\) not supported"):
        read_volume(folder)


def test_a_gap_names_which_file_was_skipped(tmp_path: Path) -> None:
    series = fabricate.slices()
    orientation(0, 0, 0, 0, 0, 0)(series[2])
    with pytest.raises(GeometryError, match=r"missing.*skipped files: 1 .*0002\.dcm"):
        read_volume(save_raw(series, tmp_path / "s"))


def test_only_the_first_of_many_bad_files_are_named(tmp_path: Path) -> None:
    fabricate.save(fabricate.slices(), tmp_path / "s" / "ct")
    save_raw([odd(orientation(0, 0, 0, 0, 0, 0))[0] for _ in range(9)], tmp_path / "s" / "bad")
    assert "(0000.dcm, 0001.dcm, 0002.dcm and 6 more)" in read_volume(tmp_path / "s").header.warnings[0]


@pytest.mark.parametrize("digits", [2, 3])
def test_directions_rounded_to_few_digits_are_made_perpendicular_with_a_note(tmp_path: Path, digits: int) -> None:
    turned = np.linalg.qr(np.array([[0.97, -0.17], [0.22, 0.94], [-0.13, 0.29]]))[0].T.ravel()
    rounded = turned.round(digits)
    series = fabricate.slices(step=5 * np.cross(turned[:3], turned[3:]))
    for data in series:
        data.ImageOrientationPatient = [float(value) for value in rounded]
    volume = read_volume(fabricate.save(series, tmp_path / "s"))
    row, column = volume.affine_lps[:3, 0], volume.affine_lps[:3, 1]
    assert abs(row @ column) < {2: 1e-9, 3: 1e-4}[digits]
    np.testing.assert_allclose(row / np.linalg.norm(row), turned[:3], atol=10.0**-digits)
    cosine = abs(rounded[:3] @ rounded[3:])
    assert any("perpendicular" in w for w in volume.header.warnings) == (cosine > 1e-3) == (digits == 2)


@pytest.mark.parametrize("error", [RecursionError, MemoryError, ZeroDivisionError, AssertionError, KeyError])
def test_whatever_a_header_raises_costs_that_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    fabricate.save(fabricate.slices(7), tmp_path / "s")
    whole = headers.parse_slice_header

    def fail(path: Path, data: Dataset) -> object:
        if path.name == "0006.dcm":
            raise error
        return whole(path, data)

    monkeypatch.setattr(headers, "parse_slice_header", fail)
    assert describe(tmp_path / "s").named == {"damaged header": ["0006.dcm"]}


def test_links_that_lead_nowhere_pipes_and_sockets_are_counted_and_never_opened(tmp_path: Path) -> None:
    folder = fabricate.save(fabricate.slices(), tmp_path / "s")
    (folder / "link.dcm").symlink_to(tmp_path / "nowhere")
    (folder / "self").symlink_to(folder / "self")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(folder / "sock"))
        found = describe(folder)
    assert found.skipped["broken link"] == 1
    assert found.named["pipe, socket or device"] == ["pipe", "sock"]
    assert [names for reason, names in found.named.items() if "cannot be opened" in reason] == [["self"]]
    assert read_volume(folder).shape == (16, 12, 6)


def test_a_file_without_permission_is_skipped_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fabricate.save(fabricate.slices(7), tmp_path / "s")
    whole = os.open

    def closed(path: str, *args: int, **options: int) -> int:
        if os.fspath(path).endswith("0006.dcm"):
            raise PermissionError(13, "Permission denied", path)
        return whole(path, *args, **options)

    monkeypatch.setattr(os, "open", closed)
    assert describe(folder).named == {"that cannot be opened, permission denied": ["0006.dcm"]}


def test_a_file_that_vanishes_while_the_folder_is_read_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fabricate.save(fabricate.slices(7), tmp_path / "s")
    whole = headers.detect_format

    def vanishing(path: Path) -> object:
        (folder / "0006.dcm").unlink(missing_ok=True)
        return whole(path)

    monkeypatch.setattr(headers, "detect_format", vanishing)
    assert describe(folder).named == {"gone since the folder was listed": ["0006.dcm"]}


def test_a_folder_inside_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fabricate.save(fabricate.slices(), tmp_path / "s")
    (folder / "closed").mkdir()
    whole = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return whole(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert describe(folder).named == {"folder that cannot be listed, permission denied": ["closed"]}


def test_archives_in_a_folder_are_named_and_not_unpacked(tmp_path: Path) -> None:
    folder = fabricate.save(fabricate.slices(), tmp_path / "s")
    with tarfile.open(folder / "a.tar", "w") as packed:
        packed.add(folder / "0000.dcm")
    (folder / "b.tar.gz").write_bytes(gzip.compress((folder / "a.tar").read_bytes()))
    with zipfile.ZipFile(folder / "c.zip", "w") as zipped:
        zipped.write(folder / "0000.dcm")
    assert describe(folder).named == {"archive, not unpacked": ["a.tar", "b.tar.gz", "c.zip"]}
    assert read_volume(folder).shape == (16, 12, 6)


def test_files_in_a_zip_are_named_as_they_are_called_there(tmp_path: Path) -> None:
    folder = fabricate.save(fabricate.slices(), tmp_path / "s")
    save_raw(odd(orientation(0, 0, 0, 0, 0, 0)), tmp_path / "bad")
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as packed:
        for file in (*folder.iterdir(), tmp_path / "bad" / "0000.dcm"):
            packed.write(file, f"study/{file.parent.name}/{file.name}")
    assert list(describe(tmp_path / "s.zip").named.values()) == [["study/bad/0000.dcm"]]


@pytest.mark.parametrize("ending", [".dcm.gz", ".gz", ""])
def test_gzipped_slices_are_slices_and_go_to_dicom(tmp_path: Path, ending: str) -> None:
    plain = read_volume(fabricate.save(fabricate.slices(), tmp_path / "plain"))
    (tmp_path / "s").mkdir()
    for file in (tmp_path / "plain").iterdir():
        (tmp_path / "s" / f"{file.stem}{ending}").write_bytes(gzip.compress(file.read_bytes()))
    packed = read_volume(tmp_path / "s")
    np.testing.assert_array_equal(packed.voxels, plain.voxels)
    write_volume(fabricate.interpolated(packed, 2), tmp_path / "out")
    assert read_volume(tmp_path / "out").shape == (16, 12, 11)


def test_a_truncated_gzip_names_its_file(tmp_path: Path) -> None:
    series = fabricate.slices(7, shape=(64, 64))
    folder = fabricate.save(series, tmp_path / "s")
    for file in folder.iterdir():
        file.write_bytes(gzip.compress(file.read_bytes()))
    victim = folder / "0003.dcm"
    victim.write_bytes(victim.read_bytes()[:-200])
    with pytest.raises(UnreadableError, match=r"0003\.dcm.*compressed data"):
        read_volume(folder)


def test_a_header_nested_without_end_is_skipped(tmp_path: Path) -> None:
    folder = fabricate.save(fabricate.slices(7), tmp_path / "s")
    victim = folder / "0006.dcm"
    head = victim.read_bytes()
    place = head.index(b"\x10\x00\x10\x00PN")  # PatientName; sequences of undefined length, each inside the other
    nested = b"\x08\x00\x15\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 3000
    victim.write_bytes(head[:place] + nested + head[place:])
    found = describe(folder)
    assert found.named == {"unreadable DICOM": ["0006.dcm"]}
    assert found.stacks[0].shape == (16, 12, 6)
