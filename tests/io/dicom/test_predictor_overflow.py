"""Lossless JPEG with predictor 6, by encoders that keep to the standard and by those that overflow."""

import struct
from pathlib import Path

import fabricate
import numpy as np
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate

from saint_cli.errors import UnreadableError
from saint_cli.io import read_volume

SHAPE = (24, 24)

RNG = np.random.default_rng(6)

DIAGONAL = np.add.outer(np.arange(24), np.arange(24))

SIGNED = {
    "around zero": RNG.integers(-300, 300, SHAPE),
    "padding beside tissue": np.where(DIAGONAL < 20, -2000, RNG.integers(0, 60, SHAPE)),
    "noise of all values": RNG.integers(-32768, 32768, SHAPE),
}


def encode(words: np.ndarray, *, overflows: bool) -> bytes:
    """A lossless JPEG frame of 16 bits (ITU-T T.81 annex H), predictor 6, every code 5 bits long."""
    rows, columns = words.shape
    pixels, bits = words.astype(np.uint16).astype(int).tolist(), ""
    for y, row in enumerate(pixels):
        for x, value in enumerate(row):
            if y == 0:
                predicted = row[x - 1] if x else 0x8000
            elif x == 0:
                predicted = pixels[y - 1][0]
            else:
                step = row[x - 1] - pixels[y - 1][x - 1]
                predicted = pixels[y - 1][x] + ((as_int16(step) if overflows else step) >> 1)
            bits += code_difference(as_int16(value - predicted))
    bits += "1" * (-len(bits) % 8)
    stream = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    frame = struct.pack(">HHBHHBBBB", 0xFFC3, 11, 16, rows, columns, 1, 1, 0x11, 0)
    table = struct.pack(">HHB16B", 0xFFC4, 19 + 17, 0, *(17 if length == 5 else 0 for length in range(1, 17)))
    scan = struct.pack(">HHBBBBBB", 0xFFDA, 8, 1, 1, 0, 6, 0, 0)
    return b"\xff\xd8" + frame + table + bytes(range(17)) + scan + stream + b"\xff\xd9"


def as_int16(value: int) -> int:
    return (value + 0x8000 & 0xFFFF) - 0x8000


def code_difference(difference: int) -> str:
    """The code of a difference modulo 2^16: its number of bits, then these; that of 2^15 has none."""
    if difference == -0x8000:
        return f"{16:05b}"
    size = abs(difference).bit_length()
    rest = difference if difference > 0 else difference + (1 << size) - 1
    return f"{size:05b}" + (f"{rest:0{size}b}" if size else "")


def save(words: np.ndarray, folder: Path, *, overflows: bool) -> Path:
    series = fabricate.slices(4, shape=SHAPE)
    for data in series:
        fabricate.set_pixels(data, words.astype(np.int16), bits=16)
        data.RescaleSlope, data.RescaleIntercept = 1, 0
        data.file_meta.TransferSyntaxUID = uid.JPEGLossless
        data.PixelData = encapsulate([encode(words, overflows=overflows)])
        data["PixelData"].is_undefined_length = True
    return fabricate.save(series, folder)


@pytest.mark.parametrize("name", SIGNED)
def test_pixels_of_an_encoder_that_keeps_to_the_standard_are_read(name: str, tmp_path: Path) -> None:
    volume = read_volume(save(SIGNED[name], tmp_path / "scan", overflows=False))
    np.testing.assert_array_equal(volume.voxels[..., 0], SIGNED[name].T)


@pytest.mark.parametrize("name", ["around zero", "padding beside tissue"])
def test_pixels_of_an_encoder_that_overflows_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="dcmdjpeg --workaround-pred6"):
        read_volume(save(SIGNED[name], tmp_path / "scan", overflows=True))


def test_an_encoder_that_could_not_overflow_is_read(tmp_path: Path) -> None:
    words = RNG.integers(0, 4096, SHAPE)
    assert encode(words, overflows=True) == encode(words, overflows=False)
    np.testing.assert_array_equal(read_volume(save(words, tmp_path / "s", overflows=True)).voxels[..., 3], words.T)
