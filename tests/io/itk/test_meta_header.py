"""MetaImage in its variants: what ITK reads is read the same; what it cannot, or misreads, is right or refused."""

import gzip
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from simpleitk_check import check_like_simpleitk

from saint_cli.errors import GeometryError, UnreadableError
from saint_cli.io import describe, read_volume, write_volume

VOXELS = np.arange(8 * 9 * 5, dtype=np.int16).reshape(8, 9, 5) - 100
RAW = VOXELS.astype("<i2").tobytes(order="F")

HEAD = {"ObjectType": "Image", "NDims": "3", "BinaryData": "True", "BinaryDataByteOrderMSB": "False"}
PLACE = {"TransformMatrix": "0.8 0.6 0 -0.6 0.8 0 0 0 1", "Offset": "3 -4 5.5", "ElementSpacing": "0.7 0.7 5"}
TAIL = {"DimSize": "8 9 5", "ElementType": "MET_SHORT", "ElementDataFile": "LOCAL"}


def write(path: Path, fields: dict[str, str], data: bytes = RAW, sign: str = " = ", end: str = "\n") -> Path:
    merged = {name: value for name, value in {**HEAD, **fields}.items() if name not in TAIL and value}
    merged |= {name: fields.get(name, value) for name, value in TAIL.items()}
    lines = [*(f"{name}{sign}{value}" for name, value in merged.items() if value), ""]
    path.write_bytes(end.join(lines).encode("utf-8", "surrogateescape") + data)
    return path


TYPES = {"CHAR": "i1", "UCHAR": "u1", "SHORT": "i2", "USHORT": "u2", "INT": "i4", "UINT": "u4", "LONG": "i4"}
TYPES |= {"ULONG": "u4", "LONG_LONG": "i8", "ULONG_LONG": "u8", "FLOAT": "f4", "DOUBLE": "f8"}


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("order", ["BinaryDataByteOrderMSB", "ElementByteOrderMSB"])
@pytest.mark.parametrize("big", ["False", "True", "1", "T"])
def test_every_type_in_either_byte_order_is_what_simpleitk_reads(
    tmp_path: Path, name: str, order: str, big: str
) -> None:
    dtype = np.dtype(TYPES[name]).newbyteorder("<" if big == "False" else ">")
    voxels = np.arange(360).reshape(8, 9, 5) % 120 + (0 if dtype.kind == "u" else -20)
    fields = {**PLACE, "BinaryDataByteOrderMSB": "", order: big, "ElementType": f"MET_{name}"}
    check_like_simpleitk(write(tmp_path / "a.mha", fields, voxels.astype(dtype).tobytes(order="F")))


HEADERS: dict[str, dict[str, str]] = {
    "plain": PLACE,
    "two byte orders": {**PLACE, "ElementByteOrderMSB": "True"},
    "two other byte orders": {**PLACE, "ElementByteOrderMSB": "False", "BinaryDataByteOrderMSB": "True"},
    "bare": {"ObjectType": "", "BinaryData": "", "BinaryDataByteOrderMSB": ""},
    "ElementSize": {"ElementSize": "0.7 0.7 5"},
    "both": {"ElementSize": "1 1 3", "ElementSpacing": "0.7 0.7 5"},
    "Position": {**PLACE, "Offset": "", "Position": "1 2 3"},
    "Origin": {**PLACE, "Offset": "", "Origin": "1 2 3"},
    "two origins": {**PLACE, "Position": "1 2 3"},
    "all origins": {"Offset": "1 2 3", "Position": "4 5 6", "Origin": "7 8 9"},
    "Rotation": {"Rotation": "0 1 0 0 0 1 1 0 0"},
    "Orientation": {"Orientation": "0 1 0 0 0 1 1 0 0"},
    "two directions": {"Orientation": "0 1 0 0 0 1 1 0 0", "Rotation": "0 0 1 0 1 0 1 0 0"},
    "center": {**PLACE, "CenterOfRotation": "10 20 30"},
    "anatomical": {**PLACE, "AnatomicalOrientation": "RAI"},
    "negative spacing": {**PLACE, "ElementSpacing": "-0.7 0.7 5"},
    "shear": {**PLACE, "TransformMatrix": "1 0 0 0 1 0 0 0.2 0.9"},
    "scaled": {**PLACE, "TransformMatrix": "2 0 0 0 1 0 0 0 1"},
    "more numbers": {**PLACE, "ElementSpacing": "0.7 0.7 5 9"},
    "other fields": {**PLACE, "Comment": "a = b : c", "Modality": "MET_MOD_CT", "PatientAge": "7"},
    "one channel": {**PLACE, "ElementNumberOfChannels": "1", "HeaderSize": "0"},
    "4-D": {"NDims": "4", "DimSize": "8 9 5 1", "ElementSpacing": "0.7 0.7 5 2", "Offset": "1 2 3 4"},
}


