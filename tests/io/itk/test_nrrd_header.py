"""NRRD in its variants: what ITK reads is read the same; what it cannot, or misreads, is right or refused by name."""

import bz2
import gzip
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from saint_cli.errors import GeometryError, SaintError, UnreadableError
from saint_cli.io import describe, read_volume, voxel_stream, write_volume
from saint_cli.io.itk import text_voxels

VOXELS = np.arange(8 * 9 * 5, dtype=np.int16).reshape(8, 9, 5) - 100
RAW = VOXELS.astype("<i2").tobytes(order="F")
TEXT = " ".join(map(str, VOXELS.ravel(order="F"))).encode()

HEAD = {"type": "short", "dimension": "3", "sizes": "8 9 5", "endian": "little", "encoding": "raw"}
PLACE = {
    "space": "left-posterior-superior",
    "space directions": "(0.8,0.1,0) (-0.1,0.8,0) (0,1.2,5)",
    "space origin": "(3,-4,5.5)",
}


def write(path: Path, fields: dict[str, str], data: bytes = RAW, magic: str = "NRRD0005", end: str = "\n") -> Path:
    lines = [magic, *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    path.write_bytes(end.join(lines).encode("utf-8", "surrogateescape") + data)
    return path


def check_like_simpleitk(path: Path) -> None:
    """Voxels and affine are those that SimpleITK gives."""
    image = sitk.ReadImage(str(path), imageIO="NrrdImageIO")
    volume = read_volume(path)
    stored = sitk.GetArrayFromImage(image).reshape(volume.shape[::-1]).transpose()
    np.testing.assert_array_equal(volume.voxels, stored.astype(volume.voxels.dtype))
    axes = image.GetDimension()
    direction = np.array(image.GetDirection()).reshape(axes, axes)[:3, :3]
    np.testing.assert_allclose(volume.affine_lps[:3, :3], direction * image.GetSpacing()[:3], atol=1e-12)
    np.testing.assert_allclose(volume.affine_lps[:3, 3], image.GetOrigin()[:3], atol=1e-12)


def test_names_of_fields_may_be_written_in_one_word(tmp_path: Path) -> None:
    place = {**PLACE, "space units": '"mm" "mm" "mm"', "measurement frame": "(0,1,0) (1,0,0) (0,0,1)"}
    fields = {**HEAD, **{name.replace(" ", ""): value for name, value in place.items()}, "lineskip": "1"}
    check_like_simpleitk(write(tmp_path / "a.nrrd", fields, b"\n" + RAW))


TYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float", "double"]
ALIASES = ["signed char", "uchar", "unsigned short int", "SHORT", "uint32_t", "long long int", "unsigned long long"]


@pytest.mark.parametrize("name", TYPES + ALIASES)
@pytest.mark.parametrize("endian", ["little", "big"])
def test_every_type_in_either_byte_order_is_what_simpleitk_reads(tmp_path: Path, name: str, endian: str) -> None:
    kind = {"float": "f4", "double": "f8", "signed char": "i1", "uchar": "u1", "unsigned short int": "u2"}.get(name)
    kind = kind or {"SHORT": "i2", "uint32_t": "u4", "long long int": "i8", "unsigned long long": "u8"}.get(name, name)
    dtype = np.dtype(kind).newbyteorder("<" if endian == "little" else ">")
    voxels = np.arange(360).reshape(8, 9, 5) % 120 + (0 if dtype.kind == "u" else -20)
    data = voxels.astype(dtype).tobytes(order="F")
    check_like_simpleitk(write(tmp_path / "a.nrrd", {**HEAD, **PLACE, "type": name, "endian": endian}, data))


ENCODINGS = {
    "raw": RAW,
    "gzip": gzip.compress(RAW),
    "gz": gzip.compress(RAW[:100]) + gzip.compress(RAW[100:]),
    "GZIP": gzip.compress(RAW) + b"left by a careless tool",
    "ascii": TEXT,
    "text": TEXT.replace(b" ", b",\n"),
    "hex": RAW.hex().encode(),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("detached", [False, True])
def test_every_encoding_is_what_simpleitk_reads(tmp_path: Path, encoding: str, detached: bool) -> None:
    fields = {**HEAD, **PLACE, "encoding": encoding}
    if detached:
        (tmp_path / "a.data").write_bytes(ENCODINGS[encoding])
        path = write(tmp_path / "a.nhdr", {**fields, "data file": "a.data"}, b"")
    else:
        path = write(tmp_path / "a.nrrd", fields, ENCODINGS[encoding])
    check_like_simpleitk(path)


@pytest.mark.parametrize("name", ["bz2", "bzip2"])
def test_bzip2_is_read_though_itk_cannot(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.nrrd", {**HEAD, **PLACE, "encoding": name}, bz2.compress(RAW))
    np.testing.assert_array_equal(read_volume(path).voxels, VOXELS)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UnreadableError, match="truncated"):
        read_volume(path)


@pytest.mark.parametrize("packed", [gzip.compress, bz2.compress])
def test_a_file_that_is_packed_as_a_whole_is_read(tmp_path: Path, packed: object) -> None:
    path = write(tmp_path / "a.nrrd", {**HEAD, **PLACE})
    whole = read_volume(path)
    path.with_suffix(".nrrd.gz").write_bytes(packed(path.read_bytes()))  # type: ignore[operator]
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nrrd.gz").voxels, whole.voxels)


SKIPS = {
    "bytes": ({"byte skip": "5"}, b"12345" + RAW),
    "lines": ({"line skip": "2"}, b"one\ntwo\n" + RAW),
    "both": ({"line skip": "1", "byte skip": "3"}, b"one\nabc" + RAW),
    "at the end": ({"byte skip": "-1"}, b"before" + RAW),
    "before a tail": ({"byte skip": "-4"}, b"before" + RAW + b"end"),
    "packed": ({"byte skip": "3", "encoding": "gzip"}, gzip.compress(b"abc" + RAW)),
    "packed end": ({"byte skip": "-1", "encoding": "gzip"}, gzip.compress(b"abc" + RAW)),
    "line then packed": ({"line skip": "1", "encoding": "gzip"}, b"a line\n" + gzip.compress(RAW)),
}


@pytest.mark.parametrize("case", SKIPS)
def test_bytes_and_lines_are_skipped_as_simpleitk_skips_them(tmp_path: Path, case: str) -> None:
    fields, data = SKIPS[case]
    check_like_simpleitk(write(tmp_path / "a.nrrd", {**HEAD, **PLACE, **fields}, data))


HEADERS: dict[str, dict[str, str]] = {
    "RAS": {"space": "RAS"},
    "LAS": {"space": "left-anterior-superior"},
    "scanner": {"space": "scanner-xyz"},
    "no name": {"space dimension": "3", "space": ""},
    "blanks": {"space directions": "( 0.8 , 0.1,0)   (-0.1, 0.8,0)(0,1.2, 5 )"},
    "no origin": {"space origin": ""},
    "origin of nan": {"space origin": "(nan,nan,nan)"},
    "left-handed": {"space directions": "(-0.8,0,0) (0,0.8,0) (0,0,5)"},
    "kinds": {"kinds": "domain space domain"},
    "unknown kinds": {"kinds": "??? none domain"},
    "thicknesses": {"thicknesses": "nan nan 4", "measurement frame": "(1,0,0) (0,1,0) (0,0,1)"},
    "ornaments": {"content": "a b", "number": "360", "old min": "0", "oldmax": "1", "sample units": "HU"},
    "labels": {"labels": '"x" "y" "z"', "min": "1", "centerings": "cell cell cell"},
    "units": {"space units": '"mm" "mm" "mm"'},
}


@pytest.mark.parametrize("case", HEADERS)
@pytest.mark.parametrize("magic", ["NRRD0001", "NRRD0004", "NRRD0005", "NRRD00.01"])
def test_every_space_is_what_simpleitk_makes_of_it(tmp_path: Path, case: str, magic: str) -> None:
    merged = {name: value for name, value in {**HEAD, **PLACE, **HEADERS[case]}.items() if value}
    first = ("dimension", "sizes", "space", "space dimension")
    ordered = {name: merged[name] for name in sorted(merged, key=lambda name: name not in first)}
    check_like_simpleitk(write(tmp_path / "a.nrrd", ordered, magic=magic))
    check_like_simpleitk(write(tmp_path / "b.nrrd", ordered, magic=magic, end="\r\n"))


SPACINGS = {
    "none": {},
    "plain": {"spacings": "0.8 0.8 5"},
    "negative": {"spacings": "-0.8 0.8 5"},
    "absent": {"spacings": "0.8 nan 5"},
    "mins": {"spacings": "0.8 0.8 5", "axis mins": "10 20 30"},
    "node": {"spacings": "0.8 0.8 5", "axismins": "10 20 30", "centers": "node cell node"},
}


@pytest.mark.parametrize("case", SPACINGS)
def test_spacings_without_directions_are_what_simpleitk_makes_of_them(tmp_path: Path, case: str) -> None:
    path = write(tmp_path / "a.nrrd", {**HEAD, **SPACINGS[case]})
    check_like_simpleitk(path)
    reported = " | ".join(read_volume(path).header.warnings)
    assert "orientation unknown" in reported
    assert ("1 mm is assumed" in reported) == (case in ("none", "absent"))


def test_extents_give_the_spacing_that_itk_takes_for_one(tmp_path: Path) -> None:
    fields = {"axis mins": "0 0 0", "axis maxs": "6.4 7.2 25", "centers": "cell cell cell"}
    assert read_volume(write(tmp_path / "a.nrrd", {**HEAD, **fields})).spacing_mm == pytest.approx((0.8, 0.8, 5))
    fields = {"axis mins": "0 0 0", "axis maxs": "7 8 20", "centers": "node node node"}
    assert read_volume(write(tmp_path / "a.nrrd", {**HEAD, **fields})).spacing_mm == pytest.approx((1, 1, 5))


def test_an_axis_of_one_value_per_voxel_is_dropped_wherever_it_is(tmp_path: Path) -> None:
    vectors = PLACE["space directions"].split()
    for place in range(4):
        sizes, directions, kinds = ["8", "9", "5"], list(vectors), ["domain"] * 3
        sizes.insert(place, "1")
        directions.insert(place, "none")
        kinds.insert(place, "list")
        fields = {**HEAD, "dimension": "4", "sizes": " ".join(sizes), "kinds": " ".join(kinds), **PLACE}
        path = write(tmp_path / "a.nrrd", {**fields, "space directions": " ".join(directions)})
        np.testing.assert_array_equal(read_volume(path).voxels, VOXELS)
        np.testing.assert_allclose(read_volume(path).affine_lps[:3, 2], (0, 1.2, 5))


def test_a_space_with_time_is_turned_to_lps_as_one_without(tmp_path: Path) -> None:
    fields = {**HEAD, "dimension": "4", "sizes": "8 9 5 1", "space": "right-anterior-superior-time"}
    fields |= {"space directions": "(1,0,0,0) (0,1,0,0) (0,0,5,0) (0,0,0,2)", "space origin": "(1,2,3,0)"}
    affine = read_volume(write(tmp_path / "a.nrrd", fields)).affine_lps
    np.testing.assert_allclose(affine, [[-1, 0, 0, -1], [0, -1, 0, -2], [0, 0, 5, 3], [0, 0, 0, 1]])


@pytest.mark.parametrize(("place", "word"), [({"space": "3D-left-handed"}, "no axes of the body"), ({}, "")])
def test_a_space_that_names_no_axes_of_the_body_is_reported(tmp_path: Path, place: dict[str, str], word: str) -> None:
    reported = read_volume(write(tmp_path / "a.nrrd", {**HEAD, **PLACE, **place})).header.warnings
    assert " ".join(reported).count("no axes of the body") == bool(word)


UNITS = {
    "um": 1e-3,
    "\xb5m": 1e-3,
    "\u03bcm": 1e-3,
    "\udcb5m": 1e-3,
    "micron": 1e-3,
    "Microns": 1e-3,
    "micrometer": 1e-3,
    "micrometres": 1e-3,
    "m": 1e3,
    "meters": 1e3,
    "cm": 10,
    "centimetre": 10,
    "nm": 1e-6,
    "mm": 1,
    "millimeters": 1,
}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("quote", ['"', ""])
def test_units_of_a_space_become_millimetres_spacing_and_origin(tmp_path: Path, unit: str, quote: str) -> None:
    fields = {**HEAD, **PLACE, "space units": " ".join([f"{quote}{unit}{quote}"] * 3)}
    plain = read_volume(write(tmp_path / "plain.nrrd", {**HEAD, **PLACE}))
    volume = read_volume(write(tmp_path / "a.nrrd", fields))
    np.testing.assert_allclose(volume.affine_lps[:3], plain.affine_lps[:3] * UNITS[unit])
    assert ("converted to mm" in " ".join(volume.header.warnings)) == (UNITS[unit] != 1)
    assert describe(tmp_path / "a.nrrd").stacks[0].spacing_mm == pytest.approx(volume.spacing_mm)
    write_volume(volume, tmp_path / "b.nrrd")
    np.testing.assert_allclose(read_volume(tmp_path / "b.nrrd").affine_lps, volume.affine_lps)


def reported(path: Path, **fields: str) -> str:
    named = {name.replace("_", " "): value for name, value in fields.items()}
    return " | ".join(read_volume(write(path, {**HEAD, **PLACE, **named})).header.warnings)


def test_each_axis_of_the_space_has_its_own_unit(tmp_path: Path) -> None:
    assert "converted" in reported(tmp_path / "a.nrrd", space_units='"mm" "mm" "cm"')
    affine = read_volume(tmp_path / "a.nrrd").affine_lps
    np.testing.assert_allclose(affine[:3], [[0.8, -0.1, 0, 3], [0.1, 0.8, 1.2, -4], [0, 0, 50, 55]])


def test_empty_and_unknown_units_count_as_mm_and_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    assert reported(path, space_units='"" "" ""') == ""
    assert "some axes only" in reported(path, space_units='"mm" "" "mm"')
    assert '"furlong" is unknown' in reported(path, space_units='"furlong" "furlong" "furlong"')
    assert read_volume(path).spacing_mm[2] == pytest.approx(np.hypot(1.2, 5))
    assert "implausible" in reported(path, space_units='"m" "m" "m"')
    assert "\x1b" not in reported(path, space_units='"\x1b[31m" "mm" "mm"')


def test_units_of_axes_convert_spacings_and_mins(tmp_path: Path) -> None:
    fields = {**HEAD, "spacings": "800 0.8 0.5", "units": '"um" "mm" "cm"', "axis mins": "1000 2 3"}
    affine = read_volume(write(tmp_path / "a.nrrd", fields)).affine_lps
    np.testing.assert_allclose(affine[:3], [[0.8, 0, 0, 1.4], [0, 0.8, 0, 2.4], [0, 0, 5, 32.5]])


def test_data_files_are_taken_in_the_order_of_their_list_or_pattern(tmp_path: Path) -> None:
    for k in range(5):
        (tmp_path / f"s{k + 1:02}.raw").write_bytes(VOXELS[:, :, k].astype("<i2").tobytes(order="F"))
    names = "\n".join(f"s{k:02}.raw" for k in range(1, 6))
    for spelling in (f"LIST\n{names}\n", f"LIST 2\n{names}\n", "s%02d.raw 1 5 1\n", "s%02d.raw 1 5 1 2\n"):
        lines = "\n".join(["NRRD0005", *(f"{k}: {v}" for k, v in {**HEAD, **PLACE}.items()), f"data file: {spelling}"])
        (tmp_path / "a.nhdr").write_text(lines)
        check_like_simpleitk(tmp_path / "a.nhdr")
        assert len(describe(tmp_path / "a.nhdr").files[0]) == 6
    path = write(tmp_path / "a.nhdr", {**HEAD, **PLACE, "data file": "s%02d.raw 5 1 -1"}, b"")
    np.testing.assert_array_equal(read_volume(path).voxels, VOXELS[:, :, ::-1])
    (tmp_path / "s03.raw").unlink()
    with pytest.raises(UnreadableError, match=r"s03\.raw is missing"):
        read_volume(path)


NO_TIME = "time is no direction of a volume; save each time point as a volume of its own"

REFUSED = {
    "block type": ({"type": "block", "block size": "2"}, UnreadableError, "blocks"),
    "unknown type": ({"type": "char"}, UnreadableError, 'type is "char"'),
    "encoding": ({"encoding": "zrl"}, UnreadableError, '"zrl" is not supported'),
    "no endian": ({"endian": ""}, UnreadableError, "no field endian"),
    "odd endian": ({"endian": "middle"}, UnreadableError, "endian"),
    "unknown field": ({"foo": "bar"}, UnreadableError, "is not a field of NRRD"),
    "empty axis": ({"sizes": "8 0 5"}, UnreadableError, "sizes"),
    "negative size": ({"sizes": "8 -9 5"}, UnreadableError, "sizes"),
    "few sizes": ({"sizes": "8 9"}, UnreadableError, "sizes"),
    "many sizes": ({"sizes": "8 9 5 1"}, UnreadableError, "sizes"),
    "huge sizes": ({"sizes": "9999999999 9999999999 9999999999"}, UnreadableError, "sizes"),
    "long number": ({"sizes": f"8 9 {'9' * 5000}"}, UnreadableError, "sizes"),
    "claims more": ({"sizes": "8 9 5000"}, UnreadableError, "truncated"),
    "long word": ({"kinds": "a" * 5000}, UnreadableError, "kinds"),
    "dimension": ({"dimension": "1024"}, UnreadableError, "dimension"),
    "no number": ({"space directions": "(1,0,0) (0,x,0) (0,0,5)"}, UnreadableError, "space directions"),
    "infinite": ({"space directions": "(1,0,0) (0,inf,0) (0,0,5)"}, GeometryError, "NaN or infinity"),
    "huge": ({"space directions": "(1,0,0) (0,1e300,0) (0,0,5)"}, GeometryError, "beyond"),
    "few vectors": ({"space directions": "(1,0,0) (0,1,0)"}, UnreadableError, "space directions"),
    "short vector": ({"space directions": "(1,0,0) (0,1) (0,0,5)"}, UnreadableError, "space directions"),
    "in one plane": ({"space directions": "(1,0,0) (0,1,0) (1,1,0)"}, GeometryError, "one plane"),
    "odd space": ({"space": "outer-space"}, UnreadableError, "space is"),
    "few units": ({"space units": '"mm"'}, UnreadableError, "space units"),
    "contradiction": ({"spacings": "1 1 9"}, GeometryError, "disagree"),
    "complex": ({"dimension": "4", "sizes": "2 8 9 5", "kinds": "complex domain domain domain"}, SaintError, "complex"),
    "colours": ({"dimension": "4", "sizes": "3 8 9 5", "kinds": "RGB-color space space space"}, SaintError, "colour"),
    "list": ({"dimension": "4", "sizes": "8 9 5 6", "kinds": "space space space list"}, SaintError, "6 values per"),
    "time in place of slices": ({"kinds": "domain domain time"}, GeometryError, NO_TIME),
    "time first": (
        {"dimension": "4", "sizes": "6 8 9 5", "kinds": "time domain domain domain"},
        *(GeometryError, NO_TIME),
    ),
    "skips too far": ({"byte skip": "4000"}, UnreadableError, "truncated"),
    "text is no number": ({"encoding": "text"}, UnreadableError, "."),
    "two data files": ({"data file": "x\ndatafile: y"}, UnreadableError, "twice"),
}


DESCRIBED = ("list", "text is no number", "in one plane", "infinite", "huge", "contradiction")
"""Cases whose headers can be described nevertheless: several volumes, voxels that are damaged, a place that is none."""

PROBLEMS = ("time in place of slices", "time first")
"""Cases whose headers are described with the same words as the problem."""


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_named_and_never_called_something_else(tmp_path: Path, case: str) -> None:
    fields, error, words = REFUSED[case]
    merged = {name: value for name, value in {**HEAD, **PLACE, **fields}.items() if value}
    path = write(tmp_path / "a.nrrd", merged)
    for act in (read_volume, describe):
        if act is describe and case in DESCRIBED:
            continue  # about the volume, its voxels, or all volumes
        if act is describe and case in PROBLEMS:
            (stack,) = describe(path).stacks
            assert words in (stack.problem or "")
            assert stack.exit_code == error.exit_code
            continue
        with pytest.raises(error, match=words) as caught:
            act(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("magic", ["NRRD0007", "NRRD0000", "NRRD000"])
def test_other_versions_are_named(tmp_path: Path, magic: str) -> None:
    with pytest.raises(UnreadableError, match="version of NRRD"):
        read_volume(write(tmp_path / "a.nrrd", {**HEAD, **PLACE}, magic=magic))


@pytest.mark.parametrize(
    ("kind", "text"), [("short", "1 2 x"), ("short", "70000 " * 360), ("uchar", "-1 " * 360), ("float", "1,0x7 " * 360)]
)
def test_text_that_is_no_voxels_of_its_type_is_refused(tmp_path: Path, kind: str, text: str) -> None:
    fields = {**HEAD, **PLACE, "encoding": "text", "type": kind}
    with pytest.raises(UnreadableError, match=r"damaged|truncated"):
        read_volume(write(tmp_path / "a.nrrd", fields, text.encode()))


def test_a_header_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").write_bytes(b"NRRD0005\n" + b"# x\n" * 300_000)
    with pytest.raises(UnreadableError, match="does not end"):
        read_volume(tmp_path / "a.nrrd")


@pytest.mark.parametrize("listed", [False, True])
def test_voxels_outside_the_folder_are_read_with_leave_only(tmp_path: Path, listed: bool) -> None:
    (tmp_path / "d.raw").write_bytes(RAW)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.raw").symlink_to("../d.raw")
    for name in ("../d.raw", str(tmp_path / "d.raw"), "link.raw"):
        spelling = f"LIST 3\n{name}" if listed else name
        lines = ["NRRD0005", *(f"{k}: {v}" for k, v in {**HEAD, **PLACE}.items()), f"data file: {spelling}", ""]
        path = tmp_path / "in" / "a.nhdr"
        path.write_text("\n".join(lines))
        with pytest.raises(UnreadableError, match=r"outside the header's folder.*`outside_data=True`"):
            read_volume(path)
        np.testing.assert_array_equal(read_volume(path, outside_data=True).voxels, VOXELS)


def packed_zeros(count: int) -> bytes:
    """A gzip stream of so many zeros, its checksum wrong: nobody should come as far."""
    return gzip.compress(bytes(count), 9)[:-8] + bytes(8)


def test_bytes_before_the_voxels_are_unpacked_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voxel_stream, "MAX_TRAILING_BYTES", 1 << 20)
    fields = {**HEAD, **PLACE, "encoding": "gzip", "byte skip": "-1"}
    path = write(tmp_path / "a.nrrd", fields, gzip.compress(bytes(1 << 19) + RAW))
    np.testing.assert_array_equal(read_volume(path).voxels, VOXELS)
    assert describe(path).stacks[0].problem is None
    path = write(tmp_path / "b.nrrd", fields, packed_zeros(1 << 23))
    with pytest.raises(UnreadableError, match="far more than its voxels"):
        read_volume(path)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [("line skip", "1000000000000", "line skip is"), ("byte skip", "2000000000", "skips 2000000000 bytes")],
)
def test_skips_that_no_writer_makes_are_refused(tmp_path: Path, field: str, value: str, words: str) -> None:
    path = write(tmp_path / "a.nrrd", {**HEAD, **PLACE, "encoding": "gzip", field: value}, packed_zeros(1 << 22))
    for act in (read_volume, describe):
        with pytest.raises(UnreadableError, match=words):
            act(path)


def test_lines_to_skip_that_do_not_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voxel_stream, "MAX_TRAILING_BYTES", 1 << 16)
    fields = {**HEAD, **PLACE, "line skip": "2"}
    np.testing.assert_array_equal(read_volume(write(tmp_path / "a.nrrd", fields, b"a\nb\n" + RAW)).voxels, VOXELS)
    with pytest.raises(UnreadableError, match="lines to skip"):
        read_volume(write(tmp_path / "b.nrrd", fields, bytes(1 << 17) + b"\n\n" + RAW))


