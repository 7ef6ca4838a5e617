"""docs/api.md is what the docstrings say."""

import runpy
from pathlib import Path

import saint_cli

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_current() -> None:
    script = runpy.run_path(str(DOCS / "make_api.py"))
    stale = "docs/api.md is stale; run: python docs/make_api.py"
    assert script["PAGE"].read_text(encoding="utf-8") == script["make_page"](), stale


def test_every_public_name_has_a_place_on_the_page() -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    for name in saint_cli.__all__:
        assert name.startswith("_") or f"### {name}\n" in page or f"| `{name}` |" in page, name


def test_every_keyword_of_upsample_has_a_line_of_its_own() -> None:
    lines = (DOCS / "api.md").read_text(encoding="utf-8").splitlines()
    for name in saint_cli.Options.__annotations__:
        assert any(line.startswith(f"- `{name}`: ") for line in lines), name