@pytest.mark.parametrize("case", HEADERS)
@pytest.mark.parametrize("sign", [" = ", "=", ": "])
def test_every_header_is_what_simpleitk_makes_of_it(tmp_path: Path, case: str, sign: str) -> None:
    check_like_simpleitk(write(tmp_path / "a.mha", HEADERS[case], sign=sign))
    check_like_simpleitk(write(tmp_path / "b.mha", HEADERS[case], sign=sign, end="\r\n"))


@pytest.mark.parametrize("case", ["Rotation", "Orientation", "plain", "bare", "Position"])
def test_a_header_without_directions_is_reported(tmp_path: Path, case: str) -> None:
    reported = " | ".join(read_volume(write(tmp_path / "a.mha", HEADERS[case])).header.warnings)
    assert ("orientation unknown" in reported) == (case == "bare")
    assert ("1 mm is assumed" in reported) == ("ElementSpacing" not in HEADERS[case])


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("pack", [zlib.compress, gzip.compress])
def test_compressed_voxels_are_right_whether_or_not_their_size_is_named(
    tmp_path: Path, named: bool, pack: object
) -> None:
    data = pack(RAW)  # type: ignore[operator]
    size = {"CompressedDataSize": str(len(data))} if named else {}
    path = write(tmp_path / "a.mha", {**PLACE, "CompressedData": "True", **size}, data)
    np.testing.assert_array_equal(read_volume(path).voxels, VOXELS)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UnreadableError, match="truncated"):
        read_volume(path)


def test_voxels_as_text_are_read(tmp_path: Path) -> None:
    text = " ".join(map(str, VOXELS.ravel(order="F"))) + "\n"
    check_like_simpleitk(write(tmp_path / "a.mha", {**PLACE, "BinaryData": "False"}, text.encode()))
    path = write(tmp_path / "b.mha", {**PLACE, "BinaryData": "False"}, text[:700].encode())
    with pytest.raises(UnreadableError, match="truncated"):
        read_volume(path)


@pytest.mark.parametrize(("size", "before"), [("3", b"abc"), ("-1", b"abcdef"), ("0", b"")])
def test_detached_voxels_begin_where_the_header_says(tmp_path: Path, size: str, before: bytes) -> None:
    (tmp_path / "d.raw").write_bytes(before + RAW)
    check_like_simpleitk(write(tmp_path / "a.mhd", {**PLACE, "HeaderSize": size, "ElementDataFile": "d.raw"}, b""))
    (tmp_path / "d.raw").write_bytes(before + RAW[:-8])
    with pytest.raises(UnreadableError, match="truncated"):
        read_volume(tmp_path / "a.mhd")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["LIST", "LIST 2", "LIST 2D", "s%d.raw 1 5 1", "s%d.raw 1 5", "s%01d.raw"])
def test_data_files_are_taken_in_the_order_of_their_list_or_pattern(tmp_path: Path, name: str, packed: bool) -> None:
    names = [f"s{k + 1}.raw" for k in range(5)]
    for k, one in enumerate(names):
        data = VOXELS[:, :, k].astype("<i2").tobytes(order="F")
        (tmp_path / one).write_bytes(zlib.compress(data) if packed else data)
    fields = {**PLACE, "ElementDataFile": name, "CompressedData": str(packed)}
    listed = "\n".join(names).encode() if name.startswith("LIST") else b""
    path = write(tmp_path / "a.mhd", fields, listed)
    np.testing.assert_array_equal(read_volume(path).voxels, VOXELS)
    assert len(describe(path).files[0]) == 6
    (tmp_path / "s3.raw").rename(tmp_path / "else.raw")
    with pytest.raises(UnreadableError, match=r"s3\.raw is missing"):
        describe(path)


def test_a_list_or_pattern_of_too_few_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s1.raw").write_bytes(RAW)
    for name in ("LIST", "s%d.raw 1 2 1", "LIST 9", "s%d.raw 5 1 1"):
        with pytest.raises(UnreadableError, match=r"files|missing"):
            read_volume(write(tmp_path / "a.mhd", {**PLACE, "ElementDataFile": name}, b"s1.raw\n"))
    path = write(tmp_path / "a.mhd", {**PLACE, "ElementDataFile": "LIST 3D"}, b"s1.raw\n")
    np.testing.assert_array_equal(read_volume(path).voxels, VOXELS)


