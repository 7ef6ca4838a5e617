"""Pixels and values of DICOM slices: rescale, transfer syntaxes, stored bits, damage."""

from pathlib import Path

import fabricate
import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from saint_cli.errors import GeometryError, UnreadableError
from saint_cli.io import describe, read_volume
from saint_cli.io.dicom_pixels import place_bits
from saint_cli.io.dicom_values import PixelFormat


def hounsfield(series: list[Dataset]) -> np.ndarray:
    """Expected HU [x, y, z] of a series made in ascending order."""
    planes = [fabricate.pixels(d).astype(int) * int(d.RescaleSlope) + int(d.RescaleIntercept) for d in series]
    return np.stack(planes).transpose(2, 1, 0)


def test_slopes_that_differ_by_slice_give_float32(tmp_path: Path) -> None:
    series = fabricate.slices(modality="MR")
    for index, data in enumerate(series):
        data.RescaleSlope, data.RescaleIntercept = str(0.5 + index), str(10 * index)
    volume = read_volume(fabricate.save(series, tmp_path / "s"))
    expected = [fabricate.pixels(d) * (0.5 + i) + 10 * i for i, d in enumerate(series)]
    np.testing.assert_array_equal(volume.voxels, np.stack(expected).transpose(2, 1, 0).astype(np.float32))
    assert describe(tmp_path / "s").stacks[0].slope is None


def test_one_broken_slope_for_all_is_kept_for_storage(tmp_path: Path) -> None:
    series = fabricate.slices(modality="MR")
    for data in series:
        data.RescaleSlope = "0.25"
    header = read_volume(fabricate.save(series, tmp_path / "s")).header
    assert header.storage is not None
    assert (header.storage.dtype, header.storage.slope) == (np.uint16, 0.25)


def test_values_beyond_int16_need_int32(tmp_path: Path) -> None:
    series = fabricate.slices(modality="MR")
    fabricate.set_pixels(series[0], fabricate.pixels(series[0]) + np.uint16(50000))
    volume = read_volume(fabricate.save(series, tmp_path / "s"))
    assert volume.voxels.dtype == np.int32
    np.testing.assert_array_equal(volume.voxels, hounsfield(series))


def test_a_slope_of_zero_is_refused(tmp_path: Path) -> None:
    series = fabricate.slices()
    for data in series:
        data.RescaleSlope = "0"
    with pytest.raises(UnreadableError, match="RescaleSlope is 0"):
        read_volume(fabricate.save(series, tmp_path / "s"))


@pytest.mark.parametrize("kind", ["RLE", "JPEG2000", "JPEG", "deflated", "big endian", "implicit"])
def test_every_transfer_syntax_gives_the_same_voxels(tmp_path: Path, kind: str) -> None:
    plain, series = fabricate.slices(), fabricate.slices()
    for data in series:
        if kind == "RLE":
            data.compress(uid.RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
        elif kind in ("JPEG2000", "JPEG"):
            fabricate.compress_gdcm(data, tmp_path, kind)
        elif kind == "big endian":
            data.PixelData = fabricate.pixels(data).astype(">u2").tobytes()
            data.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian
        else:
            syntax = uid.DeflatedExplicitVRLittleEndian if kind == "deflated" else uid.ImplicitVRLittleEndian
            data.file_meta.TransferSyntaxUID = syntax
    volume = read_volume(fabricate.save(series, tmp_path / "s"))
    np.testing.assert_array_equal(volume.voxels, hounsfield(plain))


def test_bits_outside_the_stored_range_are_cleared_and_the_sign_extended() -> None:
    raw = np.array([[0xF123, 0x0FFF, 0x0800, 0x07FF]], dtype=np.uint16)
    np.testing.assert_array_equal(place_bits(raw, PixelFormat(16, 12, 11, False)), [[0x123, 0xFFF, 0x800, 0x7FF]])
    np.testing.assert_array_equal(place_bits(raw, PixelFormat(16, 12, 11, True)), [[0x123, -1, -2048, 2047]])
    shifted = np.array([[0x1234]], dtype=np.uint16)
    np.testing.assert_array_equal(place_bits(shifted, PixelFormat(16, 12, 15, False, 4)), [[0x123]])
    np.testing.assert_array_equal(place_bits(shifted, PixelFormat(16, 12, 15, False)), [[0x234]])


def test_a_damaged_slope_is_never_taken_for_one(tmp_path: Path) -> None:
    series = fabricate.slices()
    folder = fabricate.save(series, tmp_path / "s")
    for file in folder.iterdir():
        raw = file.read_bytes()
        assert raw.count(b"\x28\x00\x53\x10DS\x02\x001 ") == 1
        file.write_bytes(raw.replace(b"\x28\x00\x53\x10DS\x02\x001 ", b"\x28\x00\x53\x10DS\x02\x00x "))
    with pytest.raises(UnreadableError, match="no readable DICOM slice"):
        read_volume(folder)


def test_padding_stays_where_it_is(tmp_path: Path) -> None:
    series = fabricate.slices(signed=True)
    for data in series:
        stored = fabricate.pixels(data).copy()
        stored[0] = -2000
        fabricate.set_pixels(data, stored)
        data.add_new("PixelPaddingValue", "SS", -2000)
    assert (read_volume(fabricate.save(series, tmp_path / "s")).voxels[:, 0] == -3024).all()


@pytest.mark.parametrize("part", [0.3, 0.9, 0.99])
@pytest.mark.parametrize("packed", [False, True])
def test_truncated_pixel_data_raise_and_name_the_file(tmp_path: Path, part: float, packed: bool) -> None:
    series = fabricate.slices(shape=(64, 64))
    if packed:
        for data in series:
            fabricate.compress_gdcm(data, tmp_path)
    folder = fabricate.save(series, tmp_path / "s")
    victim = folder / "0002.dcm"
    start = victim.read_bytes().index(b"\xe0\x7f\x10\x00") + 12
    size = victim.stat().st_size
    with victim.open("r+b") as file:
        file.truncate(start + int((size - start) * part))
    with pytest.raises((UnreadableError, GeometryError)) as caught:
        read_volume(folder)
    assert "0002.dcm" in str(caught.value) or "between" in str(caught.value)
