"""``run_job`` with labels: acquired slices keep them, both files appear or none, refusals come before any work."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from label_scans import label_array, save_labels, save_scan
from make_jobs import change_job, make_job

from saint_cli import io
from saint_cli.errors import GeometryError, OutputError, SaintError, UnreadableError, UsageError
from saint_cli.io import read_labels, read_volume
from saint_cli.jobs import GridRequest, Job, ModelConfig, run_job
from saint_cli.jobs.labels import name_labels_target
from saint_cli.jobs.location import RemoteTarget
from saint_cli.method import pipeline
from saint_cli.options.labels import LabelSettings
from saint_cli.progress import silent

FACTOR = 3


@pytest.fixture
def job(tmp_path: Path, model_config: ModelConfig) -> Job:
    """A scan with labels."""
    scan, labels = save_scan(tmp_path / "scan.nii.gz"), save_labels(tmp_path / "seg.nii.gz")
    return make_job(
        scan,
        tmp_path / "out.nii.gz",
        GridRequest(factor=FACTOR),
        model_config,
        label_settings=LabelSettings(labels=str(labels)),
        labels_target=tmp_path / "out_labels.nii.gz",
    )


def with_labels(job: Job, path: Path | str, **more: object) -> Job:
    return change_job(job, label_settings=LabelSettings(labels=str(path), **more))  # type: ignore[arg-type]


def written(job: Job) -> np.ndarray:
    assert job.labels_target is not None
    return read_labels(job.labels_target).labels


def test_acquired_slices_keep_their_labels_and_the_labels_lie_on_the_grid_of_the_result(job: Job) -> None:
    done = run_job(job, silent)
    labels, result = read_labels(done.labels or ""), read_volume(done.target)
    assert labels.labels.dtype == np.uint8
    assert labels.shape == result.shape == done.shape_after
    np.testing.assert_allclose(labels.affine_lps, result.affine_lps, atol=1e-5)
    np.testing.assert_array_equal(labels.labels[..., ::FACTOR], label_array())
    assert set(np.unique(labels.labels)) == {0, 1, 3}
    assert f"labels: {job.labels_target}" in done.summary


def test_the_result_does_not_depend_on_labels(job: Job) -> None:
    run_job(job, silent)
    alone = change_job(job, label_settings=LabelSettings(), labels_target=None, target=job.target.with_name("b.nii.gz"))
    assert run_job(alone, silent).labels is None
    assert alone.target.read_bytes() == job.target.read_bytes()


def test_volumes_of_every_label_are_reported_before_and_after(job: Job) -> None:
    done = run_job(job, silent)
    voxel_ml = 0.8 * 0.8 * 5 / 1000
    for one, number in zip(done.label_volumes, (1, 3), strict=True):
        assert one.number == number
        assert one.before_ml == pytest.approx((label_array() == number).sum() * voxel_ml)
        assert one.after_ml == pytest.approx((written(job) == number).sum() * voxel_ml / FACTOR)
    assert not done.labels_reach_end


def test_labels_in_the_first_or_last_slice_are_told(job: Job, tmp_path: Path) -> None:
    labels = label_array()
    labels[5, 5, -1] = 1
    assert run_job(with_labels(job, save_labels(tmp_path / "end.nii.gz", labels)), silent).labels_reach_end


def test_a_choice_of_segments_leaves_out_all_others(job: Job) -> None:
    done = run_job(change_job(job, label_settings=LabelSettings(str(job.settings.label_settings.labels), (3,))), silent)
    assert set(np.unique(written(job))) == {0, 3}
    assert [one.number for one in done.label_volumes] == [3]


@pytest.mark.parametrize("axes", [(1, 0, 2), (0, 1, 2)])
def test_labels_whose_axes_run_the_other_way_are_placed_on_the_scan(
    job: Job, tmp_path: Path, axes: tuple[int, int, int]
) -> None:
    affine = np.diag([0.8, 0.8, 5.0, 1.0])[:, [*axes, 3]]
    flipped = np.flip(label_array().transpose(axes), 2)
    affine[:3, 3] += affine[:3, 2] * (flipped.shape[2] - 1)
    affine[:3, 2] *= -1
    run_job(with_labels(job, save_labels(tmp_path / "turned.nii.gz", flipped, affine)), silent)
    np.testing.assert_array_equal(written(job)[..., ::FACTOR], label_array())


def test_labels_outside_of_the_scan_are_left_out_with_a_warning(job: Job, tmp_path: Path) -> None:
    wide = np.zeros((30, 20, 6), "uint8")
    wide[:24] = label_array()
    wide[26, 5, 2] = 1
    done = run_job(with_labels(job, save_labels(tmp_path / "wide.nii.gz", wide)), silent)
    assert "labels: 1 labelled voxels lie outside of the scan and are left out" in done.warnings


Change = Callable[[Job, Path], Job]

REFUSED: dict[str, tuple[Change, type[SaintError], str]] = {
    "missing": (lambda job, _: with_labels(job, "no.nii.gz"), UnreadableError, "no.nii.gz: no such file"),
    "no image": (
        lambda job, folder: with_labels(job, _write_text(folder / "seg.txt")),
        UnreadableError,
        "seg.txt: not a file that saint reads",
    ),
    "fractions": (
        lambda job, folder: with_labels(job, save_labels(folder / "f.nii.gz", label_array(dtype="float32") / 4)),
        UsageError,
        "f.nii.gz: .*are not labels",
    ),
    "another grid": (
        lambda job, folder: with_labels(job, save_labels(folder / "g.nii.gz", None, np.diag([0.5, 0.8, 5.0, 1.0]))),
        GeometryError,
        "g.nii.gz: .*0.5 x 0.8 x 5 mm.*0.8 x 0.8 x 5 mm",
    ),
    "finer labels": (
        lambda job, folder: with_labels(
            job, save_labels(folder / "fine.nii.gz", label_array((24, 20, 11)), np.diag([0.8, 0.8, 2.5, 1.0]))
        ),
        GeometryError,
        "finer than .*; upsample the scan alone, then .* with saint labels",
    ),
    "no such segment": (
        lambda job, folder: with_labels(job, save_labels(folder / "s.nii.gz"), segments=(1, 7)),
        UsageError,
        "7",
    ),
    "target exists": (
        lambda job, folder: change_job(job, labels_target=_write_text(folder / "old.nii.gz")),
        OutputError,
        "old.nii.gz: exists already",
    ),
    "target is the label map": (
        lambda job, folder: change_job(job, labels_target=folder / "seg.nii.gz", overwrite=True),
        UsageError,
        "--labels-out .*seg.nii.gz is the label map; name another file",
    ),
    "target is the result": (
        lambda job, folder: change_job(job, labels_target=folder / "out.nii.gz"),
        UsageError,
        "--labels-out .* is the output itself",
    ),
    "segmentation of no series": (
        lambda job, folder: change_job(job, labels_target=folder / "seg.dcm"),
        UsageError,
        "seg.dcm: a DICOM SEG refers to a DICOM series.*ending in .nii.gz",
    ),
    "folder": (
        lambda job, folder: change_job(job, labels_target=folder / "new"),
        UsageError,
        "--labels-out .*new: the name must end in .nii or",
    ),
    "other ending": (
        lambda job, folder: change_job(job, labels_target=folder / "new.png"),
        UsageError,
        "--labels-out .*new.png: the name must end in .nii or .nii.gz or .nrrd or .mha or .dcm",
    ),
}


def _write_text(path: Path) -> Path:
    path.write_text("text")
    return path


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_be_refused_is_refused_before_voxels_are_computed(
    name: str, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, error, message = REFUSED[name]
    changed = change(job, tmp_path)
    monkeypatch.setattr(pipeline, "restore", lambda *_: pytest.fail("voxels were computed"))
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(error, match=message):
        run_job(changed, silent)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_if_labels_cannot_be_written_there_is_no_result_either(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OutputError("the disk is full")

    monkeypatch.setattr(io, "write_labels", fail)
    with pytest.raises(OutputError, match="full"):
        run_job(job, silent)
    assert sorted(file.name for file in job.target.parent.iterdir()) == ["scan.nii.gz", "seg.nii.gz"]


def test_if_the_result_cannot_be_written_there_are_no_labels_either(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OutputError("the disk is full")

    monkeypatch.setattr(io, "write_volume", fail)
    with pytest.raises(OutputError, match="full"):
        run_job(job, silent)
    assert sorted(file.name for file in job.target.parent.iterdir()) == ["scan.nii.gz", "seg.nii.gz"]


@pytest.mark.parametrize(
    ("result", "labels"),
    [
        ("a/x4.nii.gz", "a/x4_labels.nii.gz"),
        ("x4.NRRD", "x4_labels.NRRD"),
        ("x.y.nii", "x.y_labels.nii"),
        ("CT_1.5mm", "CT_1.5mm_labels.dcm"),
        ("out/series", "out/series_labels.dcm"),
    ],
)
def test_labels_are_named_after_the_result_and_lie_beside_it(result: str, labels: str) -> None:
    assert name_labels_target(Path(result)) == Path(labels)


@pytest.mark.parametrize("target", [RemoteTarget("https://user:word@host/x.nii.gz"), Path(), Path("..")])
def test_where_the_result_gives_no_name_the_option_is_named_and_no_secret(target: Path | RemoteTarget) -> None:
    with pytest.raises(UsageError, match="--labels-out") as caught:
        name_labels_target(target)
    assert "word" not in str(caught.value)