NAMES = ["plain.raw", "with blanks .raw", " leading", "trailing ", "100% d.raw", "%d", "a=b:c", "\udcfcber.raw"]
NAMES += ["-dash", "\N{BRAIN}.raw", "n" * 255]


@pytest.mark.parametrize("name", NAMES)
def test_data_files_of_any_name_are_found(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(RAW)
    for path in (
        write(tmp_path / "a.mhd", {**PLACE, "ElementDataFile": name}, b""),
        write(tmp_path / "b.mhd", {**PLACE, "ElementDataFile": "LIST 3"}, name.encode("utf-8", "surrogateescape")),
    ):
        np.testing.assert_array_equal(read_volume(path).voxels, VOXELS)


@pytest.mark.parametrize("name", ["n" * 256, "n" * 5000, "a\0b", "/".join("a" * 3000), "%999d", "%d" * 2000])
def test_a_data_file_that_no_system_can_name_is_missing(tmp_path: Path, name: str) -> None:
    for fields in ({"ElementDataFile": name}, {"ElementDataFile": "LIST 3"}):
        path = write(tmp_path / "a.mhd", {**PLACE, **fields}, name.encode() + b"\n")
        for act in (read_volume, describe):
            with pytest.raises(UnreadableError, match="missing"):
                act(path)


@pytest.mark.parametrize("listed", [False, True])
def test_only_regular_files_are_read_as_data(tmp_path: Path, listed: bool) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("pipe", "folder", "device"):
        data = f"{name}\n".encode() if listed else b""
        path = write(tmp_path / "a.mhd", {**PLACE, "ElementDataFile": "LIST 3" if listed else name}, data)
        with pytest.raises(UnreadableError, match="not a regular file"):
            read_volume(path, outside_data=True)


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("way", ["above", "absolute", "back again", "link", "linked folder"])
def test_voxels_outside_the_folder_are_read_with_leave_only(tmp_path: Path, way: str, listed: bool) -> None:
    home = tmp_path / "in"
    home.mkdir()
    for place in (tmp_path / "d.raw", home / "inside.raw"):
        place.write_bytes(RAW)
    (home / "link.raw").symlink_to("../d.raw")
    (home / "folder").symlink_to("..")
    name = {
        "above": "../d.raw",
        "absolute": str(tmp_path / "d.raw"),
        "back again": "../in/inside.raw",
        "link": "link.raw",
        "linked folder": "folder/d.raw",
    }[way]
    fields = {**PLACE, "ElementDataFile": "LIST 3" if listed else name}
    path = write(home / "a.mhd", fields, f"{name}\n".encode() if listed else b"")
    for act in (read_volume, describe):
        with pytest.raises(UnreadableError, match=r"outside the header's folder.*`outside_data=True`") as caught:
            act(path)
        assert caught.value.exit_code == 3
    np.testing.assert_array_equal(read_volume(path, outside_data=True).voxels, VOXELS)
    assert describe(path, outside_data=True).stacks[0].problem is None


def test_a_pattern_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = write(tmp_path / "in" / "a.mhd", {**PLACE, "ElementDataFile": "../s%d.raw 1 5 1"}, b"")
    with pytest.raises(UnreadableError, match="outside the header's folder"):
        read_volume(path)


def test_data_below_the_folder_is_read_also_where_that_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "in" / "below").mkdir(parents=True)
    (tmp_path / "in" / "below" / "d.raw").write_bytes(RAW)
    (tmp_path / "in" / "link.raw").symlink_to("below/d.raw")
    (tmp_path / "study").symlink_to("in")
    for name in ("below/d.raw", "link.raw", "./link.raw"):
        write(tmp_path / "in" / "a.mhd", {**PLACE, "ElementDataFile": name}, b"")
        np.testing.assert_array_equal(read_volume(tmp_path / "study" / "a.mhd").voxels, VOXELS)


@pytest.mark.parametrize(("unit", "mm"), [("um", 1e-3), ("mm", 1), ("cm", 10), ("m", 1e3), ("?", 1)])
def test_distance_units_become_millimetres_spacing_and_origin(tmp_path: Path, unit: str, mm: float) -> None:
    plain = read_volume(write(tmp_path / "plain.mha", PLACE))
    volume = read_volume(write(tmp_path / "a.mha", {**PLACE, "DistanceUnits": unit}))
    np.testing.assert_allclose(volume.affine_lps[:3], plain.affine_lps[:3] * mm)
    assert ("converted to mm" in " ".join(volume.header.warnings)) == (mm != 1)
    write_volume(volume, tmp_path / "b.mha")
    np.testing.assert_allclose(read_volume(tmp_path / "b.mha").affine_lps, volume.affine_lps)


