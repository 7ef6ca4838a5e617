"""Packed files: what unpacks is read whatever the name says, what does not is named for what it is."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import fabricate
import numpy as np
import pytest

from saint_cli.errors import UnreadableError
from saint_cli.io import decompress, describe, read_volume, write_volume
from saint_cli.io.decompress import Packing, detect_packing, open_unpacked, unpack

VOLUME = fabricate.volume()

PACKERS: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def content(folder: Path, name: str = "plain.nii") -> bytes:
    write_volume(VOLUME, folder / name, overwrite=True)
    return (folder / name).read_bytes()


def unpack_from_memory(packed: bytes, most: int) -> BinaryIO:
    return unpack(io.BytesIO(packed), detect_packing(packed), most)


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("name", ["a.nii.{}", "a.nii", "a"])
@pytest.mark.parametrize("plain", ["plain.nii", "plain.nrrd", "plain.mha"])
def test_a_packed_file_is_read_whatever_its_name(tmp_path: Path, kind: str, name: str, plain: str) -> None:
    path = tmp_path / name.format(kind)
    path.write_bytes(PACKERS[kind](content(tmp_path, plain)))
    np.testing.assert_array_equal(read_volume(path).voxels, VOLUME.voxels)
    assert describe(path).stacks[0].shape == VOLUME.shape


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("part", [0.3, 0.7, 0.99])
def test_a_packed_file_that_ends_early_is_called_truncated(tmp_path: Path, kind: str, part: float) -> None:
    packed = PACKERS[kind](content(tmp_path))
    (tmp_path / "a.nii").write_bytes(packed[: int(part * len(packed))])
    with pytest.raises(UnreadableError, match=r"truncated|damaged at its start"):
        read_volume(tmp_path / "a.nii")


@pytest.mark.parametrize("kind", PACKERS)
def test_members_in_a_row_are_one_stream(tmp_path: Path, kind: str) -> None:
    plain, pack = content(tmp_path), PACKERS[kind]
    for cut in (1, 100, len(plain) // 2, len(plain) - 1):
        (tmp_path / "a.nii").write_bytes(pack(plain[:cut]) + pack(plain[cut:]))
        np.testing.assert_array_equal(read_volume(tmp_path / "a.nii").voxels, VOLUME.voxels)


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("behind", [bytes(1), bytes(2000), b"x", b"trailing garbage" * 99, bytes(700) + b"\x1f"])
def test_what_lies_behind_a_packed_stream_is_not_read(tmp_path: Path, kind: str, behind: bytes) -> None:
    if kind == "xz":  # its library waits for the rest of whatever might begin another stream
        behind = behind.replace(b"\0", b"x")
    (tmp_path / "a.nii").write_bytes(PACKERS[kind](content(tmp_path)) + behind)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii").voxels, VOLUME.voxels)


def test_a_second_member_that_is_damaged_is_not_skipped(tmp_path: Path) -> None:
    plain = content(tmp_path)
    damaged = bytearray(gzip.compress(plain[3000:]))
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "a.nii").write_bytes(gzip.compress(plain[:3000]) + damaged)
    with pytest.raises(UnreadableError, match="corrupt"):
        read_volume(tmp_path / "a.nii")


OTHERS = {
    "MGH": (
        b"\0\0\0\1" + (4).to_bytes(4, "big") * 3 + (1).to_bytes(4, "big") + bytes(300),
        "FreeSurfer MGH.*mri_convert",
    ),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(300), "Zstandard.*unpack it first"),
    "lz4": (b"\x04\x22\x4d\x18" + bytes(300), "LZ4"),
    "compress": (b"\x1f\x9d\x90" + bytes(300), "compress.*unpack it first"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(300), "7-Zip"),
    "rar": (b"Rar!\x1a\x07\x01" + bytes(300), "RAR"),
    "tar": (bytes(257) + b"ustar\0" + bytes(300), "tar archive"),
    "MINC 2": (b"\x89HDF\r\n\x1a\n" + bytes(300), "HDF5"),
    "MINC 1": (b"CDF\x01" + bytes(300), "MINC"),
    "PAR/REC": (b"# === DATA DESCRIPTION FILE ====\r\n#\r\n", "Philips PAR/REC.*dcm2niix"),
    "Interfile": (b"!INTERFILE :=\nimaging modality := PET\n", "Interfile.*convert it to NIfTI first"),
    "MRtrix": (b"mrtrix image\ndim: 4,4,4\nEND\n", "MRtrix.*mrconvert"),
    "VTK": (b"# vtk DataFile Version 3.0\n", "VTK"),
    "TIFF": (b"II*\0" + bytes(300), "TIFF"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(300), "PNG"),
    "JPEG": (b"\xff\xd8\xff\xe0" + bytes(300), "JPEG"),
    "PDF": (b"%PDF-1.4\n", "PDF"),
    "ECAT": (b"MATRIX72v" + bytes(600), "ECAT"),
    "an LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS.*git lfs pull"),
    "an annex pointer": (b"/annex/objects/MD5E-s10--abc.nii.gz\n", "git-annex.*annex get"),
    "a web page": (b"<!DOCTYPE html><html>", "web page"),
}


@pytest.mark.parametrize("case", OTHERS)
@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.mgz", "scan"])
@pytest.mark.parametrize("packed", [False, True])
def test_other_formats_are_named_with_the_way_out(tmp_path: Path, case: str, name: str, packed: bool) -> None:
    data, words = OTHERS[case]
    (tmp_path / name).write_bytes(gzip.compress(data) if packed else data)
    for act in (read_volume, describe):
        with pytest.raises(UnreadableError, match=words) as caught:
            act(tmp_path / name)
        assert "truncated" not in str(caught.value)


def test_a_gzip_stream_can_be_read_from_any_byte_on(tmp_path: Path) -> None:
    plain = np.random.default_rng(0).integers(0, 9, 300_000, dtype=np.uint8).tobytes()
    (tmp_path / "a.gz").write_bytes(gzip.compress(plain))
    with open_unpacked(tmp_path / "a.gz") as file:
        for place in (200_000, 17, 299_990, 0):
            assert file.seek(place) == file.tell() == place
            assert file.read(100) == plain[place : place + 100]
        assert file.seek(0, 2) == len(plain)
        assert file.read(1) == b""


@pytest.mark.parametrize("kind", PACKERS)
def test_a_stream_is_unpacked_no_further_than_it_may_be(kind: str) -> None:
    assert unpack_from_memory(PACKERS[kind](bytes(5000)), 5000).read() == bytes(5000)
    with pytest.raises(UnreadableError, match="unpacks to more than"):
        unpack_from_memory(PACKERS[kind](bytes(5000)), 4999).read()


def test_going_back_counts_as_unpacking_again() -> None:
    file = unpack_from_memory(gzip.compress(bytes(200_000)), 300_000)
    file.read()
    file.seek(0)
    with pytest.raises(UnreadableError, match="unpacks to more than"):
        file.read()


@pytest.mark.parametrize("kind", PACKERS)
def test_going_back_a_little_unpacks_nothing_again(kind: str) -> None:
    plain = np.random.default_rng(0).integers(0, 9, 300_000, dtype=np.uint8).tobytes()
    file = unpack_from_memory(PACKERS[kind](plain), len(plain))
    for place in (200_000, 180_000, 190_000, 250_000):
        file.seek(place)
        assert file.read(9000) == plain[place : place + 9000]


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("members", [1, 2])
def test_endless_bytes_behind_the_voxels_are_refused(
    tmp_path: Path, kind: str, members: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack, plain = PACKERS[kind], content(tmp_path)
    few, many = bytes(1 << 16), bytes(1 << 21)
    monkeypatch.setattr(decompress, "MAX_TRAILING_BYTES", 1 << 20)
    for behind in (few, many):
        whole = pack(plain + behind) if members == 1 else pack(plain) + pack(behind)
        (tmp_path / "a.nii").write_bytes(whole)
        if behind is few:
            np.testing.assert_array_equal(read_volume(tmp_path / "a.nii").voxels, VOLUME.voxels)
            continue
        with pytest.raises(UnreadableError, match="behind its voxels"):
            read_volume(tmp_path / "a.nii")


@pytest.mark.parametrize("kind", PACKERS)
def test_thousands_of_empty_members_are_damage(tmp_path: Path, kind: str) -> None:
    plain, empty = PACKERS[kind](content(tmp_path)), PACKERS[kind](b"")
    (tmp_path / "a.nii").write_bytes(empty * 100 + plain)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii").voxels, VOLUME.voxels)
    (tmp_path / "a.nii").write_bytes(empty * 5000 + plain)
    with pytest.raises(UnreadableError, match="in a row are empty"):
        read_volume(tmp_path / "a.nii")


def test_an_xz_dictionary_of_gigabytes_is_refused(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": 1 << 29}]
    sound = [{"id": lzma.FILTER_LZMA2, "preset": 9}]
    with (tmp_path / "a").open("wb") as file:
        file.write(lzma.compress(bytes(100), filters=sound))
    with open_unpacked(tmp_path / "a") as stream:
        assert stream.read() == bytes(100)
    head = bytearray(lzma.compress(bytes(100), filters=filters))
    (tmp_path / "a").write_bytes(head)
    with open_unpacked(tmp_path / "a") as stream, pytest.raises(lzma.LZMAError, match="limit"):
        stream.read()


def test_raw_deflate_ends_with_its_last_block(tmp_path: Path) -> None:
    deflated = zlib.compress(b"voxels", wbits=-zlib.MAX_WBITS)
    assert unpack(io.BytesIO(deflated + gzip.compress(b"more")), Packing.DEFLATE).read() == b"voxels"
