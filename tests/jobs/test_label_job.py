"""``run_label_job``: refined, coarsened and copied label maps, and refusals before anything is computed."""

from dataclasses import replace
from pathlib import Path

import fabricate
import nibabel
import numpy as np
import pytest
from label_scans import SHAPE, label_array, save_labels, save_scan
from scan_passes import FIRST, SAME, put, scan_pass

from saint_cli import geometry, labels
from saint_cli.errors import GeometryError, OutputError, SaintError, UnreadableError, UsageError
from saint_cli.errors.parameter_names import naming_options
from saint_cli.io import LabelReadOptions, read_labels, read_volume, write_volume
from saint_cli.io.dicom import highdicom_objects, segmentation_write
from saint_cli.jobs.label_job import LabelJob, run_label_job
from saint_cli.progress import silent
from saint_cli.volume import Derivation, Volume

GRID = geometry.grid_by_factor(SHAPE[2], 2, 4)


@pytest.fixture
def job(tmp_path: Path) -> LabelJob:
    """Labels of a thick scan, and that scan upsampled."""
    thick = fabricate.volume(SHAPE)
    fine = np.repeat(thick.voxels, 4, 2)[..., : GRID.count]
    write_volume(Volume(fine, GRID.refine(thick.affine_lps), thick.header), tmp_path / "fine.nii.gz")
    save_scan(tmp_path / "thick.nii.gz")
    return LabelJob(save_labels(tmp_path / "seg.nii.gz"), tmp_path / "fine.nii.gz", tmp_path / "new" / "seg_x4.nii.gz")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("guide", [True, False])
def test_labels_of_a_thick_scan_lie_on_the_fine_one_and_acquired_slices_keep_them(
    job: LabelJob, ending: str, guide: bool
) -> None:
    job = replace(job, target=job.target.with_name(f"new{ending}"), guide=guide)
    done = run_label_job(job, silent)
    assert (done.relation, done.guided) == ("refine", guide)
    fine = read_labels(job.target)
    assert fine.labels.dtype == np.uint8
    np.testing.assert_array_equal(fine.labels[..., ::4], label_array())
    np.testing.assert_allclose(fine.affine_lps, GRID.refine(fabricate.volume().affine_lps), atol=1e-5)
    assert done.shape_after == fine.shape == (24, 20, 21)


def test_there_by_shapes_and_back_again_gives_the_same_labels(job: LabelJob, tmp_path: Path) -> None:
    run_label_job(replace(job, guide=False), silent)
    back = LabelJob(job.target, tmp_path / "thick.nii.gz", tmp_path / "back.nrrd")
    done = run_label_job(back, silent)
    assert (done.relation, done.guided, done.shape_after) == ("coarsen", False, SHAPE)
    np.testing.assert_array_equal(read_labels(back.target).labels, label_array())


def test_warnings_are_not_of_what_upsampling_does_to_the_scan(job: LabelJob, tmp_path: Path) -> None:
    thick = fabricate.volume(SHAPE)
    voxels, tilted = thick.voxels.astype(np.float32), thick.affine_lps.copy()
    voxels[:2, :2], tilted[1, 2] = np.nan, tilted[1, 2] + 1.5
    made = Derivation(geometry.grid_by_factor(SHAPE[2], 2, 2), "linear", "0" * 64)
    write_volume(Volume(voxels, tilted, replace(thick.header, derivation=made)), tmp_path / "tilted.nii.gz")
    seg = save_labels(tmp_path / "tilted_seg.nii.gz", affine_lps=tilted)
    scan = read_volume(tmp_path / "tilted.nii.gz").header.warnings
    assert [any(word in text for text in scan) for word in ("tilted", "NaN", "result of saint")] == [True] * 3
    assert run_label_job(replace(job, labels=seg, like=tmp_path / "tilted.nii.gz"), silent).warnings == ()


@pytest.mark.parametrize("guide", [True, False])
def test_a_label_map_in_place_of_the_scan_is_warned_of_where_its_edges_are_followed(
    job: LabelJob, guide: bool, tmp_path: Path
) -> None:
    run_label_job(job, silent)
    like = tmp_path / "fine_labels.nii.gz"
    job.target.rename(like)
    warnings = run_label_job(replace(job, like=like, guide=guide), silent).warnings
    assert [text.startswith("fine_labels.nii.gz looks like labels, whose edges are followed") for text in warnings] == (
        [True] if guide else []
    )


