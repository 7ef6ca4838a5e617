"""Patches out of ready blocks."""

import itertools

import numpy as np
import pytest
import torch
from training.no_waiting import NoWaiting

from saint_cli.training.fusion_blocks import FusionBatch, FusionBlock
from saint_cli.training.fusion_sampler import FusionSampler

SIZE, WINDOWS = 10, 2


def block(factor: int, seed: int) -> FusionBlock:
    """Noise everywhere."""
    rng, plane = np.random.default_rng(seed), (SIZE, SIZE)
    parts = (rng.normal(0, 0.1, (WINDOWS, factor - 1, *plane)).astype(np.float16) for _ in range(3))
    sparse = rng.random((WINDOWS + 1, *plane), np.float32)
    offsets = (np.arange(1, factor) / factor).astype(np.float32)
    return FusionBlock(*parts, sparse, offsets, float(factor), 0.01 * (1 + seed))


def blocks() -> list[FusionBlock]:
    return [block(factor, seed) for seed, factor in enumerate((2, 3, 3, 4, 5))]


def cut_out(block: FusionBlock, window: int, x: int, y: int, side: int) -> list[np.ndarray]:
    """I_sag, I_cor, below, above and the truth of a patch, (T, side, side) each, as it lies in its block."""
    plane = (slice(x, x + side), slice(y, y + side))
    below, above = (block.sparse[w][plane][None] for w in (window, window + 1))
    line = below + (above - below) * block.offsets[:, None, None]
    sag, cor, truth = (line + r[window][:, *plane] for r in (block.sagittal, block.coronal, block.truth))
    return [sag, cor, *(np.broadcast_to(one, line.shape) for one in (below, above)), truth]


def turn(patch: list[np.ndarray], upward: bool, exchanged: bool, flips: tuple[int, ...]) -> list[np.ndarray]:
    """Upside down, x and y exchanged (and so sagittal and coronal), and flipped along axes of the plane."""
    sag, cor, below, above, truth = patch
    if upward:
        sag, cor, below, above, truth = (one[::-1] for one in (sag, cor, above, below, truth))
    if exchanged:
        sag, cor, below, above, truth = (one.swapaxes(1, 2) for one in (cor, sag, below, above, truth))
    return [np.flip(one, flips) for one in (sag, cor, below, above, truth)]


def list_patches(side: int) -> dict[bytes, tuple[FusionBlock, tuple[object, ...], list[np.ndarray]]]:
    """Every patch that can be drawn, however it is turned, by its acquired slices."""
    patches, places = {}, range(SIZE - side + 1)
    for source, window, x, y in itertools.product(blocks(), range(WINDOWS), places, places):
        patch = cut_out(source, window, x, y, side)
        for how in itertools.product((False, True), (False, True), ((), (1,), (2,), (1, 2))):
            turned = turn(patch, *how)
            patches[key(turned[2][0], turned[3][0])] = source, how, turned
    return patches


def key(below: np.ndarray, above: np.ndarray) -> bytes:
    return below.tobytes() + above.tobytes()


def test_every_patch_is_one_of_a_block_turned_as_a_whole() -> None:
    patches, sampler, seen = list_patches(SIZE - 2), FusionSampler(blocks(), 6, SIZE - 2, 0), set()
    for step in range(30):
        batch = sampler.draw_batch(step)
        for n in range(len(batch.truth)):
            found = [part[n].numpy() for part in (batch.i_sag, batch.i_cor, batch.below, batch.above, batch.truth)]
            source, how, patch = patches[key(found[2][0], found[3][0])]
            seen.add(how)
            for one, other in zip(found, patch, strict=True):
                np.testing.assert_allclose(one, other, atol=1e-6)
            assert float(batch.difficulty[n]) == pytest.approx(source.difficulty)
            np.testing.assert_array_equal(batch.gap_mm[n], np.full_like(source.offsets, source.gap_mm))
            np.testing.assert_array_equal(batch.offset[n], source.offsets)
    assert len(seen) == 16


def test_factors_are_drawn_as_often_as_blocks_have_them() -> None:
    sampler = FusionSampler(blocks(), 4, 6, 0)
    counts = np.bincount([sampler.draw_batch(step).offset.shape[1] for step in range(300)], minlength=5)
    np.testing.assert_allclose(counts / 300, [0, 0.2, 0.4, 0.2, 0.2], atol=0.08)


def test_a_batch_is_made_of_whole_windows_of_one_factor() -> None:
    sampler = FusionSampler(blocks(), 12, 6, 0)
    for step in range(10):
        batch = sampler.draw_batch(step)
        samples, t = batch.offset.shape
        assert samples == max(1, 12 // t)
        assert batch.difficulty.shape == (samples,)
        assert all(part.shape == (samples, t, 6, 6) for part in batch[:4])


def test_drawing_waits_for_no_gpu() -> None:
    sampler = FusionSampler(blocks(), 12, 6, 0)
    with NoWaiting():
        for step in range(10):
            sampler.draw_batch(step).split()


def test_split_makes_every_slice_one_of_its_own() -> None:
    batch = FusionSampler(blocks(), 12, 6, 0).draw_batch(1)
    split, (samples, t) = batch.split(), batch.offset.shape
    assert t > 1
    assert torch.equal(split.truth.view(samples, t, 6, 6), batch.truth)
    assert torch.equal(split.difficulty, batch.difficulty.repeat_interleave(t))


def test_a_batch_depends_on_seed_and_step_and_not_on_what_was_drawn_before() -> None:
    ready = blocks()

    def draw(seed: int, steps: list[int]) -> dict[int, FusionBatch]:
        sampler = FusionSampler(ready, 8, 6, seed)
        return {step: sampler.draw_batch(step) for step in steps}

    one, other = draw(0, [0, 1, 2, 3]), draw(0, [3, 1, 0, 2])
    for step, batch in one.items():
        assert all(torch.equal(a, b) for a, b in zip(batch, other[step], strict=True))
    assert not torch.equal(one[0].truth, draw(1, [0])[0].truth)
