import numpy as np
import pytest
import torch
from torch import Tensor

from saint_cli.training.augment import CT_UNITS, KERNEL_RANGE, ZOOM_RANGE, Augmentation, vary


def varied(values: Tensor, *, kernel: float = 0.0, contrast: float = 1.0, noise: float = 0.0) -> Tensor:
    """One patch (H, D)."""
    numbers = (torch.tensor([number]) for number in (kernel, contrast, noise))
    return vary(values[None], *numbers, torch.Generator().manual_seed(5))[0]


def test_no_variation_changes_nothing() -> None:
    values = 2 * torch.rand(9, 12)
    torch.testing.assert_close(varied(values), values)


@pytest.mark.parametrize("kernel", KERNEL_RANGE)
def test_a_kernel_keeps_plane_values_and_acts_in_plane_alone(kernel: float) -> None:
    flat = torch.ones(9, 12)
    torch.testing.assert_close(varied(flat, kernel=kernel), flat)
    flat[4, 6] = 1.5
    changed = varied(flat, kernel=kernel) - flat
    assert torch.nonzero(changed.abs() > 1e-6).tolist() == [[3, 6], [4, 6], [5, 6]]
    assert float(changed.sum()) == pytest.approx(0, abs=1e-5)


def test_a_kernel_repeats_the_outermost_voxels() -> None:
    step = torch.tensor([0.5, 0.5, 0.5, 1.0])[:, None]
    torch.testing.assert_close(varied(step, kernel=0.2).flatten(), torch.tensor([0.5, 0.5, 0.6, 0.9]))


def test_contrast_turns_about_water_and_stays_in_the_window() -> None:
    values = torch.tensor([0.0, 0.9, 1.0, 1.1, 4.0])[:, None]
    wanted = torch.tensor([0, 0.87, 1, 1.13, CT_UNITS])
    torch.testing.assert_close(varied(values, contrast=1.3).flatten(), wanted)


def test_noise_has_its_standard_deviation_and_is_correlated_in_plane_alone() -> None:
    noisy = varied(torch.ones(200, 240), noise=0.02) - 1
    assert float(noisy.std()) == pytest.approx(0.02, rel=0.05)
    assert float(noisy.mean()) == pytest.approx(0, abs=1e-3)
    in_plane, through_plane = (noisy[1:] * noisy[:-1]).mean(), (noisy[:, 1:] * noisy[:, :-1]).mean()
    assert float(in_plane) == pytest.approx(0.5 * 0.02**2, rel=0.1)
    assert abs(float(through_plane)) < 0.05 * 0.02**2


def test_each_patch_of_a_batch_is_varied_by_its_own_numbers() -> None:
    values = torch.full((2, 5, 4), 0.5)
    both = vary(values, torch.zeros(2), torch.tensor([1.0, 1.2]), torch.zeros(2), torch.Generator())
    torch.testing.assert_close(both[:, 0, 0], torch.tensor([0.5, 0.4]))


def test_variations_are_reproducible_and_of_every_kind() -> None:
    drawn, again = (Augmentation.draw(np.random.default_rng(5), 400) for _ in range(2))
    for name, plain, share in (("zoom", 1, 0.5), ("kernel", 0, 0.5), ("contrast", 1, 0.5), ("noise", 0, 0.75)):
        assert (getattr(drawn, name) == getattr(again, name)).all()
        assert np.mean(getattr(drawn, name) == plain) == pytest.approx(share, abs=0.08)
    assert ZOOM_RANGE[0] <= drawn.zoom.min() < ZOOM_RANGE[0] + 0.1
    assert ZOOM_RANGE[1] - 0.1 < drawn.zoom.max() <= ZOOM_RANGE[1]
