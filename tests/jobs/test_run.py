from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import fabricate
import nibabel
import numpy as np
import pydicom
import pytest
import torch
from make_jobs import change_job, make_job
from nets import tiny

from saint_cli import geometry, io
from saint_cli.errors import GeometryError, OutputError, SaintError, UnreadableError, UsageError, WeightsError
from saint_cli.jobs import GridRequest, JobResult, ModelConfig, run_job
from saint_cli.method import pipeline
from saint_cli.models import weights
from saint_cli.models.calibration import Calibration
from saint_cli.options.method import MethodOptions, NoiseHandling
from saint_cli.progress import silent
from saint_cli.runtime.device_selection import Compute
from saint_cli.volume import Header, Volume


def save(volume: Volume, path: Path) -> Path:
    nibabel.save(nibabel.Nifti1Image(volume.voxels, geometry.RAS_FROM_LPS @ volume.affine_lps), path)
    return path


def ct(shape: tuple[int, int, int] = (20, 18, 5), axis: int = 2) -> Volume:
    """A scan that is CT by its values, for NIfTI has no modality: a tenth of it is air."""
    volume = tiny.volume(shape, axis)
    volume.voxels[:2] = -1000
    volume.voxels[-1:] = -1000
    return volume


def test_a_job_goes_from_file_to_file(tmp_path: Path, model_config: ModelConfig) -> None:
    volume = ct()
    source, target = save(volume, tmp_path / "in.nii.gz"), tmp_path / "out.nii.gz"
    done = run_job(make_job(source, target, GridRequest(factor=4), model_config), silent)
    image = nibabel.load(target)
    wanted = tiny.upsample(
        volume,
        weights.load_model(model_config.model),
        geometry.grid_by_factor(5, 2, 4),
        Compute(torch.device("cpu"), torch.float32),
    )
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), wanted.voxels)
    assert image.get_data_dtype() == np.int16
    np.testing.assert_allclose(geometry.RAS_FROM_LPS @ image.affine, wanted.affine_lps, atol=1e-4)
    np.testing.assert_array_equal(np.asanyarray(image.dataobj)[..., ::4], volume.voxels)
    assert done == JobResult(
        source=str(source),
        target=str(target),
        shape_before=(20, 18, 5),
        shape_after=(20, 18, 17),
        spacing_before_mm=pytest.approx((0.7, 0.9, 5.0)),
        spacing_after_mm=pytest.approx((0.7, 0.9, 1.25)),
        axis="z",
        acquired_kept=5,
        model="tiny",
        weights_sha256=weights.load_model(model_config.model).sha256,
        device="cpu",
        precision="float32",
        seconds=done.seconds,
        peak_memory_mb=done.peak_memory_mb,
        warnings=(),
        threads=1,
        modality="CT",
    )
    assert done.peak_memory_mb > 10


@pytest.mark.parametrize("name", ["preview", "page", "target"])
def test_no_output_replaces_a_slice_of_the_scan(tmp_path: Path, name: str, model_config: ModelConfig) -> None:
    folder = fabricate.save(fabricate.slices(), tmp_path / "series")
    ending = {"preview": ".png", "page": ".html", "target": ".nii"}[name]
    files = sorted(folder.iterdir())
    (folder / "again").mkdir()
    files[2] = files[2].rename(folder / f"slice{ending}")
    files[3].rename(folder / "again" / files[2].name)  # names differ by folders by folders
    (tmp_path / "link").symlink_to(folder)
    before = files[2].read_bytes()
    job = replace(
        make_job(folder, tmp_path / "out.nii", GridRequest(2), model_config, overwrite=True),
        **{name: tmp_path / "link" / files[2].name},
    )
    with pytest.raises(UsageError, match=rf"slice{ending} is the input's slice{ending}; name another file"):
        run_job(job, silent)
    assert files[2].read_bytes() == before


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_by_default_voxels_become_isotropic_along_the_coarsest_axis(axis: int) -> None:
    grid = GridRequest().make_grid(tiny.volume(tuple(np.insert([7, 6], axis, 4)), axis))
    assert grid.axis == axis
    assert grid.step * 5.0 == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("grid_request", "axis", "step", "count"),
    [
        (GridRequest(factor=3), 2, 1 / 3, 13),
        (GridRequest(factor=3, extrapolate=True), 2, 1 / 3, 15),
        (GridRequest(spacing_mm=2.0), 2, 0.4, 11),
        (GridRequest(spacing_mm=2.0, extrapolate=True), 2, 0.4, 13),
        (GridRequest(factor=2, axis=0), 0, 0.5, 39),
        (GridRequest(spacing_mm=0.45, axis=1), 1, 0.5, 35),
        (GridRequest(axis=1), 1, 0.7 / 0.9, 22),
    ],
)
def test_a_request_becomes_a_grid(grid_request: GridRequest, axis: int, step: float, count: int) -> None:
    grid = grid_request.make_grid(tiny.volume())
    assert (grid.axis, grid.count) == (axis, count)
    assert grid.step == pytest.approx(step)


