from typing import Any

import numpy as np
import pytest
import torch
from nets import tiny
from nets.tiny import CPU

from saint_cli.method import intensity
from saint_cli.training import fusion_blocks
from saint_cli.training.augment import Augmentation
from saint_cli.training.dense_volume import DenseVolume
from saint_cli.training.fusion_blocks import MARGIN, FusionBlock, draw_dense_block, make_block
from saint_cli.training.patch_places import Variation
from saint_cli.training.patch_source import FACTORS, PatchSource
from saint_cli.training.slice_profile import PICKED

EXTENT = (26, 3)
INNER = EXTENT[0] - 2 * MARGIN


def dense(linear: bool = False) -> DenseVolume:
    """Noise, or a different straight line through the slices for every voxel."""
    random, shape = np.random.default_rng(0), (30, 28, 20)
    if linear:
        start, slope = random.uniform(0, 300, (*shape[:2], 1)), random.uniform(-20, 40, (*shape[:2], 1))
        return DenseVolume.from_array(
            "line", (start + slope * np.arange(20)).astype(np.float32), (0.5, 0.8, 1.0), intensity.CT
        )
    return DenseVolume.from_array(
        "noise", random.integers(-500, 900, shape).astype(np.int16), (0.5, 0.8, 1.0), intensity.CT
    )


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
    voxels = intensity.CT.to_network(dense().voxels.numpy())
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


def draw_varied(
    volume: DenseVolume,
    monkeypatch: pytest.MonkeyPatch,
    zoom: float = 1.0,
    kernel: float = 0.0,
    variation: Variation = Variation.CT,
) -> tuple[np.ndarray, tuple[float, float, float]]:
    """(12, 12, slices) the first block of a volume at x3, picked slices, with its spacing in mm."""
    parts = (np.full(1, value, np.float32) for value in (zoom, kernel, 1.0, 0.0))
    drawn = Augmentation(*parts)
    monkeypatch.setattr(fusion_blocks.Augmentation, "draw", lambda *_: drawn)
    monkeypatch.setattr(Variation, "draw_profile", lambda *_: PICKED)
    source = PatchSource([volume], 12, 3)
    return draw_dense_block(source, 3, 12, np.random.default_rng(0), variation)[:2]


@pytest.mark.parametrize("zoom", [0.75, 1.0, 1.3, 1.5])
def test_a_zoomed_block_spans_more_or_fewer_voxels_in_the_plane(zoom: float, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, z = np.ogrid[:30, :28, :20]
    volume = DenseVolume.from_array("ramp", (16 * x + 8 * y + 5 * z).astype(np.int16), (0.5, 0.8, 1.0), intensity.CT)
    block, spacing = draw_varied(volume, monkeypatch, zoom)
    assert block.shape == (12, 12, 7)
    np.testing.assert_allclose(spacing, (0.5 * zoom, 0.8 * zoom, 1.0))
    for axis, slope in enumerate((16 * zoom, 8 * zoom, 5)):
        np.testing.assert_allclose(np.diff(block, axis=axis), slope / intensity.CT.scale, atol=1e-5)


def test_a_block_is_zoomed_no_further_than_its_volume_is_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    voxels = dense().voxels.numpy()[:15, :14]
    volume = DenseVolume.from_array("narrow", voxels, (0.5, 0.8, 1.0), intensity.CT)
    _, spacing = draw_varied(volume, monkeypatch, zoom=1.5)
    np.testing.assert_allclose(spacing, (0.5 * 13 / 11, 0.8 * 13 / 11, 1.0))


@pytest.mark.parametrize("kernel", [-0.1, 0.2])
def test_the_kernel_of_a_block_acts_along_both_axes_of_the_plane(
    kernel: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, filtered = (draw_varied(dense(), monkeypatch, kernel=share)[0] for share in (0.0, kernel))
    for axis in (0, 1):
        first, middle, last = (plain.take(range(a, a + plain.shape[axis] - 2), axis) for a in range(3))
        plain = (1 - 2 * kernel) * middle + kernel * (first + last)
    inside = (filtered[1:-1, 1:-1] > 0.05) & (filtered[1:-1, 1:-1] < 4)  # elsewhere the window may have cut
    np.testing.assert_allclose(filtered[1:-1, 1:-1][inside], plain[inside], atol=1e-5)
    assert inside.mean() > 0.8


@pytest.mark.parametrize("variation", [Variation.CT, Variation.MR])
def test_a_block_without_a_kernel_has_the_values_of_one_whose_kernel_changes_nothing(
    variation: Variation, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, filtered = (draw_varied(dense(), monkeypatch, 1.3, kernel, variation)[0] for kernel in (0.0, 1e-30))
    np.testing.assert_array_equal(plain, filtered)


def test_no_noise_is_drawn_to_filter_a_block_without_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    draws, draw = list[torch.Tensor](), torch.randn

    def counted(*arguments: Any, **others: Any) -> torch.Tensor:
        draws.append(draw(*arguments, **others))
        return draws[-1]

    monkeypatch.setattr(torch, "randn", counted)
    draw_varied(dense(), monkeypatch)
    assert len(draws) == 1  # for the noise that is added
