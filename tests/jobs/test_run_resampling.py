"""Jobs on uneven and tilted stacks, coarser grids and other pixels: what is served, said and refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import fabricate
import numpy as np
import pydicom
import pytest
from jobs.thick_files import save
from make_jobs import make_job

from saint_cli import geometry
from saint_cli.errors import GeometryError, SaintError, SourceChangedError, UsageError
from saint_cli.io import read_volume
from saint_cli.jobs import GridRequest, JobResult, ModelConfig, outputs, run_job
from saint_cli.options.method import MethodOptions, NoiseHandling
from saint_cli.progress import silent
from saint_cli.report.quality_control import spread_slices

GAPS = [3.0, 6.0, 3.0, 4.5, 3.0]


def uneven(folder: Path, gaps: list[float] = GAPS) -> Path:
    series = fabricate.slices(len(gaps) + 1)
    for data, height in zip(series, np.cumsum([30.0, *gaps]), strict=True):
        data.ImagePositionPatient = [-10, 20, float(height)]
    return fabricate.save(series, folder)


def run(source: Path, target: Path, grid: GridRequest, config: ModelConfig, **more: Any) -> JobResult:
    return run_job(make_job(source, target, grid, config, **more), silent)


def test_an_uneven_stack_becomes_even_and_says_which_slices_it_keeps(tmp_path: Path, model_config: ModelConfig) -> None:
    source, target = uneven(tmp_path / "s"), tmp_path / "out.nii.gz"
    done = run(source, target, GridRequest(spacing_mm=1.0), model_config, irregular=True)
    assert (done.shape_after, done.acquired_kept, done.resampling) == ((16, 12, 20), 4, ("irregular",))
    assert "4 of 6 acquired slices kept" in done.summary
    assert any("not in the result: those 16.5, 19.5 mm from the first slice" in text for text in done.warnings)
    result, acquired = read_volume(target), read_volume(source, irregular=True)
    np.testing.assert_array_equal(result.voxels[..., [0, 3, 9, 12]], acquired.voxels[..., :4])


def test_a_slice_that_comes_while_means_are_written_leaves_the_target_as_it_was(
    tmp_path: Path, model_config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    *slices, late = fabricate.slices(9)
    source, target, write = fabricate.save(slices, tmp_path / "s"), tmp_path / "out.nii.gz", outputs.write_result
    target.write_bytes(b"before")

    def receive_meanwhile(*arguments: Any) -> None:
        fabricate.save([late], source)
        write(*arguments)

    monkeypatch.setattr(outputs, "write_result", receive_meanwhile)
    with pytest.raises(SourceChangedError, match="came after the others"):
        run(source, target, GridRequest(spacing_mm=10.0), model_config, overwrite=True)
    assert target.read_bytes() == b"before"


def test_an_uneven_stack_stays_refused_without_the_option(tmp_path: Path, model_config: ModelConfig) -> None:
    with pytest.raises(GeometryError, match="`irregular=True`"):
        run(uneven(tmp_path / "s"), tmp_path / "out.nii.gz", GridRequest(factor=2), model_config)
    assert not (tmp_path / "out.nii.gz").exists()


def test_a_page_of_an_uneven_stack_has_no_self_check(tmp_path: Path, model_config: ModelConfig) -> None:
    page = tmp_path / "page.html"
    run(uneven(tmp_path / "s"), tmp_path / "o.nii", GridRequest(factor=3), model_config, irregular=True, page=page)
    text = page.read_text()
    assert "This result was not checked: slices are unevenly spaced" in text
    assert "3 to 6 → 1 mm" in text
    assert "reduced from 3 to 6 mm to 1 mm" in text


def test_a_coarser_spacing_is_the_mean_of_slices_without_networks(tmp_path: Path, model_config: ModelConfig) -> None:
    volume = fabricate.volume((10, 12, 9))
    source, target = save(volume, tmp_path / "in.nii"), tmp_path / "out.nii"
    done = run(source, target, GridRequest(spacing_mm=20.0), model_config)
    result = read_volume(target)
    means = volume.voxels[..., :8].reshape(10, 12, 2, 4).mean(3)
    np.testing.assert_array_equal(result.voxels, np.rint(means))
    assert result.spacing_mm[2] == pytest.approx(20)
    assert (done.acquired_kept, done.model, done.weights_sha256) == (0, "no networks", "")
    assert "0 of 9 acquired slices kept, no networks" in done.summary
    assert any("the last acquired slice fills no whole slab" in text for text in done.warnings)


def test_spacing_and_in_plane_together_give_isotropic_voxels(tmp_path: Path, model_config: ModelConfig) -> None:
    volume = fabricate.volume((10, 12, 4))
    source, target = save(volume, tmp_path / "in.nii"), tmp_path / "out.nii"
    done = run(source, target, GridRequest(spacing_mm=1.0, in_plane_mm=1.0), model_config)
    result = read_volume(target)
    assert result.spacing_mm == pytest.approx((1, 1, 1))
    assert done.shape_after == result.shape == (8, 10, 16)
    assert (done.acquired_kept, done.resampling) == (0, ("in-plane=1",))
    corner = np.array([-0.5, -0.5, 0, 1])
    np.testing.assert_allclose(result.affine_lps @ corner, volume.affine_lps @ corner, atol=1e-5)
    alone = run(source, tmp_path / "alone.nii", GridRequest(in_plane_mm=1.0), model_config)
    assert alone.spacing_after_mm == pytest.approx((1, 1, 1))


def test_untilted_slices_are_as_far_apart_as_asked_along_their_normal(
    tmp_path: Path, model_config: ModelConfig
) -> None:
    series = fabricate.slices(4, step=(0.0, 3.0, 4.0))
    source, target = fabricate.save(series, tmp_path / "s"), tmp_path / "out"
    done = run(source, target, GridRequest(spacing_mm=1.0, untilt=True), model_config)
    result = read_volume(target)
    assert result.spacing_mm == pytest.approx((0.5, 0.75, 1))
    assert geometry.slice_distance_mm(result.affine_lps, 2) == pytest.approx(1)
    assert done.resampling == ("untilt",)
    assert result.shape == (16, 24, 13)
    assert not any("kept as acquired" in text for text in done.warnings)
    assert any(text.startswith("slices were tilted by 36.9°") for text in done.warnings)
    whole = [k for k in range(13) if k % 4 == 0]  # 3 mm are 4 pixels: no acquired slice lies between pixels
    acquired = read_volume(source)
    for k in whole:
        np.testing.assert_array_equal(result.voxels[:, k : k + 12, k], acquired.voxels[..., k // 4])
    assert done.acquired_kept == 4


def test_a_list_of_series_says_how_slices_were_resampled_in_their_plane(
    tmp_path: Path, model_config: ModelConfig
) -> None:
    series = fabricate.slices(4, step=(0.0, 3.0, 4.0))
    for one in series:
        one.SeriesDescription = "D" * 64
    source, found = fabricate.save(series, tmp_path / "s"), []
    grids = [GridRequest(factor=2, untilt=untilt, in_plane_mm=mm) for untilt in (False, True) for mm in (None, 2 / 3)]
    for number, grid in enumerate([*grids, GridRequest(in_plane_mm=1.0)]):
        run(source, tmp_path / str(number), grid, model_config)
        found.append(pydicom.dcmread(min((tmp_path / str(number)).iterdir())).SeriesDescription)
    endings = ["x2", "x2 in-plane 0.6667 mm", "x2 untilted", "x2 untilted in-plane 0.6667 mm", "x5 in-plane 1 mm"]
    assert [text.lstrip("D") for text in found] == [f" SAINT {ending}" for ending in endings]
    assert all(len(text) == 64 for text in found)


def test_untilt_of_straight_slices_changes_nothing(tmp_path: Path, model_config: ModelConfig) -> None:
    source = save(fabricate.volume((10, 12, 4)), tmp_path / "in.nii")
    one, other = (
        run(source, tmp_path / f"{untilt}.nii", GridRequest(factor=2, untilt=untilt), model_config)
        for untilt in (False, True)
    )
    assert replace(one, target="", seconds=0, peak_memory_mb=None) == replace(
        other, target="", seconds=0, peak_memory_mb=None
    )
    assert (tmp_path / "False.nii").read_bytes() == (tmp_path / "True.nii").read_bytes()


REFUSED = {
    "gap too wide": (
        [3.0, 3.0, 15.0, 3.0],
        GridRequest(factor=2),
        {},
        "15 mm between 36 and 51 mm .*`split_runs=True`",
    ),
    "gap of too many slices": ([3.0, 3.0, 9.0, 3.0], GridRequest(factor=8), {}, "more than 16 output slices"),
    "coarser": (GAPS, GridRequest(spacing_mm=5.0), {}, "coarser than the commonest gap"),
    "extrapolate": (GAPS, GridRequest(factor=2, extrapolate=True), {}, "leave `extrapolate` out"),
    "axis": (GAPS, GridRequest(factor=2, axis=0), {}, "leave `axis` out"),
    "noise": (
        GAPS,
        GridRequest(factor=2),
        {"method_options": MethodOptions(noise=NoiseHandling.MATCH)},
        "`noise=match` needs evenly spaced slices; leave it out",
    ),
    "uncertainty": (GAPS, GridRequest(factor=2), {"uncertainty": Path("error.nii")}, "leave out --irregular"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_an_uneven_stack_cannot_have_is_refused_early_with_the_way_out(
    name: str, tmp_path: Path, model_config: ModelConfig
) -> None:
    gaps, grid, more, words = REFUSED[name]
    if "uncertainty" in more:
        more = {"uncertainty": tmp_path / "error.nii"}
    with pytest.raises(SaintError, match=words):
        run(uneven(tmp_path / "s", gaps), tmp_path / "out.nii", grid, model_config, irregular=True, **more)
    assert not (tmp_path / "out.nii").exists()


@pytest.mark.parametrize(
    ("grid", "more", "words"),
    [
        (GridRequest(spacing_mm=10.0), {"page": "page.html"}, "--report shows synthesised slices"),
        (GridRequest(spacing_mm=10.0), {"uncertainty": "e.nii"}, "--uncertainty is the error of synthesised slices"),
        (GridRequest(factor=2, in_plane_mm=1.0), {"uncertainty": "e.nii"}, "leave out --in-plane and --untilt"),
        (GridRequest(spacing_mm=10.0, extrapolate=True), {}, "leave it out here"),
        (GridRequest(spacing_mm=5.0), {}, "is the input's own; nothing to interpolate"),
        (GridRequest(spacing_mm=40.0), {}, "the coarsest is `spacing_mm="),
        (GridRequest(factor=2, in_plane_mm=9.0), {}, "fewer than two pixels"),
        (
            GridRequest(spacing_mm=10.0),
            {"method_options": MethodOptions(noise=NoiseHandling.SMOOTH)},
            "`noise=smooth` needs synthesised slices",
        ),
    ],
)
def test_what_resampling_cannot_have_is_refused_with_the_way_out(
    grid: GridRequest, more: dict[str, Any], words: str, tmp_path: Path, model_config: ModelConfig
) -> None:
    source = save(fabricate.volume((10, 12, 6)), tmp_path / "in.nii")
    more = {name: tmp_path / value if isinstance(value, str) else value for name, value in more.items()}
    with pytest.raises(UsageError, match=words):
        run(source, tmp_path / "out.nii", grid, model_config, **more)
    assert not (tmp_path / "out.nii").exists()


def test_a_batch_goes_without_the_page_of_means(tmp_path: Path, model_config: ModelConfig) -> None:
    source = save(fabricate.volume((10, 12, 6)), tmp_path / "in.nii")
    files = {"page": tmp_path / "page.html", "thumbnail": tmp_path / "page.png"}
    done = run(source, tmp_path / "out.nii", GridRequest(spacing_mm=10.0), model_config, **files)
    assert any("no page" in text for text in done.warnings)
    assert done.page is None
    assert not files["page"].exists()


def test_an_uneven_scan_is_shown_with_every_slice_at_its_place() -> None:
    volume = fabricate.volume((4, 5, 4))
    uneven_volume = replace(volume, header=replace(volume.header, slice_positions=(0.0, 1.0, 3.0, 4.0)))
    grid = geometry.grid_of_uneven((0.0, 1.0, 3.0, 4.0), 2, volume.affine_lps, 2.5)
    shown = spread_slices(uneven_volume, grid)
    np.testing.assert_array_equal(shown.voxels, volume.voxels[..., [0, 0, 1, 1, 1, 2, 2, 2, 3]])