def test_factor_and_spacing_together_are_refused() -> None:
    with pytest.raises(UsageError, match="`factor` and `spacing_mm`"):
        GridRequest(factor=2, spacing_mm=1.0)


def nearly_isotropic() -> Volume:
    return replace(tiny.volume(), affine_lps=np.diag([0.9, 0.95, 1.0, 1.0]))


def test_a_nearly_isotropic_volume_needs_a_factor_or_spacing() -> None:
    with pytest.raises(GeometryError, match="nearly isotropic"):
        GridRequest().make_grid(nearly_isotropic())
    assert GridRequest(factor=2).make_grid(nearly_isotropic()).axis == 2
    assert GridRequest(spacing_mm=0.5).make_grid(nearly_isotropic()).axis == 2
    with pytest.raises(UsageError, match="no more than there are"):
        GridRequest(axis=2).make_grid(nearly_isotropic())  # 5 slices 1 mm apart would become 5 at 0.9 mm


@pytest.mark.parametrize("spacing", [0.0, -1.0, 5.0, 13.0, 0.1, float("nan"), float("inf")])
def test_a_spacing_that_cannot_be_is_refused(spacing: float) -> None:
    with pytest.raises(UsageError):
        GridRequest(spacing_mm=spacing).make_grid(tiny.volume())


def test_the_finest_axis_cannot_become_isotropic() -> None:
    with pytest.raises(UsageError, match=r"target spacing 0\.9 mm is not below the input's 0\.7 mm"):
        GridRequest(axis=0).make_grid(tiny.volume())


@pytest.mark.parametrize("factor", [-4, 0, 1, 17])
def test_a_factor_out_of_range_is_refused(factor: int) -> None:
    with pytest.raises(UsageError, match=r"outside 2\.\.\.16"):
        GridRequest(factor=factor).make_grid(tiny.volume())


def test_one_slice_is_refused() -> None:
    with pytest.raises(GeometryError, match="1 slice"):
        GridRequest(factor=2).make_grid(tiny.volume((6, 5, 1)))


def test_a_scan_that_is_not_ct_has_a_warning(tmp_path: Path, model_config: ModelConfig) -> None:
    volume = tiny.volume(dtype="uint16")
    done = run_job(
        make_job(save(volume, tmp_path / "mr.nii"), tmp_path / "out.nii", GridRequest(factor=2), model_config), silent
    )
    assert any("read as MR by its values" in warning for warning in done.warnings)


@pytest.mark.parametrize(
    ("grid", "beyond"),
    [
        (GridRequest(factor=4, extrapolate=True), 3),
        (GridRequest(factor=3, extrapolate=True), 2),
        (GridRequest(factor=4), 0),
        (GridRequest(spacing_mm=2.0, extrapolate=True), 2),
        (GridRequest(spacing_mm=2.0), 0),
    ],
)
def test_slices_beyond_the_last_acquired_one_are_counted(
    grid: GridRequest, beyond: int, tmp_path: Path, model_config: ModelConfig
) -> None:
    done = run_job(make_job(save(ct(), tmp_path / "ct.nii"), tmp_path / "out.nii", grid, model_config), silent)
    warnings = [w for w in done.warnings if "beyond" in w]
    assert len(warnings) == (beyond > 0)
    assert all(f"the last {beyond} slices" in w for w in warnings)


def test_choices_reach_the_networks(tmp_path: Path, model_config: ModelConfig) -> None:
    source, results = save(ct(), tmp_path / "ct.nii"), []
    for i, options in enumerate((MethodOptions(), MethodOptions(directions=4), MethodOptions(regenerate=True))):
        target = tmp_path / f"{i}.nii"
        run_job(make_job(source, target, GridRequest(factor=2), model_config, options), silent)
        results.append(np.asanyarray(nibabel.load(target).dataobj))
    assert (results[0] != results[1]).mean() > 0.1
    np.testing.assert_array_equal(results[0], results[2])  # the residual at an acquired slice is zero


