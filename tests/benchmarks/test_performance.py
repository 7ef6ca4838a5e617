"""What ``benchmarks/performance.py`` keeps of the page that it writes anew."""

from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def read_notes() -> object:
    return import_module("performance").read_notes


def test_sentences_that_are_not_measured_stay_as_they_are_on_the_page(read_notes: object, tmp_path: Path) -> None:
    page = ROOT / "docs" / "performance.md"
    notes = read_notes(page)
    assert page.read_text(encoding="utf-8").endswith(notes)
    assert notes.startswith("\n## How to read this\n")
    assert "## On GPUs" in notes
    assert read_notes(tmp_path / "new.md") == ""
