import pytest
import torch
from nets import tiny
from torch import Tensor

from saint_cli.nets import RFN
from saint_cli.nets.blocks import TrunkSize
from saint_cli.nets.rfn import INPUTS_WITH_CONTEXT, INPUTS_WITHOUT_CONTEXT
from saint_cli.training.settings import RFN_SIZES

THREE_D = TrunkSize(INPUTS_WITH_CONTEXT, 4, 2, 2, 1, dims=3)


def inputs(batch: int = 3, plane: tuple[int, int] = (9, 7), stack: int | None = None) -> list[Tensor]:
    """I_sag, I_cor, below, above, offset and distance; with ``stack`` slices in each for the 3-D variant."""
    generator = torch.Generator().manual_seed(8)
    lead = (batch,) if stack is None else (batch, stack)
    images = [torch.rand(*lead, *plane, generator=generator) for _ in range(4)]
    return [*images, torch.rand(*lead, generator=generator), torch.full(lead, 5.0)]


def test_paper_size_has_about_the_papers_parameter_count() -> None:
    with torch.device("meta"):
        count = sum(p.numel() for p in RFN(TrunkSize(INPUTS_WITH_CONTEXT, *RFN_SIZES["base"])).parameters())
    assert count == pytest.approx(0.12e6, rel=0.3)


@pytest.mark.parametrize(
    ("size", "stack"),
    [(tiny.RFN_SIZE, None), (TrunkSize(INPUTS_WITHOUT_CONTEXT, 8, 4, 2, 1), None), (THREE_D, 4)],
    ids=str,
)
def test_untrained_network_returns_the_mean_of_its_two_inputs(size: TrunkSize, stack: int | None) -> None:
    given = inputs(stack=stack)
    with torch.no_grad():
        torch.testing.assert_close(RFN(size)(*given), (given[0] + given[1]) / 2)


@pytest.mark.parametrize("plane", [(1, 1), (1, 9), (7, 5), (12, 11)])
def test_odd_sizes_are_kept(plane: tuple[int, int]) -> None:
    with torch.no_grad():
        assert tiny.rfn()(*inputs(2, plane)).shape == (2, *plane)
        assert tiny.rfn(size=THREE_D)(*inputs(2, plane, 3)).shape == (2, 3, *plane)


@pytest.mark.parametrize(("size", "stack"), [(tiny.RFN_SIZE, None), (THREE_D, 3)], ids=str)
def test_result_is_independent_of_batch_size(size: TrunkSize, stack: int | None) -> None:
    net, given = tiny.rfn(size=size), inputs(5, stack=stack)
    with torch.no_grad():
        together = net(*given)
        apart = torch.cat([net(*(g[i : i + 1] for g in given)) for i in range(5)])
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-5)


@pytest.mark.parametrize("changed", range(INPUTS_WITH_CONTEXT))
def test_every_input_matters_with_context(changed: int) -> None:
    net, given = tiny.rfn(), inputs()
    with torch.no_grad():
        before = net(*given)
        given[changed] = given[changed] + 0.5
        assert float((net(*given) - before).abs().max()) > 1e-4


@pytest.mark.parametrize("changed", [2, 3, 4])
def test_without_context_the_acquired_slices_do_not_matter(changed: int) -> None:
    net, given = tiny.rfn(size=TrunkSize(INPUTS_WITHOUT_CONTEXT, 8, 4, 2, 1)), inputs()
    assert not net.has_context
    with torch.no_grad():
        before = net(*given)
        given[changed] = given[changed] + 0.5
        torch.testing.assert_close(net(*given), before, rtol=0, atol=0)


@pytest.mark.parametrize("size", [tiny.RFN_SIZE, TrunkSize(6, 6, 4, 3, 2)], ids=str)
def test_an_input_changes_no_output_farther_than_the_reach(size: TrunkSize) -> None:
    net = tiny.rfn(size=size)
    length, centre = 2 * net.features.size.reach + 5, net.features.size.reach + 2
    given = inputs(1, (length, 3))
    with torch.no_grad():
        before = net(*given)
        given[0][0, centre] += 5
        changed = (net(*given) - before)[0].abs().amax(1) > 1e-6
    at = changed.nonzero().flatten()
    assert changed[centre]
    assert int((at - centre).abs().max()) <= net.features.size.reach


@pytest.mark.parametrize(("size", "stack"), [(tiny.RFN_SIZE, None), (THREE_D, 3)], ids=str)
def test_gradients_reach_every_parameter(size: TrunkSize, stack: int | None) -> None:
    net = tiny.rfn(size=size).train()
    fused = net(*inputs(stack=stack))
    (fused * torch.randn(fused.shape, generator=torch.Generator().manual_seed(6))).sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []
