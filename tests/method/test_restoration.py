import tracemalloc
from dataclasses import fields, replace

import numpy as np
import pytest
from nets import tiny
from nets.tiny import CPU

from saint_cli.geometry import grid_by_factor
from saint_cli.method import pipeline
from saint_cli.method.bounds import Bounds
from saint_cli.method.pipeline import Restoration, ResultStage, restore
from saint_cli.models.calibration import Calibration
from saint_cli.options.method import MethodOptions, NoiseHandling
from saint_cli.volume import DicomSource, ValueRange

CALIBRATION = Calibration((0.0, 100.0), (3.0, 53.0))


def restored(axis: int = 2) -> Restoration:
    model = replace(tiny.model(), calibration=CALIBRATION)
    return restore(tiny.volume(axis=axis), model, grid_by_factor(tiny.volume().shape[axis], axis, 4), CPU)


def inside(restoration: Restoration, *stages: np.ndarray) -> np.ndarray:
    """[X, Y, synthesised slices] where no stage was held by what is around the voxel (``bounds``)."""
    plan, bounds = restoration.plan, Bounds(restoration.measured.voxels, restoration.measured.voxels)
    free = np.ones((*restoration.source.shape[:2], len(plan.synthesised)), bool)
    for s, j in enumerate(plan.synthesised):
        low, high = bounds.between(int(plan.window[s]), int(plan.above[s]))
        for stage in stages:
            free[..., s] &= (stage[..., j] > low) & (stage[..., j] < high)
    assert free.mean() > 0.5
    return free


def test_the_fused_stage_is_the_upsampled_volume() -> None:
    wanted = tiny.upsample(tiny.volume(), tiny.model(), grid_by_factor(5, 2, 4), CPU)
    np.testing.assert_array_equal(restored().stage(ResultStage.FUSED), wanted.voxels)


def test_stages_share_the_acquired_slices_and_differ_between_them() -> None:
    stages = [restored().stage(name) for name in ResultStage]
    for one in stages:
        np.testing.assert_array_equal(one[..., ::4], tiny.volume().voxels)
    assert len({one.tobytes() for one in stages}) == 4
    sagittal, coronal, mean, _ = (one.astype(float) for one in stages)
    restoration = restored()
    free = inside(restoration, sagittal, coronal, mean)
    assert np.abs(mean - (sagittal + coronal) / 2)[..., restoration.plan.synthesised][free].max() <= 1.01


def test_difference_is_what_lies_between_sagittal_and_coronal() -> None:
    restoration = restored()
    sagittal, coronal = (restoration.stage(name).astype(float) for name in (ResultStage.SAGITTAL, ResultStage.CORONAL))
    found, free = restoration.difference(), inside(restoration, sagittal, coronal)
    assert found.shape == (20, 18, 12)
    between = np.abs(sagittal - coronal)[..., restoration.plan.synthesised]
    np.testing.assert_allclose(found[free], between[free], atol=1.6)  # rounded, and half precision
    assert found[free].max() > 20


def test_the_difference_of_a_part_is_that_part_of_the_difference_and_zero_outside_the_box() -> None:
    restoration = restored()
    estimates, box = restoration.estimates, (slice(4, 16), slice(3, 12))
    cut = pipeline.Estimates(*(e[:, *box] for e in (estimates.sagittal, estimates.coronal, estimates.fused)))
    boxed = replace(restoration, network_input=replace(restoration.network_input, box=box), estimates=cut)
    inside = np.zeros((20, 18, 1), bool)
    inside[box] = True
    wanted = np.where(inside, restoration.difference(), 0)
    np.testing.assert_array_equal(boxed.difference(), wanted)
    whole = slice(None)
    for part in ((slice(7, 8), whole), (whole, slice(11, 12)), (whole, slice(12, 13)), (slice(0, 3), whole)):
        np.testing.assert_array_equal(boxed.difference(part), wanted[part])


def test_differences_and_errors_take_no_more_memory_than_their_result_and_some_slices() -> None:
    scan = tiny.volume((64, 60, 9))
    restoration = restore(scan, replace(tiny.model(), calibration=CALIBRATION), grid_by_factor(9, 2, 8), CPU)
    voxels, plane = 64 * 60 * 65, 64 * 60
    for made, most in (
        (restoration.difference, 4 * voxels + 40 * plane),
        (restoration.error, 4 * voxels + 40 * plane),
        (lambda: restoration.difference((slice(3, 4), slice(None))), 40 * plane),
    ):
        tracemalloc.start()
        made()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < most


