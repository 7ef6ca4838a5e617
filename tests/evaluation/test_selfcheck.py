import math
from dataclasses import replace

import numpy as np
import pytest
from nets import tiny
from nets.tiny import CPU

from saint_cli.evaluation import check_region, selfcheck
from saint_cli.geometry import SliceGrid, grid_by_factor
from saint_cli.method import pipeline
from saint_cli.method.pipeline import Restoration
from saint_cli.options.method import MethodOptions
from saint_cli.volume import Volume


def restore(volume: Volume, axis: int = 2, options: MethodOptions = MethodOptions()) -> Restoration:  # noqa: B008  (frozen)
    grid = grid_by_factor(volume.shape[axis], axis, 2)
    return pipeline.restore(volume, tiny.model(), grid, CPU, options)


def run_check(volume: Volume, axis: int = 2, **changes: object) -> selfcheck.SelfCheck:
    centre = tuple(n // 2 for n in volume.shape)
    assert len(centre) == 3
    return selfcheck.run_self_check(replace(restore(volume, axis), **changes), CPU, centre)


def test_slices_beyond_the_body_which_come_back_exactly_do_not_keep_a_scan_from_its_check() -> None:
    volume = tiny.volume((20, 18, 9))
    volume.voxels[..., 3:] = -1000
    check = selfcheck.try_self_check(restore(volume), CPU)
    assert isinstance(check, selfcheck.SelfCheck)
    assert math.isfinite(check.cubic_db)
    volume.voxels[...] = -1000
    nothing = selfcheck.try_self_check(restore(volume), CPU)
    assert nothing == "a slice that was left out came back exactly, so that PSNR has no value"


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_figures_equal_those_of_leaving_out_every_second_slice_by_hand(axis: int) -> None:
    volume = tiny.volume(tuple(np.insert([20, 18], axis, 7)), axis)
    check = run_check(volume, axis)
    slices = np.moveaxis(volume.voxels, axis, 2)
    kept = volume.affine_lps.copy()
    kept[:, axis] *= 2
    sparse = replace(volume, voxels=np.moveaxis(slices[..., ::2], 2, axis), affine_lps=kept)
    predicted = tiny.upsample(sparse, tiny.model(), grid_by_factor(4, axis, 2), CPU)
    ours = np.moveaxis(predicted.voxels, axis, 2)[..., 1::2].astype(float)
    k = slices[..., ::2].astype(float)
    padded = np.concatenate([k[..., :1], k, k[..., -1:]], 2)
    cubic = (9 * (padded[..., 1:-2] + padded[..., 2:-1]) - padded[..., :-3] - padded[..., 3:]) / 16
    truth = slices[..., 1::2].astype(float)
    for result, psnr, error in ((ours, check.psnr_db, check.mean_error), (cubic, check.cubic_db, check.cubic_error)):
        squared = ((np.clip(result, -1024, 2976) - np.clip(truth, -1024, 2976)) ** 2).mean((0, 1))
        assert psnr == pytest.approx(np.mean([10 * math.log10(4000**2 / s) for s in squared]), abs=1e-3)
        assert error == pytest.approx(np.abs(result - truth).mean(), rel=1e-4)
    assert (check.slices, check.acquired, check.region.is_whole) == (3, 7, True)
    np.testing.assert_array_equal(check.truth, volume.voxels.take([check.index], axis))


def test_a_smooth_volume_is_predicted_well_and_noise_is_not() -> None:
    noisy = run_check(tiny.volume((20, 18, 7)))
    ramp = tiny.volume((20, 18, 7))
    ramp.voxels[:] = 10 * np.arange(7)
    assert run_check(ramp).cubic_db > noisy.cubic_db + 20


def test_noise_makes_an_error_in_the_body_alone() -> None:
    voxels = np.random.default_rng(2).normal(40, 30, (64, 48, 7)).round().astype(np.int16)
    voxels[40:] = -1000
    check = run_check(replace(tiny.volume(), voxels=voxels))
    assert check.noise_error == pytest.approx(0.8 * 30, rel=0.2)
    assert check.errors.noise == pytest.approx(check.noise_error * 40 / 64, rel=0.1)


def test_choices_that_make_no_prediction_better_are_left_out() -> None:
    volume = tiny.volume((20, 18, 7))
    plain = run_check(volume)
    assert run_check(volume, options=MethodOptions(match_noise=True, regenerate=True)).psnr_db == plain.psnr_db
    assert run_check(volume, options=MethodOptions(tta=True)).psnr_db != plain.psnr_db


def test_voxels_that_are_not_finite_do_not_spoil_the_figure() -> None:
    volume = tiny.volume((20, 18, 7), dtype="float32")
    volume.voxels[4, 4, 3], volume.voxels[9, 9, 2] = np.nan, np.inf
    check = run_check(volume)
    assert np.isfinite([check.psnr_db, check.cubic_db, check.mean_error]).all()
    assert np.isfinite(check.truth).all()


def test_other_modalities_are_judged_in_the_range_of_their_percentiles() -> None:
    volume = tiny.volume((20, 18, 7), dtype="uint16", modality="MR")
    low, high = np.percentile(volume.voxels, (0.1, 99.9))
    assert run_check(volume).data_range == pytest.approx(high - low)


@pytest.mark.parametrize("acquired", [2, 4, 5])
def test_too_few_slices_are_refused(acquired: int) -> None:
    reason = selfcheck.find_reason_to_skip(restore(tiny.volume((20, 18, acquired))))
    assert (reason is None) == (acquired >= 5)
    assert reason is None or f"only {acquired} slices" in reason


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("factor", [2, 4, 8, 16])
@pytest.mark.parametrize(
    ("plane", "acquired"), [((512, 512), 120), ((512, 400), 13), ((256, 256), 30), ((90, 80), 700)]
)
def test_the_check_of_a_large_volume_takes_a_small_part_of_the_work(
    plane: tuple[int, int], acquired: int, factor: int, axis: int
) -> None:
    shape = tuple(int(n) for n in np.insert(plane, axis, acquired))
    grid = grid_by_factor(acquired, axis, factor)
    region = check_region.plan_region(grid, shape, tuple(n // 3 for n in shape))
    sizes = [s.stop - s.start for s in region.predicted_box]
    predicted, pixels = sizes[axis] // 2, math.prod(sizes) / sizes[axis]
    part = pixels / math.prod(plane)
    assert part * (predicted + 1) / acquired < 0.12
    assert part * predicted / (grid.count - acquired) < 0.12
    assert not region.is_whole
    assert sizes[axis] % 2 == 1
    for i, (box, inner, size) in enumerate(zip(region.predicted_box, region.scored_box, shape, strict=True)):
        assert 0 <= box.start <= inner.start < inner.stop <= box.stop <= size
        if i != axis:  # a cut edge is not scored, one of the volume's own is
            assert (inner.start > box.start) == (box.start > 0)
            assert (inner.stop < box.stop) == (box.stop < size)


def test_the_region_holds_the_middle_of_the_body() -> None:
    region = check_region.plan_region(SliceGrid(2, 60, 0.25, 237), (512, 512, 60), (100, 400, 58))
    for box, at in zip(region.scored_box, (100, 400, 58), strict=True):
        assert box.start <= at < box.stop


def test_the_slice_that_is_shown_is_named_by_its_place_in_the_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_region, "SMALL_VOXELS", 0)
    monkeypatch.setattr(check_region, "MOST_PREDICTED", 2)
    volume = tiny.volume((20, 18, 15))
    check = selfcheck.run_self_check(restore(volume), CPU, (9, 9, 12))
    x, y, z = check.region.scored_box
    assert z.start > 0
    np.testing.assert_array_equal(check.truth[..., 0], volume.voxels[x, y, check.index])


@pytest.mark.parametrize("acquired", [9, 10])  # of both, 4 slices of 10000 voxels are predicted
def test_a_small_volume_is_checked_in_whole_planes(acquired: int) -> None:
    region = check_region.plan_region(grid_by_factor(acquired, 2, 4), (100, 100, acquired), (10, 10, 1))
    assert region.is_whole == (acquired == 9)
    assert region.predicted_box == region.scored_box == (slice(0, 100), slice(0, 100), slice(0, 9))


def test_progress_has_a_name_of_its_own() -> None:
    reported = list[tuple[str, int, int]]()
    selfcheck.run_self_check(restore(tiny.volume((20, 18, 5))), CPU, (9, 9, 2), lambda *step: reported.append(step))
    assert {stage for stage, _, _ in reported} == {selfcheck.STAGE}
    assert [done for _, done, _ in reported] == sorted(done for _, done, _ in reported)
    assert reported[-1][1:] == (3 * selfcheck.STEPS, 3 * selfcheck.STEPS)
