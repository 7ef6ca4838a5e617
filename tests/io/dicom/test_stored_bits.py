"""Which bits of a word hold the stored value, where headers leave it open or contradict the pixels."""

from pathlib import Path

import fabricate
import numpy as np
import pytest
from fabricate import interpolated
from pydicom import uid
from pydicom.dataset import Dataset

from saint_cli.io import read_volume, write_volume
from saint_cli.io.dicom.decoder import Decoder

PLAIN = [0, 1, 1024, 2047, 4095]


LEFT = [value << 4 for value in PLAIN]


BITS = {
    "values in the low bits": (PLAIN, (12, 15, 0), PLAIN, ("HighBit 15 contradicts BitsStored 12",)),
    "left-justified": (LEFT, (12, 15, 0), PLAIN, ("HighBit 15 contradicts", "read as left-justified")),
    "left-justified, 10 of 12": ([0, 4, 2048, 4092], (10, 11, 0), [0, 1, 512, 1023], ("HighBit 11", "left-justified")),
    "left-justified, signed": (LEFT, (12, 15, 1), [0, 1, 1024, 2047, -1], ("HighBit 15", "left-justified")),
    "sign in the bits above": ([0xFFFF, 0xF800, 5], (12, 15, 1), [-1, -2048, 5], ("HighBit 15 contradicts",)),
    "neither": ([3, 21, 0x4009], (12, 15, 0), [3, 21, 9], ("HighBit 15", "bits above BitsStored are set")),
    "HighBit below": ([0, 40000, 65535], (16, 11, 0), [0, 40000, 65535], ("HighBit 11 contradicts BitsStored 16",)),
    "HighBit beyond the word": (PLAIN, (12, 20, 0), PLAIN, ("HighBit 20 contradicts",)),
    "HighBit of zero": (PLAIN, (12, 0, 0), PLAIN, ("HighBit 0 contradicts",)),
    "garbage above": ([0xF001, 0x5FFF], (12, 11, 0), [1, 4095], ("bits above BitsStored are set",)),
}
"""Words, (BitsStored, HighBit, PixelRepresentation), stored values, and how each warning starts or ends.

GDCM 3.2, pydicom 3.0 and dcm2niix 1.0.20260724 were run on all of them: they read from bit 0 whatever HighBit says.
"""


