"""Fixtures of the tests of URLs."""

from pathlib import Path

import pytest

from saint_cli.io.remote import transfer


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(transfer, "PAUSES_S", (0.0,))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
