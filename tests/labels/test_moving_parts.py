"""Which parts of a label are one part that moves."""

import tracemalloc

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import label as number_components

from saint_cli.labels import moving_parts


def compare_all(
    numbers: list[np.ndarray], labels: list[np.ndarray], spacing: tuple[float, float], gap_mm: float
) -> list[tuple[int, int]]:
    """The definition: each lonely part of the first slice against each of the second, of equals the first one."""
    touching = moving_parts._touching(numbers, labels)
    lonely = [np.setdiff1d(np.arange(1, len(labels[side])), touching[:, side]) for side in (0, 1)]
    centres = [
        np.array(ndimage.center_of_mass(n > 0, n, who)) * spacing for n, who in zip(numbers, lonely, strict=True)
    ]
    areas = [np.bincount(n.ravel())[who] for n, who in zip(numbers, lonely, strict=True)]
    radii = [np.sqrt(area * np.prod(spacing) / np.pi) for area in areas]
    distance = np.hypot(*(centres[0][:, None] - centres[1][None]).transpose(2, 0, 1))
    furthest = moving_parts.FARTHEST_RADII * (radii[0][:, None] + radii[1][None])
    is_other = labels[0][lonely[0]][:, None] != labels[1][lonely[1]][None]
    distance[is_other | (distance > np.minimum(moving_parts.STEEPEST * gap_mm, furthest))] = np.inf
    nearest = [(i, row.argmin()) for i, row in enumerate(distance) if np.isfinite(row.min())]
    return [(lonely[0][i], lonely[1][j]) for i, j in nearest if distance[:, j].argmin() == i]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("gap_mm", [1.3, 4.1])
@pytest.mark.parametrize("spacing", [(0.7, 0.9), (0.5, 0.5)])
def test_lonely_parts_pair_up_as_if_each_was_compared_with_all(
    seed: int, gap_mm: float, spacing: tuple[float, float]
) -> None:
    random = np.random.default_rng(seed)
    slices = [random.choice([0, 1, 2, 5], (90, 80), p=[0.93, 0.04, 0.02, 0.01]) for _ in range(2)]
    slices[0][4:9, 30:34], slices[1][12:17, 30:34] = 1, 1  # larger than the specks
    numbers = [number_components(plane, background=0, connectivity=2) for plane in slices]
    labels = [moving_parts._labels_of(n, plane) for n, plane in zip(numbers, slices, strict=True)]
    found = list(moving_parts._find_lonely(numbers, labels, spacing, gap_mm))
    assert found == compare_all(numbers, labels, spacing, gap_mm)
    assert len(found) > 30


def test_how_far_a_part_may_move_is_counted_in_mm() -> None:
    first, second = np.zeros((2, 20, 60), np.int32)
    first[8:12, 10:40], second[8:12, 22:52] = 1, 1
    found = [len(moving_parts.find_moving_parts(first, second, (1.0, mm), 4.0)) for mm in (0.5, 1.0)]
    assert found == [1, 0]  # 12 pixels


def test_the_area_of_a_part_that_moves_changes_linearly() -> None:
    x, y = np.indices((24, 50))
    first, second = ((np.hypot(x - 12, y - at) < radius).astype(np.int32) for at, radius in ((10, 4), (28, 7)))
    (part,) = moving_parts.find_moving_parts(first, second, (1.0, 1.0), 10.0)
    for time in (0.25, 0.75):
        _, depth = part.depth_at(time, first.shape)
        evenly = (1 - time) * first.sum() + time * second.sum()
        assert np.count_nonzero(depth > 0) == pytest.approx(evenly, abs=2)


def test_thousands_of_parts_take_no_memory_for_every_pair_of_them() -> None:
    random = np.random.default_rng(0)
    slices = [random.choice([0, 1], (300, 300), p=[0.9, 0.1]) for _ in range(2)]
    numbers = [number_components(plane, background=0, connectivity=2) for plane in slices]
    labels = [moving_parts._labels_of(n, plane) for n, plane in zip(numbers, slices, strict=True)]
    assert min(map(len, labels)) > 3000
    tracemalloc.start()
    assert sum(1 for _ in moving_parts._find_lonely(numbers, labels, (0.7, 0.7), 5.0)) > 100
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(labels[0]) * len(labels[1])  # bytes
