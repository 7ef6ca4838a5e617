from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import fabricate
import nibabel
import numpy as np
import pytest
import torch
from jobs.lost_disk import unmount_while_computing
from jobs.thick_files import ct, save
from make_jobs import change_job, make_job
from nets import tiny

from saint_cli import geometry
from saint_cli.errors import OutputError, SaintError, SourceChangedError, UnreadableError, UsageError, WeightsError
from saint_cli.jobs import GridRequest, JobResult, ModelConfig, run_job
from saint_cli.method import pipeline
from saint_cli.models import weights
from saint_cli.options.method import MethodOptions, NoiseHandling
from saint_cli.progress import silent
from saint_cli.runtime.device_selection import Compute


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
    unmount_while_computing(monkeypatch)
    with pytest.raises(OutputError, match=r"out\.nii: the disk of its folder disappeared"):
        run_job(job, silent)
    assert not list((tmp_path / "disk").iterdir())


def test_a_slice_that_comes_while_the_scan_is_computed_leaves_the_target_as_it_was(
    tmp_path: Path, model_config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    series, restore = fabricate.slices(7), pipeline.restore
    source = fabricate.save(series[:6], tmp_path / "s")
    (tmp_path / "out.nii").write_bytes(b"before")

    def receive_meanwhile(*arguments: object) -> object:
        series[6].save_as(source / "0006.dcm", enforce_file_format=True)
        return restore(*arguments)

    monkeypatch.setattr(pipeline, "restore", receive_meanwhile)
    with pytest.raises(SourceChangedError, match="came after the others"):
        run_job(make_job(source, tmp_path / "out.nii", GridRequest(2), model_config, overwrite=True), silent)
    assert (tmp_path / "out.nii").read_bytes() == b"before"


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


def test_a_missing_input_is_reported_before_an_output_that_exists(tmp_path: Path, model_config: ModelConfig) -> None:
    out = save(ct(), tmp_path / "out.nii")
    with pytest.raises(UnreadableError, match=r"no\.nii: no such file"):
        run_job(make_job(tmp_path / "no.nii", out, GridRequest(factor=2), model_config), silent)
    with pytest.raises(OutputError, match=r"out\.nii: exists already"):
        run_job(make_job(save(ct(), tmp_path / "in.nii"), out, GridRequest(factor=2), model_config), silent)


@pytest.mark.parametrize("noise", ["match", "smooth"])
def test_noise_of_what_is_not_ct_is_refused_before_networks_run(
    tmp_path: Path, model_config: ModelConfig, monkeypatch: pytest.MonkeyPatch, noise: str
) -> None:
    monkeypatch.setattr(pipeline, "restore", lambda *_: pytest.fail("networks ran"))
    job = make_job(save(tiny.volume(), tmp_path / "mr.nii"), tmp_path / "out.nii", GridRequest(factor=2), model_config)
    settings = replace(job.settings, modality="MR", method_options=MethodOptions(noise=NoiseHandling(noise)))
    with pytest.raises(UsageError, match=f"noise={noise}.*needs CT"):
        run_job(replace(job, settings=settings), silent)


@pytest.mark.parametrize("noise", [NoiseHandling.MATCH, NoiseHandling.SMOOTH])
def test_a_result_without_noise_to_change_is_that_of_keep_and_claims_nothing_else(
    noise: NoiseHandling, tmp_path: Path, model_config: ModelConfig
) -> None:
    job = make_job(save(ct(), tmp_path / "ct.nii"), tmp_path / "out.nii", GridRequest(factor=2), model_config)
    kept = run_job(replace(job, target=tmp_path / "kept.nii"), silent)
    job = change_job(job, page=tmp_path / "page.html", method_options=MethodOptions(noise=noise))
    result = run_job(job, silent)
    assert (tmp_path / "out.nii").read_bytes() == (tmp_path / "kept.nii").read_bytes()
    assert result.acquired_kept == kept.acquired_kept == 5
    assert any(sentence.startswith("noise is as it was") for sentence in result.warnings)
    assert result.noise is NoiseHandling.KEEP
    assert "matched" not in result.summary
    assert "smoothed" not in result.summary
    assert "--noise" not in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "noise" not in str(nibabel.load(tmp_path / "out.nii").header["descrip"])
