from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def benchmarks_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that tests import the programs by name."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
