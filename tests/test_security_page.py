"""docs/security.md promises nothing without a test that is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def test_every_guarantee_names_tests_that_exist() -> None:
    promised = PAGE.partition("## What is guaranteed")[2].partition("## What is not")[0]
    rows = [line for line in promised.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 15
    for row in rows:
        named = re.findall(r"`(tests/[\w/.]+)`", row)
        assert named, row
        missing = [name for name in named if not (ROOT / name).exists()]
        assert not missing, row
        sources = "".join((ROOT / name).read_text(encoding="utf-8") for name in named if name.endswith(".py"))
        assert all(f"def {name}(" in sources for name in re.findall(r"`(test_\w+)`", row)), row


def test_the_commands_that_the_page_shows_are_those_of_the_fuzzer() -> None:
    script = (ROOT / "benchmarks" / "fuzz.py").read_text(encoding="utf-8")
    options = set(re.findall(r"--[a-z]+", PAGE.partition("## Try it")[2].partition("## Report")[0]))
    assert options
    assert all(f'"{option}"' in script for option in options)
