import copy

import pytest
import torch
from nets import tiny
from torch import nn

from saint_cli.training.muon import ADAM_STEP, Muon, orthogonalise


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