def test_on_the_same_grid_labels_are_copied_and_the_summary_says_so(job: LabelJob, tmp_path: Path) -> None:
    done = run_label_job(replace(job, like=tmp_path / "thick.nii.gz"), silent)
    assert done.relation == "same"
    assert "labels copied, for the grids are the same" in done.summary
    np.testing.assert_array_equal(read_labels(job.target).labels, label_array())
    assert all(one.before_ml == one.after_ml for one in done.label_volumes)


def test_labels_of_a_part_of_the_scan_end_there_and_are_not_repeated(job: LabelJob, tmp_path: Path) -> None:
    part = save_labels(tmp_path / "part.nii.gz", label_array()[..., :3])
    run_label_job(replace(job, labels=part), silent)
    fine = read_labels(job.target).labels
    np.testing.assert_array_equal(fine[..., :9:4], label_array()[..., :3])
    assert fine[..., 9].any()
    assert not fine[..., 12:].any()


@pytest.mark.parametrize("like", ["fine.nii.gz", "thick.nii.gz"])
def test_labels_outside_of_the_scan_are_left_out_with_a_warning(job: LabelJob, tmp_path: Path, like: str) -> None:
    longer, affine = np.ones((24, 20, 11), np.uint8), fabricate.volume().affine_lps.copy()
    longer[:, :, 0] = 0
    affine[:3, 3] -= 3 * affine[:3, 2]
    longer[5, 5, 1:] = 0
    path = save_labels(tmp_path / "longer.nii.gz", longer, affine)
    done = run_label_job(replace(job, labels=path, like=tmp_path / like), silent)
    assert done.warnings == (f"labels: {4 * 479:,} labelled voxels lie outside of the scan and are left out",)


def test_fine_labels_outside_of_the_thick_scan_are_left_out_with_a_warning(job: LabelJob, tmp_path: Path) -> None:
    affine = GRID.refine(fabricate.volume().affine_lps)
    affine[:3, 3] -= 5 * affine[:3, 2]  # half of the first slab and three slices before it, and so at the end
    path = save_labels(tmp_path / "longer.nii.gz", np.ones((24, 20, 31), np.uint8), affine)
    done = run_label_job(replace(job, labels=path, like=tmp_path / "thick.nii.gz"), silent)
    assert (done.relation, done.shape_after) == ("coarsen", SHAPE)
    assert done.warnings == (f"labels: {6 * 480:,} labelled voxels lie outside of the scan and are left out",)


def test_only_the_segments_that_are_asked_for_are_taken(job: LabelJob) -> None:
    run_label_job(replace(job, label_options=LabelReadOptions(segments=(3,))), silent)
    assert set(np.unique(read_labels(job.target).labels)) == {0, 3}


