import copy

import pytest
import torch
from nets import tiny
from torch import nn

from saint_cli.training.muon import ADAM_STEP, BETAS, EPSILON, MOMENTUM, Muon, orthogonalise


@pytest.mark.parametrize("shape", [(2, 6, 20), (2, 20, 6), (1, 8, 8)])
def test_singular_values_come_near_one_and_singular_vectors_stay(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    made = orthogonalise(matrices)
    assert made.shape == matrices.shape
    values = torch.linalg.svdvals(made)
    assert 0.6 < float(values.min()) <= float(values.max()) < 1.3
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    turned = left.mT @ made @ right.mT
    off_diagonal = turned - torch.diag_embed(torch.diagonal(turned, dim1=1, dim2=2))
    assert float(off_diagonal.abs().max()) < 1e-4


def test_a_matrix_step_does_not_depend_on_the_size_of_its_gradient_and_has_adams_size() -> None:
    steps = []
    for scale in (1.0, 1e-4):
        torch.manual_seed(0)
        weight = nn.Parameter(torch.zeros(8, 4, 3, 3))
        optimiser = Muon([weight], [], 0.01)
        weight.grad = scale * torch.randn(8, 4, 3, 3)
        optimiser.step()
        steps.append(weight.detach().clone())
    torch.testing.assert_close(*steps, rtol=1e-3, atol=1e-6)
    assert float(steps[0].square().mean().sqrt()) == pytest.approx(0.01 * ADAM_STEP, rel=0.3)


def test_what_is_no_matrix_moves_as_under_adam() -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Linear(5, 3), nn.Linear(5, 3)
    theirs.load_state_dict(ours.state_dict())
    muon = Muon([], ours.parameters(), 0.01)
    adam = torch.optim.Adam(theirs.parameters(), 0.01, betas=(0.9, 0.999))
    for _ in range(5):
        x = torch.randn(7, 5)
        for model, optimiser in ((ours, muon), (theirs, adam)):
            optimiser.zero_grad()
            model(x).square().sum().backward()
            optimiser.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_only_convolutions_between_features_are_matrices() -> None:
    ami = tiny.ami()
    muon = Muon.for_model(ami, 0.01)
    names = {id(p): name for name, p in ami.named_parameters()}
    matrices, rest = ({names[id(p)] for p in group["params"]} for group in muon.param_groups)
    assert matrices | rest == set(names.values())
    assert all(name.startswith("features.") and name.endswith("weight") for name in matrices)
    assert {"features.first.weight", "features.first.bias", "filters.layers.1.weight"} <= rest
    assert {"features.blocks.0.push.0.weight", "features.last.weight"} <= matrices


def test_its_state_is_saved_and_taken_up_exactly() -> None:
    torch.manual_seed(0)
    one = nn.Conv2d(8, 8, 3)
    optimiser = Muon.for_model(nn.ModuleDict({"features": one}), 0.01)

    def step(model: nn.Module, muon: Muon) -> None:
        muon.zero_grad()
        model(torch.ones(1, 8, 5, 5)).square().sum().backward()
        muon.step()

    step(one, optimiser)
    other = copy.deepcopy(one)
    again = Muon.for_model(nn.ModuleDict({"features": other}), 0.5)
    again.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    for model, muon in ((one, optimiser), (other, again)):
        step(model, muon)
    assert torch.equal(one.weight, other.weight)


class OneByOne:
    """The same steps with loops over parameters."""

    def __init__(self, matrices: set[int]) -> None:
        self.matrices, self.moments, self.count = matrices, dict[nn.Parameter, list[torch.Tensor]](), 0

    @torch.no_grad()
    def step(self, model: nn.Module, rate: float) -> None:
        self.count += 1
        for number, p in enumerate(model.parameters()):
            assert p.grad is not None
            first, second = self.moments.setdefault(p, [torch.zeros_like(p), torch.zeros_like(p)])
            if number in self.matrices:
                first.mul_(MOMENTUM).add_(p.grad, alpha=1 - MOMENTUM)
                ahead = MOMENTUM * first + (1 - MOMENTUM) * p.grad
                direction = orthogonalise(ahead.flatten(1)[None])[0].view_as(p)
                p -= rate * ADAM_STEP * max(p.shape[0], p[0].numel()) ** 0.5 * direction
            else:
                first.mul_(BETAS[0]).add_(p.grad, alpha=1 - BETAS[0])
                second.mul_(BETAS[1]).add_(p.grad.square(), alpha=1 - BETAS[1])
                mean, square = (m / (1 - b**self.count) for m, b in zip((first, second), BETAS, strict=True))
                p -= rate * mean / (square.sqrt() + EPSILON)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_steps_of_all_parameters_together_are_those_of_each_alone(layout: torch.memory_format) -> None:
    ours = tiny.ami().to(memory_format=layout)
    theirs = copy.deepcopy(ours)
    muon = Muon.for_model(ours, 0.01)
    matrices = {id(p) for p in muon.param_groups[0]["params"]}
    alone = OneByOne({number for number, p in enumerate(ours.parameters()) if id(p) in matrices})
    slices, fdm = torch.rand(2, 3, 9, 8), torch.rand(2, 4, 3, 3)
    for _ in range(4):
        for model in (ours, theirs):
            model.zero_grad()
            model(slices, fdm).square().sum().backward()
        muon.step()
        alone.step(theirs, 0.01)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_states_that_count_the_steps_of_each_parameter_are_taken_up() -> None:
    one = nn.Linear(5, 3)
    muon = Muon([], one.parameters(), 0.01)
    for _ in range(3):
        muon.zero_grad()
        one(torch.ones(1, 5)).sum().backward()
        muon.step()
    saved = copy.deepcopy(muon.state_dict())
    del saved["param_groups"][0]["steps"]
    for state in saved["state"].values():
        state["steps"] = torch.tensor(3.0)
    other = Muon([], copy.deepcopy(one).parameters(), 0.01)
    other.load_state_dict(saved)
    assert other.state_dict()["param_groups"] == muon.state_dict()["param_groups"]
    assert set(next(iter(other.state.values()))) == {"mean", "square"}
