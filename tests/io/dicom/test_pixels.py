"""Pixels and values of DICOM slices: rescale, transfer syntaxes, stored bits, damage."""

from collections.abc import Callable
from pathlib import Path

import fabricate
import numpy as np
import pytest
from fabricate import interpolated
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames

from saint_cli.errors import GeometryError, UnreadableError
from saint_cli.io import describe, read_volume, write_volume
from saint_cli.io.dicom import pixels
from saint_cli.io.dicom.decoder import Decoder
from saint_cli.io.dicom.headers import read_headers
from saint_cli.io.dicom.pixel_format import PixelFormat, extract_stored_values


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
