"""Headers of DICOM files are parsed within bounds; deflated data sets are a stream that ends before the pixels."""

import gzip
import io
import struct
import zlib
from pathlib import Path

import fabricate
import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from saint_cli.errors import UnreadableError
from saint_cli.io import describe, read_volume
from saint_cli.io.dicom import bounded_parse, source_check

PRIVATE = b"\x09\x00\x10\x00LO\x04\x00TEST\x09\x00\x00\x10OB\0\0"
"""A private creator, and an element of its block but for its length and value."""

PIXELS = b"\xe0\x7f\x10\x00OW\0\0"
ITEM = b"\xfe\xff\x00\xe0"
SEQUENCES = ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"]


def split(data: Dataset, syntax: uid.UID = uid.ExplicitVRLittleEndian) -> tuple[bytes, bytes, bytes]:
    """Preamble with file meta of a syntax, elements below group 9, and those above, all explicit little endian."""
    whole = io.BytesIO()
    data.save_as(whole, enforce_file_format=True)
    plain, end = whole.getvalue(), 144 + int.from_bytes(whole.getvalue()[140:144], "little")
    data.file_meta.TransferSyntaxUID = syntax
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    meta = io.BytesIO()
    meta.write(bytes(128) + b"DICM")
    pydicom.filewriter.write_file_meta_info(meta, data.file_meta)
    middle = plain.index(b"\x10\x00\x10\x00PN", end)
    return meta.getvalue(), plain[end:middle], plain[middle:]


def write(path: Path, data: Dataset, kind: str, private: bytes = b"", behind: bytes = b"") -> None:
    """A slice with a private element amid its header and bytes behind its pixels; plain, gzip or deflated."""
    meta, low, high = split(data, *((uid.DeflatedExplicitVRLittleEndian,) if kind == "deflated" else ()))
    body = low + private + high + behind
    if kind == "deflated":
        path.write_bytes(meta + zlib.compress(body, 9, wbits=-zlib.MAX_WBITS))
    else:
        path.write_bytes(gzip.compress(meta + body) if kind == "gzip" else meta + body)


def element(size: int) -> bytes:
    return PRIVATE + struct.pack("<I", size) + bytes(size)


@pytest.fixture
def series() -> list[Dataset]:
    return fabricate.slices(4)


@pytest.mark.parametrize("kind", ["plain", "gzip", "deflated"])
def test_a_slice_is_the_same_however_it_is_packed(tmp_path: Path, kind: str, series: list[Dataset]) -> None:
    voxels = np.stack([fabricate.pixels(one).T for one in series], axis=2).astype(int) - 1024
    for index, data in enumerate(series):
        write(
            tmp_path / f"{index}.dcm", data, kind, element(5000), b"\xfc\xff\xfc\xffOB\0\0" + struct.pack("<I", 4) * 2
        )
    np.testing.assert_array_equal(read_volume(tmp_path).voxels, voxels)


