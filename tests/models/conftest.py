from pathlib import Path

import pytest
from nets import tiny

from saint_cli.models.weights import save_model


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A good weights file under a path of its own, for loaded models are kept by path."""
    path = tmp_path / "tiny.safetensors"
    save_model(tiny.ami(), tiny.rfn(), path)
    return path
