"""Shared fixtures. That this file lies here also makes ``fabricate`` importable for every test below."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from saint_cli.jobs import ModelConfig


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def model_config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelConfig]:
    """The tiny networks of ``nets.tiny``, on one CPU thread."""
    import torch  # only tests that compute pay for it
    from nets import tiny

    from saint_cli.models import weights

    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    weights.save_model(tiny.ami(), tiny.rfn(), path)
    threads = torch.get_num_threads()
    yield ModelConfig(str(path), "cpu", "fp32", 4, 1)
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def slab_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny networks for slabs, in a file."""
    from nets import tiny

    from saint_cli.models import weights
    from saint_cli.nets.slab_network import make_slab_network

    path = tmp_path_factory.mktemp("slabs") / "slabs.safetensors"
    weights.save_model(make_slab_network(tiny.ami()), tiny.rfn(), path)
    return path
