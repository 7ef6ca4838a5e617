from itertools import product

import numpy as np
import pytest
import torch
from nets import tiny, tiny_baselines
from nets.tiny_baselines import NAMES

from saint_cli.errors import UsageError
from saint_cli.geometry import SliceGrid, grid_by_factor
from saint_cli.method import baseline_networks
from saint_cli.method.baseline_networks import cut_blocks, estimate_residual, restore_by_baseline
from saint_cli.method.network_input import NetworkInput, prepare_input
from saint_cli.nets.baselines import ARCHITECTURES, Patching
from saint_cli.runtime.device_selection import Compute

SHAPE = (19, 14, 5)
NAMES_3D = [name for name in NAMES if ARCHITECTURES[name].dims == 3]
NAMES_2D = [name for name in NAMES if ARCHITECTURES[name].dims == 2]
CLOSE = 2
"""HU: two roundings, to half-precision residuals and to whole HU."""


@pytest.mark.parametrize(("name", "factor", "axis"), [*product(NAMES, (2, 4), (2,)), ("rdn", 4, 0), ("rdn-3d", 4, 1)])
def test_acquired_slices_stay_and_those_between_are_the_networks(name: str, factor: int, axis: int) -> None:
    shape = tuple(np.roll(SHAPE, axis + 1).tolist())
    scan = tiny.volume(shape, axis)  # type: ignore[arg-type]
    before = scan.voxels.copy()
    grid = grid_by_factor(SHAPE[2], axis, factor)
    dense = restore_by_baseline(scan, tiny_baselines.model(name), grid, tiny.CPU)
    acquired = np.moveaxis(scan.voxels, axis, 2)
    assert dense.shape == (*acquired.shape[:2], 4 * factor + 1)
    assert dense.dtype == scan.voxels.dtype
    assert np.array_equal(dense[..., ::factor], acquired)
    assert np.array_equal(scan.voxels, before)
    line = (acquired[..., :-1].astype(float) + acquired[..., 1:]) / 2
    assert np.abs(dense[..., factor // 2 :: factor] - line).mean() > CLOSE


def estimate(
    name: str, shape: tuple[int, int, int], factor: int = 4, patching: Patching | None = None
) -> tuple[torch.Tensor, NetworkInput]:
    """Residuals (S, X, Y), and what they are of."""
    scan, grid = tiny.volume(shape), grid_by_factor(shape[2], 2, factor)
    network_input = prepare_input(scan, grid)
    network = tiny_baselines.build(name)
    return estimate_residual(network_input, network, grid, tiny.CPU, patching).float(), network_input


def assert_same(one: torch.Tensor, other: torch.Tensor) -> None:
    """That they differ by no more than two roundings to half precision, and are no zeros."""
    assert float(one.abs().mean()) > 0.01
    torch.testing.assert_close(one, other, rtol=2 * tiny.HALF, atol=1e-4)


@pytest.mark.parametrize(("name", "factor"), [*product(NAMES, (4,)), ("rdn", 2), ("mdsr", 6), ("meta-sr", 3)])
def test_line_and_residual_are_what_the_network_gives(name: str, factor: int) -> None:
    residual, network_input = estimate(name, SHAPE, factor)
    network, whole, x = tiny_baselines.build(name), network_input.voxels, 9
    with torch.inference_mode():
        if network.dims == 3:
            between = network(whole[None, None], factor)[0, :, x]  # (T, Y, W)
        else:
            between = network(whole[x - 1 : x + 2][None], factor)[0]
    t = (torch.arange(1, factor) / factor)[:, None, None]
    line = torch.lerp(whole[x, :, :-1][None], whole[x, :, 1:][None], t)
    wanted = (between[..., :-1] - line).permute(2, 0, 1).flatten(0, 1)  # (W - 1) * T, Y
    assert_same(residual[:, x], wanted)


@pytest.mark.parametrize("name", NAMES_3D)
def test_blocks_with_a_margin_as_wide_as_the_reach_are_stitched_without_a_seam(name: str) -> None:
    margin = tiny_baselines.build(name).reach
    shape, patching = (2 * margin + 9, 2 * margin + 5, 4), Patching(2 * margin + 4, None, margin)
    assert len(list(cut_blocks(shape, patching))) > 3
    assert_same(estimate(name, shape)[0], estimate(name, shape, patching=patching)[0])


def test_a_narrow_margin_leaves_seams_and_every_voxel_is_still_computed() -> None:
    whole, cut = (estimate("rdn-3d", (31, 23, 9), patching=patching)[0] for patching in (None, Patching(12, 5, 1)))
    assert 1e-3 < float((whole - cut).abs().max()) < 1
    assert float((cut == 0).float().mean()) < 1e-3


@pytest.mark.parametrize("patching", [Patching(64, 64, 3), Patching(7, 3, 1), Patching(4, None, 2), Patching(5, 4, 0)])
def test_inner_voxels_of_blocks_cover_a_volume_once(patching: Patching) -> None:
    shape = (19, 14, 5)
    count = np.zeros(shape, int)
    for inner, outer in cut_blocks(shape, patching):
        count[inner] += 1
        for small, large, size in zip(inner, outer, shape, strict=True):
            assert large.start == max(0, small.start - patching.margin) or (large.start, large.stop) == (0, size)
            assert large.stop - large.start <= max(patching.side, patching.depth or size, 1 + 2 * patching.margin)
    assert (count == 1).all()


@pytest.mark.parametrize("name", NAMES_2D)
def test_slices_cut_into_parts_give_what_whole_ones_give(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = (6, 5 * tiny_baselines.build(name).reach, 3)
    whole = estimate(name, shape)[0]
    monkeypatch.setattr(Compute, "max_slice_pixels", 3)
    monkeypatch.setattr(Compute, "batch_size_for", lambda self, pixels: 1)
    assert_same(estimate(name, shape)[0], whole)


def test_progress_ends_complete() -> None:
    told: list[tuple[str, int, int]] = []
    restore_by_baseline(
        tiny.volume(SHAPE),
        tiny_baselines.model("rdn"),
        grid_by_factor(5, 2, 4),
        tiny.CPU,
        on_progress=lambda *call: told.append(call),
    )
    assert told[0][:2] == (baseline_networks.PROGRESS_STAGE, 0)
    assert told[-1][1] == told[-1][2] > 0


@pytest.mark.parametrize(
    ("name", "step", "said"),
    [
        ("rdn", 1 / 5, "trained for factor 4 and makes divisors of that, not factor 5"),
        ("mdsr", 1 / 8, "trained for factor 4, 6 and makes"),
        ("meta-sr", 1 / 2.5, "makes whole factors only, not 2.5"),
    ],
)
def test_a_factor_that_the_network_does_not_make_is_refused(name: str, step: float, said: str) -> None:
    grid = SliceGrid(2, SHAPE[2], step, int(4 / step) + 1)
    with pytest.raises(UsageError, match=said):
        restore_by_baseline(tiny.volume(SHAPE), tiny_baselines.model(name), grid, tiny.CPU)
