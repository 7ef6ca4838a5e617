"""Every name that the system allows works in every format, as input and as output."""

import os
import tempfile
import zipfile
from pathlib import Path

import fabricate
import numpy as np
import pytest
import SimpleITK as sitk

from saint_cli.errors import OutputError, UnreadableError
from saint_cli.io import describe, read_volume, write_volume

VOLUME = fabricate.volume((12, 11, 5))

NAMES = {
    "Latin-1": "M\udcfcller",
    "no text at all": "\udcff\udcfe",
    "new line": "a\nb",
    "dash": "-rf",
    "escape": "a\x1b[31mb",
    "emoji": "\N{BRAIN} scan",
    "decomposed": "u\u0308",
    "right to left": "a\u202eb",
    "dot at the end": "end.",
    "blanks": " end ",
    "per cent": "100% %d",
    "markup": "[bold]x[",
    "quotes": "a\"b'c;d&e|f",
    "backslash": "a\\b\tc",
    "question": "*?#",
    "braces": "{name}",
    "colon": "C:x",
    "long": "n" * 244,
}

LINES = {word: name for word, name in NAMES.items() if "\n" not in name}
"""Names that a line of a header can hold."""


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_files_of_any_name_are_written_described_and_read(tmp_path: Path, name: str, ending: str) -> None:
    path = tmp_path / (name + ending)
    write_volume(VOLUME, path)
    write_volume(VOLUME, path, overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    np.testing.assert_array_equal(read_volume(path).voxels, VOLUME.voxels)
    assert describe(path).stacks[0].shape == VOLUME.shape


@pytest.mark.parametrize("name", LINES.values(), ids=LINES)
@pytest.mark.parametrize(("header", "field"), [("mhd", "ElementDataFile = "), ("nhdr", "data file: ")])
def test_detached_data_of_any_name_is_found(tmp_path: Path, name: str, header: str, field: str) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(VOLUME.voxels.transpose()), str(tmp_path / f"x.{header}"))
    (data,) = tmp_path.glob("x.raw*")
    renamed = data.rename(tmp_path / f"{name}{data.suffix}")
    text = (tmp_path / f"x.{header}").read_bytes().replace(data.name.encode(), os.fsencode(renamed.name))
    path = tmp_path / f"{name}.{header}"
    path.write_bytes(text)
    np.testing.assert_array_equal(read_volume(path).voxels, VOLUME.voxels)
    assert describe(path).files == ((path, renamed),)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_dicom_folders_files_and_zips_of_any_name_are_read_and_written(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    for index, data in enumerate(fabricate.slices()):
        data.save_as(folder / f"{index}{name}", enforce_file_format=True)
    volume = read_volume(folder)
    assert describe(folder).stacks[0].shape == (16, 12, 6)
    write_volume(volume, tmp_path / f"out {name}")
    np.testing.assert_array_equal(read_volume(tmp_path / f"out {name}").voxels, volume.voxels)
    with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as packed:
        for file in folder.iterdir():
            packed.writestr(os.fsencode(file.name).decode("cp437"), file.read_bytes())
    np.testing.assert_array_equal(read_volume(tmp_path / f"{name}.zip").voxels, volume.voxels)


def test_compressed_dicom_is_decoded_whatever_the_temporary_folder_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "t\udcfcmp"
    folder.mkdir()
    series = fabricate.slices(2)
    for data in series:
        fabricate.compress_gdcm(data, tmp_path)
    fabricate.save(series, tmp_path / "series")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    assert read_volume(tmp_path / "series").shape == (16, 12, 2)


@pytest.mark.parametrize("length", [256, 5000])
def test_a_name_that_is_too_long_is_refused_in_one_line(tmp_path: Path, length: int) -> None:
    path = tmp_path / ("n" * (length - 4) + ".nii")
    for act in (read_volume, describe):
        with pytest.raises(UnreadableError, match="cannot be opened"):
            act(path)
    with pytest.raises(OutputError, match="cannot be written"):
        write_volume(VOLUME, path)
    assert list(tmp_path.iterdir()) == []
