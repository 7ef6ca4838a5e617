import pytest
import torch
import torch.nn.functional as F
from nets import tiny
from torch import Tensor

from saint_cli.nets import AMI
from saint_cli.nets.ami import convolve, convolve_windows
from saint_cli.nets.filter_generation import filter_distance_matrix
from saint_cli.training.settings import AMI_SIZES


def fdm(factor: int, through: float = 5.0) -> Tensor:
    """(1, factor - 1, 3, 3): one set for all slices."""
    offsets = torch.arange(1, factor) / factor
    return filter_distance_matrix(offsets, torch.tensor(0.8), torch.tensor(through))[None]


def random_slices(batch: int, height: int = 9, width: int = 5) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(3)) * 2


def test_paper_size_has_the_papers_parameter_count() -> None:
    with torch.device("meta"):
        count = sum(p.numel() for p in AMI(*AMI_SIZES["base"]).parameters())
    assert 2.7e6 < count < 2.95e6


@pytest.mark.parametrize("factor", range(2, 17))
def test_every_factor_gives_one_plane_per_offset(factor: int) -> None:
    with torch.no_grad():
        residual = tiny.ami()(random_slices(2), fdm(factor))
    assert residual.shape == (2, factor - 1, 9, 5)
    assert torch.isfinite(residual).all()
    assert all(float((residual[:, t] - residual[:, t - 1]).abs().max()) > 1e-6 for t in range(1, factor - 1))


@pytest.mark.parametrize(("height", "width"), [(1, 2), (2, 2), (7, 3), (13, 11), (16, 8)])
def test_odd_sizes_are_kept(height: int, width: int) -> None:
    with torch.no_grad():
        residual = tiny.ami()(random_slices(3, height, width), fdm(3))
    assert residual.shape == (3, 2, height, width)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_result_is_independent_of_batch_size_and_of_other_slices(size: int) -> None:
    net, slices = tiny.ami(), random_slices(5)
    with torch.no_grad():
        together = net(slices, fdm(4))
        apart = torch.cat([net(part, fdm(4)) for part in slices.split(size)])
        others = slices.clone()
        others[1:] = 9
        among_others = net(others, fdm(4))[0]
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-5)
    torch.testing.assert_close(together[0], among_others, rtol=0, atol=1e-5)
    assert float(together.std()) > 1e-3


def test_neighbouring_slices_matter() -> None:
    slices = random_slices(1)
    changed = slices.clone()
    changed[:, 0] += 1
    with torch.no_grad():
        assert float((tiny.ami()(slices, fdm(2)) - tiny.ami()(changed, fdm(2))).abs().max()) > 1e-3


def test_filters_of_each_sample_equal_shared_ones() -> None:
    net, slices = tiny.ami(), random_slices(3)
    with torch.no_grad():
        torch.testing.assert_close(net(slices, fdm(4).expand(3, -1, -1, -1)), net(slices, fdm(4)), rtol=1e-5, atol=1e-5)


def test_filters_of_each_sample_serve_that_sample() -> None:
    net, slices, spacings = tiny.ami(), random_slices(3), (2.0, 5.0, 9.0)
    with torch.no_grad():
        together = net(slices, torch.cat([fdm(4, s) for s in spacings]))
        for i, spacing in enumerate(spacings):
            alone = net(slices[i : i + 1], fdm(4, spacing))
            torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-5, atol=1e-5)
        assert float((together[0] - net(slices, fdm(4, 9.0))[0]).abs().max()) > 1e-3


def test_filters_of_each_image_convolve_it_as_a_grouped_convolution_does() -> None:
    torch.manual_seed(0)
    features, filters = torch.randn(3, 8, 7, 5, requires_grad=True), torch.randn(3, 4, 8, 3, 3, requires_grad=True)
    grouped = F.conv2d(features.reshape(1, 24, 7, 5), filters.reshape(12, 8, 3, 3), padding=1, groups=3)
    grouped = grouped.view(3, 4, 7, 5)
    ours = convolve(features, filters)
    torch.testing.assert_close(ours, grouped, rtol=1e-5, atol=1e-5)
    wanted = torch.autograd.grad(grouped.square().sum(), (features, filters))
    for a, b in zip(torch.autograd.grad(ours.square().sum(), (features, filters)), wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("windows", [[0], [6], [0, 6], [2, 3], [5, 1, 0, 6, 6]])
def test_convolve_windows_equals_convolve_at_those_columns(windows: list[int]) -> None:
    generator = torch.Generator().manual_seed(4)
    features = torch.randn(2, 8, 9, 7, generator=generator)
    filters = torch.randn(4, 8, 3, 3, generator=generator)
    chosen = convolve_windows(features, filters, torch.tensor(windows))
    torch.testing.assert_close(chosen, convolve(features, filters[None])[..., windows], rtol=1e-5, atol=1e-5)


def test_gradients_reach_every_parameter() -> None:
    net = tiny.ami().train()
    residual = net(random_slices(2), fdm(4))
    (residual * torch.randn(residual.shape, generator=torch.Generator().manual_seed(6))).sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_untrained_network_starts_close_to_linear_interpolation() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        assert float(AMI(*tiny.AMI_SIZE)(random_slices(4), fdm(4)).abs().mean()) < 0.1
