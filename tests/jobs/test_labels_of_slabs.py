"""Labels on thin slices of slabs: with the scan or afterwards, in files and in DICOM, and back."""

from dataclasses import replace
from pathlib import Path

import fabricate
import numpy as np
import pytest
from label_scans import label_array, save_labels, save_scan
from make_jobs import change_job, make_job

from saint_cli.geometry import SlabProfile, grid_by_factor, grid_of_slabs
from saint_cli.io import read_labels, read_volume
from saint_cli.jobs import GridRequest, Job, ModelConfig, run_job
from saint_cli.jobs.label_job import LabelJob, run_label_job
from saint_cli.labels import GridRelation, convert_labels, plan_labels, refine_labels
from saint_cli.options.labels import LabelSettings
from saint_cli.progress import silent
from saint_cli.volume.label_map import LabelMap

SLICES = 6


def full_labels() -> np.ndarray:
    """Labels 1 and 3 [x, y, z] that reach the first and the last slice."""
    labels = label_array()
    labels[..., 0], labels[..., -1] = labels[..., 1], labels[..., -2]
    return labels


@pytest.fixture
def job(tmp_path: Path, slab_weights: Path) -> Job:
    """A scan with labels, whose slices are taken for slabs."""
    scan, labels = save_scan(tmp_path / "scan.nii.gz"), save_labels(tmp_path / "seg.nii.gz", full_labels())
    return make_job(
        scan,
        tmp_path / "thin.nii.gz",
        GridRequest(factor=5, slab=True),
        ModelConfig(str(slab_weights), "cpu", "fp32", 4, 1),
        label_settings=LabelSettings(labels=str(labels)),
        labels_target=tmp_path / "thin_labels.nii.gz",
    )


@pytest.mark.parametrize("thickness_mm", [5.0, 3.0, 9.0])
@pytest.mark.parametrize("factor", [2, 3, 4, 5])
def test_labels_brought_to_a_finished_result_are_those_made_with_it(
    job: Job, tmp_path: Path, factor: int, thickness_mm: float
) -> None:
    job = change_job(job, grid=GridRequest(factor=factor, slab=thickness_mm))
    made = run_job(job, silent)
    with_it, result = read_labels(made.labels or ""), read_volume(tmp_path / "thin.nii.gz")
    np.testing.assert_allclose(with_it.affine_lps, result.affine_lps, atol=1e-5)
    afterwards = LabelJob(tmp_path / "seg.nii.gz", tmp_path / "thin.nii.gz", tmp_path / "later.nrrd")
    done = run_label_job(afterwards, silent)
    assert (done.relation, done.labels_reach_end) == ("refine", made.labels_reach_end)
    np.testing.assert_array_equal(read_labels(afterwards.target).labels, with_it.labels)


def test_the_outer_halves_of_the_outer_slabs_keep_their_labels_and_so_do_middles(job: Job) -> None:
    done = run_job(job, silent)
    thin, thick = read_labels(done.labels or "").labels, full_labels()
    assert thin.shape[2] == 5 * SLICES
    for k in range(3):
        np.testing.assert_array_equal(thin[..., k], thick[..., 0])
        np.testing.assert_array_equal(thin[..., -1 - k], thick[..., -1])
    np.testing.assert_array_equal(thin[..., 2::5], thick)


def test_labels_that_go_through_all_slabs_keep_their_volume(job: Job, tmp_path: Path) -> None:
    column = np.zeros_like(full_labels())
    column[4:9, 5:11] = 1
    path = save_labels(tmp_path / "column.nii.gz", column)
    done = run_job(change_job(job, label_settings=LabelSettings(str(path), guide=False)), silent)
    assert not done.labels_reach_end
    assert done.label_volumes[0].after_ml == pytest.approx(done.label_volumes[0].before_ml, rel=1e-6)


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
def test_thin_labels_come_back_to_the_slabs_they_were_made_of(factor: int) -> None:
    thick = LabelMap(full_labels(), fabricate.OBLIQUE_LPS)
    grid = grid_of_slabs(grid_by_factor(SLICES, 2, factor), SlabProfile(1.0))
    thin = refine_labels(thick, grid)
    plan = plan_labels(thin, thick.affine_lps, thick.shape)
    assert (plan.relation, plan.ends_at_middles) == (GridRelation.COARSEN, False)
    back = convert_labels(thin, plan).labels
    assert np.mean(back != thick.labels) < 0.01


def test_labels_of_a_part_of_the_slabs_are_background_beyond_half_a_slab_more() -> None:
    thick = LabelMap(np.maximum(full_labels(), 1), fabricate.OBLIQUE_LPS)
    grid = grid_of_slabs(grid_by_factor(SLICES, 2, 5), SlabProfile(1.0))
    affine = thick.affine_lps.copy()
    affine[:3, 3] += 2 * affine[:3, 2]
    some = replace(thick, labels=thick.labels[..., 2:5], affine_lps=affine)
    thin = convert_labels(some, plan_labels(some, grid.refine(thick.affine_lps), grid.output_shape(thick.shape))).labels
    np.testing.assert_array_equal(thin[..., 12:23:5], some.labels)
    assert not thin[..., :8].any()
    assert not thin[..., -3:].any()


@pytest.mark.parametrize("step", [(0.0, 0.0, 5.0), (0.0, 1.5, 4.8)], ids=["straight", "tilted"])
def test_a_segmentation_of_a_series_is_brought_to_its_thin_series(
    job: Job, tmp_path: Path, step: tuple[float, float, float]
) -> None:
    pytest.importorskip("highdicom", reason="highdicom is not installed (extra seg)")
    source = fabricate.save(fabricate.slices(step=step), tmp_path / "series")
    scan = read_volume(source)
    marked = np.zeros(scan.shape, np.uint8)
    marked[3:9, 2:6, 1:], marked[4:9, 6:11, 2:] = 1, 2
    drawn = save_labels(tmp_path / "drawn.nii.gz", marked, scan.affine_lps)
    seg, thin = tmp_path / "seg.dcm", tmp_path / "thin"
    run_label_job(LabelJob(drawn, source, seg), silent)
    settings = LabelSettings(labels=str(seg))
    job = change_job(job, source=source, target=thin, label_settings=settings, labels_target=tmp_path / "with.dcm")
    run_job(job, silent)
    done = run_label_job(LabelJob(seg, thin, tmp_path / "later.dcm"), silent)
    assert done.shape_after == read_volume(thin).shape
    later, with_it = (read_labels(tmp_path / name, read_volume(thin)).labels for name in ("later.dcm", "with.dcm"))
    assert set(np.unique(later)) == {0, 1, 2}
    np.testing.assert_array_equal(later, with_it)
