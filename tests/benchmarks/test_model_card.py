"""``benchmarks/model_card.py``: the card follows the Hugging Face Hub, the metadata MONAI's bundle specification."""

import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from saint_cli.models import shipped, weights

ROOT = Path(__file__).parents[2]
STALE = "run: python benchmarks/model_card.py"

LICENCE = "apache-2.0"
"""As https://huggingface.co/docs/hub/repositories-licenses has it."""

MANDATORY_KEYS = {
    "version",
    "monai_version",
    "pytorch_version",
    "numpy_version",
    "required_packages_version",
    "task",
    "description",
    "authors",
    "copyright",
    "network_data_format",
}
"""Of metadata.json, in https://docs.monai.io/en/stable/mb_specification.html; the tensors' keys and words too."""

TENSOR_KEYS = {
    "type",
    "format",
    "modality",
    "num_channels",
    "spatial_shape",
    "dtype",
    "value_range",
    "is_patch_data",
    "channel_def",
}
TENSOR_TYPES = {"image", "series", "tuples", "probabilities"}
TENSOR_FORMATS = {"magnitude", "hounsfield", "kspace", "raw", "labels", "classes", "segmentation", "latent", "gradient"}


@pytest.fixture
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks" / "model_card.py"))


@pytest.fixture
def metadata() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / "weights" / "metadata.json").read_text(encoding="utf-8"))
    return document


def read_head() -> dict[str, Any]:
    """The YAML before the card's text."""
    opening, head, text = (ROOT / "weights" / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    assert not opening
    assert text.startswith("\n# ")
    card: dict[str, Any] = yaml.safe_load(head)
    return card


def test_card_and_metadata_are_current(script: dict[str, Any]) -> None:
    assert script["CARD"].read_text(encoding="utf-8") == script["render_card"](), STALE
    assert script["METADATA"].read_text(encoding="utf-8") == script["render_metadata"](), STALE


def test_the_head_of_the_card_has_what_the_hub_asks_for() -> None:
    """Required: https://github.com/huggingface/hub-docs/blob/main/modelcard.md."""
    card = read_head()
    assert card["license"] == LICENCE
    assert {"library_name", "pipeline_tag", "tags", "metrics"} <= card.keys()
    for model in card["model-index"]:
        assert re.fullmatch(r"saint-[\w-]+", model["name"])
        for result in model["results"]:
            assert result["task"]["type"] == card["pipeline_tag"]
            assert {"type", "name"} <= result["dataset"].keys()
            assert {metric["type"] for metric in result["metrics"]} == set(card["metrics"])
            assert all(isinstance(metric["value"], float) for metric in result["metrics"])


def test_the_card_has_every_figure_of_whole_factors_once() -> None:
    for name, entry in shipped.read_manifest(ROOT / "weights").items():
        scores = [value["fused dB"] for key, value in entry["validation"].items() if re.fullmatch(r"x\d+", key)]
        models = [model for model in read_head()["model-index"] if model["name"] == f"saint-{name}"]
        assert len(models) == bool(scores)
        metrics = [metric for model in models for result in model["results"] for metric in result["metrics"]]
        assert [metric["value"] for metric in metrics] == scores


def test_the_metadata_have_the_mandatory_keys_of_a_bundle(metadata: dict[str, Any]) -> None:
    assert metadata.keys() >= MANDATORY_KEYS
    assert re.fullmatch(r"\d+\.\d+\.\d+", metadata["version"])
    assert metadata["version"] in metadata["changelog"]
    texts = MANDATORY_KEYS - {"required_packages_version", "network_data_format"}
    assert all(isinstance(metadata[key], str) and metadata[key] for key in texts)
    assert all(isinstance(version, str) for version in metadata["required_packages_version"].values())


def list_tensors(metadata: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for key, data_format in metadata.items():
        if key.endswith("_data_format"):
            assert data_format.keys() == {"inputs", "outputs"}
            yield from (tensor for tensors in data_format.values() for tensor in tensors.values())


def test_tensors_are_described_in_the_words_of_the_specification(metadata: dict[str, Any]) -> None:
    tensors = list(list_tensors(metadata))
    assert len(tensors) == 5
    for tensor in tensors:
        assert tensor.keys() == TENSOR_KEYS
        assert tensor["type"] in TENSOR_TYPES
        assert tensor["format"] in TENSOR_FORMATS
        assert list(tensor["channel_def"]) == [str(number) for number in range(tensor["num_channels"])]
        assert all(size == "*" or size > 0 for size in tensor["spatial_shape"])
        assert tensor["value_range"] == sorted(tensor["value_range"])
        assert len(tensor["value_range"]) in (0, 2)
        assert isinstance(tensor["is_patch_data"], bool)


def test_the_metadata_describe_every_shipped_network(metadata: dict[str, Any]) -> None:
    for name in shipped.read_manifest():
        model = weights.load_model(name)
        ami, rfn = (metadata[f"{key}_data_format"]["inputs"]["slices"] for key in ("network", "fusion"))
        assert ami["num_channels"] == model.ami.features.size.inputs
        assert rfn["num_channels"] == model.rfn.features.size.inputs
        assert model.rfn.features.size.dims == len(rfn["spatial_shape"])
