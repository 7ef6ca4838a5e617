"""DICOM series fabricated with the faults that real ones have."""

from pathlib import Path

import fabricate
import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import FileMetaDataset

from saint_cli import geometry
from saint_cli.errors import GeometryError, SaintError, UnreadableError, UsageError
from saint_cli.io import describe, read_volume

SECRETS = ("SECRET", "NAME")


def refused(path: Path, error: type[SaintError], words: str, **options: str) -> str:
    with pytest.raises(error, match=words) as caught:
        read_volume(path, **options)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
    assert not any(secret in str(caught.value) for secret in SECRETS)
    return str(caught.value)


@pytest.mark.parametrize("signed", [False, True])
def test_a_series_becomes_hounsfield_units_in_place(tmp_path: Path, signed: bool) -> None:
    series = fabricate.slices(signed=signed)
    volume = read_volume(fabricate.save(series, tmp_path / "s"))
    np.testing.assert_array_equal(volume.voxels, fabricate.hounsfield(series))
    assert volume.voxels.dtype == np.int16
    assert volume.shape == (16, 12, 6)
    np.testing.assert_allclose(volume.spacing_mm, (0.5, 0.75, 5.0))
    np.testing.assert_allclose(volume.affine_lps[:3, 3], (-10, 20, 30))
    assert (volume.header.modality, volume.header.source_format, volume.header.warnings) == ("CT", "DICOM", ())


@pytest.mark.parametrize("step", [(0.0, 0.0, 5.0), (0.0, 0.0, -5.0), (2.4, -3.2, 3.0), (0.0, 1.2, 4.8)])
def test_reading_is_independent_of_file_names_and_order(tmp_path: Path, step: tuple[float, ...]) -> None:
    orientation = fabricate.OBLIQUE if step[0] else fabricate.AXIAL
    series = fabricate.slices(step=step, orientation=orientation)
    volumes = [read_volume(fabricate.save(series, tmp_path / str(seed), shuffle=seed)) for seed in (1, 2)]
    volumes.append(read_volume(fabricate.save(series[::-1], tmp_path / "reversed")))
    for volume in volumes:
        np.testing.assert_array_equal(volume.voxels, volumes[0].voxels)
        np.testing.assert_array_equal(volume.affine_lps, volumes[0].affine_lps)
        assert volume.spacing_mm[2] == pytest.approx(np.linalg.norm(step))
        assert np.linalg.det(volume.affine_lps[:3, :3]) > 0


def test_every_pixel_lies_where_its_header_says(tmp_path: Path) -> None:
    series = fabricate.slices(step=(2.4, -3.2, 3.0), orientation=fabricate.OBLIQUE)
    volume = read_volume(fabricate.save(series, tmp_path / "s", shuffle=4))
    inverse = np.linalg.inv(volume.affine_lps)
    for data in series:
        row, column = np.array(data.ImageOrientationPatient[:3]), np.array(data.ImageOrientationPatient[3:])
        place = np.array(data.ImagePositionPatient, dtype=float) + 7 * 0.5 * row + 3 * 0.75 * column
        i, j, k = np.rint((inverse @ [*place, 1])[:3]).astype(int)
        assert volume.voxels[i, j, k] == int(fabricate.pixels(data)[3, 7]) - 1024


def test_gantry_tilt_is_kept_along_the_measured_step(tmp_path: Path) -> None:
    volume = read_volume(fabricate.save(fabricate.slices(step=(0.0, 1.2, 4.8)), tmp_path / "s"))
    np.testing.assert_allclose(volume.affine_lps[:3, 2], (0, 1.2, 4.8))
    assert geometry.slice_distance_mm(volume.affine_lps, 2) == pytest.approx(4.8)
    assert "Gantry tilt 14.0°" in volume.header.warnings[0]


@pytest.mark.parametrize(("claimed", "is_odd"), [("4.8", False), ("4.948", False), ("5.2", True)])
def test_slices_of_a_tilted_stack_may_be_counted_along_the_table_or_along_their_normal(
    claimed: str, is_odd: bool, tmp_path: Path
) -> None:
    series = fabricate.slices(step=(0.0, 1.2, 4.8))
    for data in series:
        data.SpacingBetweenSlices = claimed
    warnings = " ".join(read_volume(fabricate.save(series, tmp_path / "s")).header.warnings)
    assert (f"SpacingBetweenSlices says {claimed} mm" in warnings) == is_odd


def test_a_missing_slice_names_its_gap_and_the_expected_spacing(tmp_path: Path) -> None:
    series = fabricate.slices()
    del series[3]
    folder = fabricate.save(series, tmp_path / "s")
    refused(folder, GeometryError, "10 mm between 40 and 50, expected 5 mm")
    (stack,) = describe(folder).stacks
    assert (stack.uniform, stack.exit_code) == (False, 4)


