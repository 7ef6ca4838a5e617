"""PixelPaddingValue and PixelPaddingRangeLimit: padding is found in stored values, whatever the elements look like."""

from pathlib import Path

import fabricate
import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from saint_cli.io import read_volume, write_volume
from saint_cli.method.padding import hide_padding
from saint_cli.volume import Volume

ROWS = 3
"""First rows of every slice, which hold padding."""


def series(
    words: int | list[int],
    elements: dict[str, tuple[str, int]],
    *,
    bits: int = 12,
    signed: bool = False,
) -> list[Dataset]:
    """Slices of values between 0 and 1999, their first rows the words that stand for padding."""
    made = fabricate.slices(5)
    for k, data in enumerate(made):
        stored = np.random.default_rng(k).integers(0, 2000, (12, 16)).astype("u2")
        stored[:ROWS] = np.resize(words, (ROWS, 16))
        fabricate.set_pixels(data, stored, bits=bits)
        data.PixelRepresentation = int(signed)
        for keyword, (vr, value) in elements.items():
            data.add_new(keyword, vr, value)
    return made


def read(made: list[Dataset], folder: Path) -> Volume:
    return read_volume(fabricate.save(made, folder / "s"))


WORD = 65536 - 2000

BEYOND = {
    "unsigned": (WORD, {"PixelPaddingValue": ("US", WORD)}, False),
    "unsigned, named signed": (WORD, {"PixelPaddingValue": ("SS", -2000)}, False),
    "unsigned, a range": (
        [WORD, WORD + 1],
        {"PixelPaddingValue": ("US", WORD), "PixelPaddingRangeLimit": ("US", WORD + 1)},
        False,
    ),
    "unsigned, a range named signed": (
        [WORD, WORD + 1],
        {"PixelPaddingValue": ("SS", -2000), "PixelPaddingRangeLimit": ("SS", -1999)},
        False,
    ),
    "signed": (65536 - 3000, {"PixelPaddingValue": ("SS", -3000)}, True),
}


@pytest.mark.parametrize("name", BEYOND)
def test_padding_beyond_bits_stored_is_read_whole_and_hidden(name: str, tmp_path: Path) -> None:
    words, elements, signed = BEYOND[name]
    volume = read(series(words, elements, signed=signed), tmp_path)
    stored = np.resize(words, (ROWS, 16)).astype("i4")
    expected = (stored - 65536 * signed - 1024).T
    assert (volume.voxels[:, :ROWS] == expected[..., None]).all()
    assert volume.header.padding == ((expected.min(), expected.max()),)
    (warning,) = volume.header.warnings
    assert warning.startswith("BitsStored 12 cannot hold PixelPaddingValue")
    assert hide_padding(volume, 2).voxels.max() < 1000
    write_volume(volume, tmp_path / "out")
    again = read_volume(tmp_path / "out")
    np.testing.assert_array_equal(again.voxels, volume.voxels)
    assert again.header.padding == volume.header.padding
    assert again.header.warnings == ()


