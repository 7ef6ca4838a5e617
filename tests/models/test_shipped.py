"""Which model ``auto`` stands for, and which words name none."""

from pathlib import Path

import pytest

from saint_cli.cli.evaluate import EvaluateOptions
from saint_cli.cli.parsing import parse_models
from saint_cli.errors import WeightsError
from saint_cli.jobs import ModelConfig
from saint_cli.models import shipped
from saint_cli.models.weights import load_model
from saint_cli.options.fields import get_options
from saint_cli.options.job import JobSettings


def test_help_names_the_models_of_auto() -> None:
    of_ct, of_mr = shipped.resolve_name("auto"), shipped.resolve_name("auto", "MR")
    of_slabs = shipped.resolve_name("auto", slabs=True)
    text = f"auto ({of_ct}, {of_mr} on MR, {of_slabs} with --slab)"
    assert text in get_options(ModelConfig)["model"].help
    assert text in get_options(EvaluateOptions)["models"].help


@pytest.mark.parametrize("word", ["base", "medium", "fast", "own.safetensors", "./auto"])
def test_a_named_model_is_taken_for_ct(word: str) -> None:
    assert shipped.resolve_name(word) == word


def test_auto_is_the_default_and_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert ModelConfig().model == JobSettings().model_config.model == "auto"
    shipped.check_model("auto")
    (tmp_path / "auto").touch()
    shipped.check_model("./auto")
    with pytest.raises(WeightsError, match="'auto' stands for a model once the modality is known"):
        load_model("auto")


def test_names_may_be_in_capitals_unless_something_has_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for typed in ("auto", "fast", "mr-fast"):
        assert ModelConfig(typed.upper()).model == typed
        assert parse_models(f"{typed}, {typed.upper()}") == (typed,)
    assert load_model("FAST") is load_model("fast")
    assert shipped.weights_sha256("FAST") == shipped.weights_sha256("fast")
    (tmp_path / "Fast").mkdir()
    for path in ("Fast", "./fast", "./FAST.safetensors", str(shipped.find_weights("fast"))):
        assert ModelConfig(path).model == path
        assert not shipped.is_name(path)


def test_the_loaded_networks_are_those_of_the_default() -> None:
    model, compute = ModelConfig(device="cpu", threads=1).start()
    assert (model.name, compute.threads) == ("medium", 1)


@pytest.mark.parametrize(
    ("name", "fewest"),
    [("base", 1), ("medium", 2), ("fast", 2), ("mr-medium", 1), ("mr-fast", 1), ("slab-medium", 1)],
)
def test_weights_say_whether_one_synthesised_slice_is_left_as_the_average(name: str, fewest: int) -> None:
    assert int(load_model(name).rfn.fewest) == fewest


@pytest.mark.parametrize(
    "name", ["", ".", "a" * 300, "nul\0byte", "line\nbreak"], ids=["", "dot", "long", "nul", "break"]
)
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(WeightsError, match="no model or weights file"):
        load_model(name)


def test_an_unknown_name_is_answered_with_the_shipped_ones() -> None:
    with pytest.raises(WeightsError, match="no model or weights file 'basis'; shipped models: "):
        load_model("basis")
