import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saint_cli.nets.blocks import (
    ResidualDenseBlock,
    ResidualDenseNetwork,
    TrunkSize,
    count_weights,
    fold_rows,
    unfold_rows,
)

SIZES = [
    TrunkSize(3, 8, 4, 2, 2),
    TrunkSize(3, 6, 5, 4, 1),
    TrunkSize(2, 8, 3, 1, 3),
    TrunkSize(5, 8, 4, 2, 12),
    TrunkSize(3, 64, 32, 8, 6),
    TrunkSize(2, 6, 4, 3, 2, dims=3),
    TrunkSize(5, 4, 2, 11, 1, dims=3),
    TrunkSize(3, 8, 4, 2, 2, fold=2),
    TrunkSize(3, 12, 5, 3, 1, fold=4),
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


@pytest.mark.parametrize("size", [s for s in SIZES if s.width < 64 and s.fold == 1], ids=str)
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
    assert TrunkSize.from_state(state, prefix, size.inputs) == size


def test_trunk_size_of_another_network_is_refused() -> None:
    with pytest.raises((KeyError, IndexError)):
        TrunkSize.from_state(nn.Conv2d(3, 8, 3).state_dict())


@pytest.mark.parametrize("fold", [1, 2, 4])
@pytest.mark.parametrize("plane", [(1, 1), (1, 6), (7, 5), (8, 2)])
def test_trunk_keeps_odd_sizes(plane: tuple[int, int], fold: int) -> None:
    size = TrunkSize(3, 8, 4, 2, 2, fold=fold)
    features = ResidualDenseNetwork(size)(torch.randn(2, 3, *plane))
    assert features.shape == (2, size.outputs, *plane)
    assert torch.isfinite(features).all()


def test_multiply_adds_of_a_pixel_are_the_weights_of_convolutions_each_used_once_per_fold() -> None:
    layer = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 2, 1))
    assert count_weights(layer) == 3 * 8 * 9 + 8 * 2
    plain, folded = (ResidualDenseNetwork(TrunkSize(3, 8, 4, 2, 2, fold=n)) for n in (1, 2))
    more_inputs = 8 * 3 * 9
    assert folded.multiply_adds == (plain.multiply_adds + more_inputs) // 2


@pytest.mark.parametrize("fold", [2, 4])
def test_folded_rows_are_channels_of_one_row_and_come_back(fold: int) -> None:
    x = torch.arange(2 * 3 * 8 * 5).float().reshape(2, 3, 8, 5)
    folded = fold_rows(x, fold)
    assert torch.equal(folded[1, 2 * fold + 1, 1], x[1, 2, fold + 1])
    assert torch.equal(unfold_rows(folded, fold), x)
    assert torch.equal(fold_rows(x[:, :, :7], fold)[:, fold - 1, -1], x[:, 0, 6])  # the last row again


@pytest.mark.parametrize("fold", [1, 2, 4])
def test_no_input_beyond_the_reach_changes_an_output(fold: int) -> None:
    network = ResidualDenseNetwork(TrunkSize(3, 8, 4, 2, 1, fold=fold))
    reach, x = network.size.reach, torch.rand(1, 3, 96, 3)
    changed = x.clone()
    changed[:, :, :8] += 1
    with torch.no_grad():
        is_same = (network(x) == network(changed)).all(1).all(-1)[0]
    assert is_same[8 + reach :].all()
    assert not is_same[: 8 + fold].any()
