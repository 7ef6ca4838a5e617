"""Pixels and values of DICOM slices: rescale, transfer syntaxes, stored bits, damage."""

from collections.abc import Callable
from pathlib import Path

import fabricate
import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames

from saint_cli.errors import GeometryError, UnreadableError
from saint_cli.io import describe, read_volume
from saint_cli.io.dicom import pixels
from saint_cli.io.dicom.headers import read_headers
from saint_cli.io.dicom.pixel_format import PixelFormat, extract_stored_values


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
    np.testing.assert_array_equal(volume.voxels, fabricate.hounsfield(plain))


@pytest.mark.parametrize("kind", ["native", "RLE", "JPEG2000"])
@pytest.mark.parametrize("wanted", [(0, 1), (5, 3, 4), (2,)])
def test_of_a_file_of_many_frames_only_the_wanted_ones_are_decoded(
    kind: str, wanted: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = fabricate.slices()
    image = fabricate.multiframe(series)
    if kind == "JPEG2000":
        for data in series:
            fabricate.compress_gdcm(data, tmp_path)
        frames = [next(generate_frames(data.PixelData, number_of_frames=1)) for data in series]
        image.file_meta.TransferSyntaxUID = series[0].file_meta.TransferSyntaxUID
        image.PixelData = encapsulate(frames)
        image["PixelData"].is_undefined_length = True
    elif kind == "RLE":
        image.compress(uid.RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    headers = read_headers(fabricate.save([image], tmp_path / "s") / "0000.dcm")
    decoded = []
    monkeypatch.setattr(
        pixels,
        "extract_stored_values",
        lambda words, form: decoded.append(len(words)) or extract_stored_values(words, form),
    )
    with pixels.PixelReader() as reader:
        every = reader.read_frames(headers[0])
        some = dict(reader.read_slices([headers[index] for index in wanted]))
    assert decoded == [6, len(wanted)]
    for place, index in enumerate(wanted):
        np.testing.assert_array_equal(some[place], every[index])
        np.testing.assert_array_equal(every[index], fabricate.pixels(fabricate.slices()[index]))


def test_bits_outside_the_stored_range_are_cleared_and_the_sign_extended() -> None:
    raw = np.array([[0xF123, 0x0FFF, 0x0800, 0x07FF]], dtype=np.uint16)
    np.testing.assert_array_equal(
        extract_stored_values(raw, PixelFormat(16, 12, 11, False)), [[0x123, 0xFFF, 0x800, 0x7FF]]
    )
    np.testing.assert_array_equal(extract_stored_values(raw, PixelFormat(16, 12, 11, True)), [[0x123, -1, -2048, 2047]])
    shifted = np.array([[0x1234]], dtype=np.uint16)
    np.testing.assert_array_equal(extract_stored_values(shifted, PixelFormat(16, 12, 15, False, 4)), [[0x123]])
    np.testing.assert_array_equal(extract_stored_values(shifted, PixelFormat(16, 12, 15, False)), [[0x234]])


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


WRONG_SIZES = {
    "twice the rows": {"Rows": 6},
    "half the bits": {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7},
    "a third of the columns, and a remainder": {"Columns": 5},
}


@pytest.mark.parametrize("name", WRONG_SIZES)
def test_pixels_of_more_frames_than_the_header_says_are_refused(name: str, tmp_path: Path) -> None:
    def claim(index: int, data: Dataset) -> None:
        for keyword, value in WRONG_SIZES[name].items():
            setattr(data, keyword, value)

    folder = fabricate.save(fabricate.changed(fabricate.slices(), claim), tmp_path / "s")
    with pytest.raises(
        UnreadableError, match=r"hold [23] frames, the header says 1 \(Rows, .*\); repair the header or"
    ):
        read_volume(folder)


@pytest.mark.parametrize(("excess", "count"), [(2, 0), (30, 0), (32, 1), (300, 1)])
def test_a_row_or_more_after_the_pixels_is_a_warning(excess: int, count: int, tmp_path: Path) -> None:
    series = fabricate.slices()
    plain = read_volume(fabricate.save(series, tmp_path / "plain"))
    for data in series:
        data.PixelData += bytes(excess)
    volume = read_volume(fabricate.save(series, tmp_path / "s"))
    np.testing.assert_array_equal(volume.voxels, plain.voxels)
    assert len(volume.header.warnings) == count
    text = f"0000.dcm: {excess} bytes after the last of the 12 rows that the header says (and 5 more files)"
    assert volume.header.warnings == (text,) * count


UNSUPPORTED = {
    "1.2.840.10008.1.2.4.107": "HEVC/H.265 Main Profile / Level 5.1",
    "1.2.840.10008.1.2.4.94": "JPIP Referenced",
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.8.1": "Deflated Image Frame Compression",
    "1.2.840.10008.1.2.1.98": "Encapsulated Uncompressed Explicit VR Little Endian",
    "1.2.3.4": "1.2.3.4",
}


def declare(folder: Path, syntax: str) -> Path:
    """Put another transfer syntax into the meta header of every file, the rest as it is."""
    value = syntax.encode() + b"\0" * (len(syntax) % 2)
    for file in folder.iterdir():
        head, old, rest = file.read_bytes().partition(b"\x16\x001.2.840.10008.1.2.4.70")
        assert old
        file.write_bytes(head + len(value).to_bytes(2, "little") + value + rest)
    return folder


@pytest.mark.parametrize("syntax", UNSUPPORTED)
def test_a_transfer_syntax_that_no_decoder_knows_is_named(tmp_path: Path, syntax: str) -> None:
    series = fabricate.slices()
    for data in series:
        fabricate.compress_gdcm(data, tmp_path, "JPEG")
    folder = declare(fabricate.save(series, tmp_path / "s"), syntax)
    with pytest.raises(UnreadableError, match=f"transfer syntax {UNSUPPORTED[syntax]} not supported, decompress"):
        describe(folder)


def test_encapsulated_pixels_in_a_native_syntax_and_the_reverse_are_named(tmp_path: Path) -> None:
    series = fabricate.slices(shape=(64, 64))
    for data in series:
        data.PixelData = b"\xfe\xff\x00\xe0" + bytes(200)
    with pytest.raises(UnreadableError, match=r"0000\.dcm: pixel data are encapsulated, but"):
        read_volume(fabricate.save(series, tmp_path / "a"))
    folder = fabricate.save(fabricate.slices(), tmp_path / "b")
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0"))
    with pytest.raises(UnreadableError, match=r"0000\.dcm: pixel data are not encapsulated, but .* RLE Lossless"):
        read_volume(folder)


def test_truncated_pixels_report_how_many_bytes_were_expected_and_found(tmp_path: Path) -> None:
    folder = fabricate.save(fabricate.slices(), tmp_path / "s")
    victim = folder / "0003.dcm"
    victim.write_bytes(victim.read_bytes()[:-37])
    with pytest.raises(UnreadableError, match=r"0003\.dcm: .* truncated: 347 of 384 bytes; export the file again"):
        read_volume(folder)


def test_floating_point_pixels_are_named(tmp_path: Path) -> None:
    series = fabricate.slices()
    for data in series:
        del data.PixelData
        data.BitsAllocated, data.FloatPixelData = 32, bytes(4 * 12 * 16)
    with pytest.raises(UnreadableError, match="floating-point pixel data"):
        read_volume(fabricate.save(series, tmp_path / "s"))


def broken_stream(tmp_path: Path, kind: str, change: Callable[[bytearray], bytes]) -> Path:
    series = fabricate.slices(shape=(64, 64))
    for data in series:
        fabricate.compress_gdcm(data, tmp_path, kind)
    stream = bytearray(next(generate_frames(series[1].PixelData, number_of_frames=1)))
    series[1].PixelData = encapsulate([change(stream)])
    series[1]["PixelData"].is_undefined_length = True
    return fabricate.save(series, tmp_path / "s")


@pytest.mark.parametrize(
    ("kind", "marker", "reason"),
    [
        ("JPEG", b"\xff\xc4", "Unsupported marker type 0x64"),
        ("JPEG2000", b"\xff\x52", "required COD marker not found in main header"),
    ],
)
def test_what_a_decoder_writes_is_the_reason_and_never_reaches_stderr(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str, marker: bytes, reason: str
) -> None:
    folder = broken_stream(tmp_path, kind, lambda stream: bytes(stream.replace(marker, b"\xff\x64", 1)))
    capfd.readouterr()
    with pytest.raises(UnreadableError, match=rf"0001\.dcm: pixel data \(JPEG.*truncated or corrupt \({reason}\)"):
        read_volume(folder)
    assert capfd.readouterr() == ("", "")


def test_what_a_decoder_finds_odd_but_goes_on_from_is_a_warning(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = broken_stream(tmp_path, "JPEG", lambda stream: bytes(stream[:-2]) + bytes(9) + bytes(stream[-2:]))
    capfd.readouterr()
    (warning,) = read_volume(folder).header.warnings
    assert "0001.dcm: Corrupt JPEG data" in warning
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("stored", "count", "noted"), [(10, 6, "(and 5 more files)"), (12, 2, "(and 1 more file)")])
def test_values_that_bits_stored_cannot_hold_are_reported(stored: int, count: int, noted: str, tmp_path: Path) -> None:
    series = fabricate.slices(count)
    for data in series:
        fabricate.set_pixels(data, fabricate.pixels(data) + np.uint16(2000), bits=stored)
    notes = " ".join(read_volume(fabricate.save(series, tmp_path / "s")).header.warnings)
    assert "bits above BitsStored are set" in notes
    assert noted in notes


def test_a_sign_that_is_extended_is_no_value_above_bits_stored(tmp_path: Path) -> None:
    series = fabricate.slices(signed=True)
    for data in series:
        fabricate.set_pixels(data, fabricate.pixels(data).clip(-1000, 2047), bits=12)
    assert read_volume(fabricate.save(series, tmp_path / "s")).header.warnings == ()


@pytest.mark.parametrize("name", ["SamplesPerPixel", "PixelRepresentation", "PhotometricInterpretation"])
def test_elements_that_every_image_should_have_may_be_missing(name: str, tmp_path: Path) -> None:
    series = fabricate.slices()
    whole = read_volume(fabricate.save(series, tmp_path / "whole"))
    for data in series:
        del data[name]
    lacking = read_volume(fabricate.save(series, tmp_path / "lacking"))
    np.testing.assert_array_equal(lacking.voxels, whole.voxels)