def test_copies_of_an_instance_are_dropped_with_a_warning(tmp_path: Path) -> None:
    series = fabricate.slices()
    folder = fabricate.save(series + series[1:3], tmp_path / "s")
    volume = read_volume(folder)
    np.testing.assert_array_equal(volume.voxels, fabricate.hounsfield(series))
    assert volume.header.warnings == ("2 duplicated files ignored",)


@pytest.mark.parametrize(("count", "noted"), [(1, "1 duplicated slice ignored"), (2, "2 duplicated slices ignored")])
def test_equal_pixels_at_one_position_are_dropped_with_a_warning(count: int, noted: str, tmp_path: Path) -> None:
    series, copies = fabricate.slices(), fabricate.slices()[2 : 2 + count]
    for copy in copies:
        copy.SOPInstanceUID = uid.generate_uid()
    volume = read_volume(fabricate.save(series + copies, tmp_path / "s"))
    np.testing.assert_array_equal(volume.voxels, fabricate.hounsfield(series))
    assert volume.header.warnings == (f"{noted}, identical to another at the same position",)


def test_other_pixels_at_one_position_name_the_position(tmp_path: Path) -> None:
    series, other = fabricate.slices(), fabricate.slices()[2]
    other.SOPInstanceUID = uid.generate_uid()
    fabricate.set_pixels(other, fabricate.pixels(other) + 1)
    refused(fabricate.save([*series, other], tmp_path / "s"), GeometryError, "duplicated slices at 40 mm")


def test_equal_stored_values_of_another_rescale_are_no_duplicate(tmp_path: Path) -> None:
    series, other = fabricate.slices(), fabricate.slices()[2]
    other.SOPInstanceUID, other.RescaleIntercept = uid.generate_uid(), "-1000"
    refused(fabricate.save([*series, other], tmp_path / "s"), GeometryError, "duplicated slices at 40 mm")


def test_a_localizer_and_other_objects_are_skipped_and_counted(tmp_path: Path) -> None:
    series, (scout, report, colour) = fabricate.slices(), fabricate.slices(3)
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    report.SOPClassUID = uid.BasicTextSRStorage
    colour.SamplesPerPixel = 3
    for data in (scout, report, colour):
        data.SOPInstanceUID = uid.generate_uid()
    folder = fabricate.save([*series, scout, report, colour], tmp_path / "s")
    (folder / "notes.txt").write_text("not a scan")
    np.testing.assert_array_equal(read_volume(folder).voxels, fabricate.hounsfield(series))
    expected = {"localizer": 1, "Basic Text SR": 1, "colour image": 1, "not DICOM": 1}
    assert describe(folder).skipped == expected


def test_series_in_subfolders_are_chosen_by_number_uid_or_end_of_uid(tmp_path: Path) -> None:
    first, second = fabricate.slices(), fabricate.slices(4, modality="MR")
    for data in second:
        data.SeriesNumber = 9
    fabricate.save(first, tmp_path / "s" / "a")
    fabricate.save(second, tmp_path / "s" / "b" / "c")
    series = str(second[0].SeriesInstanceUID)
    message = refused(tmp_path / "s", UsageError, "2 stacks; choose one with `series`: 1 = SeriesNumber 4, CT 16x12x6")
    assert series[-8:] in message
    for choice in ("2", series, series[-12:]):
        assert read_volume(tmp_path / "s", series=choice).shape == (16, 12, 4)
    for choice in ("3", "0", "nonsense", "-1", ""):
        refused(tmp_path / "s", UsageError, "names no stack", series=choice)


def test_orientations_in_one_series_are_two_stacks(tmp_path: Path) -> None:
    sagittal = fabricate.slices(3, step=(4.0, 0.0, 0.0), orientation=(0, 1, 0, 0, 0, -1))
    for data in sagittal:
        data.SOPInstanceUID = uid.generate_uid()
    folder = fabricate.save(fabricate.slices() + sagittal, tmp_path / "s", shuffle=1)
    assert sorted(s.shape[2] for s in describe(folder).stacks if s.shape) == [3, 6]
    refused(folder, UsageError, "2 stacks of one series; choose one with `volume` or `series`: 1 = ")
    assert {read_volume(folder, volume=k).shape[2] for k in (1, 2)} == {3, 6}


def test_one_slice_beside_a_stack_is_ignored_with_a_warning(tmp_path: Path) -> None:
    alone = fabricate.slices(1, shape=(8, 8))[0]
    alone.SOPInstanceUID = uid.generate_uid()
    volume = read_volume(fabricate.save([*fabricate.slices(), alone], tmp_path / "s"))
    assert volume.shape == (16, 12, 6)
    assert "1 single slice beside" in volume.header.warnings[0]


