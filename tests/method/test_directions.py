from dataclasses import replace

import numpy as np
import pytest
import torch
from nets import tiny
from nets.tiny import CPU

from saint_cli.geometry import SliceGrid, grid_by_factor, grid_by_spacing
from saint_cli.method.directions import interpolate_directions
from saint_cli.method.network_input import NetworkInput, prepare_input
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.nets.baselines import PublishedAMI
from saint_cli.nets.filter_generation import filter_distance_matrix
from saint_cli.options.method import MethodOptions

ENSEMBLE = MethodOptions(tta=True)


def network_input(grid: SliceGrid) -> NetworkInput:
    volume = tiny.volume()
    assert volume.shape[grid.axis] == grid.acquired
    return prepare_input(volume, grid)


def run(of: NetworkInput, grid: SliceGrid, options: MethodOptions = ENSEMBLE) -> list[np.ndarray]:
    """I_sag and I_cor as [X, Y, synthesised] residuals."""
    views = interpolate_directions(of, tiny.ami(), SlicePlan.from_grid(grid), CPU, options)
    return [v.values.permute(1, 2, 0).float().numpy() for v in views]


@pytest.mark.parametrize("axes", [(0, 1), (2,)])
@pytest.mark.parametrize("factor", [2, 3])
def test_the_self_ensemble_of_a_flipped_volume_is_the_flipped_self_ensemble(axes: tuple[int, ...], factor: int) -> None:
    grid = grid_by_factor(5, 2, factor)
    plain = network_input(grid)
    turned = replace(plain, voxels=plain.voxels.flip(axes))
    for one, other in zip(run(plain, grid), run(turned, grid), strict=True):
        np.testing.assert_allclose(np.flip(other, axes), one, atol=2e-3)
        assert np.abs(one).max() > 0.01
    single = [
        np.abs(np.flip(b, axes) - a).max()
        for a, b in zip(*(run(s, grid, MethodOptions()) for s in (plain, turned)), strict=True)
    ]
    assert max(single) > 0.01  # what a single pass does not have


def test_the_self_ensemble_is_the_mean_of_four_flips() -> None:
    grid = grid_by_factor(5, 2, 3)
    plain = network_input(grid)
    flips = [(), (0, 1), (2,), (0, 1, 2)]
    parts = [run(replace(plain, voxels=plain.voxels.flip(axes)), grid, MethodOptions()) for axes in flips]
    for i, found in enumerate(run(plain, grid)):
        back = [np.flip(part[i], axes) for part, axes in zip(parts, flips, strict=True)]
        np.testing.assert_allclose(found, np.mean(back, axis=0), atol=2e-3)


@pytest.mark.parametrize("grid", [grid_by_spacing(5, 2, 3.0, 0.7), grid_by_factor(5, 2, 2, extrapolate=True)])
def test_the_self_ensemble_serves_every_grid(grid: SliceGrid) -> None:
    for one, several in zip(
        run(network_input(grid), grid, MethodOptions()), run(network_input(grid), grid), strict=True
    ):
        assert several.shape == one.shape
        assert np.isfinite(several).all()
        assert 0 < np.abs(several - one).mean() < 0.5


def test_the_self_ensemble_of_regenerated_slices_is_finite() -> None:
    grid = grid_by_factor(5, 2, 2)
    plan = SlicePlan.from_grid(grid, regenerate=True)
    views = interpolate_directions(network_input(grid), tiny.ami(), plan, CPU, replace(ENSEMBLE, regenerate=True))
    assert all(torch.isfinite(v.values).all() for v in views)


def published_ami() -> PublishedAMI:
    torch.manual_seed(2)
    return PublishedAMI(*tiny.AMI_SIZE).eval()


@pytest.mark.parametrize("grid", [grid_by_factor(5, 2, 4), SliceGrid(2, 5, 0.3, 13)], ids=["x4", "x3.33"])
def test_line_and_residual_of_a_published_ami_are_what_it_gives(grid: SliceGrid) -> None:
    network_input, plan, ami, x = prepare_input(tiny.volume(), grid), SlicePlan.from_grid(grid), published_ami(), 9
    residual = interpolate_directions(network_input, ami, plan, CPU)[0].values[:, x].float()
    voxels, spacing = network_input.voxels, torch.tensor(network_input.spacing_mm)
    for s, (window, t) in enumerate(zip(plan.window, plan.network_offset, strict=True)):
        fdm = filter_distance_matrix(torch.tensor([t]), spacing[1], spacing[2])[None]
        with torch.inference_mode():
            given = ami(voxels[x - 1 : x + 2][None], fdm)[0, 0, :, window]
        line = torch.lerp(voxels[x, :, window], voxels[x, :, plan.above[s]], float(t))
        torch.testing.assert_close(line + residual[s], given, rtol=0, atol=2e-3)


def test_flips_of_a_published_ami_make_a_reversed_stack_give_the_reversed_result() -> None:
    grid, options = grid_by_factor(5, 2, 4), MethodOptions(tta=True)
    scan, plan = tiny.volume(), SlicePlan.from_grid(grid)
    results = []
    for step in (1, -1):
        network_input = prepare_input(replace(scan, voxels=scan.voxels[..., ::step]), grid)
        sagittal, _ = interpolate_directions(network_input, published_ami(), plan, CPU, options)
        results.append(sagittal.values.float())
    torch.testing.assert_close(results[0], results[1].flip(0), rtol=0, atol=2e-3)
