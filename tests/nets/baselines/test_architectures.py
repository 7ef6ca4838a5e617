from itertools import product

import pytest
import torch
from nets import tiny, tiny_baselines
from nets.tiny_baselines import NAMES, build, random_input
from torch import Tensor

from saint_cli.nets.baselines import ARCHITECTURES, PublishedAMI, find_architecture, meta_sr
from saint_cli.nets.blocks import TrunkSize
from saint_cli.nets.filter_generation import filter_distance_matrix


def test_every_architecture_is_tested_here() -> None:
    assert set(NAMES) == set(ARCHITECTURES)


@pytest.mark.parametrize(("name", "factor"), list(product(NAMES, (4, 6))))
def test_full_width_has_the_parameters_of_the_paper_within_ten_percent(name: str, factor: int) -> None:
    architecture = ARCHITECTURES[name]
    with torch.device("meta"):
        network = architecture.build(1.0, (factor,) if architecture.one_factor else (4, 6))
    millions = sum(p.numel() for p in network.parameters()) / 1e6
    assert millions == pytest.approx(architecture.parameters, rel=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_a_share_of_the_width_keeps_the_depth_and_has_about_its_square_of_the_parameters(name: str) -> None:
    architecture = ARCHITECTURES[name]
    with torch.device("meta"):
        full, half = (architecture.build(share, architecture.default_factors) for share in (1.0, 0.5))
    counts = [sum(p.numel() for p in network.parameters()) for network in (full, half)]
    assert counts[1] / counts[0] == pytest.approx(0.25, abs=0.02)
    assert list(full.state_dict()) == list(half.state_dict())


@pytest.mark.parametrize(("name", "factor"), list(product(NAMES, (2, 4))))
def test_each_makes_the_slices_between_for_odd_sizes(name: str, factor: int) -> None:
    x = random_input(name, 2, side=7)
    assert build(name)(x, factor).shape == (2, factor - 1, *x.shape[2:])


@pytest.mark.parametrize("name", [name for name in NAMES if name != "meta-sr"])
def test_factor_2_is_every_second_slice_of_factor_4(name: str) -> None:
    network, x = build(name), random_input(name)
    assert torch.equal(network(x, 2), network(x, 4)[:, 1:2])


@pytest.mark.parametrize("name", ["rdn", "mdcsrn", "rdn-3d", "mdsr"])
def test_a_factor_without_weights_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not 5"):
        build(name)(random_input(name), 5)


@pytest.mark.parametrize("name", NAMES)
def test_a_result_does_not_depend_on_its_neighbours_in_the_batch(name: str) -> None:
    network, x = build(name), random_input(name, 3)
    torch.testing.assert_close(network(x, 4)[1:2], network(x[1:2], 4), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_every_parameter_that_the_factors_use(name: str) -> None:
    network = build(name).train()
    for factor in network.factors or (4,):
        network(random_input(name), factor).square().sum().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("name", NAMES)
def test_an_input_changes_results_as_far_away_as_the_reach_and_no_farther(name: str) -> None:
    network = build(name)
    reach = network.reach
    x = random_input(name, side=2 * reach + 5, acquired=3)
    x = x if x.ndim == 4 else x[:, :, :, :3]
    changed = x.clone()
    changed[:, :, 0] += 1.0
    far = (network(changed, 4) - network(x, 4)).abs().amax(dim=tuple(k for k in range(x.ndim) if k != 2))
    assert far[: reach + 1].min() > 0
    assert far[reach + 1 :].max() == 0


@pytest.mark.parametrize("name", NAMES)
def test_each_overfits_one_patch(name: str) -> None:
    network, x = build(name).train(), random_input(name, side=8)
    truth = torch.sin(torch.arange(network(x, 4).numel()) / 3.0).view_as(network(x, 4)) * 0.3 + 1
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    errors = []
    for _ in range(150):
        error = (network(x, 4) - truth).abs().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(float(error.detach()))
    assert min(errors[-10:]) < 0.25 * float((truth - truth.mean()).abs().mean())


@pytest.mark.parametrize("name", NAMES)
def test_sizes_are_deduced_from_the_tensors(name: str) -> None:
    network = build(name)
    found = ARCHITECTURES[name].rebuild(network.state_dict())
    found.load_state_dict(network.state_dict())
    x = random_input(name)
    assert torch.equal(found.eval()(x, 4), network(x, 4))


def test_names_of_tensors_tell_the_architecture() -> None:
    assert find_architecture(["rdn.first", "rdn.heads.4.output"]) is ARCHITECTURES["rdn"]
    assert find_architecture(["ami.a", "rfn.b"]) is None
    assert find_architecture([]) is None


def test_ami_generates_as_many_times_fewer_filter_weights_than_meta_sr_as_the_image_has_pixels() -> None:
    height, width, factor = 9, 5, 4
    size = TrunkSize(3, 8, 4, 2, 2)
    meta, ami = meta_sr.MetaSR(size, 16), PublishedAMI(size.width, size.growth, size.layers, size.blocks)
    generated: list[int] = []

    def count(module: torch.nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        generated.append(outputs.numel())

    for module in (meta.filters, ami.filters):
        module.register_forward_hook(count)
    slices, offsets = torch.rand(1, 3, height, width), torch.arange(1, factor) / factor
    meta(slices, factor)
    ami(slices, filter_distance_matrix(offsets, torch.tensor(0.7), torch.tensor(5.0))[None])
    assert generated[0] == height * width * generated[1]
    assert generated[1] == (factor - 1) * 9 * size.width


def test_meta_sr_in_strips_is_meta_sr_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = build("meta-sr"), random_input("meta-sr", 2)
    whole = network(x, 4)
    monkeypatch.setattr(meta_sr, "MOST_FILTERS", 2 * x.shape[-1] * 3)
    torch.testing.assert_close(network(x, 4), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_intensities_are_not_rounded_to_half_precision(name: str) -> None:
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        result = build(name)(random_input(name), 4)
    assert result.dtype == torch.float32
    assert not torch.equal(result, result.bfloat16().float())


def test_the_filter_of_meta_sr_is_that_of_its_pixels_projection() -> None:
    place = meta_sr.project_pixels(2, 3, 4, torch.device("cpu"))
    assert place.shape == (2, 3, 3, 3)
    assert place[1, 2].tolist() == [[0, 0.25, 0.25], [0, 0.5, 0.25], [0, 0.75, 0.25]]


def test_published_ami_predicts_what_it_is_asked_for_and_nothing_is_added() -> None:
    torch.manual_seed(0)
    published = PublishedAMI(*tiny.AMI_SIZE)
    assert published.predicts_intensities
    assert not tiny.ami().predicts_intensities
    own = {name for name in published.state_dict() if name != "intensities"}
    assert own == set(tiny.ami().state_dict())


def test_tiny_networks_are_of_the_dimensions_of_their_architectures() -> None:
    assert {name: build(name).dims for name in NAMES} == {name: ARCHITECTURES[name].dims for name in NAMES}
    assert all((ARCHITECTURES[name].patching is None) == (build(name).dims == 2) for name in tiny_baselines.NAMES)
