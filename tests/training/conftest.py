"""What runs of tiny networks stand on."""

from pathlib import Path

import pytest
from nets import tiny
from training.folders import write_train_and_val

from saint_cli.training import fusion_blocks


@pytest.fixture
def tiny_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the sizes that settings name be tiny."""
    monkeypatch.setattr("saint_cli.training.settings.AMI_SIZES", {"base": tiny.AMI_SIZE})
    monkeypatch.setattr("saint_cli.training.settings.RFN_SIZES", {"base": (8, 4, 2, 1)})
    monkeypatch.setattr(fusion_blocks, "VALIDATION_BLOCKS", 1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One training and one validation volume."""
    return write_train_and_val(tmp_path_factory.mktemp("volumes"))
