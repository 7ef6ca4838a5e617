import math

import pytest
import torch

from saint_cli.nets.filter_generation import filter_distance_matrix


def one(t: float, in_plane: float, through: float) -> torch.Tensor:
    return filter_distance_matrix(torch.tensor([t]), torch.tensor(in_plane), torch.tensor(through))[0]


def algorithm_1(c: int, r: int, k: int, resolution: tuple[float, float]) -> list[list[float]]:
    """The paper's loop: M_c(h, w) = (h, w r + c) on the dense grid of the given resolution."""
    target = (k // 2, (k // 2) * r + c)
    return [
        [math.hypot((h - target[0]) * resolution[0], (w * r - target[1]) * resolution[1]) for w in range(k)]
        for h in range(k)
    ]


@pytest.mark.parametrize(("r", "c"), [(2, 1), (3, 1), (4, 3), (7, 2), (16, 15)])
@pytest.mark.parametrize("resolution", [(0.7, 1.25), (1.0, 1.0), (0.45, 0.3)])
def test_fdm_equals_a_brute_force_loop_over_algorithm_1(r: int, c: int, resolution: tuple[float, float]) -> None:
    ours = one(c / r, resolution[0], resolution[1] * r)
    torch.testing.assert_close(ours, torch.tensor(algorithm_1(c, r, 3, resolution)), rtol=1e-5, atol=1e-5)


def test_fdm_depends_on_the_factor_only_through_the_offset() -> None:
    for r in (4, 8, 16):  # the same place between slices 5 mm apart, reached by three factors
        dense = torch.tensor(algorithm_1(3 * r // 4, r, 3, (0.8, 5 / r)))
        torch.testing.assert_close(one(0.75, 0.8, 5.0), dense, rtol=1e-5, atol=1e-5)


def test_fdm_doubles_when_spacings_double() -> None:
    torch.testing.assert_close(one(0.3, 1.6, 10.0), 2 * one(0.3, 0.8, 5.0))


def test_fdm_at_offset_zero_is_the_distance_between_voxels() -> None:
    diagonal = math.hypot(0.5, 2.0)
    wanted = [[diagonal, 0.5, diagonal], [2.0, 0.0, 2.0], [diagonal, 0.5, diagonal]]
    torch.testing.assert_close(one(0.0, 0.5, 2.0), torch.tensor(wanted))


def test_fdm_of_a_batch_has_each_samples_own_spacings_and_offsets() -> None:
    offsets = torch.tensor([[0.25, 0.5], [0.1, 0.9]])
    in_plane, through = torch.tensor([0.6, 0.9]), torch.tensor([3.0, 6.0])
    together = filter_distance_matrix(offsets, in_plane, through)
    assert together.shape == (2, 2, 3, 3)
    for b in range(2):
        for t in range(2):
            alone = one(float(offsets[b, t]), float(in_plane[b]), float(through[b]))
            torch.testing.assert_close(together[b, t], alone)
