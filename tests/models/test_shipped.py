"""Which model ``auto`` stands for, and which words name none."""

from pathlib import Path

import pytest

from saint_cli.errors import WeightsError
from saint_cli.jobs import ModelConfig
from saint_cli.models import shipped
from saint_cli.options.fields import get_options
from saint_cli.options.job import JobSettings


@pytest.mark.parametrize(("device", "model"), [("cpu", "medium"), ("cuda", "base"), ("mps", "base")])
def test_auto_is_base_on_a_gpu_and_medium_on_a_cpu(device: str, model: str) -> None:
    assert shipped.resolve_name("auto", device) == model


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_help_names_the_model_of_slabs(device: str) -> None:
    model = shipped.resolve_name("auto", device, slabs=True)
    assert f"{model} with --slab" in get_options(ModelConfig)["model"].help


@pytest.mark.parametrize("word", ["base", "medium", "fast", "own.safetensors", "./auto"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_named_model_is_taken_anywhere(word: str, device: str) -> None:
    assert shipped.resolve_name(word, device) == word


def test_auto_is_the_default_and_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert ModelConfig().model == JobSettings().model_config.model == "auto"
    shipped.check_model("auto")
    (tmp_path / "auto").touch()
    shipped.check_model("./auto")
    with pytest.raises(WeightsError, match=r"no model or weights file 'Auto'; shipped models: .*\(or auto\)"):
        shipped.check_model("Auto")


def test_the_loaded_networks_are_those_of_the_device() -> None:
    model, compute = ModelConfig(device="cpu", threads=1).start()
    assert (model.name, compute.threads) == ("medium", 1)
