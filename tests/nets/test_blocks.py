import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saint_cli.nets.blocks import ResidualDenseBlock, ResidualDenseNetwork, TrunkSize

SIZES = [
    TrunkSize(3, 8, 4, 2, 2),
    TrunkSize(3, 6, 5, 4, 1),
    TrunkSize(2, 8, 3, 1, 3),
    TrunkSize(5, 8, 4, 2, 12),
    TrunkSize(3, 64, 32, 8, 6),
    TrunkSize(2, 6, 4, 3, 2, dims=3),
    TrunkSize(5, 4, 2, 11, 1, dims=3),
]


def concatenated_weight(block: ResidualDenseBlock, layer: int) -> Tensor:
    """The weight of the layer's convolution over input and all earlier features, gathered from the pushed shares."""
    shares = [torch.split(block.push[i].weight, block.growth)[layer - i] for i in range(layer + 1)]
    return torch.cat(shares, 1).detach()


def concatenated(block: ResidualDenseBlock, x: Tensor) -> Tensor:
    """The block as Zhang et al. draw it: each layer convolves the concatenation of everything before it."""
    convolve = F.conv2d if x.ndim == 4 else F.conv3d
    features = x
    for layer, bias in enumerate(torch.split(block.push[0].bias, block.growth)):
        new = convolve(features, concatenated_weight(block, layer), bias, padding=1)
        features = torch.cat([features, torch.relu(new)], 1)
    return x + convolve(features, block.fuse.weight, block.fuse.bias)


@pytest.mark.parametrize("size", [s for s in SIZES if s.width < 64], ids=str)
def test_pushed_block_equals_the_concatenated_block_of_the_same_weights(size: TrunkSize) -> None:
    torch.manual_seed(1)
    block = ResidualDenseBlock(size)
    x = torch.randn(2, size.width, *(7, 5, 3)[: size.dims])
    torch.testing.assert_close(block(x), concatenated(block, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dims", [2, 3])
def test_pushed_block_starts_with_the_scale_of_concatenated_convolutions(dims: int) -> None:
    torch.manual_seed(2)
    width, growth, layers = 24, 12, 4
    block = ResidualDenseBlock(TrunkSize(3, width, growth, layers, 1, dims))
    convolution = nn.Conv2d if dims == 2 else nn.Conv3d
    for layer in range(layers):
        ours, reference = (
            concatenated_weight(block, layer),
            convolution(width + layer * growth, growth, 3).weight.detach(),
        )
        assert ours.shape == reference.shape
        assert float(ours.std()) == pytest.approx(float(reference.std()), rel=0.06)
        assert float(ours.abs().max()) == pytest.approx(float(reference.abs().max()), rel=0.06)


@pytest.mark.parametrize("prefix", ["", "ami.features."])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_trunk_size_is_deduced_from_the_state_it_made(size: TrunkSize, prefix: str) -> None:
    with torch.device("meta"):
        state = ResidualDenseNetwork(size).state_dict(prefix=prefix)
    state["another.blocks.99.push.0.weight"] = torch.zeros(1)
    assert TrunkSize.from_state(state, prefix) == size


def test_trunk_size_of_another_network_is_refused() -> None:
    with pytest.raises((KeyError, IndexError)):
        TrunkSize.from_state(nn.Conv2d(3, 8, 3).state_dict())


@pytest.mark.parametrize("plane", [(1, 1), (1, 6), (7, 5), (8, 2)])
def test_trunk_keeps_odd_sizes(plane: tuple[int, int]) -> None:
    features = ResidualDenseNetwork(SIZES[0])(torch.randn(2, 3, *plane))
    assert features.shape == (2, 8, *plane)
    assert torch.isfinite(features).all()
