import numpy as np
import torch
from nets import tiny

from saint_cli.method import intensity
from saint_cli.runtime.device_selection import Compute
from saint_cli.training.dense_volume import DenseVolume
from saint_cli.training.fusion_blocks import MARGIN, FusionBlock, make_block
from saint_cli.training.patch_source import FACTORS, PatchSource

CPU = Compute(torch.device("cpu"), torch.float32)
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
