"""Where a DICOM SEG may go, and what cannot be written."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import fabricate
import numpy as np
import pydicom
import pytest
from fabricate import interpolated
from pydicom.dataset import Dataset
from written_labels import labels_on, scan_of

from saint_cli.errors import OutputError, UsageError
from saint_cli.io import (
    check_segmentation,
    check_segmentation_target,
    read_volume,
    write_labels,
)
from saint_cli.io.dicom import highdicom_objects, segmentation_write


def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan, path = scan_of(tmp_path), tmp_path / "seg.dcm"
    make = segmentation_write._make_segmentation

    def make_late(*arguments: Any) -> Dataset:
        path.write_bytes(b"another")
        return make(*arguments)

    monkeypatch.setattr(segmentation_write, "_make_segmentation", make_late)
    with pytest.raises(OutputError, match="appeared while the result was computed"):
        write_labels(labels_on(scan), path, result=scan)
    assert path.read_bytes() == b"another"
    write_labels(labels_on(scan), path, result=scan, overwrite=True)
    assert pydicom.dcmread(path).Modality == "SEG"


def test_patient_text_in_any_character_set_stays_as_it_is(tmp_path: Path) -> None:
    slices = fabricate.slices()
    for one in slices:
        one.SpecificCharacterSet, one.PatientName = "ISO_IR 100", "M\xfcller^J\xf6rg"
    scan = read_volume(fabricate.save(slices, tmp_path / "scan"))
    write_labels(labels_on(scan), tmp_path / "seg.dcm", result=scan)
    data = pydicom.dcmread(tmp_path / "seg.dcm")
    assert (data.SpecificCharacterSet, data.PatientName) == ("ISO_IR 100", "M\xfcller^J\xf6rg")


def test_what_cannot_be_written_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    scan, path = scan_of(tmp_path), tmp_path / "seg.dcm"
    labels = labels_on(scan)
    with pytest.raises(UsageError, match="refers to a DICOM series, and the scan is none"):
        write_labels(labels, path, result=replace(scan, header=replace(scan.header, dicom_source=None)))
    with pytest.raises(UsageError, match=r"labels \(16 x 12 x 6 voxels\) do not lie on the grid .* \(16 x 12 x 11"):
        write_labels(labels, path, result=interpolated(scan, 2))
    moved = replace(labels, affine_lps=labels.affine_lps + np.diag([0, 0, 0.1, 0]))
    with pytest.raises(UsageError, match="do not lie on the grid"):
        write_labels(moved, path, result=scan)
    with pytest.raises(UsageError, match="no voxel is labelled"):
        write_labels(replace(labels, labels=np.zeros_like(labels.labels)), path, result=scan)
    assert not path.exists()
    path.write_bytes(b"another")
    with pytest.raises(OutputError, match="exists already"):
        write_labels(labels, path, result=scan)
    write_labels(labels, path, result=scan, overwrite=True)
    assert pydicom.dcmread(path).Modality == "SEG"


def test_slices_of_several_series_are_refused_though_their_result_is_not(tmp_path: Path) -> None:
    series = fabricate.slices()
    for data in series[3:]:
        data.SeriesInstanceUID = f"{data.SeriesInstanceUID}.1"
    scan = read_volume(fabricate.save(series, tmp_path / "scan"), merge=True)
    for act in (
        lambda: check_segmentation(labels_on(scan), tmp_path / "seg.dcm", scan, is_derived=False),
        lambda: write_labels(labels_on(scan), tmp_path / "seg.dcm", result=scan),
    ):
        with pytest.raises(UsageError, match="several series"):
            act()
    result = interpolated(scan, 2)
    write_labels(labels_on(result), tmp_path / "seg.dcm", result=result)


def test_frames_of_a_multiframe_image_are_refused(tmp_path: Path) -> None:
    image = fabricate.multiframe(fabricate.slices())
    image.FrameOfReferenceUID = "1.2.3"
    scan = read_volume(fabricate.save([image], tmp_path / "scan"))
    with pytest.raises(UsageError, match="frames of a multi-frame image"):
        write_labels(labels_on(scan), tmp_path / "seg.dcm", result=scan)


def test_a_target_is_checked_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = scan_of(tmp_path)
    check_segmentation_target(tmp_path / "seg.dcm", scan)
    check_segmentation_target(tmp_path / "seg.nii.gz", None)
    with pytest.raises(UsageError, match="refers to a DICOM series"):
        check_segmentation_target(tmp_path / "seg.dcm", None)
    monkeypatch.setattr(highdicom_objects, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'saint-cli\[seg\]'"):
        check_segmentation_target(tmp_path / "seg.dcm", scan)