def with_words(words: list[int], bits: tuple[int, int, int], kind: str, folder: Path) -> list[Dataset]:
    series = fabricate.slices(4)
    for data in series:
        stored = np.resize(np.array(words, dtype="<u2"), (12, 16))
        data.PixelData, data.RescaleIntercept = stored.tobytes(), "0"
        if kind == "RLE":
            data.compress(uid.RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
        elif kind in ("JPEG2000", "JPEG"):
            fabricate.compress_gdcm(data, folder, kind)
        elif kind == "big endian":
            data.PixelData = stored.astype(">u2").tobytes()
            data.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian
        elif kind == "implicit":
            data.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian
        data.BitsStored, data.HighBit, data.PixelRepresentation = bits
    return series


@pytest.mark.parametrize("kind", ["native", "RLE", "JPEG2000", "JPEG", "big endian", "implicit"])
@pytest.mark.parametrize("name", BITS)
def test_high_bit_is_ignored_unless_all_pixels_are_left_justified(tmp_path: Path, name: str, kind: str) -> None:
    words, bits, stored, notes = BITS[name]
    notes = () if name == "garbage above" and kind == "JPEG" else notes  # 12 bits are all that its encoder takes
    folder = fabricate.save(with_words(words, bits, kind, tmp_path), tmp_path / "s")
    volume = read_volume(folder)
    np.testing.assert_array_equal(volume.voxels[:, :, 1], np.resize(stored, (12, 16)).T)
    assert len(volume.header.warnings) == len(notes)
    assert all(part in warning for part, warning in zip(notes, volume.header.warnings, strict=True))
    write_volume(volume, tmp_path / "out")
    np.testing.assert_array_equal(read_volume(tmp_path / "out").voxels, volume.voxels)
    assert read_volume(tmp_path / "out").header.warnings == ()


DOUBTFUL = {
    "left-justified": (LEFT, (12, 15, 0), None),
    "HighBit wrong": (PLAIN, (12, 15, 0), None),
    "padding that no pixel has": (PLAIN, (12, 11, 0), 63536),
    "padding beyond BitsStored": ([*PLAIN, 63536], (12, 11, 0), 63536),
}
"""Words, (BitsStored, HighBit, PixelRepresentation), PixelPaddingValue."""


@pytest.mark.parametrize("name", DOUBTFUL)
def test_pixels_that_decide_on_their_format_are_decoded_once_to_read_and_once_to_write(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, bits, padding = DOUBTFUL[name]
    series = with_words(words, bits, "JPEG2000", tmp_path)
    for data in series:
        if padding is not None:
            data.add_new("PixelPaddingValue", "US", padding)
    folder = fabricate.save(series, tmp_path / "s")
    decoded, decode = [], Decoder.decode
    monkeypatch.setattr(Decoder, "decode", lambda *args: decoded.append(1) or decode(*args))
    volume = read_volume(folder)
    assert len(decoded) == 4
    write_volume(interpolated(volume, 2), tmp_path / "out")
    assert len(decoded) == 8
    again = read_volume(tmp_path / "out")
    np.testing.assert_array_equal(again.voxels[:, :, ::2], volume.voxels)
    assert again.header.padding == volume.header.padding


def test_words_of_signed_and_unsigned_slices_stay_whole_until_their_format_is_known(tmp_path: Path) -> None:
    series = with_words([63536, 4095, 7], (12, 11, 0), "native", tmp_path)
    series[1].PixelRepresentation, series[1].BitsStored, series[1].HighBit = 1, 16, 15
    for data in series:
        data.add_new("PixelPaddingValue", "US", 63536)
    volume = read_volume(fabricate.save(series, tmp_path / "s"))
    for index, stored in enumerate([63536, -2000, 63536, 63536]):
        np.testing.assert_array_equal(volume.voxels[:3, 0, index], [stored, 4095, 7])


def test_one_slice_of_low_values_is_left_justified_like_the_others(tmp_path: Path) -> None:
    series = with_words(LEFT, (12, 15, 0), "native", tmp_path)
    series[2].PixelData = np.full((12, 16), 16, dtype="<u2").tobytes()
    volume = read_volume(fabricate.save(series, tmp_path / "s"))
    assert (volume.voxels[:, :, 2] == 1).all()


@pytest.mark.parametrize(("value", "words"), [(33536, [33536, 16]), (63536, [33536, 16]), (63536, [63536, 1])])
def test_padding_is_read_as_the_pixels_are(tmp_path: Path, value: int, words: list[int]) -> None:
    series = with_words(words, (12, 15, 1), "native", tmp_path)
    for data in series:
        data.add_new("PixelPaddingValue", "US", value)
    volume = read_volume(fabricate.save(series, tmp_path / "s"))
    assert volume.voxels.min() == -2000
    assert volume.header.padding == ((-2000, -2000),)
    write_volume(volume, tmp_path / "out")
    assert read_volume(tmp_path / "out").header.padding == volume.header.padding


@pytest.mark.parametrize("limit", [None, 0x8010])
def test_padding_of_left_justified_pixels_is_written_as_the_values_are(limit: int | None, tmp_path: Path) -> None:
    series = with_words([*LEFT, 0x8000], (12, 15, 0), "native", tmp_path)
    for data in series:
        data.add_new("PixelPaddingValue", "US", 0x8000)
        if limit is not None:
            data.add_new("PixelPaddingRangeLimit", "US", limit)
    volume = read_volume(fabricate.save(series, tmp_path / "s"))
    assert volume.header.padding == ((2048, 2048 if limit is None else 2049),)
    write_volume(volume, tmp_path / "out")
    assert read_volume(tmp_path / "out").header.padding == volume.header.padding
