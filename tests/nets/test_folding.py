import pytest
import torch
from nets import tiny

from saint_cli.nets.folding import fold_network


@pytest.mark.parametrize("fold", [2, 4])
def test_a_folded_network_computes_what_the_plain_one_does(fold: int) -> None:
    plain = tiny.ami(seed=3)
    folded = fold_network(plain, fold).eval()
    slices, fdm = torch.rand(2, 3, 8 * fold, 5), 4 * torch.rand(2, 3, 3, 3)
    with torch.no_grad():
        torch.testing.assert_close(folded(slices, fdm), plain(slices, fdm), rtol=1e-4, atol=1e-5)
    assert folded.features.multiply_adds == fold * plain.features.multiply_adds


def test_a_folded_network_is_not_folded_again() -> None:
    with pytest.raises(ValueError, match="folded already, by 2"):
        fold_network(tiny.ami(fold=2), 2)
