"""Compressed frames: their own headers, and what so many bytes can hold at most."""

import struct
from pathlib import Path

import fabricate
import numpy as np
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate, generate_frames

from saint_cli.errors import UnreadableError
from saint_cli.io import describe, read_volume
from saint_cli.io.dicom.compressed_frames import (
    StreamError,
    StreamSize,
    check_frame,
    explain_excessive_size,
    parse_stream_size,
    split_frames,
)


def frame_of(kind: str, folder: Path, stored: np.ndarray) -> tuple[bytes, uid.UID]:
    """One compressed frame and its transfer syntax."""
    (data,) = fabricate.slices(1)
    fabricate.set_pixels(data, stored)
    if kind == "RLE":
        data.compress(uid.RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    else:
        fabricate.compress_gdcm(data, folder, kind)
    return next(generate_frames(data.PixelData, number_of_frames=1)), data.file_meta.TransferSyntaxUID


def boxed(stream: bytes) -> bytes:
    """A JPEG 2000 codestream as a JP2 file has it."""
    box = struct.Struct(">I4s")
    return box.pack(12, b"jP  ") + b"\r\n\x87\n" + box.pack(11, b"ftyp") + b"jp2" + box.pack(0, b"jp2c") + stream


@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000"])
def test_a_stream_names_its_own_size(kind: str, tmp_path: Path) -> None:
    frame, _ = frame_of(kind, tmp_path, np.zeros((48, 80), np.uint16))
    predictor = 1 if kind == "JPEG" else 0
    assert parse_stream_size(frame) == StreamSize(48, 80, 16, 1, predictor)
    if kind == "JPEG2000":
        assert parse_stream_size(boxed(frame)) == StreamSize(48, 80, 16, 1)
    assert parse_stream_size(frame[:8]) is None


def test_jpeg_ls_is_read_behind_other_segments_and_fill_bytes() -> None:
    start, scan = b"\xff\xf7\x00\x0b\x0c\x02\x00\x01\x00\x01\x01\x11\x00", b"\xff\xda\x00\x02\x00"
    size = StreamSize(512, 256, 12, 1)
    assert parse_stream_size(b"\xff\xd8" + start + scan) == size
    assert parse_stream_size(b"\xff\xd8\xff\xe8\x00\x04\xff\xf7\xff\xff" + start + scan) == size
    assert parse_stream_size(b"\xff\xd8" + scan + start) is None
    assert parse_stream_size(b"\xff\xd8\xff\xe8\x00\x00" + bytes(9)) is None


@pytest.mark.parametrize("rest", ["", "ffda0002", "ffd9", "ffe87f", "ffc4ffff00", "ff"])
def test_a_header_that_is_cut_off_is_none(rest: str) -> None:
    """GDCM 3.2 never ends over "ffd8 ffe8 7f"."""
    start = b"\xff\xd8\xff\xf7\x00\x0b\x0c\x02\x00\x01\x00\x01\x01\x11\x00"
    assert parse_stream_size(start + bytes.fromhex(rest)) is None


@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000", "RLE"])
def test_a_constant_frame_is_never_refused(kind: str, tmp_path: Path) -> None:
    frame, syntax = frame_of(kind, tmp_path, np.full((512, 512), 24, np.uint16))
    assert not explain_excessive_size((512, 512), 1, 2, len(frame))
    check_frame(frame, syntax, (512, 512), 16)


@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000", "RLE"])
def test_a_frame_of_another_size_is_refused_before_it_is_decoded(kind: str, tmp_path: Path) -> None:
    frame, syntax = frame_of(kind, tmp_path, np.zeros((64, 64), np.uint16))
    with pytest.raises(StreamError):
        check_frame(frame, syntax, (4096, 4096), 16)
    with pytest.raises(StreamError):
        check_frame(frame, syntax, (64, 64), 8)


def test_bytes_that_cannot_hold_the_pixels_are_refused() -> None:
    start = b"\xff\xd8\xff\xc3" + struct.pack(">HBHHB", 11, 16, 512, 512, 1) + b"\0\0\0\xff\xda\x00\x02"
    with pytest.raises(StreamError, match="cannot hold 512x512 pixels of JPEG Lossless"):
        check_frame(start + bytes(32_000), uid.JPEGLosslessSV1, (512, 512), 16)
    check_frame(start + bytes(33_000), uid.JPEGLosslessSV1, (512, 512), 16)
    assert "40000x40000" in explain_excessive_size((40_000, 40_000), 1, 2, 1 << 40)
    assert not explain_excessive_size((4096, 4096), 1, 4, 100)
    assert not explain_excessive_size((512, 512), 1000, 2, 1_000_000)
    assert "1000 frames of 512x512 pixels in 400000 bytes" in explain_excessive_size((512, 512), 1000, 2, 400_000)


def rle(count: int, offsets: list[int], size: int) -> bytes:
    return struct.pack("<16I", count, *offsets, *[0] * (15 - len(offsets))) + bytes(size)


@pytest.mark.parametrize(
    "frame",
    [
        rle(2, [64, 80], 32)[:40],
        rle(15, [64] * 15, 1000),
        rle(0xFFFFFFFF, [64, 80], 32),
        rle(2, [64, 64], 32),
        rle(2, [80, 64], 32),
        rle(2, [0, 80], 32),
        rle(2, [64, 0xFFFFFFF0], 32),
        rle(2, [64, 65], 32),
        rle(2, [64, 80], 100_000),
    ],
    ids=["cut header", "15", "4 billion", "same", "reversed", "in the header", "outside", "too short", "too long"],
)
def test_rle_segments_lie_in_the_frame_and_are_of_its_size(frame: bytes) -> None:
    check_frame(rle(2, [64, 80], 32), uid.RLELossless, (16, 16), 16)
    with pytest.raises(StreamError, match="RLE"):
        check_frame(frame, uid.RLELossless, (16, 16), 16)


def test_frames_are_found_whatever_the_offset_table_says() -> None:
    frames = [bytes([n]) * (10 + 2 * n) for n in range(4)]
    assert split_frames(encapsulate(frames), 4) == frames
    wrong = bytearray(encapsulate(frames))
    wrong[12:24] = struct.pack("<3I", 4, 8, 12)
    assert split_frames(bytes(wrong), 4) == frames
    assert split_frames(encapsulate(frames, has_bot=False), 1) == [b"".join(frames)]
    with pytest.raises(StreamError, match="fragments"):
        split_frames(b"\xfe\xff\0\xe0\0\0\0\0" * 5000, 1)
    pieces = encapsulate(frames, fragments_per_frame=2)
    assert split_frames(pieces, 4) == frames


@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000", "RLE"])
def test_a_header_that_claims_gigapixels_is_a_damaged_file_for_every_command(kind: str, tmp_path: Path) -> None:
    series = fabricate.slices(4)
    for data in series:
        frame, data.file_meta.TransferSyntaxUID = frame_of(kind, tmp_path, fabricate.pixels(data))
        data.PixelData = encapsulate([frame])
        data["PixelData"].is_undefined_length = True
        data.Rows = data.Columns = 40_000
    folder = fabricate.save(series, tmp_path / "s")
    for command in (describe, read_volume):
        with pytest.raises(UnreadableError, match=r"claims more pixels than its compressed data can hold"):
            command(folder)
