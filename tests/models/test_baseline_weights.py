from pathlib import Path

import pytest
import torch
from nets import tiny
from nets.tiny_baselines import NAMES, build, random_input
from safetensors.torch import load_file, save_file

from saint_cli.errors import WeightsError
from saint_cli.models.baseline_weights import load_any_model, save_baseline
from saint_cli.models.weights import SaintModel, load_model, save_model
from saint_cli.nets.baselines import ARCHITECTURES, PublishedAMI


def saved(name: str, folder: Path) -> Path:
    path = folder / f"{name}.safetensors"
    save_baseline(build(name), ARCHITECTURES[name], path)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_baseline_comes_back_with_its_architecture_sizes_and_results(name: str, tmp_path: Path) -> None:
    path = saved(name, tmp_path)
    model = load_any_model(str(path))
    network, x = build(name), random_input(name)
    rounded = {k: v.half().float() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    network.load_state_dict(rounded)
    assert model.architecture is ARCHITECTURES[name]
    assert model.name == name
    assert model.parameters == sum(p.numel() for p in network.parameters())
    assert torch.equal(model.network(x, 4), network(x, 4))
    assert save_baseline(model.network, model.architecture, tmp_path / "again.safetensors") == model.sha256


def test_statistics_of_batch_normalisation_are_kept(tmp_path: Path) -> None:
    network = build("mdcsrn").train()
    network(random_input("mdcsrn"), 4)
    save_baseline(network, ARCHITECTURES["mdcsrn"], tmp_path / "m.safetensors")
    found = load_any_model(str(tmp_path / "m.safetensors")).network
    buffers = dict(network.named_buffers())
    means = [name for name in buffers if name.endswith("running_mean")]
    assert means
    for name in means:
        assert buffers[name].any()
        torch.testing.assert_close(dict(found.named_buffers())[name], buffers[name], rtol=1e-3, atol=1e-6)


def test_the_folder_of_a_run_stands_for_its_model(tmp_path: Path) -> None:
    run = tmp_path / "my-run"
    run.mkdir()
    save_baseline(build("rdn"), ARCHITECTURES["rdn"], run / "model.safetensors")
    assert load_any_model(str(run)).name == "my-run"


@pytest.mark.parametrize("name", NAMES)
def test_other_tensors_under_the_name_of_a_baseline_are_refused(name: str, tmp_path: Path) -> None:
    state = load_file(saved(name, tmp_path))
    largest = max(state, key=lambda key: state[key].numel())
    for changed in (
        {**state, largest: state[largest][..., :-1].contiguous()},
        {k: state[k] for k in sorted(state)[1:]},
    ):
        save_file(changed, tmp_path / "other.safetensors")
        with pytest.raises(WeightsError, match="not those of that network"):
            load_any_model(str(tmp_path / "other.safetensors"))


@pytest.mark.parametrize("factor", ["1", "400", "x"])
def test_a_head_of_an_impossible_factor_is_refused(factor: str, tmp_path: Path) -> None:
    state = load_file(saved("rdn", tmp_path))
    save_file({k.replace("heads.4", f"heads.{factor}"): v for k, v in state.items()}, tmp_path / "odd.safetensors")
    with pytest.raises(WeightsError, match="not those of that network"):
        load_any_model(str(tmp_path / "odd.safetensors"))


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    state = load_file(saved("rdn", tmp_path))
    state["rdn.features.first.bias"][0] = torch.nan
    save_file(state, tmp_path / "nan.safetensors")
    with pytest.raises(WeightsError, match=r"rdn\.features\.first\.bias holds NaN"):
        load_any_model(str(tmp_path / "nan.safetensors"))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = saved("rdn", tmp_path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="differ from the checksum"):
        load_any_model(str(path))


def test_saint_and_baselines_are_told_apart(tmp_path: Path) -> None:
    baseline, own = saved("mdsr", tmp_path), tmp_path / "own.safetensors"
    save_model(tiny.ami(), tiny.rfn(), own)
    assert isinstance(load_any_model(str(own)), SaintModel)
    assert load_any_model(str(baseline)).name == "mdsr"
    with pytest.raises(WeightsError, match="holds 2D MDSR, a network to compare SAINT with"):
        load_model(str(baseline))


def test_published_ami_comes_back_as_one(tmp_path: Path) -> None:
    torch.manual_seed(3)
    published = PublishedAMI(*tiny.AMI_SIZE).eval()
    save_model(published, tiny.rfn(), tmp_path / "p.safetensors")
    found = load_model(str(tmp_path / "p.safetensors")).ami
    assert isinstance(found, PublishedAMI)
    rounded = {name: tensor.half().float() for name, tensor in published.state_dict().items()}
    assert all(torch.equal(found.state_dict()[name], tensor) for name, tensor in rounded.items())
