"""Derived DICOM series: what is kept, what is new, what is gone, and when nothing is written."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fabricate
import numpy as np
import pydicom
import pytest
from fabricate import interpolated, saved_series
from pydicom import uid
from pydicom.dataset import Dataset

from saint_cli import geometry
from saint_cli.errors import OutputError, SaintError, UnreadableError, UsageError
from saint_cli.io import check_result, describe, read_volume, write_volume
from saint_cli.io.dicom import write
from saint_cli.io.write import HEADER_BYTES
from saint_cli.volume import Volume

FACTOR = 4


def derived(series: list[Dataset], folder: Path, **options: bool) -> list[Dataset]:
    """The series after saving, reading, interpolating and writing, in the order of its files."""
    source = fabricate.save(series, folder / "source")
    write_volume(interpolated(read_volume(source), FACTOR), folder / "out", **options)
    return saved_series(folder / "out")


STACKS = {
    "axial": ({}, fabricate.AXIAL),
    "descending": ({"step": (0.0, 0.0, -5.0)}, fabricate.AXIAL),
    "tilted": ({"step": (0.0, 1.2, 4.8)}, fabricate.AXIAL),
    "oblique": ({"step": (2.4, -3.2, 3.0)}, fabricate.OBLIQUE),
}


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_writing_then_reading_gives_the_same_voxels_and_affine(name: str, modality: str, tmp_path: Path) -> None:
    options, orientation = STACKS[name]
    source = fabricate.save(fabricate.slices(orientation=orientation, modality=modality, **options), tmp_path / "s")
    dense = interpolated(read_volume(source), FACTOR)
    write_volume(dense, tmp_path / "out")
    again = read_volume(tmp_path / "out")
    np.testing.assert_array_equal(again.voxels, dense.voxels)
    np.testing.assert_allclose(again.affine_lps, dense.affine_lps, atol=1e-9)
    assert again.spacing_mm[2] == pytest.approx(read_volume(source).spacing_mm[2] / FACTOR)


def test_acquired_slices_keep_pixels_and_positions_bit_for_bit(tmp_path: Path) -> None:
    series = fabricate.slices(step=(0.0, 1.2, 4.8))
    for index, data in enumerate(series):
        data.ImagePositionPatient = [f"{v:.6f}"[:16] for v in (-10.0000001, 20 + 1.2 * index, 30 + 4.8 * index)]
    source = [bytes(d.PixelData) for d in series], [d["ImagePositionPatient"].value for d in series]
    out = derived(series, tmp_path)
    assert [d.PixelData for d in out[::FACTOR]] == source[0]
    written = [[str(v) for v in d.ImagePositionPatient] for d in out[::FACTOR]]
    assert written == [[str(v) for v in position] for position in source[1]]


def test_pixels_whose_unused_bits_hold_rubbish_come_back_as_stored_values(tmp_path: Path) -> None:
    series = fabricate.slices()
    for data in series:
        clean = fabricate.pixels(data) & 0x0FFF
        fabricate.set_pixels(data, clean | 0xA000, bits=12)
    out = derived(series, tmp_path)
    for data, source in zip(out[::FACTOR], series, strict=True):
        np.testing.assert_array_equal(fabricate.pixels(data), fabricate.pixels(source) & 0x0FFF)
    assert {(d.BitsStored, d.HighBit) for d in out} == {(12, 11)}


def test_slices_lie_on_one_line_at_equal_distances(tmp_path: Path) -> None:
    out = derived(fabricate.slices(step=(0.0, 1.2, 4.8)), tmp_path)
    positions = np.array([[float(v) for v in d.ImagePositionPatient] for d in out])
    np.testing.assert_allclose(np.diff(positions, axis=0), np.tile([0, 0.3, 1.2], (len(out) - 1, 1)), atol=1e-9)
    assert {float(d.SpacingBetweenSlices) for d in out} == {1.2}
    assert all(len(str(v)) <= 16 for d in out for v in d.ImagePositionPatient)


def test_identifiers_are_new_for_series_and_images_and_old_for_study_and_frame(tmp_path: Path) -> None:
    series = fabricate.slices()
    out = derived(series, tmp_path)
    assert len({d.SOPInstanceUID for d in out}) == len(out)
    assert not {d.SOPInstanceUID for d in out} & {d.SOPInstanceUID for d in series}
    (made,) = {d.SeriesInstanceUID for d in out}
    assert made != series[0].SeriesInstanceUID
    for name in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientName", "PatientID"):
        assert {getattr(d, name) for d in out} == {getattr(series[0], name)}
    assert all(d.SOPInstanceUID.startswith("2.25.") and d.SOPInstanceUID.is_valid for d in out)
    assert all(d.file_meta.MediaStorageSOPInstanceUID == d.SOPInstanceUID for d in out)


def test_the_same_result_has_the_same_identifiers_and_any_other_has_others(tmp_path: Path) -> None:
    volume = read_volume(fabricate.save(fabricate.slices(), tmp_path / "source"))
    dense = interpolated(volume, FACTOR)
    other = dense.voxels.copy()
    other[3, 3, 1] += 1
    made = []
    for name, one in (("a", dense), ("b", dense), ("c", replace(dense, voxels=other)), ("d", interpolated(volume, 2))):
        write_volume(one, tmp_path / name)
        made.append({d.SOPInstanceUID for d in saved_series(tmp_path / name)})
    assert made[0] == made[1]
    assert not made[0] & made[2]
    assert not made[0] & made[3]


def test_provenance_names_the_method_and_the_acquired_neighbours(tmp_path: Path) -> None:
    series = fabricate.slices()
    series[0].ContributingEquipmentSequence = [Dataset()]
    out = derived(series, tmp_path)
    assert all(list(d.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"] for d in out)
    kept, between = out[4], out[5]
    sources = [[i.ReferencedSOPInstanceUID for i in d.SourceImageSequence] for d in (kept, between)]
    assert sources == [[series[1].SOPInstanceUID], [series[1].SOPInstanceUID, series[2].SOPInstanceUID]]
    assert (
        "kept acquired slice 2; acquired slice spacing 5 mm, acquired slice thickness 5" in kept.DerivationDescription
    )
    assert "synthesised between acquired slices 2 and 3, offset 0.25" in between.DerivationDescription
    assert between.DerivationCodeSequence[0].CodeValue == "113085"
    assert between.SourceImageSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    assert out[0].ContributingEquipmentSequence[-1].ManufacturerModelName == "saint"
    assert [len(d.ContributingEquipmentSequence) for d in (out[0], between)] == [2, 1]


def test_slices_beyond_the_last_acquired_one_are_called_extrapolated(tmp_path: Path) -> None:
    volume = read_volume(fabricate.save(fabricate.slices(), tmp_path / "source"))
    write_volume(interpolated(volume, FACTOR, extrapolate=True), tmp_path / "out")
    out = saved_series(tmp_path / "out")
    assert len(out) == 6 * FACTOR
    assert ["extrapolated" in d.DerivationDescription for d in out] == [False] * 21 + [True] * 3


@pytest.mark.parametrize("step", [5.0, -5.0])
def test_instances_are_counted_in_the_direction_of_the_source(step: float, tmp_path: Path) -> None:
    out = derived(fabricate.slices(step=(0, 0, step)), tmp_path)
    by_number = sorted(out, key=lambda d: d.InstanceNumber)
    assert [d.InstanceNumber for d in by_number] == list(range(1, 22))
    places = [float(d.ImagePositionPatient[2]) for d in by_number]
    assert places == sorted(places, reverse=step < 0)
    assert {(d.SeriesNumber, d.SeriesDescription) for d in out} == {(401, "SECRET DESCRIPTION SAINT x4")}


def test_stale_values_and_private_groups_are_gone_and_dose_is_only_on_acquired_slices(tmp_path: Path) -> None:
    def add(_: int, data: Dataset) -> None:
        data.private_block(0x0029, "VENDOR", create=True).add_new(0x10, "LO", "SECRET")
        item = Dataset()
        item.private_block(0x0029, "VENDOR", create=True).add_new(0x10, "LO", "SECRET")
        item.ReferencedSOPInstanceUID = "1.2.3"
        data.ReferencedImageSequence = [item]
        data.LargestImagePixelValue, data.ImageComments, data.OperatorsName = 3000, "SECRET", "SECRET"
        data.PerformedProcedureStepID, data.XRayTubeCurrent, data.AcquisitionTime = "SECRET", 100, "120000"
        data.Exposure = 300
        data.add_new(0x60003000, "OW", b"\0\0")
        data.ImagePosition, data.DataCollectionCenterPatient = data.ImagePositionPatient, [0.0, 0.0, 1.0]
        data.WindowCenter, data.WindowWidth, data.KVP = "40", "400", "120"

    out = derived(fabricate.changed(fabricate.slices(), add), tmp_path)
    for data in out:
        assert not [e for e in data.iterall() if e.tag.is_private]
        gone = (
            "LargestImagePixelValue",
            "ImageComments",
            "OperatorsName",
            "PerformedProcedureStepID",
            "Exposure",
            "ImagePosition",
        )
        assert not set(gone) & set(data.dir())
        assert 0x60003000 not in data
        assert (data.WindowCenter, data.WindowWidth, data.KVP) == (40, 400, 120)
        assert data.ReferencedImageSequence[0].ReferencedSOPInstanceUID == "1.2.3"
    of_one_slice = ("XRayTubeCurrent", "AcquisitionTime", "DataCollectionCenterPatient")
    measured = [[name in d for name in of_one_slice] for d in out]
    assert measured == [[index % FACTOR == 0] * 3 for index in range(len(out))]


def test_slopes_that_differ_by_slice_stay_with_acquired_slices_and_the_coarser_serves_between(tmp_path: Path) -> None:
    series = fabricate.slices(modality="MR")
    for index, data in enumerate(series):
        data.RescaleSlope, data.RescaleIntercept = str(0.5 + index), str(10 * index)
    pixels = [d.PixelData for d in series]
    out = derived(series, tmp_path)
    assert [d.PixelData for d in out[::FACTOR]] == pixels
    assert [float(d.RescaleSlope) for d in out[:9]] == [0.5, 1.5, 1.5, 1.5, 1.5, 2.5, 2.5, 2.5, 2.5]
    again, dense = read_volume(tmp_path / "out"), interpolated(read_volume(tmp_path / "source"), FACTOR)
    slopes = np.array([float(d.RescaleSlope) for d in out])
    assert (np.abs(again.voxels - dense.voxels) <= slopes / 2 + 1e-3).all()


def test_tiny_slopes_that_differ_by_slice_keep_their_digits_and_their_real_world_values(tmp_path: Path) -> None:
    slopes = [5.912345678e-13, 3.123456789e-13, 7.98765432e-13]
    series = fabricate.slices(3, modality="MR")
    for slope, data in zip(slopes, series, strict=True):
        data.RescaleSlope = f"{slope:.9e}"
        mapping = Dataset()
        mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = float(data.RescaleSlope), 0.0
        data.RealWorldValueMappingSequence = [mapping]
    out = derived(series, tmp_path)
    written = [float(d.RescaleSlope) for d in out]
    assert written == [slopes[0]] * 4 + [slopes[1]] + [slopes[2]] * 4
    assert [d.RealWorldValueMappingSequence[0].RealWorldValueSlope for d in out] == written


def test_values_beyond_the_stored_bits_are_clipped_and_never_wrap(tmp_path: Path) -> None:
    series = fabricate.slices()
    for data in series:
        fabricate.set_pixels(data, fabricate.pixels(data) % 4096, bits=12)
    dense = interpolated(read_volume(fabricate.save(series, tmp_path / "s")), FACTOR)
    dense.voxels[0, 0, 1], dense.voxels[1, 0, 1] = 30000, -30000
    write_volume(dense, tmp_path / "out")
    assert read_volume(tmp_path / "out").voxels[:2, 0, 1].tolist() == [3071, -1024]


def test_a_changed_acquired_slice_is_written_as_it_is_and_not_called_kept(tmp_path: Path) -> None:
    dense = interpolated(read_volume(fabricate.save(fabricate.slices(), tmp_path / "s")), FACTOR)
    dense.voxels[2, 2, 4] += 7
    write_volume(dense, tmp_path / "out")
    np.testing.assert_array_equal(read_volume(tmp_path / "out").voxels, dense.voxels)
    assert "computed in place of acquired slice 2" in saved_series(tmp_path / "out")[4].DerivationDescription


def test_an_enhanced_image_comes_back_as_single_frames(tmp_path: Path) -> None:
    series = fabricate.slices(step=(0.0, 1.2, 4.8))
    image = fabricate.multiframe(series)
    fabricate.save([image], tmp_path / "s")
    dense = interpolated(read_volume(tmp_path / "s"), FACTOR)
    write_volume(dense, tmp_path / "out")
    out = saved_series(tmp_path / "out")
    np.testing.assert_array_equal(read_volume(tmp_path / "out").voxels, dense.voxels)
    assert {d.SOPClassUID for d in out} == {uid.CTImageStorage}
    assert not any("PerFrameFunctionalGroupsSequence" in d or "NumberOfFrames" in d for d in out)
    assert [i.ReferencedFrameNumber for i in out[5].SourceImageSequence] == [2, 3]
    assert [d.PixelData for d in out[::FACTOR]] == [d.PixelData for d in series]


def test_pet_counts_its_slices_and_a_dynamic_series_is_refused_by_name(tmp_path: Path) -> None:
    series = fabricate.pet()
    out = derived(series, tmp_path)
    assert {d.NumberOfSlices for d in out} == {21}
    assert sorted(d.ImageIndex for d in out) == list(range(1, 22))
    assert {(d.Units, d.DecayCorrection) for d in out} == {("BQML", "START")}
    for data in series:
        data.SeriesType = ["DYNAMIC", "IMAGE"]
    volume = read_volume(fabricate.save(series, tmp_path / "dynamic"))
    with pytest.raises(UsageError, match="DYNAMIC PET"):
        write_volume(volume, tmp_path / "none")


def test_a_source_without_frame_of_reference_gets_one(tmp_path: Path) -> None:
    series = fabricate.slices()
    for data in series:
        del data.FrameOfReferenceUID
    (made,) = {d.FrameOfReferenceUID for d in derived(series, tmp_path)}
    assert uid.UID(made).is_valid


def test_slices_of_several_studies_and_series_become_one_of_the_first_study(tmp_path: Path) -> None:
    def scatter(index: int, data: Dataset) -> None:
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = (f"1.2.{n}.{index}" for n in "345")
        data.SeriesNumber = 7 + index

    source = fabricate.save(fabricate.changed(fabricate.slices(), scatter), tmp_path / "s")
    write_volume(interpolated(read_volume(source, merge=True), FACTOR), tmp_path / "out")
    out = saved_series(tmp_path / "out")
    assert {(d.StudyInstanceUID, d.FrameOfReferenceUID, d.SeriesNumber) for d in out} == {("1.2.3.0", "1.2.5.0", 701)}
    assert len({d.SeriesInstanceUID for d in out}) == 1


def test_lossy_compression_of_the_source_is_never_forgotten(tmp_path: Path) -> None:
    def mark(_: int, data: Dataset) -> None:
        data.LossyImageCompression, data.LossyImageCompressionRatio = "01", "12.5"

    out = derived(fabricate.changed(fabricate.slices(), mark), tmp_path)
    assert {(d.LossyImageCompression, d.LossyImageCompressionRatio) for d in out} == {("01", 12.5)}
    assert {d.file_meta.TransferSyntaxUID for d in out} == {uid.ExplicitVRLittleEndian}


def test_text_keeps_its_bytes_in_whatever_character_set(tmp_path: Path) -> None:
    name = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"

    def rename(_: int, data: Dataset) -> None:
        data.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
        data.InstitutionName = "X" * len(name)

    source = fabricate.save(fabricate.changed(fabricate.slices(), rename), tmp_path / "s")
    for file in source.iterdir():
        file.write_bytes(file.read_bytes().replace(b"X" * len(name), name))
    write_volume(interpolated(read_volume(source), FACTOR), tmp_path / "out")
    assert all(name in file.read_bytes() for file in (tmp_path / "out").iterdir())


def test_a_source_without_instance_uids_is_not_named_by_its_path(tmp_path: Path) -> None:
    source = fabricate.save(fabricate.slices(), tmp_path / "s")
    for file in source.iterdir():
        data = pydicom.dcmread(file)
        del data.SOPInstanceUID
        data.save_as(file)
    write_volume(interpolated(read_volume(source), FACTOR), tmp_path / "out")
    assert str(tmp_path).encode() not in b"".join(file.read_bytes() for file in (tmp_path / "out").iterdir())
    assert not any("SourceImageSequence" in data for data in saved_series(tmp_path / "out"))


@pytest.mark.parametrize(
    ("thickness", "keep", "expected"),
    [
        ("5.000", True, "5.000"),
        ("5.000", False, "1.25"),
        ("1.0", True, "1.0"),
        ("1.0", False, "1.0"),  # 5 mm apart: gaps between slices, spacing / factor would be thicker than acquired
        ("8", False, "1.25"),  # overlapping slices
    ],
)
def test_slice_thickness_is_the_acquired_one_and_never_more(
    thickness: str, keep: bool, expected: str, tmp_path: Path
) -> None:
    def set_thickness(_: int, data: Dataset) -> None:
        data.SliceThickness = thickness

    out = derived(fabricate.changed(fabricate.slices(), set_thickness), tmp_path, keep_slice_thickness=keep)
    assert {str(d.SliceThickness) for d in out} == {expected}
    assert {d.SpacingBetweenSlices for d in out} == {1.25}
    ending = f"acquired slice spacing 5 mm, acquired slice thickness {thickness} mm"
    assert all(d.DerivationDescription.endswith(ending) for d in out)


def test_describing_the_result_shows_the_divided_spacing(tmp_path: Path) -> None:
    derived(fabricate.slices(), tmp_path)
    (stack,) = describe(tmp_path / "out").stacks
    assert (stack.slice_distance_mm, stack.order) == (pytest.approx(1.25), "ascending")
    assert stack.gap_mm == pytest.approx(1.25 - 5)  # the slabs overlap: each is as thick as it was acquired
    assert stack.warnings == ()


def test_nifti_and_dicom_of_one_result_agree(tmp_path: Path) -> None:
    series = fabricate.slices(step=(0.0, 1.2, 4.8))
    dense = interpolated(read_volume(fabricate.save(series, tmp_path / "s")), FACTOR)
    write_volume(dense, tmp_path / "out")
    write_volume(dense, tmp_path / "out.nii.gz")
    ours, theirs = read_volume(tmp_path / "out"), read_volume(tmp_path / "out.nii.gz")
    ends = np.array([[0, 0, 0, 1], [*(n - 1 for n in ours.shape), 1]]).T
    np.testing.assert_allclose(ours.affine_lps @ ends, theirs.affine_lps @ ends, atol=1e-3)
    np.testing.assert_allclose(ours.voxels, theirs.voxels, atol=0.5)


def refused(volume: Volume, target: Path, error: type[SaintError], words: str, **options: bool) -> None:
    before = sorted(target.parent.rglob("*")) if target.parent.exists() else []
    with pytest.raises(error, match=words) as caught:
        write_volume(volume, target, **options)
    assert "\n" not in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert (sorted(target.parent.rglob("*")) if target.parent.exists() else []) == before


def test_only_dicom_becomes_dicom(tmp_path: Path) -> None:
    refused(fabricate.volume(), tmp_path / "out", UsageError, "only DICOM input")


def test_another_axis_cannot_become_dicom(tmp_path: Path) -> None:
    volume = read_volume(fabricate.save(fabricate.slices(), tmp_path / "s"))
    with pytest.raises(UsageError, match="leave `axis` out"):
        check_result(volume, geometry.grid_by_factor(16, 0, 2), tmp_path / "out")


@pytest.mark.parametrize("place", [".", "deeper", "deeper/still"])
def test_nothing_is_written_among_the_source_files(place: str, tmp_path: Path) -> None:
    source = fabricate.save(fabricate.slices(), tmp_path / "s")
    volume = read_volume(source)
    refused(volume, source / place, OutputError, "source files|not empty")


def test_overwriting_replaces_only_series_of_its_own(tmp_path: Path) -> None:
    volume = interpolated(read_volume(fabricate.save(fabricate.slices(), tmp_path / "s")), FACTOR)
    foreign = fabricate.save(fabricate.slices(2), tmp_path / "foreign")
    refused(volume, foreign, OutputError, "not empty")
    refused(volume, foreign, OutputError, "did not write", overwrite=True)
    (tmp_path / "out").mkdir()
    write_volume(volume, tmp_path / "out")
    refused(volume, tmp_path / "out", OutputError, "not empty")
    sparse = read_volume(tmp_path / "s")
    write_volume(interpolated(sparse, 2), tmp_path / "out", overwrite=True)
    assert len(list((tmp_path / "out").iterdir())) == 11


def test_a_failure_leaves_nothing_and_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = interpolated(read_volume(fabricate.save(fabricate.slices(), tmp_path / "s")), FACTOR)
    write_volume(volume, tmp_path / "out")
    before = {f: f.read_bytes() for f in (tmp_path / "out").iterdir()}
    save, count = write._save, []

    def full(data: Dataset, path: Path) -> None:
        count.append(path)
        if len(count) == 7:
            raise OSError(28, "No space left on device")
        save(data, path)

    monkeypatch.setattr(write, "_save", full)
    with pytest.raises(OutputError, match="No space left"):
        write_volume(volume, tmp_path / "out", overwrite=True)
    assert {f: f.read_bytes() for f in (tmp_path / "out").iterdir()} == before
    assert not list(tmp_path.glob(".saint*"))


def test_source_files_that_are_gone_are_named(tmp_path: Path) -> None:
    volume = interpolated(read_volume(fabricate.save(fabricate.slices(), tmp_path / "s")), FACTOR)
    (tmp_path / "s" / "0003.dcm").unlink()
    refused(volume, tmp_path / "new" / "out", UnreadableError, "0003.dcm")


def test_too_little_space_is_known_before_anything_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = read_volume(fabricate.save(fabricate.slices(), tmp_path / "s"))
    grid = geometry.grid_by_factor(6, 2, 4)
    for name in ("out", "out.nii"):
        check_result(volume, grid, tmp_path / name)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("", (), {"free": 1000})())
    for name in ("out", "out.nii", "out.nii.gz"):
        with pytest.raises(OutputError, match="kB are needed, 1 kB are free; choose another folder"):
            check_result(volume, grid, tmp_path / name)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("", (), {"total": 0, "free": 0})())
    with pytest.raises(OutputError, match=r"out\.nii: no file can be written in .*; choose another folder"):
        check_result(volume, grid, tmp_path / "out.nii")


@pytest.mark.parametrize("make", [fabricate.slices, fabricate.pet], ids=["integers", "a scale for each slice"])
def test_the_space_for_a_series_is_that_of_its_stored_integers(
    make: Callable[[], list[Dataset]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, grid = read_volume(fabricate.save(make(), tmp_path / "s")), geometry.grid_by_factor(6, 2, 4)
    need = 21 * (12 * 16 * 2 + HEADER_BYTES)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("", (), {"free": need})())
    check_result(volume, grid, tmp_path / "out")
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("", (), {"free": need - 1})())
    with pytest.raises(OutputError, match="are needed"):
        check_result(volume, grid, tmp_path / "out")


def test_memory_while_writing_does_not_grow_with_the_number_of_slices(tmp_path: Path) -> None:
    import tracemalloc

    peaks = []
    for count in (3, 9):
        source = fabricate.save(fabricate.slices(count, shape=(256, 256)), tmp_path / str(count))
        dense = interpolated(read_volume(source), 2)
        tracemalloc.start()
        write_volume(dense, tmp_path / f"out{count}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] + 200_000
    assert pydicom.dcmread(tmp_path / "out9" / "IM00001.dcm").Rows == 256
