"""Label maps as DICOM Segmentations: what they refer to, what they keep, and what validators and readers say."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import fabricate
import numpy as np
import pydicom
import pytest
from fabricate import interpolated, saved_series
from fabricate_labels import frames_of, item, save_one, segment_item, segmentation
from pydicom.dataset import Dataset
from written_labels import labels_on, scan_of

from saint_cli.io import (
    read_labels,
    read_volume,
    write_labels,
    write_volume,
)
from saint_cli.io.dicom.template import RawPersonName
from saint_cli.labels import place_labels
from saint_cli.volume.label_map import LabelMap, Segment

highdicom = pytest.importorskip("highdicom", reason="highdicom is not installed (extra seg)")


KINDS = {
    "plain": {},
    "reversed": {"step": (0.0, 0.0, -5.0)},
    "tilted": {"step": (0.0, 1.2, 4.8)},
    "oblique": {"step": (2.4, -3.2, 3.0), "orientation": fabricate.OBLIQUE},
    "MR": {"modality": "MR"},
}


def written(folder: Path, **changes: object) -> tuple[Dataset, list[Dataset], LabelMap]:
    """A Segmentation, the derived series that it belongs to, and its labels."""
    result = interpolated(scan_of(folder, **changes), 4)
    labels = labels_on(result)
    write_labels(labels, folder / "seg.dcm", result=result)
    write_volume(result, folder / "out")
    return pydicom.dcmread(folder / "seg.dcm"), saved_series(folder / "out"), labels


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_refers_to_its_slice_of_the_derived_series(kind: str, tmp_path: Path) -> None:
    data, series, _ = written(tmp_path, **KINDS[kind])
    slices = {one.SOPInstanceUID: one for one in series}
    for groups in data.PerFrameFunctionalGroupsSequence:
        (reference,) = groups.DerivationImageSequence[0].SourceImageSequence
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        wanted = slices[reference.ReferencedSOPInstanceUID].ImagePositionPatient
        np.testing.assert_allclose(position, wanted, atol=1e-9)
    assert data.ReferencedSeriesSequence[0].SeriesInstanceUID == series[0].SeriesInstanceUID
    for name in ("PatientName", "PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert data[name].value == series[0][name].value, name
    assert data.SeriesInstanceUID != series[0].SeriesInstanceUID


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read_back_voxel_for_voxel(kind: str, tmp_path: Path) -> None:
    _, _, labels = written(tmp_path, **KINDS[kind])
    back = read_labels(tmp_path / "seg.dcm", read_volume(tmp_path / "out"))
    np.testing.assert_array_equal(back.labels, labels.labels)
    np.testing.assert_allclose(back.affine_lps, labels.affine_lps, atol=1e-6)


def test_highdicom_opens_it_and_finds_the_same_voxels(tmp_path: Path) -> None:
    _, _, labels = written(tmp_path)
    opened = highdicom.seg.segread(tmp_path / "seg.dcm")
    assert opened.segment_numbers == [1, 2]
    found = opened.get_volume(combine_segments=True).array  # [slice, row, column] of the slices with labels
    occupied = labels.labels.any(axis=(0, 1))
    assert np.array_equal(found.transpose(2, 1, 0), labels.labels[:, :, occupied]) or np.array_equal(
        found[::-1].transpose(2, 1, 0), labels.labels[:, :, occupied]
    )


@pytest.mark.parametrize("kind", ["plain", "oblique"])
def test_dcmqi_finds_the_same_voxels_at_the_same_place(kind: str, tmp_path: Path) -> None:
    program = shutil.which("segimage2itkimage")
    if program is None:
        pytest.skip("segimage2itkimage is not installed (PyPI package dcmqi)")
    _, _, labels = written(tmp_path, **KINDS[kind])
    folder = tmp_path / "dcmqi"
    folder.mkdir()
    options = ["--outputDirectory", str(folder), "--outputType", "nrrd", "--mergeSegments"]
    subprocess.run([program, "--inputDICOM", str(tmp_path / "seg.dcm"), *options], capture_output=True, check=True)
    (image,) = folder.glob("*.nrrd")
    placed = place_labels(read_labels(image), labels.affine_lps, labels.shape)
    np.testing.assert_array_equal(placed.labels, labels.labels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("has_source", [False, True])
def test_the_validator_finds_no_error(kind: str, has_source: bool, tmp_path: Path) -> None:
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed (Debian package dicom3tools)")
    scan = scan_of(tmp_path, **KINDS[kind])
    labels = labels_on(scan)
    if has_source:
        region = item(CodeValue="818981001", CodingSchemeDesignator="SCT", CodeMeaning="Abdomen")
        described = [segment_item(1, "liver", AnatomicRegionSequence=[region]), segment_item(2, "tumour")]
        frames = frames_of({1: np.ones((6, 12, 16), bool)}, fabricate.slices(**KINDS[kind]))
        path = save_one(segmentation(fabricate.slices(**KINDS[kind]), frames, described), tmp_path / "source.dcm")
        labels = replace(labels, segments=read_labels(path, scan).segments)
    result = interpolated(scan, 2)
    fine = replace(labels_on(result), segments=labels.segments)
    write_labels(fine, tmp_path / "derived.dcm", result=result)
    write_labels(labels, tmp_path / "acquired.dcm", result=scan)
    for name in ("derived.dcm", "acquired.dcm"):
        done = subprocess.run(
            [program, "-new", str(tmp_path / name)], capture_output=True, text=True, check=False, errors="replace"
        )
        assert "Segmentation" in done.stderr
        assert [line for line in done.stderr.splitlines() if line.startswith("Error")] == []


def test_codes_colours_and_algorithm_of_the_source_are_kept_and_the_change_is_told(tmp_path: Path) -> None:
    scan = scan_of(tmp_path)
    modifier = item(CodeValue="7771000", CodingSchemeDesignator="SCT", CodeMeaning="Left")
    first = segment_item(1, "left kidney", TrackingID="lesion 1", TrackingUID="1.2.3")
    first.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [modifier]
    first.SegmentDescription = "drawn on the nephrographic phase"
    frames = frames_of({1: np.ones((6, 12, 16), bool)}, fabricate.slices())
    path = save_one(segmentation(fabricate.slices(), frames, [first, segment_item(2, "none")]), tmp_path / "source.dcm")
    labels = read_labels(path, scan)
    write_labels(labels, tmp_path / "seg.dcm", result=scan)
    kept, empty = pydicom.dcmread(tmp_path / "seg.dcm").SegmentSequence
    for name in ("SegmentLabel", "SegmentAlgorithmType", "SegmentAlgorithmName", "RecommendedDisplayCIELabValue"):
        assert kept[name].value == first[name].value, name
    for name in ("TrackingID", "TrackingUID", "SegmentedPropertyCategoryCodeSequence"):
        assert kept[name].value == first[name].value, name
    kind = kept.SegmentedPropertyTypeCodeSequence[0]
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"
    assert kept.SegmentDescription.startswith("drawn on the nephrographic phase; resampled by saint")
    assert empty.SegmentLabel == "none"
    again = read_labels(tmp_path / "seg.dcm", scan)
    write_labels(again, tmp_path / "again.dcm", result=scan)
    twice = pydicom.dcmread(tmp_path / "again.dcm").SegmentSequence[0]
    assert twice.SegmentDescription == kept.SegmentDescription


def test_labels_without_a_description_get_a_neutral_code_and_a_colour_by_number(tmp_path: Path) -> None:
    scan = scan_of(tmp_path)
    labels = replace(labels_on(scan, numbers=(3, 7)), segments=(Segment(7, "spleen", (10, 200, 30)),))
    write_labels(labels, tmp_path / "seg.dcm", result=scan)
    first, second = pydicom.dcmread(tmp_path / "seg.dcm").SegmentSequence
    assert (first.SegmentNumber, first.SegmentLabel) == (1, "Label 3")
    assert (second.SegmentNumber, second.SegmentLabel) == (2, "spleen")
    for one in (first, second):
        assert one.SegmentedPropertyTypeCodeSequence[0].CodeValue == "85756007"
        assert one.SegmentAlgorithmType == "SEMIAUTOMATIC"
    assert first.RecommendedDisplayCIELabValue != second.RecommendedDisplayCIELabValue
    back = read_labels(tmp_path / "seg.dcm", scan)
    assert np.abs(np.subtract(back.segments[1].color_rgb, (10, 200, 30))).max() <= 1
    np.testing.assert_array_equal(back.labels, np.select([labels.labels == 3, labels.labels == 7], [1, 2]))


def test_a_series_on_disk_is_referred_to_as_it_is(tmp_path: Path) -> None:
    scan = scan_of(tmp_path)
    write_labels(labels_on(scan), tmp_path / "seg.dcm", result=scan)
    data, series = pydicom.dcmread(tmp_path / "seg.dcm"), fabricate.slices()
    assert data.ReferencedSeriesSequence[0].SeriesInstanceUID == series[0].SeriesInstanceUID
    names = {
        groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for groups in data.PerFrameFunctionalGroupsSequence
    }
    assert names == {one.SOPInstanceUID for one in series[1:]}


def test_the_same_labels_have_the_same_uids_and_others_have_others(tmp_path: Path) -> None:
    scan = scan_of(tmp_path)
    uids = []
    for name, labels in (("a", labels_on(scan)), ("b", labels_on(scan)), ("c", labels_on(scan, numbers=(1,)))):
        write_labels(labels, tmp_path / f"{name}.dcm", result=scan)
        uids.append(pydicom.dcmread(tmp_path / f"{name}.dcm").SOPInstanceUID)
    assert uids[0] == uids[1] != uids[2]


TEXTS: dict[str, tuple[list[str], str, str]] = {
    "none": ([], "r\xe9gion \u809d", "r?gion ?"),
    "Latin-1": (["ISO_IR 100"], "H\xfcftkopf links", ""),
    "Latin-1 without Japanese": (["ISO_IR 100"], "\u809d links", "? links"),
    "UTF-8": (["ISO_IR 192"], "r\xe9gion \u809d", ""),
    "Latin-1 after ASCII": (["ISO 2022 IR 6", "ISO 2022 IR 100"], "H\xfcftkopf", "H?ftkopf"),
    "Japanese by escapes": (["", "ISO 2022 IR 87"], "\u809d left", ""),
    "Japanese and Latin-1": (["ISO 2022 IR 100", "ISO 2022 IR 87"], "\xfc \u809d", ""),
    "Japanese without Latin-1": (["", "ISO 2022 IR 87"], "r\xe9gion \u809d", "r?gion \u809d"),
    "Latin-1 with an arrow": (["ISO_IR 100"], "L\xe4sion \u2192 Herz", "L\xe4sion ? Herz"),
}
"""Of a name: the character set of the series, the text, and that with ``?`` for what the set lacks; "" if nothing."""


@pytest.mark.parametrize(
    "patient", [b"DOE^JANE", b"M\xfcller", b"Yamada=\x1b$B;3ED\x1b(B"], ids=["ASCII", "8 bits", "escapes"]
)
@pytest.mark.parametrize("name", TEXTS)
def test_text_that_the_series_lacks_is_written_as_utf_8_where_patient_text_allows_it(
    name: str, patient: bytes, tmp_path: Path
) -> None:
    character_set, text, lacking = TEXTS[name]
    slices = fabricate.slices()
    for one in slices:
        one.PatientName = RawPersonName(patient)
        if character_set:
            one.SpecificCharacterSet = character_set
    scan = read_volume(fabricate.save(slices, tmp_path / "scan"))
    labels = replace(labels_on(scan), segments=(Segment(1, text, algorithm_name=text),))
    write_labels(labels, tmp_path / "seg.dcm", result=scan)
    data = pydicom.dcmread(tmp_path / "seg.dcm")
    is_plain = patient == b"DOE^JANE"
    wanted = text if is_plain or not lacking else lacking
    assert (data.SegmentSequence[0].SegmentLabel, data.SegmentSequence[0].SegmentAlgorithmName) == (wanted, wanted)
    assert read_labels(tmp_path / "seg.dcm", scan).segments[0].name == wanted
    assert (data.get("SpecificCharacterSet") == "ISO_IR 192") == (
        character_set == ["ISO_IR 192"] or bool(lacking and is_plain)
    )
    assert patient in (tmp_path / "seg.dcm").read_bytes()
