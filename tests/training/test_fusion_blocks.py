import numpy as np
import pytest
import torch
from nets import tiny

from saint_cli.method import intensity
from saint_cli.runtime.device_selection import Compute
from saint_cli.training.dataset import FACTORS, PatchSource
from saint_cli.training.fusion_blocks import MARGIN, FusionBatch, FusionBlock, FusionSampler, make_block
from saint_cli.training.volumes import DenseVolume

CPU = Compute(torch.device("cpu"), torch.float32)
EXTENT = (26, 3)
INNER = EXTENT[0] - 2 * MARGIN


def dense(linear: bool = False) -> DenseVolume:
    """Noise, or a different straight line through the slices for every voxel."""
    random, shape = np.random.default_rng(0), (30, 28, 20)
    if linear:
        start, slope = random.uniform(0, 300, (*shape[:2], 1)), random.uniform(-20, 40, (*shape[:2], 1))
        return DenseVolume("line", (start + slope * np.arange(20)).astype(np.float32), (0.5, 0.8, 1.0), intensity.CT)
    return DenseVolume("noise", random.integers(-500, 900, shape).astype(np.int16), (0.5, 0.8, 1.0), intensity.CT)


def blocks(linear: bool = False, count: int = 8, adds: bool = True) -> list[FusionBlock]:
    random = np.random.default_rng(3)
    ami = tiny.ami() if adds else tiny.linear_model().ami
    choices = PatchSource([dense(linear)], *EXTENT)
    return [make_block(choices, ami, CPU, EXTENT[0], random) for _ in range(count)]


def lerp(below: np.ndarray, above: np.ndarray, t: np.ndarray) -> np.ndarray:
    return below + (above - below) * t[..., None, None]


def test_a_block_holds_every_synthesised_slice_of_its_windows() -> None:
    factors = set()
    for block in blocks():
        factor = len(block.offsets) + 1
        factors.add(factor)
        assert block.sparse.shape == (3, INNER, INNER)
        assert block.sagittal.shape == block.coronal.shape == block.truth.shape == (2, factor - 1, INNER, INNER)
        np.testing.assert_allclose(block.offsets, np.arange(1, factor) / factor, rtol=1e-6)
    assert factors <= set(FACTORS)
    assert len(factors) > 2


def test_a_block_of_straight_lines_has_nothing_to_add() -> None:
    for block in blocks(linear=True, adds=False):
        for part in (block.sagittal, block.coronal, block.truth):
            np.testing.assert_allclose(part, 0, atol=2e-3)


def test_the_truth_of_a_block_is_what_lies_between_its_acquired_slices() -> None:
    voxels = intensity.CT.to_network(dense().voxels)
    for block in blocks(count=4):
        factor = len(block.offsets) + 1
        whole = lerp(block.sparse[:-1, None], block.sparse[1:, None], block.offsets[None]) + block.truth
        between = whole.reshape(-1, INNER, INNER)
        paths = [  # where the block was cut from
            (x, y, z)
            for x in range(MARGIN, 30 - MARGIN - INNER + 1)
            for y in range(MARGIN, 28 - MARGIN - INNER + 1)
            for z in range(20 - 2 * factor)
            if np.array_equal(voxels[x : x + INNER, y : y + INNER, z], block.sparse[0])
        ]
        ((x, y, z),) = paths
        wanted = [z + k for k in range(2 * factor) if k % factor]
        cut = voxels[x : x + INNER, y : y + INNER, wanted].transpose(2, 0, 1)
        np.testing.assert_allclose(between, cut, atol=2e-3)


def test_a_batch_is_made_of_whole_windows_of_one_factor() -> None:
    sampler = FusionSampler(blocks(), 12, 6, 0)
    for step in range(10):
        batch = sampler.draw_batch(step)
        samples, t = batch.offset.shape
        assert samples == max(1, 12 // t)
        assert batch.difficulty.shape == (samples,)
        assert all(part.shape == (samples, t, 6, 6) for part in batch[:4])


def test_a_batch_depends_on_seed_and_step_and_not_on_what_was_drawn_before() -> None:
    ready = blocks(count=4)

    def drawn(seed: int, steps: list[int]) -> dict[int, FusionBatch]:
        sampler = FusionSampler(ready, 8, 6, seed)
        return {step: sampler.draw_batch(step) for step in steps}

    one, other = drawn(0, [0, 1, 2, 3]), drawn(0, [3, 1, 0, 2])
    for step, batch in one.items():
        assert all(np.array_equal(a, b) for a, b in zip(batch, other[step], strict=True))
    assert not np.array_equal(one[0].truth, drawn(1, [0])[0].truth)


def test_inputs_and_truth_of_straight_lines_are_the_lerp_however_they_are_turned() -> None:
    sampler = FusionSampler(blocks(linear=True, adds=False), 8, 6, 0)
    for step in range(16):
        batch = sampler.draw_batch(step)
        wanted = batch.below + (batch.above - batch.below) * batch.offset[..., None, None]
        for part in (batch.i_sag, batch.i_cor, batch.truth):
            np.testing.assert_allclose(part, wanted, atol=3e-3)


@pytest.mark.parametrize("steps", [24])
def test_turning_keeps_sagittal_and_coronal_apart(steps: int) -> None:
    """I_sag is off along x and I_cor along y; a turned patch must still say which is which."""
    size, t = 8, np.array([0.5], np.float32)
    ramp = np.broadcast_to(np.arange(size, dtype=np.float32)[:, None] / 10, (1, 1, size, size))
    block = FusionBlock(
        ramp, ramp.swapaxes(2, 3), np.zeros_like(ramp), np.zeros((2, size, size), np.float32), t, 5.0, 0.1
    )
    sampler = FusionSampler([block], 1, size, 0)
    for step in range(steps):
        batch = sampler.draw_batch(step)
        assert np.ptp(batch.i_sag[0, 0], axis=1).max() == 0
        assert np.ptp(batch.i_sag[0, 0], axis=0).min() == pytest.approx(0.7)
        assert np.ptp(batch.i_cor[0, 0], axis=0).max() == 0
