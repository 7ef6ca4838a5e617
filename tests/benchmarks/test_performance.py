"""What ``benchmarks/performance.py`` keeps of the page that it writes anew."""

from pathlib import Path

import pytest
from benchmarks.paper_runs import load_benchmark

ROOT = Path(__file__).parents[2]


@pytest.fixture
def read_notes(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return load_benchmark("performance").read_notes


def test_sentences_that_are_not_measured_stay_as_they_are_on_the_page(read_notes: object, tmp_path: Path) -> None:
    page = ROOT / "docs" / "performance.md"
    notes = read_notes(page)
    assert page.read_text(encoding="utf-8").endswith(notes)
    assert notes.startswith("\n## How to read this\n")
    assert "## On GPUs" in notes
    assert read_notes(tmp_path / "new.md") == ""