@pytest.mark.parametrize("kind", ["gzip", "deflated"])
def test_a_header_is_unpacked_within_bounds(
    tmp_path: Path, kind: str, series: list[Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_parse, "MAX_BYTES_BEFORE_PIXELS", 1 << 16)
    for index, data in enumerate(series):
        write(tmp_path / f"{index}.dcm", data, kind, element(2000))
    (extra,) = fabricate.slices(1, modality="MR")
    write(tmp_path / "large.dcm", extra, kind, element(1 << 22))
    found = describe(tmp_path)
    assert found.stacks[0].shape == (16, 12, 4)
    assert found.named == {"unreadable DICOM": ["large.dcm"]}


@pytest.mark.parametrize("kind", ["gzip", "deflated"])
def test_pixels_are_unpacked_as_far_as_they_are_declared(
    tmp_path: Path, kind: str, series: list[Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_parse, "MAX_BYTES_BEFORE_PIXELS", 1 << 16)
    monkeypatch.setattr(bounded_parse, "MAX_TRAILING_BYTES", 1 << 16)
    for index, data in enumerate(series):
        write(tmp_path / f"{index}.dcm", data, kind, behind=element(1 << 22))
    assert describe(tmp_path).stacks[0].shape == (16, 12, 4)
    with pytest.raises(UnreadableError):
        read_volume(tmp_path)


def test_large_elements_are_skipped_not_held(
    tmp_path: Path, series: list[Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_check, "MAX_HASHED_BYTES", 1 << 20)
    for index, data in enumerate(series):
        meta, low, high = split(data)
        with (tmp_path / f"{index}.dcm").open("wb") as file:
            file.write(meta + low + PRIVATE + struct.pack("<I", 3 << 30))
            file.seek(3 << 30, 1)  # a hole
            file.write(high)
    assert read_volume(tmp_path).shape == (16, 12, 4)


@pytest.mark.parametrize("length", [0xFFFFFFFF, 8 * 200_000])
def test_a_million_empty_items_are_damage(tmp_path: Path, length: int) -> None:
    (data,) = fabricate.slices(1)
    meta, low, high = split(data)
    sequence = b"\x00\x52\x30\x92SQ\0\0" + struct.pack("<I", length) + (ITEM + bytes(4)) * 200_000
    (tmp_path / "a.dcm").write_bytes(meta + low + high[: high.index(PIXELS)] + sequence)
    with pytest.raises(UnreadableError, match="unreadable DICOM"):
        describe(tmp_path)


@pytest.mark.parametrize("close", [False, True])
def test_sequences_nested_thousands_deep_are_one_damaged_file(tmp_path: Path, close: bool) -> None:
    (data,) = fabricate.slices(1)
    meta, low, high = split(data)
    opened = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + ITEM + b"\xff\xff\xff\xff"
    closed = b"\xfe\xff\x0d\xe0" + bytes(4) + b"\xfe\xff\xdd\xe0" + bytes(4)
    (tmp_path / "a.dcm").write_bytes(meta + low + opened * 5000 + (closed * 5000 + high if close else b""))
    with pytest.raises(UnreadableError, match="no readable DICOM"):
        describe(tmp_path)


def _empty_elements(count: int) -> bytes:
    """Elements of odd groups without values, 8 bytes each."""
    made = np.zeros(count, dtype=[("group", "<u2"), ("element", "<u2"), ("vr", "S2"), ("length", "<u2")])
    number = np.arange(count)
    made["group"], made["element"], made["vr"] = 0x3001 + number // 65536 * 2, number % 65536, b"LO"
    return made.tobytes()


@pytest.mark.parametrize("kind", ["top", "nested", "items"])
def test_a_header_has_no_more_elements_than_images_have(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_parse, "PIECES_BASE", 10_000)
    monkeypatch.setattr(bounded_parse, "ITEMS_BASE", 1000)
    monkeypatch.setattr(bounded_parse, "SMALL_HEADER", 1000)
    (data,) = fabricate.slices(1)
    large = _empty_elements(20_000)
    body = {"top": large, "nested": ITEM + struct.pack("<I", len(large)) + large}.get(kind)
    items = (ITEM + struct.pack("<I", 40) + b"\x20\x00\x01\x93LO\x20\0" + b"x" * 32) * 3000
    body = items if body is None else body
    sequence = b"\0\x52\x30\x92SQ\0\0" + struct.pack("<I", len(body)) + body
    pixels, data.NumberOfFrames = data.PixelData, 1 if kind == "nested" else 3000
    data.SOPClassUID = uid.CTImageStorage if kind == "top" else uid.EnhancedCTImageStorage
    del data.PixelData
    whole = io.BytesIO()
    data.save_as(whole, enforce_file_format=True)
    end = PIXELS + struct.pack("<I", len(pixels)) + pixels
    path = tmp_path / "a.dcm"
    path.write_bytes(whole.getvalue() + (body if kind == "top" else sequence) + end)
    with pytest.raises(UnreadableError, match="elements than any image"):
        bounded_parse.parse_sequences(bounded_parse.read_header(path, SEQUENCES)[0], path.stat().st_size)
    with pytest.raises(UnreadableError, match="no readable DICOM slice"):
        describe(path)


def test_pixels_far_larger_than_the_header_says_are_not_read(
    tmp_path: Path, series: list[Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_parse, "MAX_HEADER_BYTES", 1 << 16)
    fabricate.save(series, tmp_path)
    pixels = series[1].PixelData
    del series[1].PixelData
    series[1].save_as(tmp_path / "0001.dcm", enforce_file_format=True)
    with (tmp_path / "0001.dcm").open("ab") as file:
        file.write(PIXELS + struct.pack("<I", 1 << 31) + pixels)
        file.truncate(file.tell() + (1 << 31) - len(pixels))  # takes no disk
    with pytest.raises(UnreadableError, match="more than it declares"):
        read_volume(tmp_path)