REFUSED: dict[str, tuple[dict[str, str], type[SaintError], str]] = {
    "no labels": ({"labels": "no.nii.gz"}, UnreadableError, "no.nii.gz: no such file"),
    "no scan": ({"like": "no.nii.gz"}, UnreadableError, "no.nii.gz: no such file"),
    "segmentation of no series": ({"target": "seg.dcm"}, UsageError, "a DICOM SEG refers to a DICOM series"),
    "folder": ({"target": "folder"}, UsageError, "-o .*folder: the name must end in .nii or"),
    "labels as target": ({"target": "seg.nii.gz"}, OutputError, "exists already"),
    "scan as labels": ({"labels": "thick.nii.gz"}, UsageError, "thick.nii.gz: .*are not labels"),
    "another place": ({"like": "apart.nii.gz"}, GeometryError, "seg.nii.gz: .*does not fit"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_be_refused_is_refused_before_labels_are_computed(
    name: str, job: LabelJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart = np.diag([0.8, 0.8, 1.25, 1.0])
    apart[:3, 3] = 500
    write_volume(Volume(fabricate.volume((24, 20, 21)).voxels, apart), tmp_path / "apart.nii.gz")
    changes, error, message = REFUSED[name]
    monkeypatch.setattr(labels, "convert_labels", lambda *_: pytest.fail("labels were computed"))
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(error, match=message):
        run_label_job(replace(job, **{field: tmp_path / file for field, file in changes.items()}), silent)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize(("target", "what"), [("seg.nii.gz", "the label map itself"), ("fine.nii.gz", "the scan")])
def test_inputs_are_never_replaced(job: LabelJob, tmp_path: Path, target: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        run_label_job(replace(job, target=tmp_path / target, overwrite=True), silent)


@pytest.fixture
def series_job(tmp_path: Path) -> LabelJob:
    """Labels of a DICOM series, to be written as a SEG that refers to it."""
    source = fabricate.save(fabricate.slices(), tmp_path / "series")
    scan = read_volume(source)
    marked = np.zeros(scan.shape, np.uint8)
    marked[3:9, 2:6, 1:], marked[4:9, 6:11, 2:] = 1, 2
    path = save_labels(tmp_path / "series_seg.nii.gz", marked, scan.affine_lps)
    return LabelJob(path, source, tmp_path / "new.dcm")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("empty", "no voxel is labelled"),
        ("MAX_PIXEL_BYTES", "a DICOM SEG holds at most"),
        ("MAX_SEGMENTS", "2 labels, a DICOM SEG holds 1"),
        ("multi-frame", "frames of a multi-frame image"),
    ],
)
def test_what_a_segmentation_cannot_hold_is_refused_before_labels_are_computed(
    what: str, message: str, series_job: LabelJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("highdicom", reason="highdicom is not installed (extra seg)")
    monkeypatch.setattr(labels, "convert_labels", lambda *_: pytest.fail("labels were computed"))
    job = series_job
    if what == "empty":
        scan = read_volume(job.like)
        empty = save_labels(tmp_path / "empty.nii.gz", np.zeros(scan.shape, np.uint8), scan.affine_lps)
        job = replace(job, labels=empty)
    elif what == "multi-frame":
        image = fabricate.multiframe(fabricate.slices())
        image.FrameOfReferenceUID = "1.2.3"
        job = replace(job, like=fabricate.save([image], tmp_path / "frames"))
    else:
        monkeypatch.setattr(highdicom_objects if what == "MAX_PIXEL_BYTES" else segmentation_write, what, 1)
    with pytest.raises(UsageError, match=message):
        run_label_job(job, silent)
    assert not job.target.exists()


@pytest.mark.parametrize("kind", ["NIfTI", "DICOM"])
def test_of_a_4d_scan_one_volume_is_asked_for_and_not_all(series_job: LabelJob, tmp_path: Path, kind: str) -> None:
    like = tmp_path / "four.nii.gz"
    if kind == "NIfTI":
        nibabel.save(nibabel.Nifti1Image(np.arange(4 * 5 * 6 * 3, dtype=np.int16).reshape(4, 5, 6, 3), np.eye(4)), like)
    else:
        passes = (scan_pass(SAME, FIRST + 300 * k, put(EchoTime=str(5 + k)), modality="MR") for k in range(2))
        like = fabricate.save([image for one in passes for image in one], tmp_path / "four")
    with naming_options(), pytest.raises(GeometryError, match=r"4-D image.*with --volume") as caught:
        run_label_job(replace(series_job, like=like, target=tmp_path / "x.nii.gz"), silent)
    assert "volume all" not in str(caught.value)


def test_of_an_uneven_scan_no_option_is_advised_that_labels_do_not_have(series_job: LabelJob, tmp_path: Path) -> None:
    series = fabricate.slices(8)
    gap = fabricate.save(series[:3] + series[4:], tmp_path / "gap")
    with naming_options(), pytest.raises(GeometryError, match="slices are missing") as caught:
        run_label_job(replace(series_job, like=gap, target=tmp_path / "x.nii.gz"), silent)
    assert "irregular" not in str(caught.value)
    assert "--split-runs" in str(caught.value)


def test_of_a_scan_with_other_pixels_the_command_that_makes_its_labels_is_named(job: LabelJob, tmp_path: Path) -> None:
    like = tmp_path / "pixels.nii.gz"
    write_volume(Volume(fabricate.volume((40, 32, 21)).voxels, np.diag([0.5, 0.5, 1.25, 1.0])), like)
    with pytest.raises(GeometryError, match="saint upsample SCAN --labels LABELS --in-plane MM"):
        run_label_job(replace(job, like=like), silent)


def test_labels_of_four_axes_are_refused_with_what_to_do(job: LabelJob, tmp_path: Path) -> None:
    path = tmp_path / "four.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.stack([label_array()] * 3, -1), np.diag([-0.8, -0.8, 5.0, 1.0])), path)
    with naming_options(), pytest.raises(UsageError, match=r"must be 3-D.*holds 3 volumes; save the one") as caught:
        run_label_job(replace(job, labels=path), silent)
    assert "--volume" not in str(caught.value)