@pytest.mark.parametrize("key", ["EchoTime", "TemporalPositionIdentifier", "AcquisitionNumber", None])
def test_positions_visited_twice_are_two_volumes(tmp_path: Path, key: str | None) -> None:
    first, second = fabricate.slices(modality="MR"), fabricate.slices(modality="MR")
    for index, data in enumerate(second):
        data.SOPInstanceUID = uid.generate_uid()
        data.InstanceNumber = 7 + index
        fabricate.set_pixels(data, fabricate.pixels(data) + 5)
    for value, volume in enumerate((first, second), 1):
        for data in volume:
            if key:
                setattr(data, key, value)
    folder = fabricate.save(first + second, tmp_path / "s", shuffle=3)
    refused(folder, GeometryError, "4-D image, 2 stacks")
    voxels = [read_volume(folder, series=n).voxels for n in ("1", "2")]
    np.testing.assert_array_equal(voxels[0], fabricate.hounsfield(first))
    np.testing.assert_array_equal(voxels[1], voxels[0] + 5)


def test_a_damaged_element_that_only_informs_costs_no_slice(tmp_path: Path) -> None:
    series = fabricate.slices()
    folder = fabricate.save(series, tmp_path / "s")
    for file in folder.iterdir():
        file.write_bytes(
            file.read_bytes().replace(b"\x18\x00\x50\x00DS\x04\x005.0 ", b"\x18\x00\x50\x00DS\x04\x00five")
        )
    assert read_volume(folder).shape == (16, 12, 6)
    assert describe(folder).stacks[0].slice_thickness_mm is None


def test_a_file_without_preamble_is_read(tmp_path: Path) -> None:
    series = fabricate.slices()
    folder = fabricate.save(series, tmp_path / "s")
    for file in folder.iterdir():
        data = pydicom.dcmread(file)
        data.file_meta = FileMetaDataset()
        with file.open("wb") as target:
            pydicom.dcmwrite(target, data, implicit_vr=True, little_endian=True, enforce_file_format=False)
        raw = file.read_bytes()
        file.write_bytes(raw[132:] if raw[128:132] == b"DICM" else raw)
    np.testing.assert_array_equal(read_volume(folder).voxels, fabricate.hounsfield(series))


def test_one_file_of_a_series_asks_for_its_folder(tmp_path: Path) -> None:
    folder = fabricate.save(fabricate.slices(), tmp_path / "s")
    refused(folder / "0000.dcm", GeometryError, "give the folder")


def test_only_colour_images_are_called_so(tmp_path: Path) -> None:
    series = fabricate.slices()
    for data in series:
        data.SamplesPerPixel = 3
    refused(fabricate.save(series, tmp_path / "s"), UnreadableError, "colour image")


def test_a_link_to_its_own_parent_does_not_loop(tmp_path: Path) -> None:
    folder = fabricate.save(fabricate.slices(), tmp_path / "s")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    assert read_volume(folder).header.warnings == ()


@pytest.mark.parametrize("order", [1, -1])
def test_an_enhanced_image_equals_its_single_frames(tmp_path: Path, order: int) -> None:
    series = fabricate.slices(step=(0.0, 1.2, 4.8))
    image = fabricate.multiframe(series[::order])
    fabricate.save([image], tmp_path / "many")
    whole, single = read_volume(tmp_path / "many" / "0000.dcm"), read_volume(fabricate.save(series, tmp_path / "s"))
    np.testing.assert_array_equal(whole.voxels, single.voxels)
    np.testing.assert_allclose(whole.affine_lps, single.affine_lps)


def test_an_enhanced_ct_without_rescale_is_reported_as_a_single_frame_is(tmp_path: Path) -> None:
    series = fabricate.slices()
    image = fabricate.multiframe(series)
    del image.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
    for data in series:
        del data.RescaleIntercept
    for name, made in (("one", [image]), ("many", series)):
        (warning,) = read_volume(fabricate.save(made, tmp_path / name)).header.warnings
        assert warning == "no RescaleIntercept: stored values are taken for HU"


def test_an_enhanced_image_without_positions_is_refused(tmp_path: Path) -> None:
    image = fabricate.multiframe(fabricate.slices())
    del image.PerFrameFunctionalGroupsSequence
    refused(fabricate.save([image], tmp_path / "s"), UsageError, "multi-frame without functional groups")


def test_no_patient_text_leaves_the_headers(tmp_path: Path) -> None:
    series = fabricate.slices()
    for data in series:
        data.SeriesDescription = "Thorax"  # of what was done, not of whom; `saint info` shows it
    volume = read_volume(fabricate.save(series, tmp_path / "s"))
    assert "SECRET" not in repr(volume.header) + repr(describe(tmp_path / "s"))