REFUSED = {
    "no source": (lambda job: change_job(job, source=job.source.with_name("gone.nii")), UnreadableError),
    "no model": (
        lambda job: change_job(job, model_config=replace(job.settings.model_config, model="basis")),
        WeightsError,
    ),
    "device": (lambda job: change_job(job, model_config=replace(job.settings.model_config, device="xpu")), UsageError),
    "precision": (
        lambda job: change_job(job, model_config=replace(job.settings.model_config, precision="fp16")),
        UsageError,
    ),
    "threads": (lambda job: change_job(job, model_config=replace(job.settings.model_config, threads=0)), UsageError),
    "spacing": (lambda job: change_job(job, grid=GridRequest(spacing_mm=50.0)), UsageError),
    "series": (lambda job: change_job(job, series="2"), UsageError),
    "ending": (lambda job: change_job(job, target=job.target.with_suffix(".txt")), SaintError),
    "no folder": (lambda job: change_job(job, target=job.source / "out.nii"), OutputError),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_refused_is_refused_before_anything_is_written(
    reason: str, tmp_path: Path, model_config: ModelConfig
) -> None:
    change, error = REFUSED[reason]
    job = change(make_job(save(ct(), tmp_path / "ct.nii"), tmp_path / "out.nii", GridRequest(factor=2), model_config))
    with pytest.raises(error) as caught:
        run_job(job, lambda stage, *_: stage == "reading" or pytest.fail("voxels were computed"))
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["ct.nii"]


def test_a_grid_with_a_factor_that_none_can_have_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match=r"`factor=99` is outside 2\.\.\.16"):
        GridRequest(factor=99)


def test_an_existing_target_is_kept_unless_overwriting_is_asked(tmp_path: Path, model_config: ModelConfig) -> None:
    job = make_job(save(ct(), tmp_path / "ct.nii"), tmp_path / "out.nii", GridRequest(factor=2), model_config)
    job.target.write_bytes(b"precious")
    with pytest.raises(SaintError, match=r"out\.nii"):
        run_job(job, lambda *_: pytest.fail("voxels were computed"))
    assert job.target.read_bytes() == b"precious"
    run_job(change_job(job, overwrite=True), silent)
    assert nibabel.load(job.target).shape == (20, 18, 9)


def test_a_target_is_as_before_when_the_work_fails(tmp_path: Path, model_config: ModelConfig) -> None:
    job = make_job(
        save(ct(), tmp_path / "ct.nii"), tmp_path / "out.nii", GridRequest(factor=2), model_config, overwrite=True
    )
    job.target.write_bytes(b"precious")

    def stop(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(job, stop)
    assert job.target.read_bytes() == b"precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ct.nii", "out.nii"]


