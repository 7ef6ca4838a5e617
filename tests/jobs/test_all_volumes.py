"""``--volume all``: each volume of a 4-D scan comes out as a job of it alone makes it, and all of them or none."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fabricate
import nibabel
import numpy as np
import pytest
from jobs.scans_4d import SHAPE, ct_volumes, run, save
from make_jobs import change_job, make_job
from scan_passes import FIRST, SAME, SECOND, put, scan_pass

from saint_cli import io
from saint_cli.io import voxel_stream
from saint_cli.jobs import GridRequest, ModelConfig, networks, run_job
from saint_cli.jobs.announcements import Announcer
from saint_cli.method import memory_needs, pipeline
from saint_cli.options.method import MethodOptions, NoiseHandling
from saint_cli.progress import ProgressEstimate, silent
from saint_cli.report.texts import TIMES


def values(path: Path) -> np.ndarray:
    return np.asanyarray(nibabel.load(path).dataobj)


KINDS = {
    "integers": lambda folder: save(ct_volumes(), folder / "in.nii"),
    "packed": lambda folder: save(ct_volumes(), folder / "in.nii.gz"),
    "scaled integers": lambda folder: save(ct_volumes(), folder / "in.nii.gz", scl_slope=0.5, scl_inter=-3),
    "floats": lambda folder: save(ct_volumes(dtype="float32"), folder / "in.nii"),
    "one volume that float32 does not hold": lambda folder: save(mixed_doubles(), folder / "in.nii"),
}


def mixed_doubles() -> np.ndarray:
    voxels = ct_volumes().astype("float64")
    voxels[..., 2] += 1e-9
    return voxels


@pytest.mark.parametrize("kind", KINDS)
def test_each_volume_is_what_a_job_of_it_alone_makes_bit_for_bit(
    kind: str, tmp_path: Path, model_config: ModelConfig
) -> None:
    source = KINDS[kind](tmp_path)
    run(source, tmp_path / "all.nii.gz", model_config)
    together = values(tmp_path / "all.nii.gz")
    assert together.shape == (20, 18, 13, 4)
    for k in range(4):
        run(source, tmp_path / f"{k}.nii", model_config, volume=k + 1)
        np.testing.assert_array_equal(together[..., k], values(tmp_path / f"{k}.nii"))


def test_the_fourth_axis_and_the_intent_are_kept(tmp_path: Path, model_config: ModelConfig) -> None:
    intent = {"intent_code": 2005, "intent_p1": 3.0, "intent_name": b"thing", "toffset": 1.5}
    source = save(ct_volumes(2), tmp_path / "in.nii", **intent)
    done = run(source, tmp_path / "out.nii", model_config)
    header = nibabel.load(tmp_path / "out.nii").header
    assert header.get_zooms() == pytest.approx((0.7, 0.9, 5 / 3, 2.5))
    assert header.get_xyzt_units() == ("mm", "sec")
    assert {name: header[name].item() for name in intent} == intent
    assert (done.volumes, done.shape_before, done.shape_after) == (2, SHAPE, (20, 18, 13))
    assert done.summary.startswith("2 volumes, each 20x18x5 at")
    assert "5 of 5 acquired slices of each volume kept" in done.summary


def test_a_scan_of_one_volume_gives_what_it_gives_without_the_option(tmp_path: Path, model_config: ModelConfig) -> None:
    source = save(ct_volumes()[..., 0], tmp_path / "in.nii")
    run(source, tmp_path / "all.nii", model_config)
    run(source, tmp_path / "plain.nii", model_config, volume=None)
    assert (tmp_path / "all.nii").read_bytes() == (tmp_path / "plain.nii").read_bytes()


def test_a_constant_volume_passes_through_with_a_warning(tmp_path: Path, model_config: ModelConfig) -> None:
    voxels = ct_volumes()
    voxels[..., 0] = voxels[..., 3] = 0
    done = run(save(voxels, tmp_path / "in.nii"), tmp_path / "out.nii", model_config)
    after = values(tmp_path / "out.nii")
    assert not after[..., 0].any()
    assert not after[..., 3].any()
    assert after[..., 1].any()
    (warning,) = [text for text in done.warnings if "same value" in text]
    assert warning.endswith("nothing to interpolate (volumes 1, 4)")


def test_warnings_of_reading_are_said_before_the_networks_run_and_not_in_other_words_at_the_end(
    tmp_path: Path, model_config: ModelConfig
) -> None:
    voxels, announced = ct_volumes(3, "float32"), list[str]()
    voxels[9, 9, 2:4, 1] = voxels[9, 9, 1:4, 2] = np.nan
    job = make_job(
        save(voxels, tmp_path / "in.nii"), tmp_path / "out.nii", GridRequest(factor=3), model_config, volume="all"
    )
    done = run_job(job, silent, Announcer(None, announced.append))
    assert [text.endswith("(volumes 2\N{EN DASH}3; similar in each)") for text in announced if "NaN" in text] == [True]
    assert set(done.warnings) == set(announced)


def test_a_packed_file_is_opened_twice_however_many_volumes_it_has(
    tmp_path: Path, model_config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, original = Counter[str](), voxel_stream._open_voxels
    monkeypatch.setattr(
        voxel_stream, "_open_voxels", lambda path, *more: opened.update([path.name]) or original(path, *more)
    )
    run(save(ct_volumes(6), tmp_path / "in.nii.gz"), tmp_path / "out.nii", model_config)
    assert opened == {"in.nii.gz": 2}


def test_memory_is_counted_for_a_volume_that_is_not_finite(
    tmp_path: Path, model_config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    voxels, plan, asked = ct_volumes(3, "float32"), memory_needs.with_memory_budget, list[np.ndarray]()
    voxels[9, 9, 2, 1] = np.nan
    monkeypatch.setattr(
        memory_needs, "with_memory_budget", lambda volume, *more: asked.append(volume.voxels) or plan(volume, *more)
    )
    run(save(voxels, tmp_path / "in.nii"), tmp_path / "out.nii", model_config)
    assert np.isnan(asked[0]).all()


def test_the_page_shows_one_volume_and_says_which(tmp_path: Path, model_config: ModelConfig) -> None:
    voxels = ct_volumes(5)
    voxels[..., 2] = 0
    source = save(voxels, tmp_path / "in.nii")
    run(source, tmp_path / "out.nii", model_config, page=tmp_path / "p.html", preview=tmp_path / "p.png")
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "in.nii, volume 2 of 5" in page
    assert "this page shows volume 2 of 5: pictures, figures and verdict are of that volume alone" in page
    assert (tmp_path / "p.png").stat().st_size > 1000
    made = make_job(source, tmp_path / "fine.nii", GridRequest(factor=3, in_plane_mm=0.6), model_config, volume="all")
    done = run_job(replace(made, page=tmp_path / "fine.html"), silent)
    assert f"<td>{TIMES.join(map(str, done.shape_after))}</td>" in (tmp_path / "fine.html").read_text(encoding="utf-8")


def dual_energy(folder: Path) -> Path:
    """Two energies of one series, with values between air and bone."""
    random = np.random.default_rng(5)
    parts = [*scan_pass(SAME, FIRST, put(KVP="80")), *scan_pass(SAME, SECOND, put(KVP="140"))]
    for data in parts:
        fabricate.set_pixels(data, random.integers(0, 2000, (12, 16)).astype("u2"))
    return fabricate.save(parts, folder / "in", shuffle=2)


@pytest.mark.parametrize(
    ("make", "shown"),
    [
        (lambda folder: save(ct_volumes(3), folder / "in.nii"), "in.nii, volume 2 of 3"),
        (dual_energy, "in, volume 2 of 2 (KVP 140)"),
        (lambda folder: save(ct_volumes(1), folder / "in.nii"), "in.nii"),
    ],
    ids=["NIfTI", "DICOM", "3-D"],
)
def test_the_page_of_a_chosen_volume_says_which_it_is(
    make: Callable[[Path], Path], shown: str, tmp_path: Path, model_config: ModelConfig
) -> None:
    volume = None if shown == "in.nii" else 2
    run(make(tmp_path), tmp_path / "out.nii", model_config, volume=volume, page=tmp_path / "p.html")
    assert f"<h1>{shown}</h1>" in (tmp_path / "p.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("target", ["out", "out.nii.gz"])
def test_volumes_of_a_dicom_series_go_to_one_series_or_to_one_file(
    target: str, tmp_path: Path, model_config: ModelConfig
) -> None:
    source = dual_energy(tmp_path)
    done = run(source, tmp_path / target, model_config)
    assert (done.volumes, done.volume_labels) == (2, ("KVP 80", "KVP 140"))
    assert "the slices are 2 volumes, separated by KVP" in done.warnings  # true of one volume and of all
    for k in (1, 2):
        run(source, tmp_path / f"one{k}", model_config, volume=k)
        alone, again = io.read_volume(tmp_path / f"one{k}"), io.read_volume(tmp_path / target, volume=k)
        np.testing.assert_array_equal(again.voxels, alone.voxels)
        np.testing.assert_allclose(again.affine_lps, alone.affine_lps, atol=1e-4)
    assert json.dumps(done.volume_labels)


def test_networks_are_loaded_once(tmp_path: Path, model_config: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    original, loaded = networks.start_networks, []
    monkeypatch.setattr(networks, "start_networks", lambda config, **more: loaded.append(1) or original(config, **more))
    run(save(ct_volumes(), tmp_path / "in.nii"), tmp_path / "out.nii", model_config)
    assert loaded == [1]


def test_the_whole_job_is_one_bar(tmp_path: Path, model_config: ModelConfig) -> None:
    estimate = ProgressEstimate()
    job = make_job(save(ct_volumes(), tmp_path / "in.nii"), tmp_path / "out.nii", GridRequest(factor=3), model_config)
    job = make_job(job.source, job.target, GridRequest(factor=3), model_config, volume="all")
    run_job(job, estimate)
    assert estimate.state().fraction == 1.0


@pytest.mark.parametrize("handling", [NoiseHandling.MATCH, NoiseHandling.SMOOTH])
@pytest.mark.parametrize("changed", [(True, False), (False, True), (False, False)])
def test_noise_was_changed_if_it_was_in_any_volume(
    changed: tuple[bool, ...],
    handling: NoiseHandling,
    tmp_path: Path,
    model_config: ModelConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter(changed)
    monkeypatch.setattr(pipeline.noise_matching, "match_noise", lambda *_: next(answers))
    monkeypatch.setattr(pipeline.noise_smoothing, "smooth_noise", lambda *_: next(answers))
    source = save(ct_volumes(2), tmp_path / "4d.nii")
    job = make_job(source, tmp_path / "out.nii", GridRequest(factor=2), model_config, volume="all")
    result = run_job(change_job(job, method_options=MethodOptions(noise=handling)), silent)
    assert result.noise is (handling if any(changed) else NoiseHandling.KEEP)
    assert result.summary.count("matched to theirs") + result.summary.count("all smoothed") == any(changed)
    assert result.acquired_kept == (0 if result.noise is NoiseHandling.SMOOTH else 5)
