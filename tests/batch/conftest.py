from pathlib import Path

import fabricate
import pytest

from saint_cli.io import write_volume


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "a.nii"
    write_volume(fabricate.volume(), path)
    return path
