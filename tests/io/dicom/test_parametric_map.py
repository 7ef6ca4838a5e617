"""The expected error as a DICOM Parametric Map: its values and places, what it refers to, and what validators say."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import fabricate
import numpy as np
import pydicom
import pytest
from fabricate import interpolated, saved_series
from pydicom.dataset import Dataset

from saint_cli.errors import OutputError, UsageError
from saint_cli.geometry import grid_by_factor
from saint_cli.io import check_error_map, read_volume, write_error_map, write_volume
from saint_cli.io.dicom import highdicom_objects
from saint_cli.volume import Header, Volume

pytest.importorskip("highdicom", reason="highdicom is not installed (extra parametric-map)")

KINDS = {
    "plain": {},
    "tilted": {"step": (0.0, 1.2, 4.8)},
    "oblique": {"step": (2.4, -3.2, 3.0), "orientation": fabricate.OBLIQUE},
}


def written(folder: Path, **changes: object) -> tuple[Dataset, list[Dataset], np.ndarray]:
    """A map, the series that it belongs to, and the error [x, y, z] that it holds."""
    fabricate.save(fabricate.slices(**changes), folder / "source")
    result = interpolated(read_volume(folder / "source"), 2)
    error = np.random.default_rng(0).random(result.shape, np.float32) * 50
    write_error_map(Volume(error, result.affine_lps), result, folder / "error.dcm")
    write_volume(result, folder / "out")
    return pydicom.dcmread(folder / "error.dcm"), saved_series(folder / "out"), error


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_has_the_values_place_and_reference_of_its_slice(kind: str, tmp_path: Path) -> None:
    data, series, error = written(tmp_path, **KINDS[kind])
    slices = {one.SOPInstanceUID: one for one in series}
    affine = read_volume(tmp_path / "out").affine_lps
    frames = np.frombuffer(data.FloatPixelData, np.float32).reshape(-1, data.Rows, data.Columns)
    assert len(frames) == len(slices) == len(data.PerFrameFunctionalGroupsSequence)
    seen = set()
    for frame, groups in zip(frames, data.PerFrameFunctionalGroupsSequence, strict=True):
        (reference,) = groups.DerivationImageSequence[0].SourceImageSequence
        source = slices[reference.ReferencedSOPInstanceUID]
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose(position, source.ImagePositionPatient, atol=1e-9)
        k = round(float(np.linalg.solve(affine[:3, :3], np.array(position, float) - affine[:3, 3])[2]))
        np.testing.assert_array_equal(frame.T, error[..., k])
        seen.add(k)
    assert seen == set(range(error.shape[2]))


def test_the_map_is_one_of_the_same_patient_study_and_space_in_a_series_of_its_own(tmp_path: Path) -> None:
    data, series, _ = written(tmp_path)
    for name in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate", "FrameOfReferenceUID"):
        assert data[name].value == series[0][name].value, name
    assert data.SeriesInstanceUID != series[0].SeriesInstanceUID
    (referenced,) = data.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == series[0].SeriesInstanceUID
    assert len(referenced.ReferencedInstanceSequence) == len(series)
    (mapping,) = data.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "[hnsf'U]"
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)


def test_text_in_any_character_set_stays_as_it_is(tmp_path: Path) -> None:
    slices = fabricate.slices()
    for one in slices:
        one.SpecificCharacterSet, one.PatientName, one.PatientSex = "ISO_IR 100", "M\xfcller^J\xf6rg", "?"
    fabricate.save(slices, tmp_path / "source")
    result = interpolated(read_volume(tmp_path / "source"), 2)
    error = Volume(np.zeros(result.shape, np.float32), result.affine_lps)
    write_error_map(error, result, tmp_path / "error.dcm")
    data = pydicom.dcmread(tmp_path / "error.dcm")
    assert (data.SpecificCharacterSet, data.PatientName, data.PatientSex) == ("ISO_IR 100", "M\xfcller^J\xf6rg", "?")


def test_a_map_that_exists_stays_unless_it_may_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "error.dcm"
    path.write_bytes(b"another")
    result = interpolated(read_volume(fabricate.save(fabricate.slices(), tmp_path / "source")), 2)
    error = Volume(np.zeros(result.shape, np.float32), result.affine_lps)
    with pytest.raises(OutputError, match="exists already"):
        write_error_map(error, result, path)
    assert path.read_bytes() == b"another"
    write_error_map(error, result, path, overwrite=True)
    assert pydicom.dcmread(path).SOPClassUID.name == "Parametric Map Storage"


@pytest.mark.parametrize("kind", KINDS)
def test_the_validator_finds_no_error(kind: str, tmp_path: Path) -> None:
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed (Debian package dicom3tools)")
    written(tmp_path, **KINDS[kind])
    done = subprocess.run([program, str(tmp_path / "error.dcm")], capture_output=True, text=True, check=False)
    assert "ParametricMap" in done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("Error")] == []


def test_a_map_needs_a_dicom_result_highdicom_and_less_than_four_gigabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, path = (
        Volume(np.zeros((4, 4, 5), np.int16), np.diag([1.0, 1.0, 5.0, 1.0]), Header("CT")),
        tmp_path / "e.dcm",
    )
    grid = grid_by_factor(5, 2, 4)
    check_error_map(volume, grid, path, tmp_path / "out")
    with pytest.raises(UsageError, match=r"refers to a DICOM result, and out.nii is none"):
        check_error_map(volume, grid, path, tmp_path / "out.nii")
    large = replace(volume, voxels=np.broadcast_to(np.int16(0), (20_000, 20_000, 5)))
    with pytest.raises(UsageError, match=r"at most 4\.3 GB, this one would have 27\.2 GB"):
        check_error_map(large, grid, path, tmp_path / "out")
    monkeypatch.setattr(highdicom_objects, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'saint-cli\[parametric-map\]'"):
        check_error_map(volume, grid, path, tmp_path / "out")