@pytest.mark.parametrize("spacing", ["800 800 5000", "0.0008 0.0008 0.005"])
def test_spacings_in_another_unit_than_mm_look_implausible(tmp_path: Path, spacing: str) -> None:
    reported = read_volume(write(tmp_path / "a.mha", {**PLACE, "ElementSpacing": spacing})).header.warnings
    assert "implausible" in " ".join(reported)


def test_a_scaling_that_no_reader_applies_is_reported(tmp_path: Path) -> None:
    fields = {**PLACE, "ElementToIntensityFunctionSlope": "2", "ElementToIntensityFunctionOffset": "-1024"}
    path = write(tmp_path / "a.mha", fields)
    check_like_simpleitk(path)
    assert "slope 2, offset -1024" in " ".join(read_volume(path).header.warnings)
    fields = {**PLACE, "ElementToIntensityFunctionSlope": "1", "ElementToIntensityFunctionOffset": "0"}
    assert read_volume(write(path, fields)).header.warnings == ()


REFUSED = {
    "dimensions": ({"NDims": "1024"}, UnreadableError, "ndims"),
    "eleven": ({"NDims": "11"}, UnreadableError, "ndims"),
    "no dimensions": ({"NDims": "0"}, UnreadableError, "ndims"),
    "no size": ({"DimSize": ""}, UnreadableError, "no field dimsize"),
    "few sizes": ({"DimSize": "8 9"}, UnreadableError, "dimsize"),
    "negative size": ({"DimSize": "8 -9 5"}, UnreadableError, "dimsize"),
    "huge sizes": ({"DimSize": "9999999999 9999999999 9999999999"}, UnreadableError, "dimsize"),
    "claims more": ({"DimSize": "8 9 5000"}, UnreadableError, "truncated"),
    "flat": ({"NDims": "2", "DimSize": "8 9"}, GeometryError, "2-D"),
    "4-D": ({"NDims": "4", "DimSize": "8 3 3 5"}, GeometryError, "4-D"),
    "colours": ({"ElementNumberOfChannels": "3"}, UnreadableError, "colour"),
    "no channel": ({"ElementNumberOfChannels": "0"}, UnreadableError, "elementnumberofchannels"),
    "array": ({"ElementType": "MET_SHORT_ARRAY"}, UnreadableError, '"MET_SHORT_ARRAY" is not supported'),
    "odd type": ({"ElementType": "short"}, UnreadableError, "elementtype"),
    "few numbers": ({"ElementSpacing": "0.7 0.7"}, UnreadableError, "elementspacing"),
    "no number": ({"ElementSpacing": "0,7 0,7 5"}, UnreadableError, "elementspacing"),
    "zero": ({"ElementSpacing": "0 0.7 5"}, GeometryError, "spacing of zero"),
    "not a number": ({"ElementSpacing": "nan 0.7 5"}, GeometryError, "NaN"),
    "infinity times zero": ({"ElementSpacing": "1 inf 5"}, GeometryError, "NaN"),
    "beyond double": (
        {"ElementSpacing": "1 1e200 5", "TransformMatrix": "1 0 0 0 1e200 0 0 0 1"},
        GeometryError,
        "NaN",
    ),
    "in one plane": ({"TransformMatrix": "1 0 0 0 1 0 1 1 0"}, GeometryError, "one plane"),
    "no data": ({"ElementDataFile": ""}, UnreadableError, "elementdatafile"),
    "header size": ({"HeaderSize": "-7"}, UnreadableError, "HeaderSize -7"),
    "packed end": ({"HeaderSize": "-1", "CompressedData": "True"}, UnreadableError, "HeaderSize -1"),
    "packed text": ({"BinaryData": "False", "CompressedData": "True"}, UnreadableError, "compressed text"),
    "text": ({"BinaryData": "False"}, UnreadableError, "truncated|text"),
    "lies": ({"CompressedData": "True"}, UnreadableError, "corrupt"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_named_and_never_called_something_else(tmp_path: Path, case: str) -> None:
    fields, error, words = REFUSED[case]
    with pytest.raises(error, match=f"(?i){words}") as caught:
        read_volume(write(tmp_path / "a.mha", {**PLACE, **fields}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("word", ["Name", "ID", "NDims", "\ufeffObjectType"])
def test_headers_may_begin_with_any_field(tmp_path: Path, word: str) -> None:
    path = write(tmp_path / "a.mha", PLACE)
    rest = path.read_bytes().removeprefix(b"ObjectType = Image\nNDims = 3\n")
    lines = f"{word} = 3\n" + ("" if word == "NDims" else "NDims = 3\n")
    path.write_bytes(lines.encode() + rest)
    np.testing.assert_array_equal(read_volume(path).voxels, VOXELS)
