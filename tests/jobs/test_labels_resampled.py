"""Labels of results that are resampled: with other pixels, with coarser slices; refused on uneven ones."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import fabricate
import numpy as np
import pydicom
import pytest
from label_scans import label_array, save_labels, save_scan
from make_jobs import make_job

from saint_cli.errors import UsageError
from saint_cli.geometry import make_plane_grid
from saint_cli.io import read_labels, read_volume
from saint_cli.io.dicom import highdicom_objects, segmentation_write
from saint_cli.jobs import GridRequest, Job, ModelConfig, run_job
from saint_cli.labels import place_labels, resample_label_planes
from saint_cli.method import pipeline
from saint_cli.options.labels import LabelSettings
from saint_cli.progress import silent
from saint_cli.report.texts import TIMES
from saint_cli.volume.label_map import LabelMap


def job_on(grid: GridRequest, folder: Path, config: ModelConfig) -> Job:
    scan, labels = save_scan(folder / "scan.nii.gz"), save_labels(folder / "seg.nii.gz")
    settings = LabelSettings(labels=str(labels))
    target = folder / "labels.nii.gz"
    return make_job(scan, folder / "out.nii.gz", grid, config, label_settings=settings, labels_target=target)


def volumes_ml(labels: LabelMap) -> dict[int, float]:
    voxel = abs(np.linalg.det(labels.affine_lps[:3, :3])) / 1000
    return {int(n): float((labels.labels == n).sum() * voxel) for n in np.unique(labels.labels) if n}


@pytest.mark.parametrize(
    "grid",
    [
        GridRequest(factor=3, in_plane_mm=0.4),
        GridRequest(factor=2, in_plane_mm=1.7),
        GridRequest(spacing_mm=10.0),
        GridRequest(spacing_mm=10.0, in_plane_mm=1.6),
    ],
)
def test_labels_lie_on_the_grid_of_a_resampled_result(
    grid: GridRequest, tmp_path: Path, model_config: ModelConfig
) -> None:
    done = run_job(job_on(grid, tmp_path, model_config), silent)
    labels, result = read_labels(done.labels or ""), read_volume(done.target)
    assert labels.shape == result.shape == done.shape_after
    np.testing.assert_allclose(labels.affine_lps, result.affine_lps, atol=1e-4)
    assert set(np.unique(labels.labels)) == {0, 1, 3}
    assert {one.number: pytest.approx(one.after_ml) for one in done.label_volumes} == volumes_ml(labels)


def test_the_page_describes_the_files_that_are_written(tmp_path: Path, model_config: ModelConfig) -> None:
    page = tmp_path / "page.html"
    done = run_job(replace(job_on(GridRequest(factor=2, in_plane_mm=1.7), tmp_path, model_config), page=page), silent)
    text = page.read_text(encoding="utf-8")
    rows = dict(re.findall(r'<tr><th scope="row">([^<]*)</th><td>[^<]*</td><td>([^<]*)</td></tr>', text))
    assert rows["Voxels along x, y, z"] == TIMES.join(map(str, done.shape_after))
    assert rows["Spacing, mm"] == TIMES.join(f"{mm:.4g}" for mm in done.spacing_after_mm)
    after = re.findall(r"</i>[^<]*</th><td>[^<]*</td><td>([^<]*)</td><td>", text)
    assert after == [f"{one.after_ml:.3g}" for one in done.label_volumes]


def test_finer_pixels_change_no_volume_and_coarser_ones_hardly() -> None:
    before = LabelMap(label_array(), fabricate.volume().affine_lps)
    for pixel_mm, tolerance in ((0.2, 0.02), (0.4, 0.02), (1.6, 0.15)):
        plane = make_plane_grid(before.affine_lps, before.shape, 2, untilt=False, pixel_mm=pixel_mm)
        assert plane is not None
        after = resample_label_planes(before, plane)
        for number, ml in volumes_ml(before).items():
            assert volumes_ml(after)[number] == pytest.approx(ml, rel=tolerance), (pixel_mm, number)


def test_pixels_of_the_same_size_that_do_not_move_keep_every_label() -> None:
    before = LabelMap(label_array(), fabricate.volume().affine_lps)
    plane = make_plane_grid(before.affine_lps, before.shape, 2, untilt=False, pixel_mm=0.4)
    assert plane is not None
    lines = tuple(replace(line, count=line.size, start=0.0, pixel=1.0) for line in plane.lines)
    same = replace(plane, lines=(lines[0], lines[1]), affine_lps=before.affine_lps)
    np.testing.assert_array_equal(resample_label_planes(before, same).labels, before.labels)


def test_labels_of_uneven_slices_are_refused_with_the_way_out(tmp_path: Path, model_config: ModelConfig) -> None:
    series = fabricate.slices(5)
    for data, height in zip(series, (0.0, 3.0, 9.0, 12.0, 15.0), strict=True):
        data.ImagePositionPatient = [0, 0, height]
    job = job_on(GridRequest(spacing_mm=1.0), tmp_path, model_config)
    job = replace(job, source=fabricate.save(series, tmp_path / "s"), settings=replace(job.settings, irregular=True))
    with pytest.raises(UsageError, match=r"upsample without --labels.*labels cannot follow uneven slices yet"):
        run_job(job, silent)
    assert not job.labels_target.exists()  # type: ignore[union-attr]


KINDS: dict[str, dict[str, Any]] = {
    "axial": {},
    "reversed": {"step": (0.0, 0.0, -5.0)},
    "oblique": {"step": (2.4, -3.2, 3.0), "orientation": fabricate.OBLIQUE},
    "tilted": {"step": (0.0, 1.2, 4.8)},
}

GRIDS = {
    "finer pixels": GridRequest(factor=2, in_plane_mm=0.4),
    "coarser pixels": GridRequest(factor=2, in_plane_mm=1.3),
    "untilted": GridRequest(factor=2, untilt=True),
    "means": GridRequest(spacing_mm=10.0),
    "means of coarser pixels": GridRequest(spacing_mm=10.0, in_plane_mm=1.3),
}


def job_on_series(grid: GridRequest, folder: Path, config: ModelConfig, **changes: Any) -> Job:
    """A DICOM series with labels of voxels; labels go to a DICOM SEG."""
    source = fabricate.save(fabricate.slices(**changes), folder / "scan")
    scan = read_volume(source)
    labels = np.zeros(scan.shape, np.uint8)
    labels[3:9, 2:6, 1:], labels[4:9, 6:11, 2:] = 1, 2
    settings = LabelSettings(labels=str(save_labels(folder / "seg.nii.gz", labels, scan.affine_lps)))
    return make_job(
        source, folder / "out", grid, config, label_settings=settings, labels_target=folder / "out_labels.dcm"
    )


@pytest.mark.parametrize(
    ("kind", "grid"),
    [(kind, grid) for kind in KINDS for grid in GRIDS if kind == "tilted" or grid != "untilted"],
)
def test_frames_of_a_segmentation_lie_where_the_derived_slices_do(
    kind: str, grid: str, tmp_path: Path, model_config: ModelConfig
) -> None:
    pytest.importorskip("highdicom", reason="highdicom is not installed (extra seg)")
    job = job_on_series(GRIDS[grid], tmp_path, model_config, **KINDS[kind])
    run_job(job, silent)
    as_voxels = replace(job, target=tmp_path / "again", labels_target=tmp_path / "labels.nii.gz")
    run_job(as_voxels, silent)
    data, result = pydicom.dcmread(tmp_path / "out_labels.dcm"), read_volume(tmp_path / "out")
    series = {one.SOPInstanceUID: one for one in fabricate.saved_series(tmp_path / "out")}
    shared = data.SharedFunctionalGroupsSequence[0]
    for frame in data.PerFrameFunctionalGroupsSequence:
        slice_ = series[frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]
        place = frame.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose(place, slice_.ImagePositionPatient, atol=1e-9)
        assert (data.Rows, data.Columns) == (slice_.Rows, slice_.Columns)
        assert shared.PixelMeasuresSequence[0].PixelSpacing == slice_.PixelSpacing
        assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == slice_.ImageOrientationPatient
    back, wanted = (read_labels(tmp_path / name, result) for name in ("out_labels.dcm", "labels.nii.gz"))
    assert set(np.unique(back.labels)) == {0, 1, 2}
    placed = place_labels(wanted, result.affine_lps, result.shape)
    np.testing.assert_array_equal(back.labels, placed.labels)
    np.testing.assert_allclose(back.affine_lps, result.affine_lps, atol=1e-4)
    _validate(tmp_path / "out_labels.dcm")


def _validate(path: Path) -> None:
    """Let dciodvfy check a Segmentation, where it is installed."""
    program = shutil.which("dciodvfy")
    if program is None:
        return
    done = subprocess.run([program, "-new", str(path)], capture_output=True, text=True, check=False, errors="replace")
    assert "Segmentation" in done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("Error")] == []


@pytest.mark.parametrize("grid", [GridRequest(factor=2), GridRequest(spacing_mm=10.0)])
def test_of_empty_labels_beside_a_series_the_result_is_written_with_a_warning(
    grid: GridRequest, tmp_path: Path, model_config: ModelConfig
) -> None:
    pytest.importorskip("highdicom", reason="highdicom is not installed (extra seg)")
    job = job_on_series(grid, tmp_path, model_config)
    scan = read_volume(job.source)
    (tmp_path / "seg.nii.gz").unlink()
    save_labels(tmp_path / "seg.nii.gz", np.zeros(scan.shape, np.uint8), scan.affine_lps)
    done = run_job(job, silent)
    assert done.labels is None
    assert [text for text in done.warnings if "out_labels.dcm is not written" in text]
    assert read_volume(tmp_path / "out").shape == done.shape_after
    assert not (tmp_path / "out_labels.dcm").exists()
    done = run_job(replace(job, target=tmp_path / "again", labels_target=tmp_path / "empty.nii.gz"), silent)
    assert not read_labels(done.labels or "").labels.any()


@pytest.mark.parametrize(
    ("name", "limit", "message"),
    [("MAX_PIXEL_BYTES", 200, "a DICOM SEG holds at most"), ("MAX_SEGMENTS", 1, "2 labels")],
)
def test_what_a_segmentation_cannot_hold_is_refused_before_voxels_are_computed(
    name: str, limit: int, message: str, tmp_path: Path, model_config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("highdicom", reason="highdicom is not installed (extra seg)")
    monkeypatch.setattr(highdicom_objects if name == "MAX_PIXEL_BYTES" else segmentation_write, name, limit)
    monkeypatch.setattr(pipeline, "restore", lambda *_: pytest.fail("voxels were computed"))
    with pytest.raises(UsageError, match=message):
        run_job(job_on_series(GridRequest(factor=2), tmp_path, model_config), silent)
