"""One input of every bad kind, each made in a folder."""

import base64
import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import fabricate
import nibabel
import numpy as np
from fuzz import elements, scans
from fuzz.elements import PIXELS, Element
from pydicom import uid
from pydicom.encaps import encapsulate

HOSTILE_NAME = "[/a][red]\udcff\nx"
"""Markup of rich, a byte that is not UTF-8, and the end of a line."""


def save_nifti(path: Path, voxels: np.ndarray) -> Path:
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1, 1, 5, 1])), path)
    return path


def make_noise(dtype: str = "i2") -> np.ndarray:
    return np.random.default_rng(1).normal(0, 300, (9, 8, 5)).astype(dtype)


def truncated(folder: Path) -> None:
    path = save_nifti(folder / "truncated.nii", make_noise())
    path.write_bytes(path.read_bytes()[:-100])


def hostile_name(folder: Path) -> None:
    path = folder / f"{HOSTILE_NAME}.nii"
    path.parent.mkdir()
    path.write_bytes(b"not an image")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe.nii")


def dangling_link(folder: Path) -> None:
    (folder / "dangling.nii").symlink_to("nowhere")


NRRD = (
    "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 8 9 5\n"
    "space directions: (1,0,0) (0,1,0) (0,0,5)\n{}\nendian: little\nencoding: raw\nspace origin: (3,4,5)\n\n"
)

MHA = (
    "ObjectType = Image\nNDims = {}\nBinaryData = True\nBinaryDataByteOrderMSB = False\nElementSpacing = 1 1 5\n"
    "DimSize = 8 9 5\nElementType = MET_SHORT\nElementDataFile = {}\n"
)


def nrrd_with_a_long_word(folder: Path) -> None:
    (folder / "word.nrrd").write_bytes(NRRD.format("a" * 5000).encode() + bytes(720))


def meta_of_1024_dimensions(folder: Path) -> None:
    (folder / "dimensions.mha").write_bytes(MHA.format(1024, "LOCAL").encode() + bytes(720))


def meta_with_a_name_of_300_bytes(folder: Path) -> None:
    (folder / "name.mhd").write_text(MHA.format(3, "a" * 300))


def meta_that_lists_other_files(folder: Path) -> None:
    (folder / "list.mhd").write_text(MHA.format(3, "LIST") + "/etc/passwd\n" * 5)


def meta_that_names_a_file_outside(folder: Path) -> None:
    (folder.parent / "outside.raw").write_bytes(bytes(720))
    (folder / "outside.mhd").write_text(MHA.format(3, "../outside.raw"))


def meta_that_names_a_pipe(folder: Path) -> None:
    os.mkfifo(folder / "ff")
    (folder / "fifo.mhd").write_text(MHA.format(3, "LIST") + "ff\n" * 5)


def deflated_bomb(folder: Path) -> None:
    """100 MB of zeros in 100 kB, in an element that nobody needs."""
    (one,) = (elements.elements_of(data) for data in fabricate.slices(1))
    bomb = Element(0x00091010, "OB", bytes(100_000_000))
    data = elements.file_of([*one, bomb], uid.DeflatedExplicitVRLittleEndian)
    assert len(data) < 200_000
    (folder / "deflated").mkdir()
    (folder / "deflated" / "bomb.dcm").write_bytes(data)


def jpeg2000_that_lies(folder: Path) -> None:
    """Code streams that claim 40,000 x 40,000 pixels, and headers that agree."""
    stream = base64.b64decode(scans.STREAMS[uid.JPEG2000Lossless])
    at = stream.index(b"\xff\x51") + 6
    stream = stream[:at] + (40_000).to_bytes(4, "big") * 2 + stream[at + 8 :]
    (folder / "jpeg2000").mkdir()
    for number, data in enumerate(fabricate.slices(3, shape=(8, 8))):
        pixels = Element(PIXELS, "OB", encapsulate([stream]), is_open=True)
        sizes = [elements.short(tag, 40_000) for tag in (0x00280010, 0x00280011)]
        bent = elements.with_others(elements.elements_of(data), [*sizes, pixels])
        (folder / "jpeg2000" / f"{number}.dcm").write_bytes(elements.file_of(bent, uid.JPEG2000Lossless))


def deep_folder(folder: Path) -> None:
    """A file 1,000 folders deep, made step by step, for pathlib's way is recursive."""
    place = folder
    for _ in range(1000):
        place /= "n"
        place.mkdir()
    (place / "deep.nii").write_bytes(b"not an image")


def zip_bomb(folder: Path) -> None:
    """300 MB of zeros in 300 kB that call themselves a slice."""
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.dcm", bytes(300_000_000))


def zip_that_is_damaged(folder: Path) -> None:
    (folder / "damaged.zip").write_bytes(b"PK\x03\x04" + zlib.compress(bytes(500)))


def label_map(folder: Path) -> None:
    save_nifti(folder / "labels.nii.gz", (fabricate.volume((48, 40, 12)).voxels > -500).astype("u1"))


def wide_spacing(folder: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.ones((9, 8, 5), "i2"), np.diag([1, 1, 500, 1.0])), folder / "wide.nii")


def unknown_form(folder: Path) -> None:
    """A sform whose code the standard does not have."""
    save_nifti(folder / "form.nii", np.arange(360, dtype="i2").reshape(9, 8, 5))
    content = bytearray((folder / "form.nii").read_bytes())
    content[254:256] = (8).to_bytes(2, "little")
    (folder / "form.nii").write_bytes(content)


def hexadecimal_bomb(folder: Path) -> None:
    """A few bytes of text that claim to be two gigabytes of voxels."""
    head = "NRRD0004\ntype: short\ndimension: 3\nsizes: 1000 1000 1000\nencoding: hex\nspacings: 1 1 5\n\n"
    (folder / "hexadecimal.nrrd").write_bytes(head.encode() + b"00" * 720)


def nan_volume(folder: Path) -> None:
    save_nifti(folder / "nan.nii", np.full((9, 8, 5), np.nan, "f4"))


def huge_values(folder: Path) -> None:
    save_nifti(folder / "huge.nii", (make_noise("f8") * 1e30).astype("f4"))


@dataclass(frozen=True)
class Bad:
    """How to make a bad input, and by which part of its name its row is known.

    row: ``failed``, ``skipped`` for what is no scan to upsample, ``done`` for one whose result comes with a warning.
    """

    make: Callable[[Path], None]
    name: str
    row: str = "failed"


BAD = (
    Bad(truncated, "truncated"),
    Bad(hostile_name, HOSTILE_NAME),
    Bad(pipe, "pipe"),
    Bad(dangling_link, "dangling"),
    Bad(nrrd_with_a_long_word, "word"),
    Bad(meta_of_1024_dimensions, "dimensions"),
    Bad(meta_with_a_name_of_300_bytes, "name"),
    Bad(meta_that_lists_other_files, "list"),
    Bad(meta_that_names_a_file_outside, "outside"),
    Bad(meta_that_names_a_pipe, "fifo"),
    Bad(deflated_bomb, "deflated", row="skipped"),
    Bad(jpeg2000_that_lies, "jpeg2000"),
    Bad(deep_folder, "n/n/n/n"),
    Bad(zip_bomb, "bomb"),
    Bad(zip_that_is_damaged, "damaged"),
    Bad(label_map, "labels", row="skipped"),
    Bad(nan_volume, "nan"),
    Bad(wide_spacing, "wide"),
    Bad(unknown_form, "form", row="done"),
    Bad(hexadecimal_bomb, "hexadecimal"),
    Bad(huge_values, "huge", row="done"),
)
