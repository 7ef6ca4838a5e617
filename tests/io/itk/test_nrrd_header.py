"""NRRD in its variants: what ITK reads is read the same; what it cannot, or misreads, is right or refused by name."""

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from nrrd_files import HEAD, PLACE, RAW, VOXELS, write
from simpleitk_check import check_like_simpleitk

from saint_cli.errors import GeometryError, SaintError, UnreadableError
from saint_cli.io import LABEL_MAP, describe, read_labels, read_volume, voxel_stream
from saint_cli.io.itk import text_voxels

TEXT = " ".join(map(str, VOXELS.ravel(order="F"))).encode()


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


@pytest.mark.parametrize("read", [read_volume, read_labels])
def test_overlapping_segments_of_3d_slicer_are_refused_with_the_way_out(
    read: Callable[[Path], object], tmp_path: Path
) -> None:
    layers = {"dimension": "4", "sizes": "2 8 9 5", "kinds": "list domain domain domain"}
    key = {"Segment0_ID:=Segment_1, Segment0_Layer": "0"}
    place = {**PLACE, "space directions": f"none {PLACE['space directions']}"}
    path = write(tmp_path / "a.seg.nrrd", {**HEAD, **layers, **place, **key}, 2 * RAW)
    with pytest.raises(UnreadableError, match="2 layers of segments, since some overlap; in 3D Slicer, export"):
        read(path)
    (stack,) = describe(path).stacks
    assert stack.secondary == LABEL_MAP
    assert "2 layers of segments, since some overlap; in 3D Slicer, export" in str(stack.problem)


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