def test_a_disk_that_goes_away_during_the_run_is_reported_and_no_other_is_filled(
    tmp_path: Path, model_config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk").mkdir()
    job = make_job(
        save(ct(), tmp_path / "ct.nii"), tmp_path / "disk" / "new" / "out.nii", GridRequest(factor=2), model_config
    )
    found, restore = io.find_disk, pipeline.restore

    def unmounted(*arguments: object) -> object:
        monkeypatch.setattr(io, "find_disk", lambda path: found(path) + 1)
        return restore(*arguments)

    monkeypatch.setattr(pipeline, "restore", unmounted)
    with pytest.raises(OutputError, match=r"out\.nii: the disk of its folder disappeared"):
        run_job(job, silent)
    assert not list((tmp_path / "disk").iterdir())


def test_a_folder_that_is_removed_during_the_run_is_made_again(
    tmp_path: Path, model_config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    job = make_job(save(ct(), tmp_path / "ct.nii"), tmp_path / "out" / "out.nii", GridRequest(factor=2), model_config)
    run_job(job, lambda stage, done, total: (tmp_path / "out").exists() and stage != "writing" and _remove(tmp_path))
    assert job.target.is_file()


def _remove(home: Path) -> None:
    with suppress(OSError):
        (home / "out").rmdir()


def test_the_input_is_never_its_own_output(tmp_path: Path, model_config: ModelConfig) -> None:
    source = save(ct(), tmp_path / "ct.nii")
    before = source.read_bytes()
    with pytest.raises(UsageError, match="input itself"):
        run_job(make_job(source, source, GridRequest(factor=2), model_config, overwrite=True), silent)
    assert source.read_bytes() == before


def test_a_dicom_stack_is_interpolated_along_its_slices_whatever_their_spacing() -> None:
    volume = Volume(np.zeros((6, 5, 4), np.int16), np.diag([1.0, 1.0, 1.0, 1.0]), Header("MR", "DICOM"))
    assert GridRequest(factor=2).make_grid(volume).axis == 2
    with pytest.raises(UsageError, match="not below"):
        GridRequest().make_grid(volume)


def test_of_equal_spacings_the_last_axis_is_taken() -> None:
    volume = Volume(np.zeros((6, 5, 4), np.int16), np.diag([1.0, 1.0, 1.0, 1.0]))
    assert GridRequest(factor=2).make_grid(volume).axis == 2


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory, model_config: ModelConfig) -> ModelConfig:
    path = tmp_path_factory.mktemp("calibrated") / "tiny.safetensors"
    weights.save_model(tiny.ami(), tiny.rfn(), path, Calibration((0.0, 100.0), (3.0, 53.0)))
    return replace(model_config, model=str(path))


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_uncertainty_writes_a_second_volume_and_changes_nothing_in_the_first(
    ending: str, tmp_path: Path, calibrated: ModelConfig
) -> None:
    source = save(ct(), tmp_path / "in.nii")
    plain, beside, error = (tmp_path / f"{name}{ending}" for name in ("plain", "beside", "error"))
    run_job(make_job(source, plain, GridRequest(factor=4), calibrated), silent)
    done = run_job(make_job(source, beside, GridRequest(factor=4), calibrated, uncertainty=error), silent)
    assert beside.read_bytes() == plain.read_bytes()
    assert done.uncertainty == str(error)
    assert done.summary.endswith(f"{beside}, expected error in HU: {error}")
    result, written = io.read_volume(beside), io.read_volume(error)
    np.testing.assert_array_equal(written.affine_lps, result.affine_lps)
    assert written.voxels.dtype == np.float32
    assert (written.voxels[..., ::4] == 0).all()
    between = np.delete(written.voxels, np.s_[::4], axis=2)
    assert 3 <= between.min() < between.max() <= 53


def test_an_expected_error_that_is_not_calibrated_on_the_scan_comes_with_a_warning(
    tmp_path: Path, calibrated: ModelConfig
) -> None:
    warnings = {}
    for count in (4, 9):
        scan = np.random.default_rng(0).integers(-200, 200, (32, 30, count)).astype(np.int16)
        source = save(replace(ct(), voxels=scan), tmp_path / f"{count}.nii")
        target, error = tmp_path / f"out{count}.nii", tmp_path / f"error{count}.nii"
        done = run_job(make_job(source, target, GridRequest(factor=2), calibrated, uncertainty=error), silent)
        warnings[count] = [text for text in done.warnings if "not calibrated on this scan" in text]
    assert [len(warnings[count]) for count in (4, 9)] == [1, 0]


def test_uncertainty_of_a_dicom_result_can_be_a_parametric_map(tmp_path: Path, calibrated: ModelConfig) -> None:
    pytest.importorskip("highdicom", reason="highdicom is not installed (extra parametric-map)")
    fabricate.save(fabricate.slices(), tmp_path / "in")
    out, error = tmp_path / "out", tmp_path / "error.dcm"
    run_job(make_job(tmp_path / "in", out, GridRequest(factor=2), calibrated, uncertainty=error), silent)
    data, names = pydicom.dcmread(error), sorted(out.iterdir())
    assert data.SOPClassUID.name == "Parametric Map Storage"
    referenced = {one.ReferencedSOPInstanceUID for one in data.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert referenced == {pydicom.dcmread(name).SOPInstanceUID for name in names}
    with pytest.raises(OutputError, match="exists already"):
        run_job(make_job(tmp_path / "in", tmp_path / "o", GridRequest(factor=2), calibrated, uncertainty=error), silent)


def test_without_uncertainty_the_summary_is_silent_about_it(tmp_path: Path, calibrated: ModelConfig) -> None:
    done = run_job(
        make_job(save(ct(), tmp_path / "i.nii"), tmp_path / "o.nii", GridRequest(factor=2), calibrated), silent
    )
    assert done.uncertainty is None
    assert "error" not in done.summary


UNTOLD = {
    "the output": (
        lambda d, job: change_job(job, uncertainty=d / "sub" / ".." / "out.nii"),
        UsageError,
        "output itself",
    ),
    "the input": (lambda d, job: change_job(job, uncertainty=job.source, overwrite=True), UsageError, "input itself"),
    "there already": (
        lambda d, job: change_job(job, uncertainty=save(ct(), d / "x.nii")),
        OutputError,
        "exists already",
    ),
    "no format": (lambda d, job: change_job(job, uncertainty=d / "x.png"), UsageError, "no output format"),
    "a map beside NIfTI": (lambda d, job: change_job(job, uncertainty=d / "e.dcm"), UsageError, "refers to a DICOM"),
    "not CT": (lambda d, job: change_job(job, modality="MR"), UsageError, "not CT"),
    "four directions": (
        lambda d, job: change_job(job, method_options=MethodOptions(directions=4)),
        UsageError,
        "--directions 4",
    ),
    "flips": (lambda d, job: change_job(job, method_options=MethodOptions(tta=True)), UsageError, "--tta"),
    "noise": (
        lambda d, job: change_job(job, method_options=MethodOptions(match_noise=True)),
        UsageError,
        "--noise match",
    ),
    "in the output": (
        lambda d, job: change_job(job, target=d / "new", uncertainty=d / "new" / "e.nii"),
        UsageError,
        "inside the output folder",
    ),
    "a folder": (lambda d, job: change_job(job, uncertainty=d / "folder"), UsageError, "names no file"),
    "extrapolated": (
        lambda d, job: change_job(job, grid=GridRequest(factor=2, extrapolate=True)),
        UsageError,
        "--extrapolate",
    ),
}


def test_a_missing_input_is_reported_before_an_output_that_exists(tmp_path: Path, model_config: ModelConfig) -> None:
    out = save(ct(), tmp_path / "out.nii")
    with pytest.raises(UnreadableError, match=r"no\.nii: no such file"):
        run_job(make_job(tmp_path / "no.nii", out, GridRequest(factor=2), model_config), silent)
    with pytest.raises(OutputError, match=r"out\.nii: exists already"):
        run_job(make_job(save(ct(), tmp_path / "in.nii"), out, GridRequest(factor=2), model_config), silent)


@pytest.mark.parametrize("name", UNTOLD)
def test_uncertainty_that_was_never_measured_is_refused_before_anything_is_computed(
    name: str, tmp_path: Path, calibrated: ModelConfig
) -> None:
    change, kind, words = UNTOLD[name]
    (tmp_path / "sub").mkdir()
    source, heard = save(ct(), tmp_path / "in.nii"), set()
    before = source.read_bytes()
    job = make_job(source, tmp_path / "out.nii", GridRequest(factor=2), calibrated, uncertainty=tmp_path / "error.nii")
    with pytest.raises(kind, match=words):
        run_job(change(tmp_path, job), lambda stage, done, total: heard.add(stage))
    assert heard <= {"reading", "loading networks"}
    assert source.read_bytes() == before
    assert not (tmp_path / "out.nii").exists()
    assert not (tmp_path / "error.nii").exists()


def test_weights_without_calibration_cannot_estimate_uncertainty(tmp_path: Path, model_config: ModelConfig) -> None:
    job = make_job(save(ct(), tmp_path / "in.nii"), tmp_path / "out.nii", GridRequest(factor=2), model_config)
    with pytest.raises(UsageError, match="carry no calibration"):
        run_job(change_job(job, uncertainty=tmp_path / "error.nii"), silent)
    assert not list(tmp_path.glob("[eo]*.nii"))


@pytest.mark.parametrize("noise", ["match", "smooth"])
def test_noise_of_what_is_not_ct_is_refused_before_networks_run(
    tmp_path: Path, model_config: ModelConfig, monkeypatch: pytest.MonkeyPatch, noise: str
) -> None:
    monkeypatch.setattr(pipeline, "restore", lambda *_: pytest.fail("networks ran"))
    job = make_job(save(tiny.volume(), tmp_path / "mr.nii"), tmp_path / "out.nii", GridRequest(factor=2), model_config)
    settings = replace(job.settings, modality="MR", method_options=MethodOptions(noise=NoiseHandling(noise)))
    with pytest.raises(UsageError, match=f"noise={noise}.*needs CT"):
        run_job(replace(job, settings=settings), silent)


def test_a_result_without_uniform_tissue_does_not_claim_matched_noise(
    tmp_path: Path, model_config: ModelConfig
) -> None:
    job = make_job(save(ct(), tmp_path / "ct.nii"), tmp_path / "out.nii", GridRequest(factor=2), model_config)
    job = change_job(job, page=tmp_path / "page.html", method_options=MethodOptions(noise=NoiseHandling.MATCH))
    result = run_job(job, silent)
    assert any(sentence.startswith("noise is as it was") for sentence in result.warnings)
    assert result.noise is NoiseHandling.KEEP
    assert "matched" not in result.summary
    assert "--noise match" not in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "noise" not in str(nibabel.load(tmp_path / "out.nii").header["descrip"])