def test_expected_error_is_zero_at_acquired_slices_and_calibrated_elsewhere() -> None:
    restoration = restored()
    found = restoration.error().voxels
    assert (found[..., ::4] == 0).all()
    wanted = CALIBRATION.expected_error(restoration.difference())
    np.testing.assert_array_equal(found[..., restoration.plan.synthesised], wanted)
    assert wanted.min() >= 3


@pytest.mark.parametrize("regenerate", [False, True])
@pytest.mark.parametrize("padding", [(), ((-3000.0, -3000.0),)])
@pytest.mark.parametrize("axis", [0, 2])
def test_no_error_is_expected_where_the_result_is_not_finite(
    axis: int, padding: tuple[ValueRange, ...], regenerate: bool
) -> None:
    scan = tiny.volume((8, 7, 6), axis)
    voxels = np.random.default_rng(0).normal(0, 300, scan.shape).astype(np.float32)
    holes = np.random.default_rng(1).choice([np.nan, np.inf, -3000, 0], scan.shape, p=[0.2, 0.1, 0.2, 0.5])
    scan = replace(scan, voxels=np.where(holes == 0, voxels, holes.astype(np.float32)))
    scan = replace(scan, header=replace(scan.header, padding=padding))
    model, grid = replace(tiny.model(), calibration=CALIBRATION), grid_by_factor(6, axis, 3)
    restoration = restore(scan, model, grid, CPU, MethodOptions(regenerate=regenerate))
    error, result = restoration.error().voxels, restoration.result().voxels
    np.testing.assert_array_equal(np.isnan(error), ~np.isfinite(result))
    assert (error[scan.header.is_padding(result)] == 0).all()


@pytest.mark.parametrize("regenerate", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_result_and_error_are_two_volumes_on_one_grid(axis: int, regenerate: bool) -> None:
    scan = tiny.volume((8, 7, 6), axis)
    model = replace(tiny.model(), calibration=CALIBRATION)
    grid, options = grid_by_factor(scan.shape[axis], axis, 3), MethodOptions(regenerate=regenerate)
    restoration = restore(scan, model, grid, CPU, options)
    dense, error = restoration.result(), restoration.error()
    wanted = tiny.upsample(scan, model, grid, CPU, options)
    np.testing.assert_array_equal(dense.voxels, wanted.voxels)
    np.testing.assert_array_equal(error.affine_lps, wanted.affine_lps)
    assert error.shape == wanted.shape
    assert error.voxels.dtype == np.float32
    acquired = np.moveaxis(error.voxels, axis, 2)[..., ::3]
    assert (acquired == 0).all()
    assert (np.delete(np.moveaxis(error.voxels, axis, 2), np.s_[::3], 2) >= 3).all()


@pytest.mark.parametrize(("axis", "thickness"), [(2, 1.5), (0, None), (1, None)])
def test_the_thickness_of_dicom_slices_counts_along_their_own_axis_alone(
    axis: int, thickness: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = tiny.volume((8, 7, 6))
    source = DicomSource((), slice_thickness_mm=1.5 * scan.spacing_mm[axis])
    scan = replace(scan, header=replace(scan.header, dicom_source=source))
    given: list[float | None] = []
    monkeypatch.setattr(pipeline.noise_matching, "match_noise", lambda *arguments: given.append(arguments[3]))
    options = MethodOptions(noise=NoiseHandling.MATCH)
    restore(scan, tiny.model(), grid_by_factor(scan.shape[axis], axis, 2), CPU, options).stage(ResultStage.FUSED)
    assert given == [thickness]


def test_every_option_of_the_method_is_recorded_with_a_result() -> None:
    other = {"directions": 4, "regenerate": True, "tta": True, "noise": NoiseHandling.MATCH, "skip_air": False}
    assert {*other, "match_noise"} == {field.name for field in fields(MethodOptions)}
    assert MethodOptions(match_noise=True).non_default == ("noise=match",)
    assert MethodOptions().non_default == ()
    for name, value in other.items():
        assert len(MethodOptions(**{name: value}).non_default) == 1