@pytest.mark.parametrize("kind", ["short", "double"])
@pytest.mark.parametrize("digits", [1000, 300_000])
def test_a_number_of_a_thousand_digits_is_damage(tmp_path: Path, kind: str, digits: int) -> None:
    text = b"1" * digits + b" 1" * 359
    with pytest.raises(UnreadableError, match="not text of numbers"):
        read_volume(write(tmp_path / "a.nrrd", {**HEAD, **PLACE, "encoding": "text", "type": kind}, text))


@pytest.mark.parametrize("encoding", ["text", "hex"])
def test_text_that_is_nearly_all_blanks_is_damage(
    tmp_path: Path, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_voxels, "MAX_TRAILING_BYTES", 1 << 16)
    blank = ENCODINGS["ascii" if encoding == "text" else "hex"] + b"\n" * 50_000
    fields = {**HEAD, **PLACE, "encoding": encoding}
    np.testing.assert_array_equal(read_volume(write(tmp_path / "a.nrrd", fields, blank)).voxels, VOXELS)
    with pytest.raises(UnreadableError, match="mostly empty"):
        read_volume(write(tmp_path / "b.nrrd", fields, b" " * 300_000 + blank))


def test_labels_written_as_text_are_recognised_by_their_values(tmp_path: Path) -> None:
    text = b"".join(b"1 " * 4096 if k % 2 else b"0 " * 4096 for k in range(4))
    path = write(tmp_path / "a.nrrd", {**HEAD, **PLACE, "encoding": "text", "sizes": "64 64 4"}, text)
    assert describe(path).stacks[0].secondary == "a label map"