@pytest.mark.parametrize("kind", ["RLE", "JPEG2000"])
def test_compressed_padding_beyond_bits_stored_is_read_whole(kind: str, tmp_path: Path) -> None:
    made = series(WORD, {"PixelPaddingValue": ("US", WORD)}, bits=16)
    for data in made:
        if kind == "RLE":
            data.compress(uid.RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
        else:
            fabricate.compress_gdcm(data, tmp_path, kind)
        data.BitsStored, data.HighBit = 12, 11
    volume = read(made, tmp_path)
    assert (volume.voxels[:, :ROWS] == WORD - 1024).all()
    assert volume.header.padding == ((WORD - 1024, WORD - 1024),)


def test_a_slice_that_does_not_name_the_padding_beyond_bits_stored_has_it_too(tmp_path: Path) -> None:
    made = series(WORD, {"PixelPaddingValue": ("US", WORD)})
    del made[2].PixelPaddingValue
    assert (read(made, tmp_path).voxels[:, :ROWS] == WORD - 1024).all()


def test_bits_above_bits_stored_that_are_no_padding_are_cleared(tmp_path: Path) -> None:
    volume = read(series([WORD, 0xA001], {"PixelPaddingValue": ("US", WORD)}), tmp_path)
    assert set(np.unique(volume.voxels[:, :ROWS])) == {(WORD & 0xFFF) - 1024, 1 - 1024}
    assert volume.header.padding == ()
    assert "bits above BitsStored are set" in volume.header.warnings[0]


def test_padding_beyond_bits_stored_that_no_pixel_has_is_none(tmp_path: Path) -> None:
    volume = read(series(WORD & 0xFFF, {"PixelPaddingValue": ("US", WORD)}), tmp_path)
    assert volume.header.padding == ()
    assert volume.header.warnings == ()
    assert (volume.voxels[:, :ROWS] == (WORD & 0xFFF) - 1024).all()


def test_padding_of_signed_pixels_may_be_named_by_the_bits_stored_alone(tmp_path: Path) -> None:
    volume = read(series(WORD & 0xFFF, {"PixelPaddingValue": ("US", WORD & 0xFFF)}, signed=True), tmp_path)
    assert volume.header.padding == ((-3024, -3024),)
    assert (volume.voxels[:, :ROWS] == -3024).all()


def test_a_signed_range_around_0_of_unsigned_pixels_is_its_value_alone(tmp_path: Path) -> None:
    named = {"PixelPaddingValue": ("SS", -1), "PixelPaddingRangeLimit": ("SS", 10)}
    assert read(series(0xFFFF, named, bits=16), tmp_path).header.padding == ((64511, 64511),)


def test_a_range_that_is_all_of_the_image_is_ignored(tmp_path: Path) -> None:
    named = {"PixelPaddingValue": ("US", 0), "PixelPaddingRangeLimit": ("US", 4095)}
    volume = read(series(0, named), tmp_path)
    assert volume.header.padding == ()
    assert volume.header.warnings == (
        "all voxels lie in the range of PixelPaddingValue and PixelPaddingRangeLimit: it is ignored",
    )


def test_one_value_that_is_all_of_the_image_is_ignored(tmp_path: Path) -> None:
    made = series(0, {"PixelPaddingValue": ("US", 0)})
    for data in made:
        data.PixelData = bytes(len(data.PixelData))
    header = read(made, tmp_path).header
    assert header.padding == ()
    assert header.warnings == ("all voxels have a value that PixelPaddingValue names: it is ignored",)


def of_two_scales(named: dict[str, tuple[str, int]], first: np.ndarray, second: np.ndarray) -> list[Dataset]:
    """MR slices of these stored values, of slope 1 and 10 in turn."""
    made = fabricate.slices(6, modality="MR")
    for k, data in enumerate(made):
        fabricate.set_pixels(data, (second if k % 2 else first).astype("u2"))
        data.RescaleSlope = "10" if k % 2 else "1"
        for keyword, (vr, value) in named.items():
            data.add_new(keyword, vr, value)
    return made


def test_a_range_of_padding_of_one_scale_hides_no_values_of_another(tmp_path: Path) -> None:
    tissue = np.arange(64, 64 + 12 * 16).reshape(12, 16)
    fine, coarse = tissue.copy(), tissue.copy()
    fine[:ROWS], coarse[:ROWS] = np.resize([0, 7], (ROWS, 16)), np.resize([0, 5], (ROWS, 16))
    named = {"PixelPaddingValue": ("US", 0), "PixelPaddingRangeLimit": ("US", 63)}
    volume = read(of_two_scales(named, fine, coarse), tmp_path)
    is_padding = volume.header.is_padding(volume.voxels)
    assert is_padding[:, :ROWS].all()
    assert not is_padding[:, ROWS:].any()
    np.testing.assert_array_equal(hide_padding(volume, 2).voxels[:, ROWS:], volume.voxels[:, ROWS:])


def test_a_value_that_is_padding_in_one_slice_and_measured_in_another_is_measured(tmp_path: Path) -> None:
    tissue = np.arange(64, 64 + 12 * 16).reshape(12, 16)
    fine, coarse = tissue.copy(), tissue.copy()
    fine[:ROWS], coarse[:ROWS] = 20, 20  # 20 and 200, which is measured in the fine slices
    volume = read(of_two_scales({"PixelPaddingValue": ("US", 20)}, fine, coarse), tmp_path)
    assert volume.header.padding == ((20, 20),)
    assert any("padding of some has values that are measured in others" in one for one in volume.header.warnings)
