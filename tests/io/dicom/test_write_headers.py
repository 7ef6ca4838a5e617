"""What headers of a derived series say: identity, provenance, and nothing that is no longer true."""

from dataclasses import replace
from pathlib import Path

import fabricate
import numpy as np
import pydicom
import pytest
from derived_slices import FACTOR, derived
from fabricate import interpolated, saved_series
from pydicom import uid
from pydicom.dataset import Dataset

from saint_cli.io import describe, read_volume, write_volume
from saint_cli.volume.warning_words import MADE_BY_SAINT


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


def test_slices_beyond_the_last_acquired_one_go_on_by_the_same_step_and_are_called_extrapolated(tmp_path: Path) -> None:
    dense = interpolated(read_volume(fabricate.save(fabricate.slices(), tmp_path / "source")), FACTOR, extrapolate=True)
    write_volume(dense, tmp_path / "out")
    out = saved_series(tmp_path / "out")
    places = dense.affine_lps[:3, 3] + np.arange(6 * FACTOR)[:, None] * dense.affine_lps[:3, 2]
    np.testing.assert_allclose([[float(v) for v in d.ImagePositionPatient] for d in out], places, atol=1e-6)
    assert ["extrapolated" in d.DerivationDescription for d in out] == [False] * 21 + [True] * 3


@pytest.mark.parametrize("step", [5.0, -5.0])
def test_instances_are_counted_in_the_direction_of_the_source(step: float, tmp_path: Path) -> None:
    out = derived(fabricate.slices(step=(0, 0, step)), tmp_path)
    by_number = sorted(out, key=lambda d: d.InstanceNumber)
    assert [d.InstanceNumber for d in by_number] == list(range(1, 22))
    places = [float(d.ImagePositionPatient[2]) for d in by_number]
    assert places == sorted(places, reverse=step < 0)
    assert {(d.SeriesNumber, d.SeriesDescription) for d in out} == {(401, "SECRET DESCRIPTION SAINT x4")}


def test_one_odd_number_of_the_source_turns_no_series_round(tmp_path: Path) -> None:
    series = fabricate.slices()
    series[0].InstanceNumber = 99
    places = [
        float(d.ImagePositionPatient[2]) for d in sorted(derived(series, tmp_path), key=lambda d: d.InstanceNumber)
    ]
    assert places == sorted(places)


def test_a_synthesised_slice_has_no_time_after_a_trigger(tmp_path: Path) -> None:
    series = fabricate.slices(modality="MR")
    for k, data in enumerate(series):
        data.TriggerTime = str(10 * k)
    times = [data.TriggerTime for data in sorted(derived(series, tmp_path), key=lambda d: d.InstanceNumber)]
    assert times[::4] == [0, 10, 20, 30, 40, 50]
    assert {time for k, time in enumerate(times) if k % 4} == {None}


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
    assert stack.warnings == (MADE_BY_SAINT,)
