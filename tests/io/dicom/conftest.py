"""Tests here make and read files that break the rules of DICOM, of which pydicom would warn."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from saint_cli.io.dicom.validation import ignore_invalid_values


@pytest.fixture(autouse=True)
def _broken_rules() -> Iterator[None]:
    with ignore_invalid_values():
        yield


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which temporary files are made during the test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder
