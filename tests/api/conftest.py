"""Fixtures of the tests of saint in Python."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from nets import tiny

from saint_cli.models import weights


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Keywords that run untrained small networks on the CPU."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    weights.save_model(tiny.ami(), tiny.rfn(), path)
    return {"model": str(path), "device": "cpu", "precision": "fp32"}


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
