"""Inputs that are DICOM but not plain CT or MR slices: archives, mosaics, phase maps, padding, PET, several volumes."""

import io
import zipfile
from pathlib import Path

import fabricate
import numpy as np
import pytest
from fabricate import interpolated
from pydicom import uid
from pydicom.dataset import Dataset

from saint_cli.errors import GeometryError, SaintError, UnreadableError, UsageError
from saint_cli.io import describe, read_volume, write_volume
from saint_cli.io.read_options import UPSAMPLE_CHOICES
from saint_cli.method import padding


def refused(path: Path, error: type[SaintError], words: str, **options: object) -> None:
    with pytest.raises(error, match=words) as caught:
        read_volume(path, **options)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
    assert "SECRET" not in str(caught.value)


def zipped(folder: Path, path: Path) -> Path:
    """The files of a folder in a zip file, below a folder of their own, with a note."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("../../escaped.txt", "no scan")
        for file in folder.iterdir():
            packed.write(file, f"study/series/{file.name}")
    return path


def test_a_zip_of_a_study_is_its_study_and_goes_to_dicom(tmp_path: Path) -> None:
    folder = fabricate.save(fabricate.slices(), tmp_path / "a" / "b" / "s")
    path = zipped(folder, tmp_path / "a" / "b" / "study.zip")
    plain, packed = read_volume(folder), read_volume(path)
    np.testing.assert_array_equal(packed.voxels, plain.voxels)
    np.testing.assert_array_equal(packed.affine_lps, plain.affine_lps)
    assert describe(path).skipped == {"not DICOM": 1}
    assert not list(tmp_path.rglob("escaped.txt"))
    write_volume(interpolated(packed, 2), tmp_path / "out")
    assert read_volume(tmp_path / "out").shape == (16, 12, 11)


def test_what_a_zip_is_unpacked_to_goes_with_the_volume(tmp_path: Path) -> None:
    volume = read_volume(zipped(fabricate.save(fabricate.slices(), tmp_path / "s"), tmp_path / "s.zip"))
    assert volume.header.dicom_source is not None
    place = volume.header.dicom_source.slices[0].path
    assert place.exists()
    del volume
    assert not place.exists()


@pytest.mark.parametrize("part", [0.3, 0.9])
def test_a_truncated_zip_is_unreadable(part: float, tmp_path: Path) -> None:
    path = zipped(fabricate.save(fabricate.slices(), tmp_path / "s"), tmp_path / "s.zip")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    refused(path, UnreadableError, "zip file is damaged")


def test_a_zip_with_a_flipped_byte_is_unreadable(tmp_path: Path) -> None:
    path = zipped(fabricate.save(fabricate.slices(), tmp_path / "s"), tmp_path / "s.zip")
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 0x10
    path.write_bytes(damaged)
    refused(path, UnreadableError, "zip file is damaged")


def test_a_damaged_zip_is_reported_without_bytes_of_it(tmp_path: Path) -> None:
    path = tmp_path / "series.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("a.dcm", bytes(100))
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"a.dcm", b"SECRE", 1))
    with pytest.raises(UnreadableError, match="zip file is damaged") as error:
        read_volume(path)
    assert "SECRE" not in str(error.value)


def test_a_damaged_lzma_member_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as packed:
        packed.writestr("a", np.random.default_rng(2).integers(0, 9, 4000).astype("u1").tobytes())
    whole = path.read_bytes()
    path.write_bytes(whole[:35] + b"\xff" * 300 + whole[335:])
    refused(path, UnreadableError, "zip file is damaged")


def test_a_damaged_member_name_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("\u00e9\u00e9", "no scan")
    path.write_bytes(path.read_bytes().replace("\u00e9\u00e9".encode(), b"\xff\xfe\xff\xfe"))
    refused(path, UnreadableError, "zip file is damaged")


def test_what_deflate_could_not_shrink_so_far_lzma_may(tmp_path: Path) -> None:
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as packed:
        packed.writestr("a", bytes(10_000_000))
    refused(path, UsageError, "nothing to interpolate")


def test_a_zip_without_slices_holds_nothing(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr("a.txt", "no scan")
    (tmp_path / "a.zip").write_bytes(buffer.getvalue())
    refused(tmp_path / "a.zip", UsageError, "nothing to interpolate")


@pytest.mark.parametrize(("count", "named"), [(1, "1 mosaic image,"), (6, "6 mosaic images,")])
def test_mosaics_are_refused_with_the_way_out(count: int, named: str, tmp_path: Path) -> None:
    series = fabricate.slices(count, modality="MR")
    for data in series:
        data.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    refused(fabricate.save(series, tmp_path / "s"), GeometryError, f"{named}.*dcm2niix")


def test_mosaics_of_uih_are_refused_so_too(tmp_path: Path) -> None:
    series = fabricate.slices(modality="MR")
    for data in series:
        data.ImageType = ["ORIGINAL", "PRIMARY", "M", "VFRAME"]
    assert read_volume(fabricate.save(series, tmp_path / "slices")).shape == (16, 12, 6)
    for data in series:
        del data.ImagePositionPatient
    refused(fabricate.save(series, tmp_path / "mosaics"), GeometryError, "6 mosaic images,.*dcm2niix")


@pytest.mark.parametrize("kind", [["P", "ND"], ["PHASE MAP", "P", "FFE"], ["OTHER", "P"]])
def test_phase_maps_are_refused_and_the_magnitude_beside_them_can_be_chosen(kind: list[str], tmp_path: Path) -> None:
    magnitude, phase = fabricate.slices(modality="MR"), fabricate.slices(modality="MR")
    for index, data in enumerate(phase):
        data.ImageType = ["ORIGINAL", "PRIMARY", *kind]
        data.SOPInstanceUID, data.InstanceNumber = uid.generate_uid(), 7 + index
    folder = fabricate.save(magnitude + phase, tmp_path / "s")
    refused(folder, GeometryError, r"volume`: .*2 = SeriesNumber 4, MR 16x12x6 ImageType .* \(phase map\) UID ….*#2")
    refused(folder, GeometryError, "2 stacks at the same positions, of which 1 can be upsampled; choose")
    refused(folder, GeometryError, "phase map", series="2")
    assert read_volume(folder, series="1").shape == (16, 12, 6)
    assert [s.exit_code for s in describe(folder).stacks] == [0, 4]


def test_palette_colours_are_colour_images(tmp_path: Path) -> None:
    series = fabricate.slices()
    for data in series:
        data.PhotometricInterpretation = "PALETTE COLOR"
    refused(fabricate.save(series, tmp_path / "s"), UnreadableError, "colour image")


def test_monochrome1_keeps_its_stored_values_and_its_name(tmp_path: Path) -> None:
    series = fabricate.slices(modality="MR")
    for data in series:
        data.PhotometricInterpretation = "MONOCHROME1"
    volume = read_volume(fabricate.save(series, tmp_path / "s"))
    np.testing.assert_array_equal(volume.voxels[..., 0], fabricate.pixels(series[0]).T)
    write_volume(interpolated(volume, 2), tmp_path / "out")
    assert {d.PhotometricInterpretation for d in fabricate.saved_series(tmp_path / "out")} == {"MONOCHROME1"}


def test_pet_is_read_with_the_slope_of_every_slice(tmp_path: Path) -> None:
    series = fabricate.pet()
    volume = read_volume(fabricate.save(series, tmp_path / "s"))
    expected = np.stack([fabricate.pixels(d) * (0.5 + i) for i, d in enumerate(series)]).transpose(2, 1, 0)
    np.testing.assert_array_equal(volume.voxels, expected.astype(np.float32))
    assert volume.header.modality == "PT"


def echoes() -> list[Dataset]:
    """Two volumes at the same positions in one series."""
    series = []
    for echo in (1, 2):
        for index, data in enumerate(fabricate.slices(modality="MR")):
            data.EchoTime, data.InstanceNumber = 10 * echo, 6 * echo + index
            data.SOPInstanceUID = uid.generate_uid()
            fabricate.set_pixels(data, fabricate.pixels(data) + np.uint16(echo))
            series.append(data)
    return series


def test_volumes_of_one_series_are_listed_by_how_they_differ_and_chosen_by_number(tmp_path: Path) -> None:
    series = echoes()
    folder = fabricate.save(series, tmp_path / "s")
    whole = str(series[0].SeriesInstanceUID)
    listed = rf"1 = SeriesNumber 4, MR 16x12x6 EchoTime 10.0 UID …{whole[-8:]}#1; 2 = .*EchoTime 20.0.*#2"
    refused(folder, GeometryError, f"4-D.*`volume`: {listed}")
    refused(folder, GeometryError, f"4-D.*`volume`, or take all with `volume=all`: {listed}", offered=UPSAMPLE_CHOICES)
    refused(folder, GeometryError, "4-D.*names 2 stacks.*`volume`", series=whole)
    refused(folder, UsageError, "no volume 3, of 2 in the series", volume=3)
    chosen = [{"series": f"{whole}#2"}, {"series": f"{whole[-6:]}#2"}, {"volume": 2}, {"series": whole, "volume": 2}]
    for options in chosen:
        voxels = read_volume(folder, **options).voxels
        np.testing.assert_array_equal(voxels, read_volume(folder, series="2").voxels)


def test_a_volume_of_several_knows_which_it_is_and_one_beside_single_slices_is_alone(tmp_path: Path) -> None:
    folder = fabricate.save(echoes(), tmp_path / "s")
    assert read_volume(folder, volume=2).header.volume_name == "volume 2 of 2 (EchoTime 20.0)"
    scout = fabricate.slices(1, shape=(9, 9))
    folder = fabricate.save([*fabricate.slices(), *scout], tmp_path / "t")
    volume = read_volume(folder)
    assert (volume.shape[2], volume.header.volume_name) == (6, "")
    assert any("single slice beside the stack" in text for text in volume.header.warnings)


PADDINGS = {
    "one value": ({"PixelPaddingValue": ("SS", -2000)}, ((-3024.0, -3024.0),)),
    "a range": ({"PixelPaddingValue": ("SS", -2000), "PixelPaddingRangeLimit": ("SS", -1990)}, ((-3024.0, -3014.0),)),
    "written unsigned": ({"PixelPaddingValue": ("US", 63536)}, ((-3024.0, -3024.0),)),
    "none": ({}, ()),
}


@pytest.mark.parametrize("name", PADDINGS)
def test_padding_is_in_scanner_values(name: str, tmp_path: Path) -> None:
    elements, expected = PADDINGS[name]
    series = fabricate.slices(signed=True)
    for data in series:
        for keyword, (vr, value) in elements.items():
            data.add_new(keyword, vr, value)
    assert read_volume(fabricate.save(series, tmp_path / "s")).header.padding == expected


def test_padding_that_differs_between_slices_counts_with_each_of_its_values(tmp_path: Path) -> None:
    series = fabricate.slices(signed=True)
    for index, data in enumerate(series):
        stored = fabricate.pixels(data).copy()
        stored[:3] = -2000 if index % 2 else -1500
        fabricate.set_pixels(data, stored)
        data.add_new("PixelPaddingValue", "SS", -2000 if index % 2 else -1500)
    volume = read_volume(fabricate.save(series, tmp_path / "s"))
    assert volume.header.padding == ((-3024.0, -3024.0), (-2524.0, -2524.0))
    assert not any("padding" in sentence.lower() for sentence in volume.header.warnings)
    hidden = padding.hide_padding(volume, 2)
    assert hidden.voxels.min() >= -2024
    np.testing.assert_array_equal(hidden.voxels[:, 3:], volume.voxels[:, 3:])


def test_an_empty_padding_value_is_none(tmp_path: Path) -> None:
    series = fabricate.slices()
    for data in series:
        data.add_new("PixelPaddingValue", "US", None)
    assert read_volume(fabricate.save(series, tmp_path / "s")).header.padding == ()


def test_a_dicomdir_stands_for_its_folder(tmp_path: Path) -> None:
    series = fabricate.slices()
    fabricate.save(series, tmp_path / "media" / "DICOM" / "S1")
    directory = fabricate.slices(1)[0]
    directory.SOPClassUID = uid.MediaStorageDirectoryStorage
    del directory.PixelData
    directory.save_as(tmp_path / "media" / "DICOMDIR", enforce_file_format=True)
    for path in (tmp_path / "media", tmp_path / "media" / "DICOMDIR"):
        assert read_volume(path).shape == (16, 12, 6)
        assert describe(path).skipped == {"DICOMDIR": 1}
